"""Where lines go: a stream's file descriptor or an append-only file; what is lost is counted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from flask_hardening.core.channel import Channel, standard
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.logs.parts import split
from flask_hardening.core.shield import drop, loss_line

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


class _Lines:
    """Writes lines to a channel, counts those that are lost, and says so when it goes on."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self._channel = channel
        self._lost = 0

    def write(self, line: bytes) -> None:
        """Write one whole line, or count it as lost; never raise."""
        try:
            self._channel.write_line(line, split)
        except Exception as error:  # noqa: BLE001 - a line must not cost a request
            self._lost += 1
            drop("log", self.name, _reason(error))
            return
        if self._lost:
            self._tell()

    def _tell(self) -> None:
        lost, self._lost = self._lost, 0
        message = f"{lost} lines were lost before this one."
        told = loss_line(message, ("log", self.name, "told on stderr"), count=lost)
        try:
            self._channel.write_line(told, split)
        except OSError:
            self._lost += lost  # it will be told with those to come


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__


class Stream(_Lines):
    """
    A standard stream, written past Python's buffer.

    The descriptor is used itself: `sys.stdout` may be replaced, buffered, or half-written
    when the process forks.
    """

    def __init__(self, name: str) -> None:
        self.descriptor = _DESCRIPTORS[name]
        super().__init__(name, standard(self.descriptor))

    def is_terminal(self) -> bool:
        """Tell whether a person is looking."""
        try:
            return os.isatty(self.descriptor)
        except OSError:
            return False

    def close(self) -> None:
        """Leave the stream open: it belongs to the process."""


class File(_Lines):
    """
    One file that all processes append to.

    Raises:
        ConfigError: It can't be opened.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, _FILE_MODE)
        except OSError as error:
            raise ConfigError(
                f"HARDENING_LOGS_FILE = {str(path)!r} can't be opened for appending "
                f"({error.strerror}). Create its folder, or let the process write to it."
            ) from error
        super().__init__("file", Channel(descriptor, owned=True))
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the file."""
        self._channel.close()
        os.close(self._descriptor)
