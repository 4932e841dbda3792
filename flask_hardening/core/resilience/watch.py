"""A watch over sockets: a call on one that is still under way at its deadline is cut off."""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Watch:
    """
    Cuts connections off at a moment, unless the block that it guards has ended by then.

    Where a client's time-out bounds a single read and not the whole answer, or there is
    none. Who waits on the connection gets its client's error of a lost connection.

    Args:
        at: The moment, in seconds of the monotonic clock.

    Attributes:
        fired: Whether it did.
    """

    __slots__ = ("_ended", "_sockets", "at", "fired")

    def __init__(self, at: float) -> None:
        self.at = at
        self.fired = False
        self._ended = False
        self._sockets: list[int] = []

    def over(self, descriptor: int) -> None:
        """
        Watch over a connection.

        Args:
            descriptor: Its file descriptor. A copy is kept: the number may come to stand for
                another connection while this one waits.
        """
        with _lock:
            if self.fired or self._ended:
                return
            self._sockets.append(os.dup(descriptor))
            if len(self._sockets) == 1:
                _begin(self)

    def end(self) -> None:
        """Watch no more; twice is once."""
        with _lock:
            self._ended = True
            self._give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def _fire(self) -> None:
        """Cut all off; the lock is held."""
        if self._ended:
            return
        self.fired = True
        for descriptor in self._sockets:
            try:
                with socket.socket(fileno=os.dup(descriptor)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._give_up()

    def _give_up(self) -> None:
        while self._sockets:
            os.close(self._sockets.pop())


_lock = threading.RLock()
_changed = threading.Condition(_lock)
_numbers = itertools.count()
_due: list[tuple[float, int, Watch]] = []
_thread: threading.Thread | None = None


def _begin(watch: Watch) -> None:
    """Put a watch among the others; the lock is held."""
    global _thread  # noqa: PLW0603 - there is one per process
    first = _due[0][0] if _due else None
    heapq.heappush(_due, (watch.at, next(_numbers), watch))
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_run, name="hardening-watch", daemon=True)
        _thread.start()
    elif first is None or watch.at < first:
        _changed.notify()


def _run() -> None:
    with _lock:
        while True:
            while _due and (_due[0][2]._ended or _due[0][0] <= time.monotonic()):  # noqa: SLF001
                heapq.heappop(_due)[2]._fire()  # noqa: SLF001
            _changed.wait(max(0.0, _due[0][0] - time.monotonic()) if _due else None)


def _begin_anew() -> None:
    """Watch over nothing of the parent's: its thread and its calls have stayed there."""
    global _lock, _changed, _thread  # noqa: PLW0603
    _lock = threading.RLock()
    _changed = threading.Condition(_lock)
    _thread = None
    _due.clear()


os.register_at_fork(after_in_child=_begin_anew)
