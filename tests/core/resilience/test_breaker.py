"""A breaker does what `circuitbreaker` promises, in the cases in which that one doesn't."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import json
import pickle
import weakref

import pytest
from circuitbreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerMonitor

from flask_hardening.core import shield, signals
from flask_hardening.core.resilience.breaker import Breaker, Outcome
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.options import BreakerConfig

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        """Return the time."""
        return self.now


class Timeout(BaseException):
    """As gevent's: no `Exception`."""


@pytest.fixture
def clock():
    """Return a clock that stands."""
    return Clock()


@pytest.fixture
def breaker(clock):
    """Return a breaker that opens at the second failure in a row."""
    return make(clock)


def make(clock, **more):
    """Return a breaker that opens at the second failure in a row, for 10 s."""
    names = BreakerConfig.__dataclass_fields__
    config = {name: more.pop(name) for name in list(more) if name in names}
    config = BreakerConfig(**{"consecutive": 2, "jitter": 0.0, **config})
    return Breaker("billing", config, clock=clock, **more)


def fail(error=OSError):
    """Fail, as the target does."""
    raise error("gone")


def failing(breaker, times=2, error=OSError):
    """Make calls that fail."""
    for _ in range(times):
        with pytest.raises(error):
            breaker.call(fail, error)


@pytest.fixture
def changes():
    """Return a list of the changes that receivers are told of."""
    told = []
    with signals.breaker_changed.connected_to(told.append):
        yield told


def test_a_success_that_began_before_does_not_close(breaker):
    """A call from better days that ends well while it is open changes nothing."""
    old = breaker.acquire()
    failing(breaker)
    breaker.release(old, SUCCESS)
    assert breaker.state == "open"
    assert breaker.snapshot().late == 1


def test_stragglers_do_not_keep_it_open(breaker, clock):
    """Calls from before that fail while it is open don't make it longer."""
    old = [breaker.acquire() for _ in range(5)]
    failing(breaker)
    for permit in old:
        clock.now += 1
        breaker.release(permit, FAILURE, OSError())
    assert breaker.open_remaining == 5.0
    clock.now += 5
    assert breaker.state == "half_open"
    assert breaker.call(int) == 0
    assert breaker.state == "closed"


def test_an_unexpected_exception_says_nothing(clock):
    """It neither ends a row of failures nor closes a half-open breaker."""
    verdicts = {OSError: True, KeyError: None, LookupError: False}
    breaker = make(clock, is_failure=lambda error: verdicts[type(error)])
    failing(breaker, 1)
    failing(breaker, 3, KeyError)
    assert breaker.failure_count == 1
    failing(breaker, 1)
    clock.now += 10
    failing(breaker, 1, KeyError)
    assert breaker.state == "half_open"
    failing(breaker, 1, LookupError)  # it has answered
    assert breaker.state == "closed"


NO_EXCEPTIONS = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    Timeout,
]


@pytest.mark.parametrize("error", NO_EXCEPTIONS)
def test_what_is_no_exception_says_nothing(breaker, clock, error):
    """It neither ends a row of failures nor closes a half-open breaker; nobody is asked."""
    failing(breaker, 1)
    failing(breaker, 3, error)
    assert (breaker.failure_count, breaker.snapshot().calls) == (1, 1)
    failing(breaker, 1)
    clock.now += 10
    failing(breaker, 3, error)
    assert breaker.state == "half_open"


def test_a_time_limit_from_outside_does_not_end_the_row(breaker):
    """What `asyncio.wait_for` cancels is no success."""

    async def main():
        for _ in range(5):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(breaker.call_async(asyncio.sleep, 60), 0.001)

    failing(breaker, 1)
    asyncio.run(main())
    assert breaker.failure_count == 1


def test_each_way_in_is_shut(breaker):
    """An open breaker refuses `with` and `call` as well as what it decorates."""
    failing(breaker)
    never = pytest.fail
    for attempt in (lambda: breaker.call(never), breaker(never), lambda: inside(breaker)):
        with pytest.raises(CircuitOpenError):
            attempt()
    assert breaker.state == "open"
    assert breaker.snapshot().rejected == 3


def inside(*breakers, error=None):
    """Do something inside of breakers."""
    if breakers:
        with breakers[0]:
            inside(*breakers[1:], error=error)
    elif error:
        raise error


def test_breakers_nest(clock):
    """Each level is a call of its own, also of the same breaker; none is left behind."""
    outer, inner = make(clock, slow_call=5.0), make(clock)
    inside(outer, inner, outer)
    assert (outer.snapshot().calls, inner.snapshot().calls) == (2, 1)
    with outer:
        clock.now += 5
        with outer:
            pass
        assert outer.snapshot().slow == 0
    assert outer.snapshot().slow == 1
    with pytest.raises(OSError):
        inside(outer, inner, outer, error=OSError())
    assert (outer.state, inner.failure_count) == ("open", 1)
    with pytest.raises(CircuitOpenError):
        inside(inner, outer)
    assert inner.state == "open"  # to it, the refusal is a failure as any other


def test_breakers_are_left_in_any_order(clock):
    """Generators that are read in turns give back what each of them was given."""

    def reading(breaker):
        with breaker:
            yield

    first, second = make(clock, slow_call=5.0), make(clock, slow_call=5.0)
    readers = [reading(first), reading(second)]
    next(readers[0])
    clock.now += 5
    next(readers[1])
    assert list(readers[0]) == []
    assert (first.snapshot().calls, second.snapshot().calls) == (1, 0)
    assert list(readers[1]) == []
    assert (first.snapshot().slow, second.snapshot().slow) == (1, 0)


def test_a_breaker_left_elsewhere_is_harmless(breaker):
    """What is entered in one context and left in another doesn't replace an error."""
    contextvars.Context().run(breaker.__enter__)
    assert breaker.__exit__(OSError, OSError(), None) is None


@pytest.mark.parametrize("state", ["closed", "half_open"])
def test_zero_is_zero(clock, state):
    """No limit in a row is none, and open for 0 s is over at once; circuitbreaker takes 5 and 30."""
    if state == "closed":
        breaker = make(clock, consecutive=0)
        failing(breaker, 9)
    else:
        breaker = make(clock, open_for=0.0)
        failing(breaker)
    assert breaker.state == state


def refused(breaker):
    """Return the error of a refused call."""
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(pytest.fail)
    return caught.value


def test_the_refusal_travels(breaker):
    """It survives pickle, and JSON in the way of Celery's result backend, as what it was."""
    failing(breaker)
    error = refused(breaker)
    sent = json.loads(json.dumps({"type": type(error).__name__, "args": error.args}))
    for arrived in (pickle.loads(pickle.dumps(error)), CircuitOpenError(*sent["args"])):
        assert isinstance(arrived, CircuitBreakerError)
        assert vars(arrived) == vars(error)
        assert str(arrived) == str(error)


def test_the_refusal_keeps_its_text(breaker, clock):
    """It says how things were when it was raised, whatever has become of them."""
    failing(breaker)
    clock.now += 3
    error = refused(breaker)
    told = str(error)
    assert (error.target, error.retry_after, error.reason) == ("billing", 7.0, "open")
    assert error.last_failure == "builtins.OSError: gone"
    breaker.reset()
    assert str(error) == told


def test_the_refusal_says_why(breaker, clock):
    """A probe under way and an operator's will are told from a breaker that is open."""
    failing(breaker)
    clock.now += 10
    breaker.acquire()
    assert refused(breaker).reason == "half-open, probe under way"
    breaker.force_open()
    assert (refused(breaker).reason, refused(breaker).retry_after) == ("forced open", 0.0)


class DriverOpenError(CircuitOpenError, ConnectionError):
    """A refusal that a driver's users catch."""


class DriverBreaker(Breaker):
    """A breaker of a driver."""

    error = DriverOpenError


def test_the_refusal_may_be_a_drivers(clock):
    """A class given to one breaker, or set on a subclass, is raised instead."""
    for breaker in (make(clock, error=DriverOpenError), DriverBreaker("billing")):
        breaker.force_open()
        with pytest.raises(ConnectionError, match="'billing' is forced open"):
            breaker.call(pytest.fail)


def test_the_monitor_holds_none_but_decorators():
    """Breakers made by the thousand are gone with who used them."""
    before = dict(CircuitBreakerMonitor.circuit_breakers)
    breakers = [Breaker(f"host {number}") for number in range(1000)]
    for breaker in breakers:
        breaker.call(int)
        inside(breaker)
    gone = [weakref.ref(breaker) for breaker in breakers]
    del breaker, breakers
    assert not [ref for ref in gone if ref()]
    assert CircuitBreakerMonitor.circuit_breakers == before
    decorator = Breaker("decorator")
    decorator(int)
    assert CircuitBreakerMonitor.circuit_breakers.pop("decorator") is decorator


def test_no_failure_is_kept_alive(breaker):
    """Only class and text stay of an exception, none of the locals of who raised it."""

    class Held:
        pass

    held = []

    def leaky():
        local = Held()
        held.append(weakref.ref(local))
        raise OSError("gone")

    gc.disable()
    try:
        for run in (functools.partial(breaker.call, leaky), breaker(leaky)):
            with pytest.raises(OSError):
                run()
            assert held.pop()() is None
    finally:
        gc.enable()
    assert breaker.last_failure == "builtins.OSError: gone"


def test_a_failure_is_shown_without_its_secrets(breaker):
    """Its text is scrubbed and has at most 200 characters, whatever the exception does."""

    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    breaker.release(
        breaker.acquire(), FAILURE, OSError("password=hunter2hunter2 " + "x" * 999)
    )
    assert "password=" in breaker.last_failure
    assert "hunter2" not in breaker.last_failure
    assert len(breaker.last_failure) == 200
    breaker.release(breaker.acquire(), FAILURE, MuteError())
    assert breaker.last_failure.endswith("MuteError")


def test_a_judge_that_fails_replaces_nothing(clock, capfd):
    """The exception of the call comes out, says nothing, and the judge's failure is counted."""
    breaker = make(clock, is_failure=lambda error: error.status >= 500)
    failing(breaker)
    assert (breaker.state, breaker.failure_count) == ("closed", 0)
    assert shield.dropped.pop(("outcome", "breaker", "AttributeError")) == 2
    assert "telemetry.dropped" in capfd.readouterr().err


def test_the_base_class_surface_is_true(breaker, clock):
    """What dashboards of circuitbreaker read is how it is."""
    assert isinstance(breaker, CircuitBreaker)
    assert (breaker.name, str(breaker), breaker.fallback_function) == (
        "billing",
        "billing",
        None,
    )
    assert (breaker.state, breaker.closed, breaker.opened) == ("closed", True, False)
    failing(breaker)
    clock.now += 3
    assert (breaker.state, breaker.closed, breaker.opened) == ("open", False, True)
    assert (breaker.failure_count, breaker.open_remaining) == (2, 7.0)
    clock.now += 8
    assert (breaker.state, breaker.closed, breaker.opened) == ("half_open", False, False)
    assert breaker.open_remaining == 0.0
    breaker.force_open()
    assert (breaker.state, breaker.closed, breaker.opened) == ("forced_open", False, True)
    breaker.disable()
    failing(breaker, 9)
    assert (breaker.state, breaker.closed, breaker.opened) == ("disabled", True, False)
    assert breaker.snapshot().failures == 9
    breaker.reset()
    assert (breaker.state, breaker.failure_count, breaker.last_failure) == (
        "closed",
        0,
        None,
    )


def test_slow_calls_are_measured(clock):
    """The time from the beginning of a call to its end is compared with the limit."""

    def lasting(seconds):
        clock.now += seconds

    breaker = make(clock, slow_call=1.0, slow_rate=0.5, minimum_calls=4)
    for seconds in (0.9, 1.0, 0.0, 1.1):
        breaker.call(lasting, seconds)
    assert breaker.state == "open"
    assert (breaker.snapshot().slow, breaker.snapshot().failures) == (2, 0)
    clock.now += 10
    breaker.call(lasting, 1.0)
    assert breaker.state == "open"


def test_receivers_hear_of_changes(breaker, clock, changes):
    """Each change is told once, with its cause; a receiver may use the breaker."""
    states = []
    receiver = lambda _: states.append(breaker.state)  # noqa: E731 - kept alive by its name
    with signals.breaker_changed.connected_to(receiver):
        failing(breaker)
        clock.now += 10
        breaker.call(int)
        breaker.reset()
        breaker.force_open()
        breaker.disable()
        breaker.reset()
    told = [(change.before, change.after, change.cause) for change in changes]
    assert told == [
        ("closed", "open", "consecutive"),
        ("open", "half_open", "timer"),
        ("half_open", "closed", "probe"),
        ("closed", "forced_open", "forced"),
        ("forced_open", "disabled", "forced"),
        ("disabled", "closed", "reset"),
    ]
    assert states == [after for _, after, _ in told]
    assert {change.target for change in changes} == {"billing"}


async def nothing():
    """Do nothing, asynchronously."""


async def gone():
    """Fail, asynchronously."""
    raise OSError("gone")


class Service:
    """An object that is called and awaited."""

    async def __call__(self):
        """Fail."""
        raise OSError("gone")


class Method:
    """A class with a guarded method."""

    guard = Breaker("method")

    @guard
    def double(self, number):
        """Return twice the number."""
        return 2 * number


@pytest.mark.parametrize(
    "function", [gone, functools.partial(gone), Service(), functools.partial(Service())]
)
def test_all_that_is_awaited_is_guarded(breaker, function):
    """Also a partial, which has no name, and an object: its failures count."""
    guarded = breaker(function)
    assert inspect.iscoroutinefunction(guarded)
    for _ in range(2):
        with pytest.raises(OSError):
            asyncio.run(guarded())
    with pytest.raises(CircuitOpenError):
        asyncio.run(guarded())


def test_all_that_is_called_is_guarded(breaker):
    """A partial, a method, a class: arguments go in, results come out, names stay."""
    assert breaker(functools.partial(divmod, 7))(2) == (3, 1)
    assert breaker(dict)(a=1) == {"a": 1}
    assert Method().double(4) == 8
    assert Method.double.__doc__ == "Return twice the number."
    assert asyncio.run(breaker(nothing)()) is None
    assert breaker.snapshot().calls == 3
    assert Method.guard.snapshot().calls == 1


def dialogue():
    """Yield questions, take answers, survive interruptions, return a result."""
    answer = yield "first"
    try:
        yield answer
    except KeyError:
        yield "interrupted"
    return "result"


async def async_dialogue(log):
    """Do the same, and note the end."""
    try:
        answer = yield "first"
        try:
            yield answer
        except KeyError:
            yield "interrupted"
    finally:
        await asyncio.sleep(0)
        log.append("end")


def test_generators_are_as_they_were(breaker):
    """What is sent and thrown arrives, and the result comes back."""
    guarded = breaker(dialogue)
    assert inspect.isgeneratorfunction(guarded)
    for reader in (guarded(), breaker.call_generator(dialogue)):
        assert next(reader) == "first"
        assert reader.send("answer") == "answer"
        assert reader.throw(KeyError()) == "interrupted"
        with pytest.raises(StopIteration) as ended:
            next(reader)
        assert ended.value.value == "result"
    assert breaker.snapshot().calls == 2


def test_async_generators_are_as_they_were(breaker):
    """What is sent and thrown arrives; closed early or not, they come to their end."""
    log, guarded = [], breaker(async_dialogue)
    assert inspect.isasyncgenfunction(guarded)

    async def main():
        for reader in (guarded(log), breaker.call_async_generator(async_dialogue, log)):
            assert await anext(reader) == "first"
            assert await reader.asend("answer") == "answer"
            assert await reader.athrow(KeyError()) == "interrupted"
            assert [item async for item in reader] == []
        early = guarded(log)
        await anext(early)
        await early.aclose()

    asyncio.run(main())
    assert log == ["end"] * 3
    assert breaker.snapshot().calls == 2


def broken():
    """Fail after the first item."""
    yield 1
    raise OSError("gone")


async def async_broken():
    """Fail after the first item, asynchronously."""
    yield 1
    raise OSError("gone")


async def drain(reader):
    """Read an async generator to its end."""
    return [item async for item in reader]


def test_generators_count_when_they_end(breaker, clock):
    """Failing ones open, open ones refuse at the first item, and none is slow."""
    with pytest.raises(OSError):
        list(breaker(broken)())
    with pytest.raises(OSError):
        asyncio.run(drain(breaker(async_broken)()))
    assert breaker.state == "open"
    for refuse in (
        lambda: list(breaker(broken)()),
        lambda: asyncio.run(drain(breaker(async_broken)())),
    ):
        with pytest.raises(CircuitOpenError):
            refuse()
    slow = make(clock, slow_call=1.0)
    reader = slow(dialogue)()
    next(reader)
    clock.now += 100
    assert list(reader) == [None]
    assert (slow.snapshot().calls, slow.snapshot().slow) == (1, 0)


def test_a_generator_that_is_closed_early_says_nothing(breaker, clock):
    """As the probe it gives its place back, and the breaker stays half-open."""
    failing(breaker)
    clock.now += 10
    reader = breaker(dialogue)()
    next(reader)
    with pytest.raises(CircuitOpenError):
        breaker.call(int)
    reader.close()
    assert breaker.state == "half_open"
    assert breaker.call(int) == 0
    assert breaker.state == "closed"
