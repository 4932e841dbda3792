"""A deadline bounds what runs inside it, shrinks and never grows, and goes along to other services."""

from __future__ import annotations

import asyncio
import contextvars
import math
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_hardening.core.resilience import deadline as deadlines
from flask_hardening.core.resilience.deadline import (
    bounded,
    check,
    deadline,
    from_header,
    header,
    remaining,
)
from flask_hardening.core.resilience.errors import DeadlineExceededError


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Let time pass by hand."""
    clock = _Clock()
    monkeypatch.setattr(deadlines, "_clock", clock)
    return clock


def test_without_a_deadline_nothing_is_bounded():
    """No deadline means no limit, no header and no error."""
    check()
    assert remaining() is None
    assert header() == {}
    assert [bounded(None), bounded(5.0), bounded(0.0)] == [None, 5.0, 0.0]


def test_time_runs_out(clock):
    """What is left gets less, below 0 in the end, and then work stops with the total in the text."""
    with deadline(2.5):
        assert remaining() == 2.5
        clock.now += 2.0
        check()
        assert remaining() == 0.5
        clock.now += 0.5
        with pytest.raises(
            DeadlineExceededError, match=r"The deadline of 2\.5 s has passed"
        ):
            check()
        clock.now += 1.0
        assert remaining() == -1.0
        with pytest.raises(DeadlineExceededError):
            bounded(None)
    assert remaining() is None


def test_an_inner_deadline_only_shrinks_it(clock):
    """A longer one inside changes nothing, its own total neither; a shorter one ends with its block."""
    with deadline(2.0):
        with deadline(60.0):
            assert remaining() == 2.0
            assert deadlines.current().seconds == 2.0
        with deadline(0.5):
            assert remaining() == 0.5
        assert remaining() == 2.0


def test_it_ends_with_an_error(clock):
    """An error inside leaves no deadline behind."""
    with pytest.raises(KeyError), deadline(1.0):
        raise KeyError
    assert remaining() is None


def test_it_decorates_functions(clock):
    """Each call of a decorated function has the whole time."""
    left = deadline(3.0)(remaining)
    assert left() == 3.0
    clock.now += 100
    assert left() == 3.0


@pytest.mark.parametrize("seconds", [0, -1, 0.0, math.inf, -math.inf, math.nan])
def test_what_is_no_deadline_is_refused(seconds):
    """Nothing but a finite number above 0 can be a deadline."""
    with pytest.raises(ValueError, match="a finite number of seconds above 0"):
        deadline(seconds).__enter__()
    assert remaining() is None


@pytest.mark.parametrize(
    ("timeout", "left", "expected"),
    [
        (5.0, 2.0, 2.0),
        (1.0, 2.0, 1.0),
        (None, 2.0, 2.0),
        (5.0, 0.0001, 0.001),
        (0.0, 2.0, 0.001),
    ],
)
def test_a_call_gets_no_more_than_is_left(clock, timeout, left, expected):
    """The smaller one counts, but no client is told 0, which some take for no time-out."""
    with deadline(left):
        assert bounded(timeout) == expected


def test_the_header_tells_whole_milliseconds(clock):
    """It is rounded down, and 1 at least: a service may take 0 for no deadline."""
    with deadline(1.2345):
        assert header() == {"X-Request-Timeout-Ms": "1234"}
        clock.now += 5
        assert header() == {"X-Request-Timeout-Ms": "1"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", 0.001), ("2500", 2.5), ("30000", 30.0), ("007", 0.007), ("0", None)]
    + [
        (value, None)
        for value in ("30001", "", " 5", "5\n", "-5", "+5", "5.0", "1_0", "1e3")
    ]
    + [(value, None) for value in ("٣", "²", "9" * 5000, None, 5, b"5", "5s")],
)
def test_a_callers_header_is_read_strictly(value, expected):
    """Digits alone, from 1 millisecond up to what is believed; anything else is as none."""
    assert from_header(value, 30.0) == expected


@settings(derandomize=True, max_examples=200)
@given(st.text() | st.from_regex(r"[0-9]{1,20}"), st.floats())
def test_no_header_breaks_anything(value, most):
    """Whatever comes in, there is a number of seconds within bounds, or none."""
    seconds = from_header(value, most)
    assert seconds is None or 0 < seconds <= most


@settings(derandomize=True, max_examples=200)
@given(st.floats(0.001, 1e6))
def test_the_next_service_gets_no_more(seconds):
    """What a called service reads is not more than what is left here."""
    with pytest.MonkeyPatch.context() as patch, deadline(1.0):
        patch.setattr(deadlines, "remaining", lambda: seconds)
        there = from_header(header()["X-Request-Timeout-Ms"], math.inf)
    assert seconds - 0.001 <= there <= seconds


def test_a_token_from_elsewhere_changes_nothing(clock):
    """Work that ends in another context, or twice, is no error and takes no deadline away."""
    foreign = contextvars.copy_context().run(deadlines.bind, 1.0)
    with deadline(2.0):
        deadlines.reset(foreign)
        assert remaining() == 2.0
    token = deadlines.bind(3.0)
    deadlines.reset(token)
    deadlines.reset(token)
    assert remaining() is None


def test_tasks_have_their_own_and_threads_none(clock):
    """Concurrent tasks don't shorten each other's time; a thread begins without any."""
    seen = {}

    async def work(seconds):
        with deadline(seconds):
            await asyncio.sleep(0)
            seen[seconds] = remaining()

    async def both():
        await asyncio.gather(work(1.0), work(2.0))

    asyncio.run(both())
    assert seen == {1.0: 1.0, 2.0: 2.0}
    with deadline(1.0):
        thread = threading.Thread(target=lambda: seen.update(thread=remaining()))
        thread.start()
        thread.join()
    assert seen["thread"] is None


def test_the_error_can_be_pickled():
    """It arrives with its seconds at who waits for a worker."""
    error = pickle.loads(pickle.dumps(DeadlineExceededError(2.5)))
    assert type(error) is DeadlineExceededError
    assert str(error) == "The deadline of 2.5 s has passed"
