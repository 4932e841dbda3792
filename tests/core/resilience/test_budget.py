"""A budget bounds the retries of all calls together; it says which errors are final, and how long to wait."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from email.message import Message
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import budget as budgets
from flask_hardening.core.resilience.budget import RetryBudget, retry_after
from flask_hardening.core.resilience.options import RetryConfig
from flask_hardening.core.resilience.retry import Retry, no_backoff
from flask_hardening.core.signals import RetryEnded

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_call_pays_for_a_part_of_a_retry():
    """With a ratio of 0.25, four calls pay for one retry."""
    budget = RetryBudget(ratio=0.25, reserve=0, initial=0)
    for _ in range(3):
        budget.deposit()
        assert not budget.withdraw()
    budget.deposit()
    assert budget.withdraw()
    assert budget.tokens == 0


def test_some_come_back_with_time():
    """A target with little traffic can be retried too; a clock that goes back takes nothing."""
    clock = _Clock()
    budget = RetryBudget(reserve=2.0, initial=0, clock=clock)
    assert not budget.withdraw()
    clock.now += 0.5
    assert budget.tokens == 1
    assert budget.withdraw()
    clock.now -= 60
    assert budget.tokens == 0
    clock.now += 1.5
    assert budget.tokens == 3


def test_it_holds_no_more_than_the_most():
    """Neither quiet hours nor many calls save up for a storm."""
    clock = _Clock()
    budget = RetryBudget(initial=500, most=3, clock=clock)
    assert budget.tokens == 3
    clock.now += 3600
    for _ in range(100):
        budget.deposit()
    assert budget.tokens == 3
    assert [budget.withdraw() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    "values",
    [{"ratio": -0.1}, {"ratio": 1.5}, {"ratio": math.nan}]
    + [{name: -1} for name in ("reserve", "initial", "most")],
)
def test_impossible_values_are_refused(values):
    """A budget that can't work is an error at once, and names its values."""
    with pytest.raises(ConfigError, match=next(iter(values))):
        RetryBudget(**values)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.floats(0, 1),
    st.floats(0, 3),
    st.integers(0, 12),
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 9)), min_size=1, max_size=80),
)
def test_attempts_are_bounded(ratio, reserve, initial, calls):
    """Attempts are at most calls * (1 + ratio) + initial + reserve * seconds, however calls fail."""
    clock, made = _Clock(), []
    budget = RetryBudget(ratio, reserve, initial, clock=clock)
    retry = Retry(
        "billing",
        RetryConfig(attempts=5),
        transient=lambda _: True,
        budget=budget,
        clock=clock,
    )

    def call(failures):
        made.append(1)
        if failures[0] > 0:
            failures[0] -= 1
            raise ConnectionError

    with no_backoff():
        for passed, failures in calls:
            clock.now += passed
            with suppress(ConnectionError):
                retry.call(call, [failures])
    seconds = clock.now - _Clock.now
    assert len(made) <= len(calls) * (1 + ratio) + initial + reserve * seconds + 1e-6


class _Slow(float):
    """Lets other threads run between being looked at and being changed."""

    __slots__ = ()

    def __add__(self, other):
        return _Slow(float(self) + other)

    def __sub__(self, other):
        return _Slow(float(self) - other)

    def __lt__(self, other):
        time.sleep(0.001)
        return float(self) < other


def test_no_token_is_spent_twice():
    """However threads come in between each other, four tokens are four retries."""
    budget, spent = RetryBudget(reserve=0, initial=_Slow(4)), []
    threads = [
        threading.Thread(target=lambda: spent.append(budget.withdraw())) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spent.count(True) == 4
    assert budget.tokens == 0


def test_it_is_safe_against_being_interrupted():
    """A signal handler that makes a call while tokens are counted doesn't wait for ever."""
    budget = RetryBudget(initial=1)
    with budget._lock:
        budget.deposit()
        assert budget.withdraw()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_can_spend(exit_code_of_child):
    """A lock that a thread of the parent holds at fork is nothing to a child; tokens are kept."""
    budget = RetryBudget(reserve=0, initial=2)
    took = (budget.withdraw() for _ in range(3))

    def child():
        return list(took) == [True, True, False]

    assert exit_code_of_child(child, budget._lock) == 0
    assert budget.tokens == 2


def test_it_is_not_kept():
    """A budget that nobody has any more is forgotten."""
    before = len(budgets._budgets)
    RetryBudget()
    assert len(budgets._budgets) == before


class _RefusedError(ConnectionError):
    """Carries what it is made with."""

    def __init__(self, **values) -> None:
        super().__init__()
        vars(self).update(values)


class _FalseResponse(SimpleNamespace):
    """As a response of `requests` with an error status is."""

    def __bool__(self) -> bool:
        return False


@pytest.fixture
def _in_tokyo(monkeypatch):
    """Live nine hours from Greenwich, a minute before the date."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    monkeypatch.setattr(budgets.time, "time", lambda: 784111717.0)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("0.5", 0.5),
        (7, 7),
        (1.5, 1.5),
        ("9" * 400, math.inf),
    ]
    + [(DATE, 60), ("Sunday, 06-Nov-94 08:49:37 GMT", 60), ("Sun Nov  6 08:49:37 1994", 60)]
    + [("Sun, 06 Nov 1994 08:00:00 GMT", 0)]  # a moment that has passed
    + [(value, None) for value in ("", "soon", "-5", -5, "1e3", "nan", math.nan, "٣", None)]
    + [
        (value, None)
        for value in (b"5", [5], "Sun, 99 Nov 1994 08:49:37 GMT", "9" * 8 + "-")
    ],
)
def test_what_a_target_asks_for(value, seconds):
    """Retry-After is seconds or a date in any of HTTP's forms; garbage is as none."""
    error = _RefusedError(response=_FalseResponse(headers={"Retry-After": value}))
    assert retry_after(error) == seconds
    assert retry_after(_RefusedError(retry_after=value)) == seconds


def test_a_date_counts_from_the_targets_own_clock():
    """A wall clock that is wrong here changes nothing if the response says what time it is there."""
    headers = Message()
    headers["retry-after"] = DATE
    headers["date"] = "Sun, 06 Nov 1994 08:49:27 GMT"
    assert time.time() > 784111777
    assert retry_after(_RefusedError(response=None, headers=headers)) == 10


def test_what_breaks_when_it_is_asked_is_as_none():
    """Neither an error without any of it nor one that fails when it is read is trouble."""

    class BrokenError(Exception):
        @property
        def response(self):
            raise RuntimeError

    assert retry_after(BrokenError()) is None
    assert retry_after(KeyError("x")) is None
    assert retry_after(_RefusedError(response={"Retry-After": "5"})) is None


def test_an_error_is_closed_once():
    """The first to give up says why, and how often it was tried."""
    error = ConnectionError()
    for reason, attempts in (("budget", 1), ("attempts", 3)):
        budgets.close(RetryEnded("billing", reason, attempts, 0.25, error))
    assert error._hardening_exhausted == "budget"
    assert error.__notes__ == ["1 attempt at 'billing' in 0.2 s"]
    assert budgets.is_final(error)


def test_causes_that_go_round_end():
    """A circle of causes is looked through once."""
    one, two = KeyError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert not budgets.is_final(one)
