"""Breakers of several processes are one: they open, probe and close together, or each alone."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from flask_hardening.core import process, settings, shield, signals
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import board as boards
from flask_hardening.core.resilience import boardfile, targets
from flask_hardening.core.resilience.board import Board, Entry
from flask_hardening.core.resilience.boardfile import BoardBrokenError
from flask_hardening.core.resilience.breaker import Outcome
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.options import BreakerConfig
from flask_hardening.core.resilience.shared import SharedBreaker


class Clock:
    """Seconds that pass when told to."""

    now = 1000.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def clock():
    """Return a clock that stands."""
    return Clock()


@pytest.fixture
def board(tmp_path):
    """Return an empty board."""
    made = Board(str(tmp_path / "board"))
    yield made
    made.close()


@pytest.fixture
def make(board, clock):
    """Make a breaker on the board; each stands for another process's."""

    def make(name="billing", **config):
        values = {"consecutive": 2, "open_for": 10.0, "jitter": 0.0, **config}
        return SharedBreaker(name, BreakerConfig(**values), board=board, clock=clock)

    return make


@pytest.fixture
def one_of(monkeypatch):
    """Let what follows be done as by this or that process, to the board's mind."""
    return lambda number: monkeypatch.setattr(boardfile.this, "token", number)


@pytest.fixture
def changes():
    """Return a list of the changes that receivers are told of."""
    told = []
    with signals.breaker_changed.connected_to(told.append):
        yield told


def fail(breaker, times=2):
    """Make calls that fail."""

    def gone():
        raise ConnectionRefusedError("gone")

    for _ in range(times):
        with pytest.raises(OSError, match="gone"):
            breaker.call(gone)


def refused(breaker):
    """Tell whether a call is not made."""
    try:
        return breaker.call(lambda: False)
    except CircuitOpenError:
        return True


def in_child(work):
    """Return the exit code of work that is done in a child: 0 if it is true, 2 if not."""
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return pid


def code_of(pid):
    """Return a child's exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_one_opens_and_the_other_lets_nothing_through(make, clock, changes):
    """Without a call of its own, until the same moment."""
    one, two = make(), make()
    fail(one)
    clock.now += 4
    with pytest.raises(CircuitOpenError) as caught:
        two.call(pytest.fail)
    assert caught.value.retry_after == 6.0
    told = [(change.after, change.cause, change.open_for) for change in changes]
    assert told == [("open", "consecutive", 10.0), ("open", "shared", 6.0)]


def test_failures_in_a_row_are_those_of_all(make):
    """Each process sees one of two failures, and the second opens it for both."""
    one, two = make(consecutive=3), make(consecutive=3)
    fail(one, 2)
    assert one.state == "closed"
    fail(two, 1)
    assert (one.state, two.state) == ("open", "open")


def test_a_success_anywhere_ends_the_row(make):
    """As it does within a process."""
    one, two = make(), make()
    fail(one, 1)
    assert not refused(two)
    fail(one, 1)
    assert one.state == "closed"


def test_a_late_success_does_not_end_the_row(make):
    """It began before the breaker was reset, and says nothing of what came after."""
    one, two = make(), make()
    late = two.acquire()
    one.reset()
    fail(one, 1)
    two.state  # noqa: B018 - looks at the board
    two.release(late, Outcome.SUCCESS)
    fail(one, 1)
    assert one.state == "open"


def test_rates_are_each_ones_own_and_open_all(make):
    """What one has seen too much of keeps the other from calling as well."""
    one, two = make(consecutive=0, minimum_calls=2), make(consecutive=0, minimum_calls=2)
    fail(one, 1)
    fail(two, 1)
    assert not one.opened
    fail(one, 1)
    assert two.opened


def test_one_probes_for_all_and_closes_for_all(make, clock, one_of, changes):
    """While its probe is under way, the other's calls are refused; then both pass."""
    one, two = make(), make()
    fail(one)
    assert two.opened
    clock.now += 10
    one_of(1)
    probe = one.acquire()
    one_of(2)
    with pytest.raises(CircuitOpenError, match="half-open, probe under way"):
        two.acquire()
    assert two.snapshot().rejected == 1
    one_of(1)
    one.release(probe, Outcome.SUCCESS)
    one_of(2)
    assert not refused(two)
    assert (changes[-1].after, changes[-1].cause) == ("closed", "shared")


def test_a_failed_probe_opens_for_all_and_for_longer(make, clock, one_of):
    """The other process doubles from where the first one was."""
    one, two = make(), make()
    fail(one)
    assert two.opened
    clock.now += 10
    one_of(1)
    fail(one, 1)
    clock.now += 19
    assert two.open_remaining == 0  # as it last looked
    one_of(2)
    assert refused(two)
    assert two.open_remaining == 1
    clock.now += 1
    fail(two, 1)
    assert two.open_remaining == 40


def test_a_probe_that_says_nothing_is_given_back(make, clock, one_of):
    """A cancelled one would else keep the others waiting for its lease."""
    one, two = make(), make()
    fail(one)
    clock.now += 10
    one_of(1)
    one.release(one.acquire(), Outcome.NEUTRAL)
    one_of(2)
    assert not refused(two)
    assert two.closed


def test_a_prober_that_died_holds_nobody_up_for_longer_than_its_lease(make, clock):
    """The child has the probe and is gone; the parent's comes when the lease has ended."""
    breaker = make(probe_lease=5.0)
    fail(breaker)
    clock.now += 10
    assert code_of(in_child(lambda: breaker.acquire().token is not None)) == 0
    assert refused(breaker)
    clock.now += 5.1
    assert not refused(breaker)
    assert breaker.closed


def test_four_processes_send_one_probe(board):
    """All are there when it is due, by the real clock; one call is made, by one of them."""
    config = BreakerConfig(consecutive=1, open_for=0.5, jitter=0.0)
    breaker = SharedBreaker("billing", config, board=board)
    fail(breaker, 1)
    reading, writing = os.pipe()
    end = time.monotonic() + 1.2

    def call():
        def probed():
            os.write(writing, b"x")
            time.sleep(end + 0.3 - time.monotonic())  # longer than anybody asks

        while time.monotonic() < end:
            with contextlib.suppress(CircuitOpenError):
                breaker.call(probed)
            time.sleep(0.001)
        return True

    children = [in_child(call) for _ in range(4)]
    codes = [code_of(child) for child in children]
    os.close(writing)
    with os.fdopen(reading, "rb") as probes:
        assert (codes, probes.read()) == ([0] * 4, b"x")
    assert breaker.closed


def test_a_child_opens_what_its_parent_has(make):
    """The board is inherited by a fork, as gunicorn's and Celery's."""
    breaker = make()
    child = in_child(lambda: fail(breaker) or breaker.opened)
    assert code_of(child) == 0
    assert refused(breaker)


@pytest.mark.parametrize(
    ("command", "state"),
    [("force_open", "forced_open"), ("disable", "disabled"), ("reset", "closed")],
)
def test_commands_hold_in_all_processes(make, changes, command, state):
    """Whatever each had seen before, and said once."""
    one, two = make(), make()
    fail(one)
    getattr(two, command)()
    assert (one.state, two.state) == (state, state)
    assert one.state == state
    assert [c.cause for c in changes if c.after == state] == [
        "reset" if command == "reset" else "forced",
        "shared",
    ]


def test_a_command_wins_over_what_was_under_way(make, clock, one_of):
    """The probe succeeds after somebody has opened it by hand: it stays open."""
    one, two = make(), make()
    fail(one)
    clock.now += 10
    probe = one.acquire()
    two.force_open()
    one.release(probe, Outcome.SUCCESS)
    assert (one.state, two.state) == ("forced_open", "forced_open")


def test_a_reset_reaches_who_saw_nothing_of_the_opening(make):
    """Its failures so far are forgotten, as they are where the reset was made."""
    one, two = make(consecutive=0, minimum_calls=2), make(consecutive=0, minimum_calls=2)
    fail(two, 1)
    one.reset()
    assert two.snapshot().calls == 0


def test_a_reset_by_who_makes_no_calls_ends_the_row(make, board):
    """As that of the command line: the failures before it count no more."""
    breaker = make()
    fail(breaker, 1)
    board.publish(board.slot("billing"), lambda _: Entry("closed"))
    fail(breaker, 1)
    assert breaker.state == "closed"


def test_a_reset_that_nobody_is_told_of_ends_the_row(make):
    """The lock is held; in this process the failures before it count no more."""
    breaker = make()
    fail(breaker, 1)
    with boardfile.this.lock:
        breaker.reset()
    fail(breaker, 1)
    assert breaker.state == "closed"
    assert shield.dropped.pop(("breaker", "board", "BoardBusyError")) == 1


def test_who_found_the_lock_held_at_first_joins_later(make, board):
    """At its next change the others hear of it."""
    with boardfile.this.lock:
        breaker = make()
    assert board.entries() == {}
    fail(breaker)
    breaker.reset()
    breaker.force_open()
    assert board.entries()["billing"].state == "forced_open"
    assert shield.dropped.pop(("breaker", "board", "BoardBusyError")) == 1


def test_a_new_process_joins_as_things_stand(make, clock):
    """What is open is open from its first call on."""
    fail(make())
    assert refused(make())
    clock.now += 10
    assert not refused(make())


def test_what_is_due_later_than_can_be_is_void(make, board, clock):
    """It was written before the host was started, where no boot id tells."""
    breaker = make(open_max=120.0)
    board.publish(board.slot("billing"), lambda _: Entry("open", clock.now + 121))
    assert not refused(breaker)


def test_a_stopped_process_that_holds_the_lock_stops_nobody(board):
    """Each goes on by itself, soon, and loses no more than the news."""
    config = BreakerConfig(consecutive=2, open_for=0.2, jitter=0.0)
    breaker = SharedBreaker("billing", config, board=board)
    reading, writing = os.pipe()

    def hold():
        with board._held():
            os.write(writing, b"x")
            time.sleep(20)

    child = in_child(hold)
    try:
        os.read(reading, 1)
        os.kill(child, signal.SIGSTOP)
        begun = time.monotonic()
        fail(breaker)
        assert refused(breaker)
        time.sleep(0.3)
        assert not refused(breaker)
        assert breaker.closed
        other = SharedBreaker("new", config, board=board)
        fail(other)
        assert refused(other)
        assert time.monotonic() - begun < 1.5
        assert shield.dropped.pop(("breaker", "board", "BoardBusyError")) >= 4
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    fail(breaker)
    assert board.entries()["billing"].state == "open"


def test_a_file_that_was_overwritten_breaks_no_call(make, tmp_path, changes):
    """The breaker goes on by itself, and it is counted."""
    breaker = make()
    fail(breaker, 1)
    path = tmp_path / "board"
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    assert not refused(breaker)
    fail(breaker)
    assert refused(breaker)
    breaker.reset()
    assert not refused(breaker)
    for _ in range(100):
        assert not refused(breaker)  # without another look at the board
    assert {key[:2] for key in shield.dropped} == {("breaker", "board")}
    assert shield.dropped.total() < 10
    shield.dropped.clear()


def test_a_full_board_breaks_no_call(make, board):
    """The breaker goes on by itself, and it is counted."""
    for number in range(boards.SLOTS):
        board.slot(f"host {number}")
    one, two = make(), make()
    fail(one)
    assert refused(one)
    assert not refused(two)
    assert shield.dropped.pop(("breaker", "board", "BoardFullError")) >= 2


def test_the_targets_of_a_process_share_by_the_setting(tmp_path):
    """Two processes with the same settings have one board, each host its place on it."""
    path = str(tmp_path / "board")
    config = settings.Resilience(shared=path)
    found = targets.set_up(config, "a test")
    breaker = found.target("http", changes={"consecutive": 3}).breaker("api:443")
    fail(breaker, 3)
    assert list(found.board.entries()) == ["http (api:443)"]
    outside = process.swap({})
    other = targets.set_up(config, "another")
    assert refused(other.target("http").breaker("api:443"))
    assert not refused(other.target("http").breaker("other:443"))
    process.close_all()
    process.swap(outside)
    with pytest.raises(BoardBrokenError):
        other.board.slot("of a closed one")


def test_without_the_setting_nothing_is_shared():
    """A breaker is an ordinary one, at no further cost."""
    found = targets.set_up(settings.Resilience(), "a test")
    assert not isinstance(found.target("geo").breaker(), SharedBreaker)
    assert found.board is None


def test_two_apps_with_different_files_are_refused(tmp_path):
    """The error names the setting and both values."""
    targets.set_up(settings.Resilience(shared=str(tmp_path / "a")), "one")
    with pytest.raises(ConfigError, match=r"HARDENING_RESILIENCE_SHARED is '.*/a' for one"):
        targets.set_up(settings.Resilience(shared=str(tmp_path / "b")), "two")
