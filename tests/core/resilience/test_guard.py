"""`guard` over functions of each kind and in blocks: order, fallback, and what is tried again."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flask_hardening.core import settings
from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.guard import guard
from flask_hardening.core.resilience.retry import no_backoff


@pytest.fixture(autouse=True)
def _at_once():
    """Wait for nothing between attempts."""
    with no_backoff():
        yield


def failing(times, error=ConnectionError):
    """Return a function that fails so many times, and its calls."""
    calls = []

    def call(*args):
        calls.append(args)
        if len(calls) <= times:
            raise error("down")
        return "answer"

    return call, calls


def test_what_may_be_repeated_is():
    """An idempotent call survives passing failures; its answer is passed on."""
    call, calls = failing(2)
    assert guard("geo", idempotent=True)(call)(1) == "answer"
    assert calls == [(1,)] * 3


@pytest.mark.parametrize(
    ("error", "made"),
    [
        (ConnectionResetError, 1),
        (TimeoutError, 1),
        (ConnectionRefusedError, 3),
        (ValueError, 1),
    ],
)
def test_what_may_not_be_done_twice_is_repeated_where_it_was_never_sent(error, made):
    """A refused connection has done nothing yet; a lost one may have."""
    call, calls = failing(9, error)
    with pytest.raises(error):
        guard("geo")(call)()
    assert len(calls) == made


def test_ones_own_exceptions():
    """Those named by `on` are failures of the target, and passing ones."""
    call, calls = failing(1, KeyError)
    assert guard("geo", on=KeyError, idempotent=True)(call)() == "answer"
    assert len(calls) == 2


def test_a_dead_target_is_left_alone():
    """After so many failures in a row nothing is called, and the error says for how long."""
    call, calls = failing(99)
    guarded = guard("geo", attempts=1)(call)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            guarded()
    with pytest.raises(CircuitOpenError, match="'geo' is open") as caught:
        guarded()
    assert len(calls) == 5
    assert 0 < caught.value.retry_after <= 12


def test_a_bug_is_no_failure_of_the_target():
    """An exception that nobody has classified opens nothing and is not repeated."""
    call, calls = failing(20, ZeroDivisionError)
    guarded = guard("geo", idempotent=True)(call)
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            guarded()
    assert guarded() == "answer"
    assert len(calls) == 21


def test_guards_of_one_name_share_its_state():
    """What one has seen, the other acts on."""
    broken, _ = failing(99)
    for _ in range(2):  # six attempts, of which the sixth is not made
        with pytest.raises((ConnectionError, CircuitOpenError)):
            guard("geo", idempotent=True)(broken)()
    with pytest.raises(CircuitOpenError):
        guard("geo")(lambda: "fine")()
    assert guard("other")(lambda: "fine")() == "fine"


@pytest.mark.parametrize("fallback", ["other", lambda *args: "other"])
def test_a_fallback_stands_in(fallback):
    """For a call that failed for good, one that was refused, and one that came too late."""
    call, calls = failing(99)
    guarded = guard("geo", idempotent=True, fallback=fallback)(call)
    assert [guarded(1) for _ in range(9)] == ["other"] * 9
    assert len(calls) == 5
    with deadline(0.000_001):
        assert guarded(1) == "other"


def test_a_fallback_hides_no_bug():
    """What says nothing of the target is raised."""
    call, _ = failing(1, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        guard("geo", fallback=None)(call)()


def test_no_more_at_once_than_may_be():
    """The bulkhead refuses, and a refusal is no failure."""
    inside, done = threading.Event(), threading.Event()

    def call():
        inside.set()
        return done.wait(10)

    guarded = guard("geo", limit=1)(call)
    thread = threading.Thread(target=guarded)
    thread.start()
    inside.wait(10)
    with pytest.raises(BulkheadFullError, match="1 calls to 'geo'"):
        guarded()
    done.set()
    thread.join()
    assert guarded() is True


def test_nothing_is_begun_after_the_deadline():
    """The call isn't made."""
    call, calls = failing(0)
    with deadline(0.000_001), pytest.raises(DeadlineExceededError):
        guard("geo")(call)()
    assert calls == []


def test_coroutines():
    """They are awaited, repeated, refused and replaced in the same way."""
    call, calls = failing(2)

    async def ask():
        return call()

    async def other():
        return "other"

    guarded = guard("geo", idempotent=True)(ask)
    assert asyncio.run(guarded()) == "answer"
    assert len(calls) == 3
    broken, _ = failing(99)

    async def fail():
        return broken()

    replaced = guard("far", attempts=1, fallback=other)(fail)
    assert [asyncio.run(replaced()) for _ in range(7)] == ["other"] * 7


def test_generators():
    """A generator is one call, from its first item to its last; it isn't repeated."""

    @guard("geo", attempts=1)
    def items(error):
        sent = yield 1
        if error:
            raise error
        return sent

    generator = items(None)
    next(generator)
    with pytest.raises(StopIteration) as stop:
        generator.send("sent")
    assert stop.value.value == "sent"
    for _ in range(5):
        with pytest.raises(ConnectionError):
            list(items(ConnectionError("down")))
    with pytest.raises(CircuitOpenError):
        list(items(None))


def test_async_generators():
    """The same, asynchronously."""

    @guard("geo")
    async def items():
        yield 1
        yield 2

    async def read():
        return [item async for item in items()]

    assert asyncio.run(read()) == [1, 2]


def test_async_generators_hear_their_reader():
    """What is sent into one, or thrown, reaches the function behind the guard."""

    @guard("geo")
    async def dialogue():
        heard = yield "begun"
        try:
            yield heard
        except KeyError as error:
            yield f"caught {error.args[0]}"

    async def talk():
        inner = dialogue()
        begun = await anext(inner)
        return [begun, await inner.asend("hello"), await inner.athrow(KeyError("key"))]

    assert asyncio.run(talk()) == ["begun", "hello", "caught key"]


def test_blocks():
    """A block is guarded, not repeated; one guard may stand round many at once."""
    shared = guard("geo", attempts=1)
    with shared, shared:
        pass
    for _ in range(5):
        with pytest.raises(ConnectionError), shared:
            raise ConnectionError("down")
    with pytest.raises(CircuitOpenError), shared:
        raise AssertionError("not reached")


def test_blocks_and_generators_are_no_more_at_once_than_may_be():
    """The bulkhead has one place for all that is guarded under a name."""
    shared = guard("geo", limit=1)
    items = shared(lambda: (yield 1))
    with shared:
        with pytest.raises(BulkheadFullError), shared:
            raise AssertionError("not reached")
        with pytest.raises(BulkheadFullError):
            next(items())
    assert list(items()) == [1]


def test_no_block_is_begun_after_the_deadline():
    """What stands in it is not reached."""
    shared = guard("geo")
    with deadline(0.000_001):
        with pytest.raises(DeadlineExceededError), shared:
            raise AssertionError("not reached")
        with pytest.raises(DeadlineExceededError):
            next(shared(lambda: (yield 1))())


def test_the_time_of_a_generators_reader_is_not_the_targets():
    """A block can be slow, a generator can't."""
    slow = {"slow_call": 0.01, "minimum_calls": 1, "slow_rate": 0.5}
    for _ in guard("read", **slow)(lambda: (yield 1))():
        time.sleep(0.02)
    with guard("read", **slow):
        time.sleep(0.02)
    with pytest.raises(CircuitOpenError), guard("read", **slow):
        raise AssertionError("not reached")


def test_a_guarded_function_is_still_itself():
    """Name, docstring and kind stay."""

    @guard("geo")
    async def lookup():
        """Look it up."""

    assert (lookup.__name__, lookup.__doc__) == ("lookup", "Look it up.")
    assert asyncio.iscoroutinefunction(lookup)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"attempts": 9}, "would open the breaker"),
        ({"open_for": 999.0}, "above open_max"),
        ({"tries": 3}, "tries"),
        ({"atempts": 3}, "nearest one is 'attempts'"),
        ({"profile": "database_"}, "no profile: the nearest one is 'database'"),
        ({"window": -1.0}, "window = -1.0"),
        ({"wait_max": -1.0}, "wait_max = -1.0"),
        ({"budget": 1.5}, "budget = 1.5"),
        ({"limit": 0}, "limit = 0"),
    ],
)
def test_wrong_options_fail_where_they_stand(options, problem):
    """At the decorator, not at the first call."""
    with pytest.raises((ValueError, TypeError), match=problem):
        guard("geo", **options)


def test_settings_win():
    """An operator's word counts more than what stands in the code; `*` is for all."""
    config = settings.Resilience(
        targets={"*": {"attempts": 1.0}, "geo": {"consecutive": 2.0}}
    )
    targets.set_up(config, "a test")
    call, calls = failing(99)
    guarded = guard("geo", idempotent=True, attempts=3)(call)
    for error in (ConnectionError, ConnectionError, CircuitOpenError):
        with pytest.raises(error):
            guarded()
    assert len(calls) == 2
