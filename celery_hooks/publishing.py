"""Publishing that ends: time-outs for a broker that is silent, where stock Celery has none."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals

from flask_hardening.core import settings

if TYPE_CHECKING:
    from celery import Celery

    from celery_hooks.installation import Installation

_REDIS = ("redis", "rediss", "sentinel", "valkey", "valkeys")
_AMQP = ("amqp", "amqps", "pyamqp")
_RESULTS = "result_backend_transport_options"
_RETRIES = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}


def install(installation: Installation) -> None:
    """Set the time-outs, as soon as the app's configuration is known."""
    app = installation.app
    seconds = installation.configuration.section(settings.Tasks).publish_timeout

    def bound(**_: Any) -> None:  # noqa: ANN401
        for key, value in _changes(app, seconds).items():
            before = {key: app.conf[key]}
            app.conf[key] = value
            installation.undo_with(partial(app.conf.update, before))

    def patient(instance: Any, **_: Any) -> None:  # noqa: ANN401
        """A worker holds up nobody, and must not lose a result to a short outage."""
        if instance.app is app:
            app.conf[_RESULTS] = _without_ours(app.conf[_RESULTS])

    logger = logging.getLogger("celery.backends.asynchronous")
    logger.addFilter(_not_the_end)
    installation.undo_with(partial(logger.removeFilter, _not_the_end))
    installation.connect(signals.celeryd_init, patient)
    if app.configured:  # type: ignore[attr-defined]
        bound()
    else:
        installation.connect(app.on_after_configure, bound)


def _not_the_end(record: logging.LogRecord) -> bool:
    """
    Say at WARNING that a publish has not reached the result store.

    Celery says at CRITICAL that the app must be restarted. The next publish connects anew,
    and the publisher has the exception.
    """
    if "Retry limit exceeded" in str(record.msg):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = "A publish has not reached the Celery result store."
    return True


def _changes(app: Celery, seconds: float) -> dict[str, Any]:
    """Return the settings to change; what the app has set itself stays."""
    conf = app.conf
    changes: dict[str, Any] = {}
    broker = _scheme(conf.broker_write_url or conf.broker_url)
    options = dict(conf.broker_transport_options or {})
    if broker in _REDIS:
        ours = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        changes["broker_transport_options"] = _RETRIES | ours | options
    elif broker in _AMQP:
        changes["broker_transport_options"] = _RETRIES | options
    if broker in _AMQP and conf.broker_connection_timeout == _DEFAULT_CONNECT:
        changes["broker_connection_timeout"] = seconds
    if _scheme(conf.result_backend) in _REDIS:
        # a publish subscribes to its result, over this connection
        if conf.redis_socket_timeout == _DEFAULT_RESULT:
            changes["redis_socket_timeout"] = seconds
        if conf.redis_socket_connect_timeout is None:
            changes["redis_socket_connect_timeout"] = seconds
        changes[_RESULTS] = {"retry_policy": _RETRIES, **(conf[_RESULTS] or {})}
    return changes


def _without_ours(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not _RETRIES}


_DEFAULT_CONNECT = 4
_DEFAULT_RESULT = 120.0


def _scheme(url: object) -> str:
    first = url[0] if isinstance(url, (list, tuple)) and url else url
    return str(first or "").partition(":")[0].partition("+")[0].lower()
