"""Calls made again after a passing failure: few times, not for long, and never by two layers at once."""

from __future__ import annotations

import asyncio
import math
import random as chances
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import retrying

from flask_hardening.core import signals
from flask_hardening.core.resilience import budget as budgets
from flask_hardening.core.resilience import deadline
from flask_hardening.core.resilience.errors import CircuitOpenError, DeadlineExceededError
from flask_hardening.core.resilience.options import RetryConfig
from flask_hardening.core.shield import shielded
from flask_hardening.core.signals import RetryEnded, RetryScheduled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_DOUBLINGS = 60  # more than any wait needs, few enough for a float
_without_waits = 0


_DEFAULT = RetryConfig()


class AsyncRetrying(retrying.Retrying):  # type: ignore[misc]
    """`retrying.Retrying` for attempts that are awaited; they tell by result how they went."""

    async def call(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Do what the base class does, and wait without holding up the event loop."""
        number = 1
        while True:
            attempt = retrying.Attempt(await fn(*args, **kwargs), number, False)
            if not self.should_reject(attempt):
                return attempt.get()
            if self.stop(number, 0):
                raise retrying.RetryError(attempt)
            await asyncio.sleep(self.wait(number, 0) / 1000)
            number += 1


class Retry:
    """
    Makes a call again while it fails in a way that passes.

    The last error is raised, with a note. It is final for any `Retry` further out, and
    within a repeated attempt any other makes one attempt only: layers that all retry would
    multiply. Final are also an open breaker, a full bulkhead and a passed deadline, and
    what is raised *from* any of these. To make a generator is a call, to iterate is none.

    Args:
        target: What is called; for notes and signals.
        config: How often, and how long is waited.
        transient: Tells whether a failure may pass. If it fails itself, that counts as no.
        budget: What retries of this target are taken from; None for no such limit.
        clock: Returns seconds, and never goes back.
        random: Returns a number from 0 to 1.
    """

    def __init__(
        self,
        target: str,
        config: RetryConfig = _DEFAULT,
        *,
        transient: Callable[[Exception], bool],
        budget: budgets.RetryBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chances.random,
    ) -> None:
        self.target, self.config, self.budget = target, config, budget
        self.clock, self.random = clock, random
        self._transient = transient

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function, again if need be; waits hold up the thread."""
        if self.budget is not None:
            self.budget.deposit()
        begun = self.clock()
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not self._may_repeat(error):
                raise
            loop = _Loop(self, error, begun)
        with loop.engine(retrying.Retrying) as engine:
            engine.call(loop.attempt, partial(function, *args, **kwargs))
        return loop.end()  # type: ignore[no-any-return]

    async def call_async(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Await what a function returns, again if need be; waits hold up the task alone."""
        if self.budget is not None:
            self.budget.deposit()
        begun = self.clock()
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            if not self._may_repeat(error):
                raise
            loop = _Loop(self, error, begun)
        with loop.engine(AsyncRetrying) as engine:
            await engine.call(loop.attempt_async, partial(function, *args, **kwargs))
        return loop.end()  # type: ignore[no-any-return]

    def _may_repeat(self, error: Exception) -> bool:
        outer = _loop.get()
        is_inside = outer is not None and outer.running
        return self.config.attempts > 1 and not is_inside and self.is_passing(error)

    def is_passing(self, error: Exception) -> bool:
        """Tell whether a call that failed so may succeed if it is made again."""
        return not budgets.is_final(error) and bool(
            shielded("outcome", "retry", self._transient, error)
        )


class _Loop:
    """
    One call whose first attempt has failed: what `retrying` asks between attempts.

    The engine is told by result whether an attempt succeeded, and never sees its error: it
    would keep it in a frame that the error's own traceback leads to.
    """

    def __init__(self, retry: Retry, error: Exception, begun: float) -> None:
        self.running = True
        self._retry, self._begun = retry, begun
        self._error: Exception | None = error
        self._result: Any = None
        self._made, self._delay, self._reason = 0, 0.0, ""

    @contextmanager
    def engine(self, kind: type[retrying.Retrying]) -> Iterator[Any]:
        """Give the engine to run in; that it gave up is no error, `end` raises the real one."""
        token = _loop.set(self)
        try:
            yield kind(
                retry_on_result=self._rejects,
                stop_func=self._stops,
                wait_func=self._wait,
                logger=_SILENT,
            )
        except retrying.RetryError:
            return
        except BaseException:
            self._error = None
            raise
        finally:
            self.running = False  # for tasks that were begun within an attempt, and go on
            with suppress(ValueError):  # a coroutine may be closed from another context
                _loop.reset(token)

    def attempt(self, call: Callable[[], Any]) -> bool:
        """Tell whether it succeeded; the first has been made, and did not."""
        self._made += 1
        if self._made > 1:
            try:
                self._result, self._error = call(), None
            except Exception as error:  # noqa: BLE001 - `end` raises it
                self._error = error
        return self._error is None

    async def attempt_async(self, call: Callable[[], Awaitable[Any]]) -> bool:
        """Do the same, and await it."""
        self._made += 1
        if self._made > 1:
            try:
                self._result, self._error = await call(), None
            except Exception as error:  # noqa: BLE001 - `end` raises it
                self._error = error
        return self._error is None

    def _rejects(self, _: object) -> bool:
        error = self._error
        if error is None:
            self._reason = "recovered"
            return False
        if self._made == 1 or self._retry.is_passing(error):  # the first was judged before
            return True
        is_late = isinstance(error, DeadlineExceededError)
        is_open = isinstance(error, CircuitOpenError)
        self._reason = "open" if is_open else "deadline" if is_late else "permanent"
        return False

    def _stops(self, *_: object) -> bool:
        self._reason = self._last_because()
        return bool(self._reason)

    def _last_because(self) -> str:
        config, budget = self._retry.config, self._retry.budget
        if self._made >= config.attempts:
            return "attempts"
        asked = budgets.retry_after(self._error) or 0.0
        if asked > config.max_retry_after:
            return "retry_after"
        doubled = math.ldexp(config.wait_initial, min(self._made - 1, _DOUBLINGS))
        jitter = min(config.wait_max, doubled) * self._retry.random()
        self._delay = 0.0 if _without_waits else max(asked, jitter)
        if not self._has_time():
            return "deadline"
        return "" if budget is None or budget.withdraw() else "budget"

    def _has_time(self) -> bool:
        left, total = deadline.remaining(), self._retry.config.total
        if left is not None and left <= self._delay:
            return False
        spent = self._retry.clock() - self._begun
        return total is None or spent + self._delay < total

    def _wait(self, *_: object) -> float:
        if self._error is not None:
            target, attempts = self._retry.target, self._retry.config.attempts
            record = RetryScheduled(target, self._made, attempts, self._delay, self._error)
            signals.tell(signals.retry_scheduled, record)
        return self._delay * 1000

    def end(self) -> Any:  # noqa: ANN401
        """Return the result, or raise the last error, and tell of it; keep neither."""
        error, result = self._error, self._result
        self._error = self._result = None
        target, elapsed = self._retry.target, self._retry.clock() - self._begun
        record = RetryEnded(target, self._reason, self._made, elapsed, error)
        budgets.close(record)
        signals.tell(signals.retry_ended, record)
        if error is None:
            return result
        try:
            raise error
        finally:
            del error, record


_loop: ContextVar[_Loop | None] = ContextVar("hardening_retry", default=None)

# the engine's own logger would be cut off from the root's handlers, for others too
_SILENT = SimpleNamespace(warning=lambda _: None, info=lambda _: None)


@contextmanager
def no_backoff() -> Iterator[None]:
    """Wait for nothing before retries, in all threads: for tests."""
    global _without_waits  # noqa: PLW0603
    _without_waits += 1
    try:
        yield
    finally:
        _without_waits -= 1
