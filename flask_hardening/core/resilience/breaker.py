"""A breaker: calls to its target pass, none while it is down, then a few to see if it is back."""

from __future__ import annotations

import math
import os
import random as chances
import threading
import time
import weakref
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from circuitbreaker import CircuitBreaker, CircuitBreakerMonitor

from flask_hardening.core import redaction, signals
from flask_hardening.core.recognition import name_of
from flask_hardening.core.resilience import calls, machine
from flask_hardening.core.resilience.blocks import Block
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.machine import (
    FAILURE,
    NEUTRAL,
    SUCCESS,
    Outcome,
    Permit,
)
from flask_hardening.core.resilience.options import BreakerConfig
from flask_hardening.core.shield import shielded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextlib import AbstractContextManager
    from types import TracebackType

    Verdict = Callable[[BaseException], bool | None]

__all__ = ["Breaker", "Outcome", "Permit", "Snapshot"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")
_REASONS = {
    machine.OPEN: "open",
    machine.HALF_OPEN: "half-open, probe under way",
    machine.FORCED_OPEN: "forced open",
}
_TEXT = 200  # characters of a failure


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
_entered: ContextVar[tuple[Block, ...]] = ContextVar("entered", default=())
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
    _machine: type[machine.States] = machine.States

    def __init__(
        self,
        target: str,
        config: BreakerConfig = _DEFAULT,
        *,
        is_failure: Verdict = _always,
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
        self._states = self._machine(target, config, clock())
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
        return self.state in (machine.OPEN, machine.FORCED_OPEN)

    @property
    def closed(self) -> bool:
        """Whether everything passes."""
        return self.state in (machine.CLOSED, machine.DISABLED)

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
        self._command(machine.FORCED_OPEN)

    def disable(self) -> None:
        """Let everything pass until told otherwise, and only count."""
        self._command(machine.DISABLED)

    def reset(self) -> None:
        """Close, and forget what has been."""
        self._command(machine.CLOSED)

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
            raise self._refusal(*refusal)
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

    def outcome_of(
        self, error: BaseException | None, verdict: Verdict | None = None
    ) -> Outcome:
        """
        Return what a call says about the target that ended with *error*, or with none.

        Args:
            error: It.
            verdict: Tells in place of the breaker's own *is_failure*.
        """
        if error is None:
            return SUCCESS
        ill = None
        if isinstance(error, Exception):
            ill = shielded("outcome", "breaker", verdict or self.is_failure, error)
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
        with Block(self):
            return await func(*args, **kwargs)

    def call_generator(
        self, func: Callable[P, Generator[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> Generator[Any, Any, R]:
        """
        Run a generator as one call, which begins with its first item.

        It is never slow, since its time is its reader's as well. If it is closed before
        its end, it says nothing about the target.
        """
        with self._whole():
            return (yield from func(*args, **kwargs))

    def call_async_generator(
        self, func: Callable[P, AsyncGenerator[R, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[R, Any]:
        """Run an async generator in the way of `call_generator`."""
        return calls.relaying(func, self._whole)(*args, **kwargs)

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
        return calls.guarded(function, self.call, self.call_async, self._whole)

    def block(self, *, timed: bool = True) -> AbstractContextManager[None]:
        """
        Return what guards a block, as the breaker itself in `with` does.

        Args:
            timed: It may be slow; one that waits for somebody else as well is not.
        """
        return Block(self, timed=timed)

    def _whole(self) -> Block:
        return Block(self, timed=False)

    def __enter__(self) -> None:
        guard = Block(self)
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

    def _refusal(
        self, state: str, remaining: float, last_failure: str | None
    ) -> CircuitOpenError:
        return self.error(self._name, remaining, _REASONS[state], last_failure)

    def _tell(self, change: signals.BreakerChanged | None) -> None:
        if change is not None:
            signals.tell(signals.breaker_changed, change)

    def _begin_anew(self) -> None:
        """Let a forked child have nothing of what its parent has under way."""
        self._lock = threading.RLock()
        self._states.drop_probes()


def _describe(error: BaseException) -> str:
    kind = name_of(type(error))
    text = redaction.text_of(error, _TEXT)
    return (f"{kind}: {text}" if text else kind)[:_TEXT]


def _after_fork() -> None:
    for breaker in list(_breakers):
        breaker._begin_anew()  # noqa: SLF001 - only here


os.register_at_fork(after_in_child=_after_fork)
