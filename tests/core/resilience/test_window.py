"""Windows count what is not too old, and states follow from outcomes, with time as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience.machine import (
    CLOSED,
    DISABLED,
    FORCED_OPEN,
    HALF_OPEN,
    OPEN,
    Outcome,
    States,
)
from flask_hardening.core.resilience.options import BreakerConfig
from flask_hardening.core.resilience.window import Window

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
NO_ROW = {"consecutive": 0}

calls = st.tuples(st.floats(0, 25), st.booleans(), st.booleans())


@given(st.lists(calls, max_size=60), st.floats(0, 25))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_a_window_counts_what_a_list_would(ended, silence):
    """Whatever the pauses, the sums are those of the last ten tenths."""
    now, seen, window = 500.0, [], Window(10.0, 500.0)
    for pause, failed, slow in ended:
        now += pause
        window.add(now, failed=failed, slow=slow)
        seen.append((now, failed, slow))
        assert window.tally(now) == _listed(seen, now)
    assert window.tally(now + silence) == _listed(seen, now + silence)


def _listed(seen, now):
    recent = [call for call in seen if int(now) - 10 < int(call[0]) <= int(now)]
    return len(recent), sum(call[1] for call in recent), sum(call[2] for call in recent)


def test_a_window_takes_a_time_that_is_older():
    """Who had to wait for the lock brings an older time; it counts, and nothing is lost."""
    window = Window(10.0, 100.0)
    for now in (105.0, 104.0, 105.5, 60.0):
        window.add(now, failed=True, slow=False)
    assert window.tally(105.5) == (4, 4, 0)
    assert window.tally(90.0) == (4, 4, 0)
    assert window.tally(114.9) == (4, 4, 0)
    assert window.tally(115.0) == (0, 0, 0)


def states(**config):
    """Return fresh states without jitter, at time 0."""
    return States("billing", BreakerConfig(**{"jitter": 0.0, **config}), 0.0)


def end(machine, outcome, now=0.0, **more):
    """Make one call that ends at once; return what changed."""
    permit, _ = machine.admit(now)
    assert permit
    return machine.settle(permit, outcome, now, **more)


def fail_until_open(machine, now=0.0):
    """Make failing calls until it opens; return how many there were."""
    for number in range(1, 1000):
        if end(machine, FAILURE, now, failure="builtins.OSError: gone"):
            return number
    raise AssertionError("it stays closed")


def test_failures_in_a_row_open():
    """So many failures without a success between them open it, fewer don't."""
    machine = states(consecutive=3)
    for outcome in (FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE, NEUTRAL):
        assert end(machine, outcome) is None
    change = end(machine, FAILURE, failure="builtins.OSError: gone")
    assert (change.before, change.after, change.cause) == (CLOSED, OPEN, "consecutive")
    assert (change.calls, change.failures, change.open_for) == (6, 5, 10.0)
    assert change.last_failure == "builtins.OSError: gone"


def test_a_rate_opens_where_no_row_does():
    """Four failures of five calls, for ever, open it; circuitbreaker never would."""
    machine = states(failure_rate=0.8)
    for _ in range(9):
        for outcome in (FAILURE, FAILURE, FAILURE, FAILURE, SUCCESS):
            if change := end(machine, outcome):
                assert (change.cause, change.calls, change.failures) == ("rate", 11, 9)
                return
    raise AssertionError("it stays closed")


def test_a_rate_needs_calls():
    """Nine failures of nine calls are too few to be a rate, the tenth isn't; nor do old ones count."""
    assert fail_until_open(states(**NO_ROW)) == 10
    machine = states(**NO_ROW)
    for _ in range(9):
        end(machine, FAILURE)
    assert end(machine, FAILURE, 30.0) is None


def test_a_rate_is_met_exactly():
    """7 of 100 are 7 %, though 0.07 * 100 is more than 7 to a computer."""
    machine = states(**NO_ROW, failure_rate=0.07, minimum_calls=100)
    for _ in range(93):
        end(machine, SUCCESS)
    for _ in range(6):
        assert end(machine, FAILURE) is None
    assert end(machine, FAILURE).cause == "rate"


def test_only_bad_results_open():
    """A success that makes the calls enough for a rate doesn't open it: the next failure does."""
    machine = states(**NO_ROW)
    for _ in range(9):
        end(machine, FAILURE)
    assert end(machine, SUCCESS) is None
    assert end(machine, FAILURE).cause == "rate"


def test_slow_calls_open():
    """A target that answers too slowly, too often, is down."""
    machine = states(slow_call=1.0, slow_rate=0.5)
    for _ in range(5):
        end(machine, SUCCESS)
    for _ in range(4):
        assert end(machine, SUCCESS, slow=True) is None
    change = end(machine, SUCCESS, slow=True)
    assert (change.cause, change.failures) == ("slow", 0)
    assert machine.tally(0.0) == (10, 0, 5)


def test_open_times_double_up_to_a_limit():
    """Each failed probe doubles the time; a close sets it back."""
    machine, now, spans = states(open_for=5.0, open_max=30.0), 0.0, []
    fail_until_open(machine)
    for _ in range(5):
        spans.append(machine.remaining(now))
        now += spans[-1]
        end(machine, FAILURE, now)
    assert spans == [5.0, 10.0, 20.0, 30.0, 30.0]
    now += 30.0
    assert end(machine, SUCCESS, now).after == CLOSED
    fail_until_open(machine, now)
    assert machine.remaining(now) == 5.0


def test_open_times_never_overflow():
    """A target that is down for years has a breaker all the same."""
    machine, now = states(consecutive=1), 0.0
    for _ in range(2000):
        end(machine, FAILURE, now)
        now += machine.remaining(now)
    end(machine, FAILURE, now)
    assert machine.remaining(now) == 120.0


@pytest.mark.parametrize(("chance", "span"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_open_times_are_jittered(chance, span):
    """A fifth shorter up to a fifth longer, by chance."""
    machine = states(consecutive=1, jitter=0.2)
    assert end(machine, FAILURE, chance=chance).open_for == pytest.approx(span)


def half_open(**config):
    """Return states at time 100 that are open and due."""
    machine = states(**config)
    fail_until_open(machine)
    assert machine.state_at(9.9) == OPEN
    assert machine.admit(9.9) == (None, None)
    assert machine.state_at(100.0) == HALF_OPEN
    return machine


@pytest.mark.parametrize("probes", [1, 3])
def test_so_many_probes_are_let_through(probes):
    """Never more in all, under way or done; the last success closes it."""
    machine = half_open(probes=probes)
    first, change = machine.admit(100.0)
    assert (change.before, change.after, change.cause) == (OPEN, HALF_OPEN, "timer")
    permits = [first, *(machine.admit(100.0)[0] for _ in range(probes - 1))]
    for permit in permits:
        assert machine.admit(100.0) == (None, None)
        assert machine.state == HALF_OPEN
        change = machine.settle(permit, SUCCESS, 101.0)
    assert (change.before, change.after, change.cause) == (HALF_OPEN, CLOSED, "probe")
    assert machine.tally(101.0) == (0, 0, 0)
    assert machine.in_a_row == 0


@pytest.mark.parametrize("bad", [(FAILURE, False), (FAILURE, True), (SUCCESS, True)])
def test_one_bad_probe_opens(bad):
    """A probe that fails, or is only slow, opens it again; the others are void."""
    outcome, slow = bad
    machine = half_open(probes=3, slow_call=1.0)
    good, ill, other = (machine.admit(100.0)[0] for _ in range(3))
    assert machine.settle(good, SUCCESS, 101.0) is None
    change = machine.settle(ill, outcome, 101.0, slow=slow)
    assert (change.before, change.after, change.cause) == (HALF_OPEN, OPEN, "probe")
    assert change.open_for == 20.0
    assert machine.settle(other, SUCCESS, 101.0) is None
    assert machine.late == 1
    probes = [machine.admit(200.0)[0] for _ in range(3)]
    assert [machine.settle(probe, SUCCESS, 200.0) for probe in probes[:2]] == [None] * 2


def test_a_neutral_probe_gives_its_place_back():
    """A cancelled probe neither closes nor opens; the next caller is the probe."""
    machine = half_open()
    assert end(machine, NEUTRAL, 100.0) is None
    assert machine.state == HALF_OPEN
    assert end(machine, SUCCESS, 100.0).after == CLOSED


@pytest.mark.parametrize("outcome", Outcome)
def test_a_probe_that_hangs_loses_its_place(outcome):
    """After its lease another is let through; what the first one then says is void."""
    machine = half_open(probe_lease=7.0)
    hung, _ = machine.admit(100.0)
    assert machine.admit(107.0) == (None, None)
    second, _ = machine.admit(107.1)
    assert second
    assert machine.settle(hung, outcome, 107.2) is None
    assert (machine.state, machine.late) == (HALF_OPEN, 1)
    assert machine.settle(second, SUCCESS, 107.3).after == CLOSED


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
def test_a_probe_is_late_before_another_took_its_place(outcome):
    """The lease decides, not whether somebody else came."""
    machine = half_open(probe_lease=7.0)
    hung, _ = machine.admit(100.0)
    assert machine.settle(hung, outcome, 107.1) is None
    assert (machine.state, machine.late) == (HALF_OPEN, 1)


def test_forced_states_stay():
    """Neither time nor outcomes end them; a reset does, and forgets all."""
    machine = states(consecutive=1)
    change = machine.command(FORCED_OPEN, 0.0)
    assert (change.before, change.after, change.cause) == (CLOSED, FORCED_OPEN, "forced")
    assert machine.command(FORCED_OPEN, 0.0) is None
    assert machine.admit(1e9) == (None, None)
    assert machine.command(DISABLED, 0.0).before == FORCED_OPEN
    for _ in range(20):
        assert end(machine, FAILURE, failure="builtins.OSError: gone") is None
    assert machine.tally(0.0) == (20, 20, 0)
    assert machine.command(CLOSED, 0.0).cause == "reset"
    assert (machine.tally(0.0), machine.in_a_row) == ((0, 0, 0), 0)
    assert machine.last_failure is None


def test_a_reset_of_a_closed_one_forgets_as_well():
    """It changes nothing, but what was under way counts no more."""
    machine = states(consecutive=2)
    end(machine, FAILURE)
    old, _ = machine.admit(0.0)
    assert machine.command(CLOSED, 0.0) is None
    assert machine.settle(old, FAILURE, 0.0) is None
    assert (machine.state, machine.in_a_row, machine.late) == (CLOSED, 0, 1)


@pytest.mark.parametrize("torn", [CLOSED, DISABLED])
def test_a_change_that_was_cut_in_half(torn):
    """A child forked in the middle of a change, before its last step, still lets calls pass."""
    machine = half_open()
    machine.generation, machine.state = machine.generation + 1, torn
    assert machine.passing is None
    assert end(machine, SUCCESS, 100.0) is None
    assert machine.late == 0


@pytest.mark.parametrize(
    "values",
    [
        {"window": 0.0},
        {"minimum_calls": 0},
        {"failure_rate": 0.0},
        {"slow_rate": float("nan")},
        {"probes": 0},
        {"probe_lease": -1.0},
        {"consecutive": -1},
        {"open_for": -0.1},
        {"jitter": 1.0},
        {"open_for": 60.0, "open_max": 50.0},
    ],
)
def test_values_that_can_not_work_are_refused(values):
    """Where circuitbreaker takes another and says nothing, the value is named."""
    with pytest.raises(ConfigError, match=list(values)[-1]):
        BreakerConfig(**values)
