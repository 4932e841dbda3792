"""How many calls to a target may be under way at once: a slow one is not to take every worker."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from flask_hardening.core.resilience.errors import BulkheadFullError

if TYPE_CHECKING:
    from types import TracebackType

_bulkheads: weakref.WeakSet[Bulkhead] = weakref.WeakSet()


class Bulkhead:
    """
    Lets so many calls in, and refuses more at once: nobody queues.

    Use it by `with`, also around an `await`, or by `enter` and `leave`.

    Args:
        target: What is called.
        limit: How many calls may be under way in this process; None for any number, of
            which none is counted.
    """

    def __init__(self, target: str, limit: int | None) -> None:
        self.target = target
        self.limit = limit
        self._under_way = 0
        # a signal handler or a finalizer may come in between
        self._lock = threading.RLock()
        _bulkheads.add(self)

    @property
    def under_way(self) -> int:
        """How many calls are under way; 0 without a limit."""
        return self._under_way

    def enter(self) -> None:
        """
        Begin a call.

        Raises:
            BulkheadFullError: As many as may be are under way.
        """
        if self.limit is None:
            return
        with self._lock:
            if self._under_way < self.limit:
                self._under_way += 1
                return
        raise BulkheadFullError(self.target, self.limit)

    def leave(self) -> None:
        """End a call that `enter` let in."""
        self.__exit__(None, None, None)

    __enter__ = enter

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.limit is None:
            return
        with self._lock:
            # a child forked within a call leaves it, but never entered
            self._under_way = max(0, self._under_way - 1)


def _start_anew() -> None:
    for bulkhead in _bulkheads:  # the threads of those calls stayed in the parent
        bulkhead._lock = threading.RLock()  # noqa: SLF001
        bulkhead._under_way = 0  # noqa: SLF001


os.register_at_fork(after_in_child=_start_anew)
