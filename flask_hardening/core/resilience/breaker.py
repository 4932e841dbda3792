"""A breaker: calls to its target pass, none while it is down, then a few to see if it is back."""

from __future__ import annotations

import functools
import inspect
import math
import os
import random as chances
import threading
import time
import weakref
from contextlib import aclosing, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from circuitbreaker import CircuitBreaker, CircuitBreakerMonitor

from flask_hardening.core import redaction, signals
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import window
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.window import (
    FAILURE,
    NEUTRAL,
    SUCCESS,
    Outcome,
    Permit,
)
from flask_hardening.core.shield import shielded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from types import TracebackType

__all__ = ["Breaker", "BreakerConfig", "Outcome", "Permit", "Snapshot"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")
_REASONS = {
    window.OPEN: "open",
    window.HALF_OPEN: "half-open, probe under way",
    window.FORCED_OPEN: "forced open",
}
_TEXT = 200  # characters of a failure


@dataclass(frozen=True)
class BreakerConfig:
    """
    When a breaker opens, for how long, and what it takes to close again.

    Attributes:
        window: Seconds it looks back.
        minimum_calls: With fewer in the window, no rate opens it.
        failure_rate: Share of failed calls from which it opens.
        consecutive: Failures in a row that open it; 0 for no such limit.
        slow_call: Seconds from which a call is slow; None if none ever is.
        slow_rate: Share of slow calls from which it opens.
        open_for: Seconds it stays open; they double each time it opens without having
            been closed in between.
        open_max: The most they become.
        jitter: Share, below 1, by which they are longer or shorter at random, the longest
            too: processes are not to come back all at once.
        probes: Calls that are let through after that; all must succeed.
        probe_lease: Seconds after which one of them is given up.

    Raises:
        ConfigError: Values can't work; names each.
    """

    window: float = 30.0
    minimum_calls: int = 10
    failure_rate: float = 0.5
    consecutive: int = 5
    slow_call: float | None = None
    slow_rate: float = 0.8
    open_for: float = 10.0
    open_max: float = 120.0
    jitter: float = 0.2
    probes: int = 1
    probe_lease: float = 30.0

    def __post_init__(self) -> None:
        positive = "window minimum_calls failure_rate slow_rate probes probe_lease".split()
        wrong = [name for name in positive if not getattr(self, name) > 0]
        wrong += [
            name for name in ("consecutive", "open_for") if not getattr(self, name) >= 0
        ]
        if not 0 <= self.jitter < 1:
            wrong.append("jitter")
        if not self.open_max >= self.open_for:
            wrong.append("open_max")
        if wrong:
            values = ", ".join(f"{name} = {getattr(self, name)!r}" for name in wrong)
            raise ConfigError(f"No breaker works with {values}: see BreakerConfig")


@dataclass(frozen=True)
class Snapshot:
    """
    How a breaker stands at one moment.

    Attributes:
        state: `closed`, `open`, `half_open`, `forced_open` or `disabled`.
        calls: Calls in the window.
        failures: Those of them that failed.
        slow: Those of them that were slow.
        open_remaining: Seconds until it is due; 0 if it isn't open.
        rejected: Calls that were not let through since it was made.
        late: Outcomes that counted no more since then.
    """

    state: str
    calls: int
    failures: int
    slow: int
    open_remaining: float
    rejected: int
    late: int


def _always(_: BaseException) -> bool:
    return True


_DEFAULT = BreakerConfig()
_entered: ContextVar[tuple[_Guard, ...]] = ContextVar("entered", default=())
_breakers: weakref.WeakSet[Breaker] = weakref.WeakSet()


class Breaker(CircuitBreaker):  # type: ignore[misc]
    """
    A `circuitbreaker.CircuitBreaker` that sees rates and slow calls, and counts its probes.

    Use it as a decorator, by `call` and its like, by `with`, or by `acquire` and `release`;
    in threads, greenlets and tasks alike.

    Args:
        target: What it guards; also its name.
        config: When it opens, and for how long.
        is_failure: Tells what an exception says of the target: True that it is ill, False
            that it answered, None nothing. By default each says that it is ill. What is no
            `Exception`, as a cancellation, says nothing.
        error: What is raised for a call that is not let through.
        clock: Returns seconds, and never goes back.
        random: Returns a number from 0 to 1.
    """

    error: type[CircuitOpenError] = CircuitOpenError

    def __init__(
        self,
        target: str,
        config: BreakerConfig = _DEFAULT,
        *,
        is_failure: Callable[[BaseException], bool | None] = _always,
        error: type[CircuitOpenError] = CircuitOpenError,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chances.random,
    ) -> None:
        super().__init__(name=target)
        self.is_failure = is_failure
        if error is not CircuitOpenError:
            self.error = error
        self._slow_call = math.inf if config.slow_call is None else config.slow_call
        self._clock = clock
        self._random = random
        self._states = window.States(target, config, clock())
        # a signal handler or a finalizer may come in between
        self._lock = threading.RLock()
        _breakers.add(self)

    @property
    def state(self) -> str:
        """`closed`, `open`, `half_open`, `forced_open` or `disabled`."""
        return self._states.state_at(self._clock())

    @property
    def opened(self) -> bool:
        """Whether nothing passes."""
        return self.state in (window.OPEN, window.FORCED_OPEN)

    @property
    def closed(self) -> bool:
        """Whether everything passes."""
        return self.state in (window.CLOSED, window.DISABLED)

    @property
    def open_remaining(self) -> float:
        """Seconds until an open one is due; 0 in other states."""
        return self._states.remaining(self._clock())

    @property
    def failure_count(self) -> int:
        """Failures since the last success."""
        return self._states.in_a_row

    @property
    def last_failure(self) -> str | None:
        """Class and text of the last failure: no exception, which would hold its frames."""
        return self._states.last_failure

    def snapshot(self) -> Snapshot:
        """Return how it stands."""
        now, states = self._clock(), self._states
        with self._lock:
            return Snapshot(
                states.state_at(now),
                *states.tally(now),
                states.remaining(now),
                states.rejected,
                states.late,
            )

    def force_open(self) -> None:
        """Let nothing pass until told otherwise."""
        self._command(window.FORCED_OPEN)

    def disable(self) -> None:
        """Let everything pass until told otherwise, and only count."""
        self._command(window.DISABLED)

    def reset(self) -> None:
        """Close, and forget what has been."""
        self._command(window.CLOSED)

    def _command(self, state: str) -> None:
        now = self._clock()
        with self._lock:
            change = self._states.command(state, now)
        self._tell(change)

    def acquire(self) -> Permit:
        """
        Ask for leave to make a call.

        Returns:
            What to call `release` with when it has ended, in whichever way.

        Raises:
            CircuitOpenError: It is not to be made.
        """
        now = self._clock()
        passing = self._states.passing  # without the lock: a stale one only makes it late
        if passing is not None:
            return Permit(passing, None, now)
        with self._lock:
            permit, change = self._states.admit(now)
            refusal = self._states.state, self._states.remaining(now), self.last_failure
        self._tell(change)
        if permit is None:
            state, remaining, last = refusal
            raise self.error(self._name, remaining, _REASONS[state], last)
        return permit

    def release(
        self, permit: Permit, outcome: Outcome, error: BaseException | None = None
    ) -> None:
        """
        Say how a call has ended.

        Args:
            permit: What `acquire` returned.
            outcome: What it says about the target.
            error: What it failed with. Only its class and text are kept.
        """
        now = self._clock()
        failed = outcome is FAILURE
        failure = _describe(error) if failed and error is not None else None
        slow = now - permit.started >= self._slow_call
        chance = self._random() if failed or slow else 0.0
        with self._lock:
            change = self._states.settle(
                permit, outcome, now, slow=slow, failure=failure, chance=chance
            )
        self._tell(change)

    def outcome_of(self, error: BaseException | None) -> Outcome:
        """Return what a call says about the target that ended with *error*, or with none."""
        if error is None:
            return SUCCESS
        ill = None
        if isinstance(error, Exception):
            ill = shielded("outcome", "breaker", self.is_failure, error)
        if ill is None:
            return NEUTRAL
        return FAILURE if ill else SUCCESS

    def call(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function, or raise `CircuitOpenError`; its own errors pass."""
        permit = self.acquire()  # without a guard: this is what most calls cost
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self.release(permit, self.outcome_of(error), error)
            raise
        self.release(permit, SUCCESS)
        return result

    async def call_async(
        self, func: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call and await; a cancelled call says nothing about the target."""
        with _Guard(self):
            return await func(*args, **kwargs)

    def call_generator(
        self, func: Callable[P, Generator[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> Generator[Any, Any, R]:
        """
        Run a generator as one call, which begins with its first item.

        It is never slow, since its time is its reader's as well. If it is closed before
        its end, it says nothing about the target.
        """
        with _Guard(self, timed=False):
            return (yield from func(*args, **kwargs))

    def call_async_generator(
        self, func: Callable[P, AsyncGenerator[R, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[R, Any]:
        """Run an async generator in the way of `call_generator`."""
        return self._relaying(func)(*args, **kwargs)

    def __call__(self, wrapped: F) -> F:
        """Guard each call of a function, of any of the four kinds."""
        return self.decorate(wrapped)

    def decorate(self, function: F) -> F:
        """
        Guard each call of a function, of any of the four kinds.

        As with the base class, a breaker that decorates is known to `CircuitBreakerMonitor`
        from then on, under its name, and stays so.
        """
        CircuitBreakerMonitor.register(self)
        return cast("F", functools.wraps(function)(self._guarded(function)))

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of the same kind: others ask `inspect` for it."""
        if _is(inspect.isasyncgenfunction, function):
            return self._relaying(function)
        if _is(inspect.isgeneratorfunction, function):

            def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
                return (yield from self.call_generator(function, *args, **kwargs))

            return run
        if _is(inspect.iscoroutinefunction, function):

            async def wait(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                return await self.call_async(function, *args, **kwargs)

            return wait

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            return self.call(function, *args, **kwargs)

        return call

    def _relaying(
        self, func: Callable[P, AsyncGenerator[R, Any]]
    ) -> Callable[P, AsyncGenerator[R, Any]]:
        async def relay(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, Any]:
            # what `yield from` does for the others, and Python doesn't for these
            with _Guard(self, timed=False), suppress(StopAsyncIteration):
                async with aclosing(func(*args, **kwargs)) as inner:
                    item = await anext(inner)
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001 - it goes inside
                            item = await inner.athrow(error)
                        else:
                            item = await inner.asend(sent)

        return relay

    def __enter__(self) -> None:
        guard = _Guard(self)
        guard.__enter__()
        _entered.set((*_entered.get(), guard))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        guards = _entered.get()
        # generators that are read in turns leave in another order than they entered
        for place in reversed(range(len(guards))):
            if guards[place].breaker is self:
                _entered.set(guards[:place] + guards[place + 1 :])
                guards[place].__exit__(kind, error, trace)
                return

    @staticmethod
    def _tell(change: signals.BreakerChanged | None) -> None:
        if change is not None:
            signals.tell(signals.breaker_changed, change)

    def _begin_anew(self) -> None:
        """Let a forked child have nothing of what its parent has under way."""
        self._lock = threading.RLock()
        self._states.drop_probes()


class _Guard:
    """One call."""

    __slots__ = ("_permit", "_timed", "breaker")

    def __init__(self, breaker: Breaker, *, timed: bool = True) -> None:
        self.breaker = breaker
        self._timed = timed

    def __enter__(self) -> None:
        permit = self.breaker.acquire()
        self._permit = permit if self._timed else permit._replace(started=math.inf)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.breaker.release(self._permit, self.breaker.outcome_of(error), error)


def _is(check: Callable[[Any], bool], function: Any) -> bool:  # noqa: ANN401
    """Tell of what kind a function is, or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return check(function) or check(type(function).__call__)


def _describe(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    try:
        text = redaction.active().scrub(str(error), _TEXT)
    except Exception:  # noqa: BLE001 - it may have a `__str__` that fails
        text = ""
    return (f"{kind}: {text}" if text else kind)[:_TEXT]


def _after_fork() -> None:
    for breaker in list(_breakers):
        breaker._begin_anew()  # noqa: SLF001 - only here


os.register_at_fork(after_in_child=_after_fork)
