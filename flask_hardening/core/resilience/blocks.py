"""Calls through a breaker as `with` blocks, and a breaker as somebody judges its errors who knows better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from flask_hardening.core.resilience.breaker import Breaker, Verdict

P = ParamSpec("P")
R = TypeVar("R")


class Block:
    """One call."""

    __slots__ = ("_permit", "_timed", "_verdict", "breaker")

    def __init__(
        self, breaker: Breaker, *, timed: bool = True, verdict: Verdict | None = None
    ) -> None:
        self.breaker = breaker
        self._timed = timed
        self._verdict = verdict

    def __enter__(self) -> None:
        permit = self.breaker.acquire()
        self._permit = permit if self._timed else permit._replace(started=math.inf)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        outcome = self.breaker.outcome_of(error, self._verdict)
        self.breaker.release(self._permit, outcome, error)


class View:
    """
    A breaker as somebody sees it who judges its target's errors differently.

    Args:
        breaker: It.
        verdict: What an error says of the target.
    """

    __slots__ = ("_breaker", "_verdict")

    def __init__(self, breaker: Breaker, verdict: Verdict) -> None:
        self._breaker = breaker
        self._verdict = verdict

    def call(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function, as the breaker does."""
        with Block(self._breaker, verdict=self._verdict):
            return func(*args, **kwargs)

    async def call_async(
        self, func: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call and await, as the breaker does."""
        with Block(self._breaker, verdict=self._verdict):
            return await func(*args, **kwargs)

    def block(self, *, timed: bool = True) -> AbstractContextManager[None]:
        """Return what guards a block, as the breaker does."""
        return Block(self._breaker, timed=timed, verdict=self._verdict)
