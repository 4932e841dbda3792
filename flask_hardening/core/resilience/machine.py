"""The states of a breaker, and how the outcomes of calls lead from one to the next."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from circuitbreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN

from flask_hardening.core.resilience.window import Tally, Window
from flask_hardening.core.signals import BreakerChanged

if TYPE_CHECKING:
    from flask_hardening.core.resilience.options import BreakerConfig

CLOSED: str = STATE_CLOSED
OPEN: str = STATE_OPEN
HALF_OPEN: str = STATE_HALF_OPEN
FORCED_OPEN = "forced_open"
DISABLED = "disabled"
_OPEN_TO_ALL = {CLOSED, DISABLED}
_DOUBLINGS = 64


class Outcome(enum.Enum):
    """What a call says about its target: that it is well, that it isn't, or nothing."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


SUCCESS, FAILURE, NEUTRAL = Outcome  # Python 3.11 takes its time to look up a member


class Permit(NamedTuple):
    """
    Leave to make one call, to be given back with its outcome.

    Attributes:
        generation: The breaker's when it was given; the outcome counts in no other.
        token: Number of the probe; None for ordinary calls.
        started: When it was given, in seconds of the breaker's clock.
    """

    generation: int
    token: int | None
    started: float


class States:
    """
    The states of a breaker, and how outcomes lead from one to the next.

    It has neither lock nor clock and calls nothing of anybody else's; who uses it holds a
    lock. A fork may come between any two steps: a child then finds, at worst, a count that
    is off by one or a breaker that is open and due.

    Args:
        target: Whose they are.
        config: The limits.
        now: The time, as for `Window`.

    Attributes:
        state: One of the five.
        generation: Changes with the state; what began in another counts no more.
        passing: The generation while every call may pass, None while it may not.
        until: When an open breaker is due.
        in_a_row: Failures since the last success.
        last_failure: Class and text of the last one.
        rejected: Calls that were not let through.
        late: Outcomes that counted no more.
    """

    def __init__(self, target: str, config: BreakerConfig, now: float) -> None:
        self.state = CLOSED
        self.generation = 0
        self.passing: int | None = 0
        self.until = 0.0
        self.in_a_row = 0
        self.last_failure: str | None = None
        self.rejected = 0
        self.late = 0
        self._target = target
        self._config = config
        self._window = Window(config.window, now)
        self._trips = 0  # since it was closed
        self._tokens = 0
        self._probes: dict[int, float] = {}  # when each began
        self._succeeded = 0  # probes

    def state_at(self, now: float) -> str:
        """Return the state as it is seen: one that is open and due is half-open."""
        due = self.state == OPEN and now >= self.until
        return HALF_OPEN if due else self.state

    def remaining(self, now: float) -> float:
        """Return the seconds until an open one is due; 0 in other states."""
        return max(0.0, self.until - now) if self.state == OPEN else 0.0

    def tally(self, now: float) -> Tally:
        """Return what the window holds."""
        return self._window.tally(now)

    def become(
        self, state: str, cause: str, now: float, open_for: float = 0.0
    ) -> BreakerChanged:
        """Go to a state, in which nothing counts that began before."""
        before, tally = self.state, self._window.tally(now)
        self.passing = None
        self.generation += 1
        self.drop_probes()
        self._succeeded = 0
        self.until = now + open_for
        self.state = state
        if state in _OPEN_TO_ALL:
            self._window.clear(now)
            self._trips = self.in_a_row = 0
            self.passing = self.generation
        return BreakerChanged(
            target=self._target,
            before=before,
            after=state,
            cause=cause,
            calls=tally.calls,
            failures=tally.failures,
            open_for=open_for,
            last_failure=self.last_failure,
        )

    def command(self, state: str, now: float) -> BreakerChanged | None:
        """Go to a state that somebody wants; the closed one forgets what has been."""
        before = self.state
        if state == before != CLOSED:
            return None
        change = self.become(state, "reset" if state == CLOSED else "forced", now)
        if state == CLOSED:
            self.last_failure = None
        return None if state == before else change

    def standing(self) -> tuple[str, float, int]:
        """Return what other processes are to know: state, when it is due, times it opened."""
        return self.state, self.until, self._trips

    def adopt(
        self, state: str, until: float, trips: int, now: float
    ) -> BreakerChanged | None:
        """Go to the state that another process has told of, as its `standing`."""
        before = self.state
        change = None
        if state != before or state == CLOSED:
            open_for = max(0.0, until - now) if state == OPEN else 0.0
            change = self.become(state, "shared", now, open_for)
        self.until, self._trips = until, trips
        return None if state == before else change

    def wants_probe(self, now: float) -> bool:
        """Tell whether a call would be a probe."""
        due = self.state == OPEN and now >= self.until
        return due or (self.state == HALF_OPEN and self._has_room(now))

    def is_idle(self) -> bool:
        """Tell whether it is half-open with no probe under way."""
        return self.state == HALF_OPEN and not self._probes

    def admit(self, now: float) -> tuple[Permit | None, BreakerChanged | None]:
        """Return a permit, or None for a call that is not to be made."""
        change = None
        if self.state != self.state_at(now):
            change = self.become(HALF_OPEN, "timer", now)
        if self.state in _OPEN_TO_ALL:
            return Permit(self.generation, None, now), change
        if self.state == HALF_OPEN and self._has_room(now):
            self._tokens += 1
            self._probes[self._tokens] = now
            return Permit(self.generation, self._tokens, now), change
        self.rejected += 1
        return None, change

    def settle(
        self,
        permit: Permit,
        outcome: Outcome,
        now: float,
        *,
        slow: bool = False,
        failure: str | None = None,
        chance: float = 0.5,
    ) -> BreakerChanged | None:
        """
        Take in how a call has ended.

        Args:
            permit: The call's.
            outcome: What it says about the target.
            now: When it ended.
            slow: Whether it took too long.
            failure: Class and text of what it failed with.
            chance: A number from 0 to 1, for the jitter.
        """
        if permit.generation != self.generation or not self._gives_back(permit, now):
            self.late += 1
            return None
        if outcome is NEUTRAL:
            return None
        failed = outcome is FAILURE
        self.in_a_row = self.in_a_row + 1 if failed else 0
        if failed and failure:
            self.last_failure = failure
        if permit.token is None:
            self._window.add(now, failed=failed, slow=slow)
            cause = self._cause(now) if failed or slow else None
        elif failed or slow:
            cause = "probe"
        else:
            self._succeeded += 1
            done = self._succeeded >= self._config.probes
            return self.become(CLOSED, "probe", now) if done else None
        return self._open(cause, now, chance) if cause else None

    def drop_probes(self) -> None:
        """Forget the probes that are under way."""
        self._probes.clear()

    def _has_room(self, now: float) -> bool:
        lease = self._config.probe_lease
        for token, began in list(self._probes.items()):
            if now - began > lease:
                self._probes.pop(token, None)
        return len(self._probes) + self._succeeded < self._config.probes

    def _gives_back(self, permit: Permit, now: float) -> bool:
        """Take a probe's place from it, and tell whether it still had one."""
        if permit.token is None:
            return True
        began = self._probes.pop(permit.token, None)
        return began is not None and now - began <= self._config.probe_lease

    def _cause(self, now: float) -> str | None:
        """Return what there is too much of."""
        config = self._config
        if self.state != CLOSED:
            return None
        if config.consecutive and self.in_a_row >= config.consecutive:
            return "consecutive"
        calls, failures, slow = self._window.tally(now)
        if calls < config.minimum_calls:
            return None
        if failures / calls >= config.failure_rate:
            return "rate"
        return "slow" if slow / calls >= config.slow_rate else None

    def _open(self, cause: str, now: float, chance: float) -> BreakerChanged:
        config = self._config
        doubled = config.open_for * 2.0 ** min(self._trips, _DOUBLINGS)
        jittered = 1 + config.jitter * (2 * chance - 1)
        self._trips += 1
        return self.become(OPEN, cause, now, min(doubled, config.open_max) * jittered)
