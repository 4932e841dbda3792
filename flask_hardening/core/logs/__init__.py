"""Structured logs: set up once per process, one function that writes an event of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from loguru import logger as loguru_logger

from flask_hardening.core import process, redaction
from flask_hardening.core.logs.intake import OWN, LoguruIntake, StdlibIntake
from flask_hardening.core.logs.outputs import File, Output, Stream
from flask_hardening.core.logs.pipeline import Pipeline
from flask_hardening.core.settings import LEVELS
from flask_hardening.core.shield import shielded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_hardening.core import settings

ROOM = "logs"


@dataclass(frozen=True)
class Plan:
    """
    What decides how a process's log outputs are made; two apps must agree on it.

    Attributes:
        level: Lowest level written.
        levels: Lowest levels by logger name.
        format: Form on the streams.
        outputs: Names of the streams.
        file: Path of the file, or None.
        stdlib: Take in `logging`.
        request_via: The way of our own events.
    """

    level: str
    levels: dict[str, str]
    format: str
    outputs: tuple[str, ...]
    file: str | None
    stdlib: bool
    request_via: str

    @classmethod
    def of(cls, config: settings.Logs, *, development: bool) -> Plan:
        """Fill in what depends on the environment."""
        return cls(
            level=config.level or ("DEBUG" if development else "INFO"),
            levels=dict(config.levels),
            format=config.format or ("console" if development else "json"),
            outputs=config.outputs,
            file=config.file,
            stdlib=config.stdlib,
            request_via=config.request_via,
        )


class Logs:
    """
    The log outputs of this process and what feeds them.

    Attributes:
        pipeline: The way to the outputs.
        structured: The streams carry JSON.
    """

    def __init__(self, plan: Plan, base: Mapping[str, str]) -> None:
        streams = [Stream(name) for name in plan.outputs]
        files: list[Output] = [File(Path(plan.file))] if plan.file else []
        as_json = plan.format == "json"
        self.pipeline = Pipeline(
            base,
            plan.level,
            plan.levels,
            [*streams, *files] if as_json else files,
            [] if as_json else streams,
        )
        self.structured = as_json
        self.via_loguru = plan.request_via == "loguru"
        self._loguru = LoguruIntake(self.pipeline)
        self._stdlib = StdlibIntake(self.pipeline) if plan.stdlib else None
        if self._stdlib:
            self._stdlib.set_levels(plan.levels)

    def emit(
        self,
        level: str,
        event: str,
        message: str,
        logger: str,
        fields: Mapping[str, Any],
        error: BaseException | None = None,
        stack: str | None = None,
    ) -> None:
        """Write an event of ours; may raise, unlike the function of the same name."""
        if self.via_loguru or self.pipeline.enabled(LEVELS[level], logger):
            clean = redaction.active()
            fields, message = (
                clean.clean_own(fields),
                clean.scrub(message, redaction.MESSAGE),
            )
            self.write(level, event, message, logger, fields, error, stack)

    def write(
        self,
        level: str,
        event: str,
        message: str,
        logger: str,
        fields: Mapping[str, Any],
        error: BaseException | None = None,
        stack: str | None = None,
    ) -> None:
        """Write an event whose fields and message hold no secret; may raise."""
        if self.via_loguru:
            _via_loguru(level, event, message, logger, fields, error)
        elif self.pipeline.enabled(LEVELS[level], logger):
            self.pipeline.emit(level, event, message, logger, fields, error, stack)

    def close(self) -> None:
        """Leave loguru and `logging` as they were found."""
        if self._stdlib:
            self._stdlib.close()
        self._loguru.close()
        self.pipeline.close()


def set_up(plan: Plan, base: Mapping[str, str], owner: str) -> Logs:
    """
    Set up the process's logs, or join those that stand.

    Raises:
        ConfigError: They stand with other settings, or the file can't be opened.
    """
    return process.own(ROOM, plan, owner, lambda: Logs(plan, base))


def active() -> Logs | None:
    """Return the process's logs, or None before anyone has set them up."""
    return cast("Logs | None", process.get(ROOM))


def enabled(level: str, logger: str) -> bool:
    """Tell whether an event of this level would be written."""
    logs = active()
    return logs is None or logs.pipeline.enabled(LEVELS[level], logger)


def emit(
    level: str,
    event: str,
    message: str,
    logger: str,
    fields: Mapping[str, Any],
    error: BaseException | None = None,
    stack: str | None = None,
) -> None:
    """
    Write an event of ours, its secrets replaced; never raise.

    Args:
        level: Name of its level.
        event: Its constant dotted name.
        message: A sentence for people.
        logger: The module it is about.
        fields: Its data, which isn't changed. None is left out.
        error: Its exception.
        stack: That one's stack as text, where it has lost it.

    Without log outputs of ours it goes through loguru's `logger`, whose sinks are the
    app's own.
    """
    shielded("log", event, _emit, level, event, message, logger, fields, error, stack)


def _emit(
    level: str,
    event: str,
    message: str,
    logger: str,
    fields: Mapping[str, Any],
    error: BaseException | None,
    stack: str | None,
) -> None:
    logs = active()
    if logs:
        logs.emit(level, event, message, logger, fields, error, stack)
    else:
        clean = redaction.active()
        fields, message = clean.clean_own(fields), clean.scrub(message, redaction.MESSAGE)
        _via_loguru(level, event, message, logger, fields, error)


def _via_loguru(
    level: str,
    event: str,
    message: str,
    logger: str,
    fields: Mapping[str, Any],
    error: BaseException | None,
) -> None:
    given = {name: value for name, value in fields.items() if value is not None}
    bound = loguru_logger.bind(**given, event=event).opt(exception=error)
    # patched, not passed: braces in a message with arguments would be formatted
    ours = {"name": logger, OWN: given}
    bound.patch(lambda record: record.update(ours)).log(level, "{}", message)  # type: ignore[typeddict-item]
