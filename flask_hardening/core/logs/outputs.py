"""Where lines go: a stream's file descriptor or an append-only file, one write per line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.shield import drop

if TYPE_CHECKING:
    from pathlib import Path

_DESCRIPTORS = {"stdout": 1, "stderr": 2}
_FILE_MODE = 0o640


class Output(Protocol):
    """A place that lines are written to."""

    name: str

    def write(self, line: bytes) -> None:
        """Write one whole line; never raise."""

    def close(self) -> None:
        """Let go of what was opened."""


class Stream:
    """
    A standard stream, written past Python's buffer.

    The descriptor is used itself: `sys.stdout` may be replaced, buffered, or half-written
    when the process forks.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.descriptor = _DESCRIPTORS[name]

    def write(self, line: bytes) -> None:
        """Write one whole line, or count it as lost."""
        write_whole(self.descriptor, line, self.name)

    def is_terminal(self) -> bool:
        """Tell whether a person is looking."""
        try:
            return os.isatty(self.descriptor)
        except OSError:
            return False

    def close(self) -> None:
        """Leave the stream open: it belongs to the process."""


class File:
    """
    One file that all processes append to.

    Raises:
        ConfigError: It can't be opened.
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, _FILE_MODE)
        except OSError as error:
            raise ConfigError(
                f"HARDENING_LOGS_FILE = {str(path)!r} can't be opened for appending "
                f"({error.strerror}). Create its folder, or let the process write to it."
            ) from error

    def write(self, line: bytes) -> None:
        """Append one whole line, or count it as lost."""
        write_whole(self._descriptor, line, self.name)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def write_whole(descriptor: int, line: bytes, name: str) -> None:
    """Write one line to a descriptor; a failure is counted, not raised."""
    try:
        written = os.write(descriptor, line)
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError as error:
        drop("log", name, error.strerror or type(error).__name__)
