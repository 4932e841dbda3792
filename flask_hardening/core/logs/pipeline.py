"""The one way of every log line: from fields to a flat record to the outputs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from flask_hardening.core import correlation
from flask_hardening.core.logs.encoding import to_console, to_json
from flask_hardening.core.logs.tracebacks import exception_fields
from flask_hardening.core.settings import LEVELS
from flask_hardening.core.shield import shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flask_hardening.core.logs.outputs import Output, Stream

    Tap = Callable[[dict[str, Any]], None]

_utc = timezone.utc
_now = datetime.now
_OFF = 1000


class Pipeline:
    """
    Builds each record once and writes it to every output.

    Args:
        base: Fields of lines outside any unit of work: `service`, `environment`.
        level: Lowest level written.
        levels: Lowest levels by logger name.
        structured: Outputs that get JSON.
        readable: Outputs that get the console form.
    """

    def __init__(
        self,
        base: Mapping[str, str],
        level: str,
        levels: Mapping[str, str],
        structured: Sequence[Output],
        readable: Sequence[Stream],
    ) -> None:
        self.base = dict(base)
        self.level = LEVELS[level]
        self._by_name = sorted(
            ((name, LEVELS[lowest]) for name, lowest in levels.items()),
            key=lambda entry: -len(entry[0]),
        )
        self.lowest = min([self.level, *(lowest for _, lowest in self._by_name)])
        self._structured = tuple(structured)
        self._readable = tuple((stream, stream.is_terminal()) for stream in readable)
        self._taps: tuple[Tap, ...] = ()

    def enabled(self, number: int, logger: str) -> bool:
        """Tell whether a line of this level from this logger is written."""
        for name, lowest in self._by_name:
            if logger == name or logger.startswith(name + "."):
                return number >= lowest
        return number >= self.level

    def emit(
        self,
        level: str,
        event: str | None,
        message: str,
        logger: str,
        fields: Mapping[str, Any],
        error: BaseException | None = None,
        stack: str | None = None,
    ) -> None:
        """
        Write one line from parts that are clean already, but for the exception.

        Args:
            level: Its level's name.
            event: Its constant dotted name, if it has one.
            message: A sentence for people, without secrets.
            logger: The module it is about.
            fields: Data without secrets, and without None.
            error: Its exception.
            stack: That one's stack as text, where it has lost it.
        """
        line = self.begin(level, event, message, logger)
        line.update(fields)
        if error is not None:
            line.update(exception_fields(error, stack))
        self.write(line)

    def begin(
        self, level: str, event: str | None, message: str, logger: str
    ) -> dict[str, Any]:
        """Return a record with what every line has, to be filled and written."""
        line: dict[str, Any] = {
            "timestamp": _now(_utc),
            "level": level,
            "message": message,
        }
        if event:
            line["event"] = event
        line["logger"] = logger
        unit = correlation.current()
        if unit is None or unit.origin is None:
            line.update(self.base)
        if unit is not None:
            line.update(unit.fields)
        return line

    def write(self, line: dict[str, Any]) -> None:
        """Hand a finished record to each output."""
        if self._structured:
            data = to_json(line)
            for output in self._structured:
                output.write(data)
        for stream, colour in self._readable:
            stream.write(to_console(line, colour=colour))
        for tap in self._taps:
            shielded("log", "tap", tap, line)

    def tap(self, tap: Tap) -> Callable[[], None]:
        """Let *tap* see each record too; returns what takes it out again."""
        self._taps = (*self._taps, tap)

        def untap() -> None:
            self._taps = tuple(t for t in self._taps if t is not tap)

        return untap

    def close(self) -> None:
        """Close the outputs."""
        for output in self._structured:
            output.close()
        self._structured = self._readable = ()
