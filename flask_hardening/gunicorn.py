"""
Settings for gunicorn, with `gunicorn -c python:flask_hardening.gunicorn app:app`.

gunicorn's own lines take the form of the app's, and its access log stays off: the app
writes one line per request, with its ids.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from gunicorn.glogging import Logger as GunicornLogger

from flask_hardening.core import logs, settings
from flask_hardening.core.config import Configuration
from flask_hardening.core.logs.intake import take_record
from flask_hardening.core.logs.outputs import Stream
from flask_hardening.core.logs.pipeline import Pipeline
from flask_hardening.core.told import is_told

if TYPE_CHECKING:
    from gunicorn.config import Config

logger_class = "flask_hardening.gunicorn.Logger"
accesslog = None
_FAILED_REQUEST = "Error handling request"


class Logger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's logger, writing the house's lines."""

    def setup(self, cfg: Config) -> None:
        """Put our handler in place of gunicorn's on its error log."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.addHandler(_MasterHandler())


class _MasterHandler(logging.Handler):
    """
    Writes gunicorn's records: through the app's outputs where there are any.

    The master process has no app, so its lines are shaped by the environment alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._own = _pipeline()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; never raise."""
        active = logs.active()
        if str(record.msg).startswith(_FAILED_REQUEST):
            error = record.exc_info[1] if record.exc_info else None
            if active and (isinstance(error, SystemExit) or is_told(error)):
                return  # a line of the request's has told it, with the ids
            record.args = tuple(map(_without_query, record.args or ()))
        pipeline = active.pipeline if active else self._own
        take_record(pipeline, record)


def _without_query(argument: object) -> object:
    return argument.partition("?")[0] if isinstance(argument, str) else argument


def _pipeline() -> Pipeline:
    configuration = Configuration({}, os.environ)
    general = configuration.section(settings.General)
    debug = os.environ.get("FLASK_DEBUG", "").lower() in {"1", "true", "yes", "on"}
    environment = general.environment or ("development" if debug else "production")
    plan = logs.Plan.of(
        configuration.section(settings.Logs), development=environment == "development"
    )
    base = {"service": general.service or "gunicorn", "environment": environment}
    streams: list[Any] = [Stream(name) for name in plan.outputs]
    as_json = plan.format == "json"
    return Pipeline(
        base, plan.level, {}, streams if as_json else [], [] if as_json else streams
    )
