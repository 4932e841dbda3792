"""Many at once, threads, tasks, greenlets or processes, get through a breaker as few as may."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter

import pytest

from flask_hardening.core import signals
from flask_hardening.core.resilience.breaker import Breaker, Outcome
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.options import BreakerConfig

HERD = 50
ROUNDS = 5


class Clock:
    """Seconds that pass when told to."""

    now = 1000.0

    def __call__(self):
        """Return the time."""
        return self.now


def half_open(probes, **more):
    """Return a breaker that is open and due."""
    clock = Clock()
    config = BreakerConfig(consecutive=1, jitter=0.0, probes=probes)
    breaker = Breaker("herd", config, clock=clock, **more)
    breaker.release(breaker.acquire(), Outcome.FAILURE, OSError())
    clock.now += config.open_for
    return breaker


def run_threads(*targets):
    """Run each in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


@pytest.fixture
def _hasty():
    """Have threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("ends", ["well", "badly"])
@pytest.mark.parametrize("probes", [1, 3])
@pytest.mark.usefixtures("_hasty")
def test_a_herd_of_threads(probes, ends):
    """Of fifty threads on a half-open breaker as many reach the target as there are probes."""
    for _ in range(ROUNDS):
        breaker, together = half_open(probes), threading.Barrier(HERD)
        answered, seen = threading.Event(), []

        def reach(answered=answered, seen=seen):
            seen.append("reached")
            assert answered.wait(30)
            if ends == "badly":
                raise OSError

        def come(
            breaker=breaker, together=together, answered=answered, seen=seen, reach=reach
        ):
            together.wait(30)
            try:
                breaker.call(reach)
            except CircuitOpenError:
                seen.append("refused")
            except OSError:
                pass
            if seen.count("refused") == HERD - probes:
                answered.set()

        run_threads(*[come] * HERD)
        assert Counter(seen) == {"reached": probes, "refused": HERD - probes}
        assert breaker.state == ("closed" if ends == "well" else "open")
        assert breaker.snapshot().rejected == HERD - probes


@pytest.mark.parametrize("probes", [1, 3])
def test_a_herd_of_tasks(probes):
    """The same for tasks: the others are refused at once, and don't wait for the probe."""
    reached = []

    async def main():
        breaker, refused = half_open(probes), asyncio.Event()

        @breaker
        async def reach():
            reached.append(1)
            await refused.wait()
            raise OSError

        tasks = [asyncio.create_task(reach()) for _ in range(HERD)]
        await asyncio.sleep(0)  # each has come to where it waits, or was refused
        refused.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert Counter(map(type, ends)) == {
            OSError: probes,
            CircuitOpenError: HERD - probes,
        }

    asyncio.run(main())
    assert len(reached) == probes


def run_script(script, *arguments):
    """Run a program, and return what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import json, sys
import gevent
from collections import Counter
from gevent.event import Event
from flask_hardening.core.resilience.breaker import Breaker, Outcome
from flask_hardening.core.resilience.options import BreakerConfig
from flask_hardening.core.resilience.errors import CircuitOpenError

probes = int(sys.argv[1])
now = [1000.0]
config = BreakerConfig(consecutive=1, jitter=0.0, probes=probes)
breaker = Breaker("herd", config, clock=lambda: now[0])
def trip():
    breaker.reset()
    breaker.release(breaker.acquire(), Outcome.FAILURE, OSError())
    now[0] += config.open_for
seen, refused = Counter(), Event()
def reach():
    seen["reached"] += 1
    assert refused.wait(30)
    raise OSError
def come():
    try:
        with breaker:
            reach()
    except CircuitOpenError:
        seen["refused"] += 1
    except OSError:
        seen["failed"] += 1
    if seen["refused"] == 50 - probes:
        refused.set()
trip()
gevent.joinall([gevent.spawn(come) for _ in range(50)], timeout=30, raise_error=True)
after = [breaker.state]
trip()
try:
    with gevent.Timeout(0.01):
        breaker.call(gevent.sleep, 60)
except gevent.Timeout:
    after.append(breaker.state)
killed = gevent.spawn(breaker.call, gevent.sleep, 60)
gevent.sleep(0)
killed.kill()
after.append(breaker.state)
breaker.call(int)
print(json.dumps([dict(seen), [*after, breaker.state]]))
"""


@pytest.mark.parametrize("probes", [1, 3])
def test_a_herd_of_greenlets(probes):
    """The same for greenlets; a time limit or a kill gives a probe's place back."""
    seen, states = run_script(GREENLETS, probes)
    assert seen == {"reached": probes, "failed": probes, "refused": HERD - probes}
    closed = "closed" if probes == 1 else "half_open"
    assert states == ["open", "half_open", "half_open", closed]


def test_healthy_calls_are_parallel():
    """Ten calls are under way at once: nothing is held while a call is."""
    breaker, together = Breaker("parallel"), threading.Barrier(10)
    run_threads(*[lambda: breaker.call(together.wait, 10)] * 10)
    assert not together.broken
    assert breaker.snapshot().calls == 10


@pytest.mark.usefixtures("_hasty")
def test_no_count_is_lost():
    """Eight threads that fail and are refused without end leave exact sums."""
    breaker, each = Breaker("counted", clock=Clock()), 1000
    breaker.disable()

    def fail():
        for _ in range(each):
            breaker.release(breaker.acquire(), Outcome.FAILURE)

    def be_refused():
        for _ in range(each):
            with pytest.raises(CircuitOpenError):
                breaker.acquire()

    run_threads(*[fail] * 8)
    assert breaker.failure_count == breaker.snapshot().failures == 8 * each
    breaker.force_open()
    run_threads(*[be_refused] * 8)
    assert breaker.snapshot().rejected == 8 * each


def in_another_thread(call):
    """Tell whether a call comes back in another thread, and with what."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(5)
    return results


def test_a_closed_breaker_lets_pass_without_its_lock():
    """Who holds the lock holds nobody up who comes to a healthy target."""
    breaker = half_open(1)
    breaker.call(int)
    for _ in range(2):
        with breaker._lock:
            assert in_another_thread(breaker.acquire)
        breaker.disable()


def test_a_finalizer_may_come_in_between():
    """Code that runs while the lock is held, in the same thread, can use the breaker."""
    breaker = half_open(1)
    with breaker._lock:
        assert breaker.call(int) == 0
    assert breaker.state == "closed"


class Watched:
    """A lock that tells whether it is held."""

    held = False

    def __enter__(self):
        self.held = True

    def __exit__(self, *_):
        self.held = False


def test_others_are_called_without_the_lock():
    """Target, receivers, clock, chance, judge and error may wait for who needs the breaker."""
    called, lock = [], Watched()

    def note(name, result=None):
        def look(*_):
            called.append((name, lock.held))
            return result

        return look

    class NotedError(CircuitOpenError):
        def __init__(self, *args):
            super().__init__(*args)
            note("error")()

    def fail():
        note("target")()
        raise OSError

    async def succeed():
        note("target")()

    receiver = note("receiver")
    breaker = Breaker(
        "polite",
        BreakerConfig(consecutive=1, open_for=0.0),
        is_failure=note("judge", result=True),
        error=NotedError,
        clock=note("clock", 1000.0),
        random=note("chance", 0.5),
    )
    breaker._lock = lock
    with signals.breaker_changed.connected_to(receiver):
        for _ in range(2):
            with pytest.raises(OSError):
                breaker.call(fail)
        asyncio.run(breaker.call_async(succeed))
        with breaker:
            note("target")()
        breaker.snapshot()
        breaker.force_open()
        with pytest.raises(NotedError):
            breaker.call(fail)
        breaker.reset()
    assert {name for name, _ in called} == set(
        "target receiver judge error clock chance".split()
    )
    assert not any(held for _, held in called)


def test_states_are_changed_with_the_lock(monkeypatch):
    """Where Python itself happens to lose no count, others would."""
    called, breaker = {}, half_open(1)
    breaker._lock = lock = Watched()

    def watch(name, real):
        def look(*args, **kwargs):
            called[name] = lock.held
            return real(*args, **kwargs)

        monkeypatch.setattr(breaker._states, name, look)

    for name in ("admit", "settle", "command", "tally"):
        watch(name, getattr(breaker._states, name))
    breaker.call(int)
    breaker.reset()
    breaker.snapshot()
    assert called == dict.fromkeys(("admit", "settle", "command", "tally"), True)


FORK = """
import json, os, signal, threading
from flask_hardening.core.resilience.breaker import Breaker, Outcome
from flask_hardening.core.resilience.options import BreakerConfig
now = [1000.0]
breakers = [
    Breaker(name, BreakerConfig(consecutive=1, jitter=0.0), clock=lambda: now[0])
    for name in ("closed", "due")
]
breakers[1].release(breakers[1].acquire(), Outcome.FAILURE)
now[0] += 10
probe = breakers[1].acquire()
held, done = threading.Event(), threading.Event()
def hold():
    with breakers[0]._lock, breakers[1]._lock:
        held.set()
        done.wait(30)
thread = threading.Thread(target=hold)
thread.start()
held.wait(30)
def use():
    breakers[0].release(breakers[0].acquire(), Outcome.FAILURE)
    breakers[1].release(probe, Outcome.FAILURE)  # its parent's
    late = breakers[1].snapshot().late
    breakers[1].call(int)
    return [late, *(breaker.state for breaker in breakers)]
read, write = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(10)
    os.write(write, json.dumps(use()).encode())
    os._exit(0)
os.close(write)
done.set()
thread.join()
os.waitpid(child, 0)
told = os.read(read, 1000)
print(json.dumps([json.loads(told or "null"), [breaker.state for breaker in breakers]]))
"""


def test_a_fork_while_the_lock_is_held():
    """A child has its own lock, none of its parent's probes, and its own state from then on."""
    child, parent = run_script(FORK)
    assert child == [1, "open", "closed"]
    assert parent == ["closed", "half_open"]
