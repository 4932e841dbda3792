"""What others log, taken in: loguru's records and those of Python's `logging`."""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from loguru import logger as loguru_logger

from flask_hardening.core import redaction
from flask_hardening.core.settings import LEVELS
from flask_hardening.core.shield import shielded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import loguru

    from flask_hardening.core.logs.pipeline import Pipeline

RESERVED = frozenset(
    {
        "timestamp",
        "level",
        "message",
        "event",
        "logger",
        "service",
        "environment",
        "correlation_id",
        "request_id",
        "trace_id",
        "span_id",
        "task_id",
        "task",
        "caller",
        "exception_type",
        "exception_message",
        "exception_stack",
    }
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
OWN = "hardening"  # in a record of loguru's: the fields of an event of ours, clean
_DEFAULT_SINK = 0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class LoguruIntake:
    """
    Our sink in loguru; every other sink stays, but the one loguru itself starts with.

    That one prints each line a second time and, as its own default, the values of local
    variables in tracebacks.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        with suppress(ValueError):  # the app has removed it
            loguru_logger.remove(_DEFAULT_SINK)
        self._sink = loguru_logger.add(
            self._take,
            level=pipeline.lowest,
            format=lambda _: "",
            backtrace=False,
            diagnose=False,
            catch=True,
        )

    def _take(self, message: loguru.Message) -> None:
        shielded("log", "loguru", self._forward, message.record)

    def _forward(self, record: loguru.Record) -> None:
        name = record["name"] or "root"
        level = record["level"]
        if not self._pipeline.enabled(level.no, name):
            return
        extra = record["extra"]
        event = extra.get("event")
        own: dict[str, Any] | None = record.get(OWN)  # type: ignore[assignment]
        if own is None:
            fields = user_fields(extra)
            text = redaction.active().scrub(record["message"], redaction.MESSAGE)
        else:
            theirs = {name: extra[name] for name in extra.keys() - own.keys() - {"event"}}
            fields, text = own | user_fields(theirs), record["message"]
        if not isinstance(event, str):
            event = None
            fields["caller"] = f"{record['function']}:{record['line']}"
        error = record["exception"].value if record["exception"] else None
        self._pipeline.emit(level.name, event, text, name, fields, error)

    def close(self) -> None:
        """Take our sink out; a line in another thread may have beaten us to it."""
        with suppress(ValueError):
            loguru_logger.remove(self._sink)


class StdlibIntake(logging.Handler):
    """A handler on `logging`'s root that writes what libraries log as lines of ours."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(logging.NOTSET)
        self._pipeline = pipeline
        self._root_level = logging.root.level
        self._levels: dict[str, int] = {}
        before = warnings.showwarning
        logging.captureWarnings(True)
        self._captures = warnings.showwarning is not before  # else somebody did already
        logging.root.addHandler(self)
        logging.root.setLevel(min(max(pipeline.level, logging.INFO), logging.CRITICAL))

    def set_levels(self, levels: Mapping[str, str]) -> None:
        """Lower or raise single loggers, so that they let their lines come to us."""
        for name, level in levels.items():
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.setLevel(LEVELS[level])

    def handle(self, record: logging.LogRecord) -> bool:
        """
        Write one record without the handler's lock.

        One write per line needs no lock, and none can then be left held by a fork.
        """
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        take_record(self._pipeline, record)

    def close(self) -> None:
        """Leave `logging` as it was found."""
        if self._captures:
            logging.captureWarnings(False)
        logging.root.removeHandler(self)
        logging.root.setLevel(self._root_level)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._levels.clear()
        super().close()


def take_record(pipeline: Pipeline, record: logging.LogRecord) -> None:
    """Write a record of `logging`'s; never raise."""
    if pipeline.enabled(record.levelno, record.name):
        shielded("log", "logging", _forward, pipeline, record)


def _forward(pipeline: Pipeline, record: logging.LogRecord) -> None:
    given = {k: v for k, v in vars(record).items() if k not in _STANDARD}
    event = given.get("event")
    fields = user_fields(given)
    level = record.levelname if record.levelname in LEVELS else _level(record.levelno)
    pipeline.emit(
        level,
        event if isinstance(event, str) else None,
        _message(record),
        record.name,
        fields,
        record.exc_info[1] if record.exc_info else None,
    )


def user_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a caller's own fields without secrets; one named like one of ours gets a `_` behind."""
    clean = redaction.active().clean_fields(given)
    fields = {name: value for name, value in clean.items() if value is not None}
    if isinstance(given.get("event"), str):
        del fields["event"]
    for name in RESERVED & fields.keys():
        fields[name + "_"] = fields.pop(name)
    return fields


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - `log.info("%d", "x")` must still give a line
        message = str(record.msg)
    # colours are for terminals; here they would be noise in every search
    plain = _COLOURS.sub("", message) if "\x1b" in message else message
    return redaction.active().scrub(plain.rstrip("\n"), redaction.MESSAGE)


def _level(number: int) -> str:
    names = [name for name, lowest in LEVELS.items() if lowest <= number]
    return names[-1] if names else "TRACE"
