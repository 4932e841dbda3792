"""A call is made again while its failure may pass: a few times, in time, and by one layer alone."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import pickle
import traceback
import weakref
from contextlib import contextmanager, nullcontext, suppress
from types import SimpleNamespace

import pytest
import retrying
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_hardening.core import shield, signals
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import budget, deadline
from flask_hardening.core.resilience import errors as final
from flask_hardening.core.resilience import retry as retries
from flask_hardening.core.resilience.options import RetryConfig
from flask_hardening.core.resilience.retry import Retry, no_backoff


class _Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept, self.woke, self.wall_jump = 1000.0, [], [], 0.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        self.wall_jump = -self.wall_jump * 2
        return 1.7e9 + self.wall_jump

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.woke.append(self.now)

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.sleep(seconds)


@contextmanager
def _time_by_hand():
    clock = _Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrying, "time", SimpleNamespace(time=clock.wall, sleep=clock.sleep))
        patch.setattr(retries, "asyncio", SimpleNamespace(sleep=clock.sleep_async))
        patch.setattr(deadline, "_clock", clock)
        yield clock


@pytest.fixture
def clock():
    """Let time pass by sleeping alone."""
    with _time_by_hand() as clock:
        yield clock


@pytest.fixture
def make(clock):
    """Make a Retry whose waits are as long as they can be; connection errors may pass."""

    def make(transient=lambda error: isinstance(error, ConnectionError), **values) -> Retry:
        mine = {
            "budget": values.pop("budget", None),
            "random": values.pop("random", lambda: 1.0),
        }
        return Retry(
            "billing", RetryConfig(**values), transient=transient, clock=clock, **mine
        )

    return make


def _call_async(retry, function, *args):
    async def work():
        return function(*args)

    return asyncio.run(retry.call_async(work))


@pytest.fixture(
    params=[lambda retry, *call: retry.call(*call), _call_async], ids=["sync", "async"]
)
def call(request):
    """Call a function by either way."""
    return request.param


@pytest.fixture
def told():
    """Return the records of both signals, in order."""
    records = []
    scheduled = signals.retry_scheduled.connected_to(records.append)
    with scheduled, signals.retry_ended.connected_to(records.append):
        yield records


class _Target:
    """Fails with each of its errors in turn, then answers; the last fails for ever if told so."""

    def __init__(self, *failures, forever=False) -> None:
        self.failures, self.forever, self.calls = list(failures), forever, 0

    def __call__(self, answer="answer"):
        self.calls += 1
        if self.failures:
            failure = self.failures[0] if self.forever else self.failures.pop(0)
            raise failure
        return answer


def test_a_call_that_succeeds_costs_nothing(make, call, told, monkeypatch):
    """No engine is built, nothing is told, arguments go in and the result comes out."""
    monkeypatch.setattr(retrying.Retrying, "__init__", None)
    assert call(make(), _Target(), 7) == 7
    assert told == []


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_it_is_made_so_many_times(make, call, clock, failures):
    """Attempts count the first; a success among them is returned."""
    target = _Target(*[ConnectionError] * failures)
    with pytest.raises(ConnectionError) if failures == 3 else nullcontext():
        assert call(make(), target, 7) == 7
    assert target.calls == min(failures + 1, 3)
    assert clock.slept == pytest.approx([0.1, 0.2][:failures])


@pytest.mark.parametrize("failure", [KeyError, TypeError, retrying.RetryError(None)])
def test_what_does_not_pass_is_raised_at_once(make, call, told, failure):
    """An error that isn't transient ends the call: without any note, and not told."""
    target = _Target(failure, forever=True)
    with pytest.raises(Exception) as caught:
        call(make(), target)
    assert target.calls == 1
    assert not hasattr(caught.value, "__notes__")
    assert told == []


@pytest.mark.parametrize(("verdict", "calls"), [(None, 1), ("yes", 2), ("", 1), (1, 2)])
def test_a_verdict_may_be_anything(make, call, verdict, calls):
    """A predicate that returns no bool is understood as Python does."""
    target = _Target(ConnectionError)
    with suppress(ConnectionError):
        call(make(lambda _: verdict), target)
    assert target.calls == calls


def test_a_verdict_that_fails_is_a_no(make, call, capfd):
    """The error of the call is raised, not that of the predicate, which is counted."""
    target = _Target(ConnectionError("down"))
    with pytest.raises(ConnectionError, match="down"):
        call(make(lambda error: error.status), target)
    assert target.calls == 1
    assert shield.dropped.pop(("outcome", "retry", "AttributeError")) == 1
    shield._said.clear()


@pytest.mark.parametrize("first", [[], [ConnectionError]])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_exception_passes(make, call, told, first, failure):
    """An end of the process or a cancellation is never retried, and leaves nothing behind."""
    target = _Target(*first, failure)
    with pytest.raises(failure):
        call(make(lambda _: True), target)
    assert target.calls == len(first) + 1
    assert retries._loop.get() is None


@pytest.mark.parametrize("result", [None, False, ConnectionError("returned")])
def test_a_result_is_a_result(make, call, result):
    """No result is retried, also none that follows an error."""
    target = _Target(ConnectionError)
    assert call(make(), target, result) is result
    assert target.calls == 2


def test_making_a_generator_is_the_call(make):
    """What a generator does when it is iterated is not retried."""

    def rows():
        yield 1
        raise ConnectionError

    iterator = make().call(rows)
    assert next(iterator) == 1
    with pytest.raises(ConnectionError):
        next(iterator)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(0, 5), st.floats(0, 5), st.lists(st.floats(0, 1), min_size=1, max_size=70))
def test_waits_are_within_their_bounds(initial, most, dice):
    """Each wait is the drawn part of what doubles up to the most: nothing is added on top."""
    config = RetryConfig(len(dice) + 1, initial, most)
    with _time_by_hand() as clock, suppress(OSError):
        random = iter(dice).__next__
        retry = Retry("x", config, transient=lambda _: True, clock=clock, random=random)
        retry.call(_Target(OSError, forever=True))
    bounds = [min(most, initial * 2**number) for number in range(len(dice))]
    drawn = [part * bound for part, bound in zip(dice, bounds, strict=True)]
    assert clock.slept == pytest.approx(drawn)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.floats(0.01, 5),
    st.none() | st.floats(0.01, 5),
    st.none() | st.floats(0, 4),
    st.lists(st.floats(0, 2), min_size=5, max_size=5),
)
def test_no_sleep_overruns_a_deadline(seconds, total, asked, lasting):
    """A wait that would end after the deadline or the total is not begun, whoever asks for it."""

    def fail():
        clock.now += lasts.pop()
        error = ConnectionError()
        error.retry_after = asked
        raise error

    lasts, config = list(lasting), RetryConfig(5, 0.3, 3.0, total)
    with (
        _time_by_hand() as clock,
        pytest.raises(ConnectionError),
        deadline.deadline(seconds),
    ):
        Retry("x", config, transient=lambda _: True, clock=clock).call(fail)
    assert all(moment < 1000 + min(seconds, total or 9) + 1e-9 for moment in clock.woke)


def test_jumps_of_the_wall_clock_change_nothing(make, call, clock):
    """An hour forth and two back between attempts neither end the retries nor prolong them."""
    clock.wall_jump = 3600.0
    target = _Target(ConnectionError, forever=True)
    with pytest.raises(ConnectionError):
        call(make(attempts=9, wait_initial=1.0, total=4.0), target)
    assert (target.calls, clock.slept) == (3, [1.0, 2.0])


@pytest.mark.parametrize(
    ("asked", "slept"), [(0.05, [0.1]), (5, [5.0]), (30, [30.0]), (31, [])]
)
def test_a_target_that_asks_for_more_gets_it(make, call, clock, asked, slept):
    """The longer of Retry-After and the own wait is waited; too long a time ends the retries."""
    error = ConnectionError()
    error.response = SimpleNamespace(headers={"Retry-After": str(asked)})
    with suppress(ConnectionError):
        call(make(attempts=2), _Target(error))
    assert clock.slept == slept


class _OnceAskedError(ConnectionError):
    retry_after = 60


@pytest.mark.parametrize(
    ("failures", "values", "reason"),
    [
        ([ConnectionError], {}, "recovered"),
        ([ConnectionError] * 3, {}, "attempts"),
        ([ConnectionError] * 2, {"total": 0.3}, "deadline"),
        ([ConnectionError, final.DeadlineExceededError], {}, "deadline"),
        ([ConnectionError] * 2, {"budget": (0, 0, 1)}, "budget"),
        ([ConnectionError, _OnceAskedError], {}, "retry_after"),
        ([ConnectionError, KeyError], {}, "permanent"),
        ([ConnectionError, final.CircuitOpenError("billing")], {}, "open"),
        ([ConnectionError, final.BulkheadFullError("billing", 1)], {}, "permanent"),
    ],
)
def test_it_is_told_and_noted_once(make, call, told, failures, values, reason):
    """Each wait is told with its error, then the end with its reason; the error has one note."""
    if "budget" in values:
        values = {"budget": budget.RetryBudget(*values["budget"])}
    target, error = _Target(*failures), None
    try:
        call(make(**values), target)
    except Exception as caught:
        error = caught
    *scheduled, ended = told
    assert [(record.attempt, record.attempts) for record in scheduled] == [(1, 3), (2, 3)][
        : target.calls - 1
    ]
    assert [record.delay for record in scheduled] == [0.1, 0.2][: target.calls - 1]
    assert type(scheduled[0].error) is ConnectionError
    elapsed = pytest.approx([0, 0.1, 0.3][target.calls - 1])
    assert ended == signals.RetryEnded("billing", reason, target.calls, elapsed, error)
    if error:
        assert error.__notes__ == [
            f"{target.calls} attempts at 'billing' in {ended.elapsed:.1f} s"
        ]
        assert error._hardening_exhausted == reason
        there = pickle.loads(pickle.dumps(error))
        assert (type(there), there.args) == (type(error), error.args)


def test_an_end_without_a_repetition_is_told_too(make, call, told):
    """A call that might have been retried, and was not, is told and noted as one attempt."""
    with pytest.raises(ConnectionError) as caught:
        call(make(total=0.1), _Target(ConnectionError))
    assert [type(record) for record in told] == [signals.RetryEnded]
    assert caught.value.__notes__ == ["1 attempt at 'billing' in 0.0 s"]


@pytest.mark.parametrize("first", [[], [ConnectionError("first")]])
def test_the_last_error_is_raised_as_it_is(make, call, first):
    """It is the object itself, with the frames it came through, and no other in its context."""
    last = ConnectionError("last")

    def fail():
        raise (first.pop() if first else last)

    with pytest.raises(ConnectionError) as caught:
        call(make(attempts=2), fail)
    assert caught.value is last
    assert last.__context__ is last.__cause__ is None
    frames = traceback.extract_tb(last.__traceback__)
    assert frames[-1].name == "fail"
    assert not [frame for frame in frames if frame.filename == retrying.__file__]


@pytest.mark.parametrize("waits", ["sync", "async"])
@pytest.mark.parametrize(
    ("failures", "end"),
    [(1, None), (2, None), (2, KeyError), (3, ConnectionError), (1, KeyboardInterrupt)],
)
def test_no_error_is_kept(make, waits, failures, end):
    """What a failed attempt held is gone with its error; no garbage collection is needed."""
    held, left = [], [*[ConnectionError] * failures, end]

    class Body:
        pass

    def work():
        body = Body()
        held.append(weakref.ref(body))
        if (failure := left.pop(0)) is not None:
            raise failure

    async def work_async():
        work()

    async def main():  # the loop itself keeps what a task ends with
        with suppress(BaseException):
            await retry.call_async(work_async)

    retry = make(attempts=4)
    gc.disable()
    try:
        with suppress(BaseException):
            retry.call(work) if waits == "sync" else asyncio.run(main())
        assert [body() for body in held] == [None] * (failures + 1)
    finally:
        gc.enable()


def test_an_error_that_refuses_marks_is_raised(make, call):
    """An error whose class forbids attributes is raised as any other."""

    @dataclasses.dataclass(frozen=True)
    class FrozenError(ConnectionError):
        code: int = 5

    with pytest.raises(ConnectionError) as caught:
        call(make(), _Target(FrozenError(), forever=True))
    assert type(caught.value) is FrozenError
    assert budget.is_final(caught.value)


def test_logging_is_left_alone(make, call, caplog):
    """The engine says nothing, and takes no logger away from the handlers of others."""
    with caplog.at_level(logging.DEBUG), suppress(ConnectionError):
        call(make(), _Target(ConnectionError, forever=True))
    assert not [record for record in caplog.records if record.name != "asyncio"]
    assert logging.getLogger("retrying").propagate


@pytest.mark.parametrize(
    "error",
    [
        final.CircuitOpenError("x"),
        final.BulkheadFullError("x", 1),
        final.DeadlineExceededError(),
    ],
)
def test_a_call_that_was_not_made_is_not_repeated(make, call, error):
    """An open breaker, a full bulkhead and a passed deadline are final; also as a cause."""
    translated = ConnectionError()
    translated.__cause__ = error
    for failure in (error, translated):
        target = _Target(failure, forever=True)
        with pytest.raises(type(failure)):
            call(make(lambda _: True), target)
        assert target.calls == 1


class _WrappedError(ConnectionError):
    pass


@pytest.mark.parametrize("wrapped", [False, True])
def test_layers_do_not_multiply(make, call, told, wrapped):
    """Of three layers with three attempts each, one makes three; errors in between keep that."""
    target = _Target(ConnectionError, forever=True)

    def layer(function):
        try:
            return make().call(function)
        except ConnectionError as error:
            if wrapped:
                raise _WrappedError from error
            raise

    with pytest.raises(ConnectionError) as caught:
        call(make(), lambda: layer(lambda: layer(target)))
    assert target.calls == 3
    error = caught.value
    while error.__cause__:
        error = error.__cause__
    assert len(error.__notes__) == 1
    assert [type(record).__name__ for record in told].count("RetryEnded") == 1


def test_async_layers_do_not_multiply(make):
    """The same holds where each layer is awaited."""
    target = _Target(ConnectionError, forever=True)

    async def innermost():
        target()

    async def main():
        await make().call_async(make().call_async, lambda: make().call_async(innermost))

    with pytest.raises(ConnectionError):
        asyncio.run(main())
    assert target.calls == 3


def test_within_a_repeated_attempt_others_make_one(make, call):
    """Where the outer layer has begun to retry, an inner one leaves it to that, and marks nothing."""
    target, first = _Target(ConnectionError, forever=True), [ConnectionError]

    def work():
        if first:
            raise first.pop()
        make().call(target)

    with pytest.raises(ConnectionError) as caught:
        call(make(), work)
    assert target.calls == 2
    assert caught.value.__notes__ == ["3 attempts at 'billing' in 0.3 s"]


def test_a_fallback_is_retried_in_its_own_right(make, call):
    """A call made while a given-up error is handled has nothing to do with that."""
    fallback = _Target(ConnectionError)
    try:
        call(make(), _Target(ConnectionError, forever=True))
    except ConnectionError:
        assert make().call(fallback, 7) == 7
    assert fallback.calls == 2


def test_a_task_that_outlives_the_attempt_retries_again(make):
    """What was begun within a repeated attempt is on its own once that call has ended."""
    target, first, tasks = _Target(ConnectionError), [ConnectionError], []

    async def begin():
        if first:
            raise first.pop()
        tasks.append(asyncio.create_task(later()))

    async def later():
        await ended.wait()
        return make().call(target, 7)

    async def main():
        await make().call_async(begin)
        ended.set()
        assert await tasks[0] == 7

    ended = asyncio.Event()
    asyncio.run(main())
    assert target.calls == 2


def test_waiting_does_not_hold_up_other_tasks(make, clock):
    """While one task waits for its next attempt, others run."""
    order = []

    async def fail():
        order.append("attempt")
        raise ConnectionError

    async def other():
        order.append("other")

    async def main():
        await asyncio.gather(
            make(attempts=2).call_async(fail), other(), return_exceptions=True
        )

    asyncio.run(main())
    assert order == ["attempt", "other", "attempt"]


def test_each_call_pays_and_each_retry_costs(make, call):
    """A call puts its part into the budget, also one that succeeds; each retry takes one out."""
    tokens = budget.RetryBudget(ratio=0.5, reserve=0, initial=3)
    call(make(budget=tokens), _Target())
    assert tokens.tokens == 3.5
    call(make(budget=tokens), _Target(ConnectionError, ConnectionError))
    assert tokens.tokens == 2


def test_tests_need_not_wait(make, call, clock):
    """Within `no_backoff` all waits are 0, nested too, and none afterwards."""
    asked = _OnceAskedError()
    asked.retry_after = 20
    with no_backoff():
        with no_backoff():
            pass
        call(make(), _Target(asked))
    assert clock.slept == [0]
    call(make(), _Target(asked))
    assert clock.slept == [0, 20]


@pytest.mark.parametrize(
    "values",
    [{"attempts": 0}, {"total": 0}, {"total": float("nan")}]
    + [{name: -0.1} for name in ("wait_initial", "wait_max", "max_retry_after")],
)
def test_impossible_values_are_refused(values):
    """What can't work is an error at once, and names the value."""
    with pytest.raises(ConfigError, match=next(iter(values))):
        RetryConfig(**values)


def test_one_attempt_is_no_retry(make, call, told):
    """With attempts of 1 an error is neither told nor final: a layer further out may retry."""
    target = _Target(ConnectionError)
    assert call(make(), lambda: make(attempts=1).call(target)) == "answer"
    assert target.calls == 2
    assert [type(record) for record in told] == [signals.RetryScheduled, signals.RetryEnded]
