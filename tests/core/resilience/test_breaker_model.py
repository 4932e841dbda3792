"""Whatever happens in whatever order, a breaker is in the state that a list of all that happened says."""

from __future__ import annotations

from collections import namedtuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from flask_hardening.core.resilience.breaker import Breaker, Outcome
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.options import BreakerConfig

LEASE = 7.0
SLOW = 2.0
OPEN_FOR = 5.0
OPEN_MAX = 20.0
SUCCESS, FAILURE, NEUTRAL = Outcome
OUTCOMES = st.sampled_from([SUCCESS, SUCCESS, FAILURE, FAILURE, NEUTRAL])
COMMANDS = {"force_open": "forced_open", "disable": "disabled", "reset": "closed"}

Call = namedtuple("Call", "permit life began probe")  # noqa: PYI024 - a test's record


class Model(RuleBasedStateMachine):
    """Keeps each record in a list and derives everything from the lists, anew each time."""

    running = Bundle("running")

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.state = "closed"
        self.life = 0
        self.records = []  # of this life: (time, failed, slow)
        self.row = []  # outcomes of this life and of those that opened since
        self.probes = []  # of this life: [call's number, began, outcome or None]
        self.opened = []  # times since it was closed
        self.due = 0.0
        self.late = self.rejected = self.numbers = 0

    @initialize(
        consecutive=st.integers(0, 4),
        minimum=st.integers(1, 6),
        rate=st.sampled_from([0.25, 0.5, 1.0]),
        probes=st.integers(1, 3),
    )
    def make(self, consecutive, minimum, rate, probes):
        """Make the breaker."""
        self.config = BreakerConfig(
            window=10.0,
            minimum_calls=minimum,
            failure_rate=rate,
            consecutive=consecutive,
            slow_call=SLOW,
            slow_rate=rate,
            open_for=OPEN_FOR,
            open_max=OPEN_MAX,
            jitter=0.0,
            probes=probes,
            probe_lease=LEASE,
        )
        self.breaker = Breaker("model", self.config, clock=lambda: self.now)

    def go(self, state):
        """Begin another life."""
        self.state, self.life, self.probes = state, self.life + 1, []
        if state in ("closed", "disabled"):
            self.records, self.row, self.opened = [], [], []
        if state == "open":
            self.opened.append(self.now)
            doubled = OPEN_FOR * 2 ** (len(self.opened) - 1)
            self.due = self.now + min(OPEN_MAX, doubled)

    def recent(self):
        """Return the records that are not too old."""
        return [r for r in self.records if int(self.now) - 10 < int(r[0]) <= int(self.now)]

    def too_bad(self):
        """Tell whether the lists say that it must open."""
        limit, recent = self.config.consecutive, self.recent()
        if limit and self.row[-limit:] == [True] * limit:
            return True
        least = self.config.failure_rate * len(recent)
        enough = len(recent) >= self.config.minimum_calls
        return enough and any(sum(r[i] for r in recent) >= least for i in (1, 2))

    def held(self):
        """Return the probes that have a place: under way and not too old, or succeeded."""
        return [p for p in self.probes if p[2] or self.now - p[1] <= LEASE]

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 5.0, 8.0, 21.0]))
    def wait(self, seconds):
        """Let time pass."""
        self.now += seconds

    @rule()
    def wait_until_due(self):
        """Let pass what an open one needs."""
        if self.state == "open":
            self.now = max(self.now, self.due)

    @rule(target=running)
    def begin(self):
        """Begin a call, or be refused."""
        call = self.let_in()
        return call or multiple()

    @rule(outcome=OUTCOMES, seconds=st.sampled_from([0.0, 0.0, 0.5, SLOW]))
    def call(self, outcome, seconds):
        """Make a whole call, if it is let through."""
        call = self.let_in()
        self.now += seconds
        if call:
            self.settle(call, outcome)

    @rule(call=consumes(running), outcome=OUTCOMES)
    def end(self, call, outcome):
        """End one of the calls under way."""
        self.settle(call, outcome)

    def let_in(self):
        """Return a call that has begun, or None."""
        if self.state == "open" and self.now >= self.due:
            self.go("half_open")
        shut = self.state in ("open", "forced_open")
        self.probes = self.held()
        if shut or (self.state == "half_open" and len(self.probes) >= self.config.probes):
            self.refuse()
            return None
        self.numbers += 1
        permit = self.breaker.acquire()
        assert (permit.token is not None) == (self.state == "half_open")
        if self.state == "half_open":
            self.probes.append([self.numbers, self.now, None])
        return Call(permit, self.life, self.now, self.numbers)

    def refuse(self):
        """Expect to be refused."""
        self.rejected += 1
        with pytest.raises(CircuitOpenError) as caught:
            self.breaker.acquire()
        left = self.due - self.now if self.state == "open" else 0.0
        assert caught.value.retry_after == left

    def settle(self, call, outcome):
        """End a call, and note it where it counts."""
        error = OSError("gone") if outcome is FAILURE else None
        self.breaker.release(call.permit, outcome, error)
        probe = next((p for p in self.held() if p[0] == call.probe), None)
        if call.life != self.life or (self.state == "half_open" and not probe):
            self.late += 1
            return
        if outcome is NEUTRAL:
            self.probes = [p for p in self.probes if p is not probe]
            return
        failed, slow = outcome is FAILURE, self.now - call.began >= SLOW
        self.row.append(failed)
        if probe:
            self.end_probe(probe, bad=failed or slow)
        else:
            self.records.append((self.now, failed, slow))
            if self.state == "closed" and (failed or slow) and self.too_bad():
                self.go("open")

    def end_probe(self, probe, *, bad):
        """End a probe that had its place."""
        probe[2] = True
        if bad:
            self.go("open")
        elif sum(bool(p[2]) for p in self.probes) >= self.config.probes:
            self.go("closed")

    @rule(name=st.sampled_from(list(COMMANDS)), number=st.integers(0, 9))
    def command(self, name, number):
        """Have an operator decide, now and then."""
        if number != 7:
            return
        getattr(self.breaker, name)()
        if name == "reset" or COMMANDS[name] != self.state:
            self.go(COMMANDS[name])

    @invariant()
    def same(self):
        """Compare all that can be seen."""
        due = self.state == "open" and self.now >= self.due
        snapshot, recent = self.breaker.snapshot(), self.recent()
        assert snapshot.state == ("half_open" if due else self.state)
        assert snapshot.calls == len(recent)
        assert snapshot.failures == sum(r[1] for r in recent)
        assert snapshot.slow == sum(r[2] for r in recent)
        assert (snapshot.late, snapshot.rejected) == (self.late, self.rejected)
        row = self.row[::-1]
        assert self.breaker.failure_count == (
            row.index(False) if False in row else len(row)
        )
        assert len(self.breaker._states._probes) <= self.config.probes


TestModel = Model.TestCase
TestModel.settings = settings(
    derandomize=True, deadline=None, max_examples=200, stateful_step_count=50
)
