"""Telemetry that fails is counted and said once; it never reaches its host, nor holds a fork."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flask_hardening.core import shield
from flask_hardening.core.shield import drop, shielded


def test_what_succeeds_passes():
    """Arguments go in, the result comes out, nothing is counted."""
    assert shielded("log", "x", divmod, 7, 2) == (3, 1)


def test_what_fails_is_counted_and_said_once(capfd):
    """Each kind of loss has one line on stderr, and a count."""

    def fail(error):
        raise error

    for error in (ValueError(), ValueError(), KeyError("hunter2")):
        assert shielded("metric", "store", fail, error) is None
    assert shield.dropped == {
        ("metric", "store", "ValueError"): 2,
        ("metric", "store", "KeyError"): 1,
    }
    err = capfd.readouterr().err
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["reason"] for line in lines] == ["ValueError", "KeyError"]
    assert all(line["event"] == "telemetry.dropped" for line in lines)
    assert "hunter2" not in err
    shield.dropped.clear()


def test_what_ends_the_process_passes():
    """A shield stops failures, not `SystemExit`."""
    with pytest.raises(SystemExit):
        shielded("log", "x", sys.exit, 3)


def test_stderr_that_is_closed_costs_nothing(monkeypatch):
    """A loss that can't be said is still counted."""
    monkeypatch.setattr(shield, "_STDERR", 10_000)
    drop("log", "x", "y")
    assert shield.dropped.pop(("log", "x", "y")) == 1


def test_kinds_are_bounded(capfd):
    """Reasons that come from outside don't grow the count without end; none is forgotten."""
    for number in range(1000):
        drop("log", "x", f"reason {number}")
    assert len(shield.dropped) <= 101
    assert sum(shield.dropped.values()) == 1000
    assert capfd.readouterr().err.count("telemetry.dropped") <= 101
    shield.dropped.clear()


def test_a_loss_while_a_loss_is_counted(capfd, monkeypatch):
    """A signal handler that logs while the lock is held neither hangs nor goes uncounted."""
    real = shield._count

    def interrupted():
        monkeypatch.setattr(shield, "_count", real)
        drop("log", "handler", "inner")
        return real()

    monkeypatch.setattr(shield, "_count", interrupted)
    drop("log", "x", "outer")
    assert shield.dropped == {("log", "x", "outer"): 1, ("log", "handler", "inner"): 1}
    shield.dropped.clear()


SCRIPT = """
import os, threading
from flask_hardening.core import shield
held = threading.Event()
done = threading.Event()
def hold():
    with shield._lock:
        held.set()
        done.wait(30)
thread = threading.Thread(target=hold)
thread.start()
held.wait(30)
child = os.fork()
if child == 0:
    shield.drop("log", "x", "after fork")
    os._exit(7)
done.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_while_the_lock_is_held():
    """A child that was forked while another thread counted a loss can count its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "7\n"
    assert done.stderr.count("telemetry.dropped") == 1
