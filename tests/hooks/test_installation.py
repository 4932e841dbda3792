"""Installing and uninstalling: once is twice, other settings are refused, nothing stays behind."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest
from celery import Celery, signals
from celery.utils.dispatch import Signal
from loguru import logger as loguru_logger

import celery_hooks
from celery_hooks.correlation import ID_HEADER
from flask_hardening.core import logs
from flask_hardening.core.correlation import correlated
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import targets

LOGGERS = ("celery.app.trace", "celery.worker.strategy", "celery.worker.request")
CONF = (
    "broker_transport_options",
    "broker_connection_timeout",
    "redis_socket_timeout",
    "redis_socket_connect_timeout",
)


def plain(**conf):
    """Return a Celery app without the hooks."""
    app = Celery("plain", set_as_current=False)
    app.conf.update({"broker_url": "redis://h/0", "result_backend": "redis://h/1", **conf})
    return app


def traces(app):
    """Return everything that the hooks may change in a process."""
    named = {name: sig for name, sig in vars(signals).items() if isinstance(sig, Signal)}
    loggers = [
        logging.getLogger(name) for name in ("celery.worker.consumer.consumer", *LOGGERS)
    ]
    return {
        "receivers": {name: len(signal.receivers) for name, signal in named.items()},
        "configured": len(app.on_after_configure.receivers),
        "filters": [list(logger.filters) for logger in loggers],
        "handlers": list(logging.root.handlers),
        "level": logging.root.level,
        "streams": (sys.stdout, sys.stderr, sys.__stdout__),
        "sinks": len(loguru_logger._core.handlers),
        "logs": logs.active(),
        "showwarning": warnings.showwarning,
        "conf": {key: app.conf[key] for key in CONF},
        "requests": {name: task.Request for name, task in app.tasks.items()},
    }


class Worker:
    """What Celery tells its receivers of a worker."""

    hostname, concurrency, quiet, pool_cls = "here", 1, False, Signal

    def __init__(self, app):
        self.app = app


def test_uninstall_leaves_nothing_behind(capfd):
    """After a worker's whole start-up, `uninstall` puts every single thing back."""
    app = plain()
    loguru_logger.remove()  # ours takes loguru's own first sink for good
    before = traces(app)

    celery_hooks.install(app, {"HARDENING_LOGS_LEVEL": "DEBUG"})
    signals.setup_logging.send(sender=None)
    signals.celeryd_after_setup.send(sender="here", instance=Worker(app), conf=app.conf)
    during = traces(app)
    celery_hooks.uninstall(app)

    unchanged = [name for name, value in during.items() if value == before[name]]
    assert set(unchanged) <= {"configured", "showwarning"}
    assert traces(app) == before


def test_uninstall_twice_is_once():
    """A second `uninstall`, or one without an `install`, does nothing."""
    app = plain()
    before = traces(app)
    celery_hooks.uninstall(app)
    celery_hooks.install(app)
    celery_hooks.uninstall(app)
    celery_hooks.uninstall(app)

    assert traces(app) == before


def test_an_uninstalled_app_publishes_as_before(make_celery, arrived):
    """Without the hooks, messages carry nothing of ours."""
    app = make_celery()
    celery_hooks.uninstall(app)
    with correlated("mine"):
        app.send_task("any")

    (message,) = arrived(app)
    assert ID_HEADER not in message.headers


def test_installing_twice_is_installing_once(make_celery, run, worker_logs):
    """An equal second `install` adds no receiver, and no second line per task."""
    app = make_celery()
    before = traces(app)
    celery_hooks.install(app)
    celery_hooks.install(app, {"HARDENING_SERVICE": "", "OTHER": 1})

    assert traces(app) == before
    lines = worker_logs(app)
    app.send_task("celery.backend_cleanup")
    run(app)
    assert len(lines.of("task.succeeded")) == 1


def test_installing_with_other_settings_is_refused(make_celery):
    """A different second `install` fails and names both values of each key."""
    app = make_celery({"HARDENING_TASKS_ARGUMENTS": True, "HARDENING_SERVICE": "one"})

    with pytest.raises(ConfigError) as caught:
        celery_hooks.install(app, {"HARDENING_SERVICE": "two"})

    text = str(caught.value)
    assert "HARDENING_SERVICE is 'one' there and 'two' here" in text
    assert "HARDENING_TASKS_ARGUMENTS is True there and False here" in text
    assert "uninstall" in text


def test_a_secret_is_not_in_the_refusal(make_celery):
    """Keys differ without being shown."""
    app = make_celery({"HARDENING_REDACTION_HMAC_KEY": "first-secret-of-many"})

    with pytest.raises(ConfigError, match="HARDENING_REDACTION_HMAC_KEY") as caught:
        celery_hooks.install(app, {"HARDENING_REDACTION_HMAC_KEY": "second-secret-of-many"})

    assert "secret" not in str(caught.value)


def test_an_unknown_key_is_refused_and_nothing_is_installed():
    """A misspelt setting fails at once, names the nearest, and leaves the app alone."""
    app = plain()
    before = traces(app)

    with pytest.raises(ConfigError, match="HARDENING_TASKS_ARGUMENTS"):
        celery_hooks.install(app, {"HARDENING_TASK_ARGUMENTS": True})

    assert traces(app) == before


def test_the_environment_wins(monkeypatch, make_celery, run, worker_logs):
    """`FLASK_HARDENING_*` variables override what `install` is given."""
    monkeypatch.setenv("FLASK_HARDENING_SERVICE", "from-outside")
    app = make_celery({"HARDENING_SERVICE": "from-code"})
    lines = worker_logs(app)
    app.send_task("celery.backend_cleanup")
    run(app)

    assert lines.of("task.succeeded")[0]["service"] == "from-outside"


def test_two_apps_in_one_process_are_told_apart(make_celery, run, worker_logs):
    """Each app's tasks have lines by its own settings; one's `uninstall` leaves the other's."""
    config = {"HARDENING_TASKS_ARGUMENTS": True}
    first, second = make_celery(config, name="first"), make_celery(name="second")
    lines = worker_logs(first)
    for app in (first, second):
        app.send_task("celery.backend_cleanup")
        run(app)

    done = lines.of("task.succeeded")
    assert [x["service"] for x in done] == ["first", "second"]
    assert ["args" in x for x in done] == [True, False]

    celery_hooks.uninstall(first)
    lines.clear()
    second.send_task("celery.backend_cleanup")
    run(second)
    assert [x["service"] for x in lines.of("task.succeeded")] == ["second"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_apps_give_the_streams_back_in_any_order(make_celery, worker_logs, order):
    """The process has its own streams again when the last of two apps has gone."""
    before = sys.stdout, sys.stderr, sys.__stdout__
    apps = make_celery(name="first"), make_celery(name="second")
    worker_logs(apps[0])
    first, last = (apps[number] for number in order)

    celery_hooks.uninstall(first)
    assert (sys.stdout, sys.stderr, sys.__stdout__) != before
    celery_hooks.uninstall(last)
    assert (sys.stdout, sys.stderr, sys.__stdout__) == before


def test_targets_are_set_up():
    """A worker's calls are guarded by the same settings, and no more once it is uninstalled."""
    app = Celery("guarded")
    options = {"geo": {"attempts": 2}}
    celery_hooks.install(app, {"HARDENING_RESILIENCE_TARGETS": options})
    assert targets.active().target("geo").options.attempts == 2
    celery_hooks.uninstall(app)
    assert targets.active().target("geo").options.attempts == 3
