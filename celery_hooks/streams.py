"""`print` and stderr of a worker as log lines, so that a reader of its output needs one parser."""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING, Any

from flask_hardening.core import logs

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 32_768


class LineStream(io.TextIOBase):
    """
    A text stream whose lines become log lines.

    Args:
        name: `stdout` or `stderr`, the line's logger.
        level: The lines' level.
        descriptor: What `fileno` answers; None keeps Celery, which writes its few words
            at shutdown straight to the descriptor, from writing them among JSON lines.
    """

    def __init__(self, name: str, level: str, descriptor: int | None) -> None:
        super().__init__()
        self._name = name
        self._level = level
        self._descriptor = descriptor
        self._local = threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Text stays text until the log encodes it."""
        return "utf-8"

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the stream it stands in for."""
        return self._descriptor  # type: ignore[return-value]

    def write(self, text: str) -> int:
        """Log each whole line; keep the rest until its end comes."""
        pending = getattr(self._local, "pending", "") + str(text)
        *lines, rest = pending.split("\n")
        if len(rest) > _LONGEST:
            lines.append(rest)
            rest = ""
        self._local.pending = rest
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        """Log what waits for the end of its line."""
        pending = getattr(self._local, "pending", "")
        self._local.pending = ""
        self._log(pending)

    def _log(self, line: str) -> None:
        if line.strip():
            logs.emit(self._level, "", line.rstrip(), self._name, {})


class _Standard:
    """
    The process's own streams, while line streams stand in for them.

    Two apps may share a worker's process, and go in any order.
    """

    def __init__(self) -> None:
        self._kept: Any = None
        self._users = 0

    def take(self, level: str, *, silence_celery: bool) -> None:
        """Replace them, unless that is done."""
        self._users += 1
        if self._users > 1:
            return
        self._kept = sys.stdout, sys.stderr, sys.__stdout__
        sys.stdout = LineStream("stdout", level, 1)
        sys.stderr = LineStream("stderr", level, 2)
        if silence_celery:
            sys.__stdout__ = LineStream("stdout", level, None)  # type: ignore[misc,assignment]

    def give_back(self) -> None:
        """Put them back when the last one lets go."""
        self._users -= 1
        if self._users == 0:
            sys.stdout, sys.stderr, sys.__stdout__ = self._kept  # type: ignore[misc]


_standard = _Standard()


def redirect(level: str, *, silence_celery: bool) -> Callable[[], None]:
    """
    Put line streams in place of stdout and stderr, or join those that stand.

    Args:
        level: Level of their lines.
        silence_celery: Take `sys.__stdout__` as well, where Celery speaks to a person.

    Returns:
        What puts everything back; calling it twice changes nothing.
    """
    _standard.take(level, silence_celery=silence_celery)
    done = False

    def restore() -> None:
        nonlocal done
        if not done:
            done = True
            _standard.give_back()

    return restore
