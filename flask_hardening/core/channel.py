"""How bytes go to a descriptor: never waiting long, never into what isn't ours, never half a line."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import select
import socket
import stat
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIPE_BUF = select.PIPE_BUF  # what the kernel writes to a pipe as one piece
PATIENCE = 0.05  # seconds for a reader that takes nothing
RENEWED = 1.0  # seconds until a reader that was given up is waited for again
REDIRECTED = 0.01  # seconds until it is noticed that a pipe was redirected

_PRIVATE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_IDENTITY = (-1, -1)
_clock = time.monotonic


class Channel:
    """
    A descriptor that lines are written to.

    A pipe or terminal is opened a second time for writing without waiting: the open file
    that the process was given is shared with others, who may rely on waiting.

    Args:
        descriptor: Its number. It belongs to others, who may close it or put another file
            there; a file opened by the process itself under that number is never written
            to. Those are not inheritable, redirected ones are.
        owned: The descriptor is the caller's own and may be of any kind.
    """

    def __init__(self, descriptor: int, *, owned: bool = False) -> None:
        self.descriptor = descriptor
        self.atomic_limit = 0
        self._owned = owned
        self._identity = _NO_IDENTITY
        self._private = -1
        self._socket: socket.socket | None = None
        self._must_ask = False
        self._torn = False
        self._given_up_at: float | None = None
        self._turn: threading.Lock | None = None
        self._pid = os.getpid()
        self._quick = -1
        self._longest_quick = 0
        self._look_again = 0.0

    def write_line(self, line: bytes, split: Callable[[bytes, int], list[bytes]]) -> None:
        """
        Write one line, in pieces where it is too long to go out as a whole.

        Args:
            line: The whole line.
            split: Makes pieces that have at most so many bytes.

        Raises:
            OSError: It, or the rest of it, is lost.
        """
        if self._write_quickly(line):
            return
        limit = self.look()
        self._choose_quick()
        if not limit or len(line) <= limit:
            self.write(line)
            return
        for piece in split(line, limit):
            self.write(piece)

    def _write_quickly(self, line: bytes) -> bool:
        """Write one line if nothing is special about it; this is what most lines cost."""
        quick = self._quick
        if quick < 0 or len(line) > self._longest_quick or _clock() > self._look_again:
            return False
        try:
            status = os.fstat(quick)
            if (status.st_dev, status.st_ino) != self._identity:
                return False
            taken = os.write(quick, line)
        except OSError:
            self._quick = -1
            return False
        if taken < len(line):
            self._quick = -1
            self._write(line, taken)
        return True

    def _choose_quick(self) -> None:
        if self._turn or self._must_ask or self._torn or self._given_up_at:
            self._quick = -1
        elif self._private >= 0:
            self._quick, self._longest_quick = self._private, PIPE_BUF
            self._look_again = _clock() + REDIRECTED
        else:
            self._quick, self._look_again = self.descriptor, math.inf
            self._longest_quick = self.atomic_limit or sys.maxsize

    def look(self) -> int:
        """
        Find out what the descriptor leads to now.

        Returns:
            The longest piece that goes out as a whole; 0 stands for any length.

        Raises:
            OSError: It is closed, or not what it was.
        """
        status = os.fstat(self.descriptor)
        if (status.st_dev, status.st_ino) != self._identity:
            self._adopt(status)
        elif self._private >= 0 and not self._still(self._private):
            self._private = (
                self._quick
            ) = -1  # somebody closed it: it may be another's by now
            self._adopt(status)
        return self.atomic_limit

    def write(self, data: bytes) -> None:
        """
        Write one line, or a piece that `look` allows, behind a call of `look`.

        Raises:
            OSError: It is lost; what has gone out of it is ended before the next.
        """
        if self._turn is None:
            self._write(data)
            return
        with self._in_turn():
            self._write(data)

    def close(self) -> None:
        """Let go of what was opened here; the descriptor itself stays open."""
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
        if self._private >= 0 and self._still(self._private):
            os.close(self._private)
        self._private = self._quick = -1
        self._identity = _NO_IDENTITY

    def _adopt(self, status: os.stat_result) -> None:
        self.close()
        if not (self._owned or os.get_inheritable(self.descriptor)):
            raise OSError(errno.EBADF, "Descriptor taken by another file")
        mode = status.st_mode
        self._identity = (status.st_dev, status.st_ino)
        self._torn = self._must_ask = False
        self._given_up_at = self._turn = None
        self.atomic_limit = 0 if stat.S_ISREG(mode) else PIPE_BUF
        if stat.S_ISSOCK(mode):
            self._private = fcntl.fcntl(self.descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
            self._socket = socket.socket(fileno=self._private)
            self._turn = threading.Lock()
        elif stat.S_ISFIFO(mode) or os.isatty(self.descriptor):
            self._open_again(is_pipe=stat.S_ISFIFO(mode))

    def _open_again(self, *, is_pipe: bool) -> None:
        try:
            self._private = os.open(f"/proc/self/fd/{self.descriptor}", _PRIVATE)
        except OSError:
            self._must_ask = True  # another user's, or no /proc
        if not is_pipe:
            self.atomic_limit = 0
            self._turn = threading.Lock()

    def _still(self, descriptor: int) -> bool:
        try:
            status = os.fstat(descriptor)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _write(self, data: bytes, taken: int = 0) -> None:
        if self._torn:
            data = b"\n" + data
        deadline = 0.0
        try:
            while taken < len(data):
                try:
                    taken += self._give(data[taken:] if taken else data)
                    deadline = 0.0
                except BlockingIOError:
                    deadline = deadline or self._deadline()
                    if self._wait(deadline):
                        deadline = 0.0  # it reads: another writer was quicker
        except OSError as error:
            self._torn = self._torn if taken == 0 else data[:taken] != b"\n"
            if error.errno == errno.EAGAIN:
                self._given_up_at = self._given_up_at or _clock()
            raise
        self._torn = False
        if self._given_up_at and _clock() - self._given_up_at > RENEWED:
            self._given_up_at = None

    def _give(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if self._private >= 0:
            return os.write(self._private, data)
        if self._must_ask and not _writable(self.descriptor, 0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os.write(self.descriptor, data)

    def _deadline(self) -> float:
        return _clock() + (0.0 if self._given_up_at else PATIENCE)

    def _wait(self, deadline: float) -> bool:
        """Wait for the reader; all threads that wait give up with the first of them."""
        left = deadline - _clock()
        if left > 0 and not self._given_up_at:
            where = self._private if self._private >= 0 else self.descriptor
            if _writable(where, left):
                return True
        raise BlockingIOError(errno.EAGAIN, "Reader has stopped")

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Keep threads apart where a line may go out in pieces."""
        if self._pid != os.getpid():  # the holder may have stayed in the parent
            self._pid, self._turn = os.getpid(), threading.Lock()
        turn = self._turn
        if turn is None or not turn.acquire(timeout=PATIENCE):
            raise BlockingIOError(errno.EAGAIN, "Reader has stopped")
        try:
            yield
        finally:
            turn.release()


def _writable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


_standard: dict[int, Channel] = {}


def standard(descriptor: int) -> Channel:
    """Return the process's one channel to a standard stream, so that patience is shared."""
    return _standard.setdefault(descriptor, Channel(descriptor))
