"""What guarded calls do, as log lines: each once, and in an outage not one for each call."""

from __future__ import annotations

import time

import pytest

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import lines, targets
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.guard import guard
from flask_hardening.core.settings import Resilience
from flask_hardening.testing import capture_logs, fresh_process, no_backoff


@pytest.fixture(autouse=True)
def logged(set_up_logs):
    """Collect the lines of a process of the test's own."""
    with fresh_process(), no_backoff():
        set_up_logs(level="DEBUG", outputs=())
        targets.set_up(Resilience(), "the test")
        with capture_logs() as records:
            yield records


def events(records):
    """Return what was told, in order."""
    return [record["event"] for record in records]


def dead():
    """Fail as a target does that is gone."""
    raise ConnectionRefusedError("nobody there")


def test_an_outage(logged):
    """Its retries, the opening and the first rejection have a line; further ones are counted."""
    call = guard("geo", attempts=2, consecutive=3, budget=1.0)(dead)
    for _ in range(5):
        with pytest.raises(Exception, match=r"nobody there|open"):
            call()
    assert events(logged) == [
        "retry.scheduled",
        "retry.gave_up",
        "breaker.opened",
        "retry.scheduled",
        "retry.gave_up",
        "breaker.rejected",
    ]
    rejected = logged[-1]
    assert (rejected["target"], rejected["times"]) == ("geo", 1)
    assert rejected["error_type"].endswith("CircuitOpenError")


def test_a_rejection_is_told_once(logged):
    """By the guard that rejected the call, not by those around it."""
    inner = guard("geo", attempts=1, consecutive=1)(dead)
    outer = guard("billing", attempts=1)(inner)
    with pytest.raises(ConnectionRefusedError):
        outer()
    with pytest.raises(Exception, match="open"):
        outer()
    rejections = [r["target"] for r in logged if r["event"] == "breaker.rejected"]
    assert rejections == ["geo"]


def test_counts_since_the_last_line(logged, monkeypatch):
    """The next line says how many were not told of."""
    call = guard("geo", attempts=1, consecutive=1)(dead)
    for _ in range(4):
        with pytest.raises(Exception, match=r"nobody|open"):
            call()
    monkeypatch.setattr(lines, "_EVERY", 0.0)
    with pytest.raises(Exception, match="open"):
        call()
    assert [r["times"] for r in logged if r["event"] == "breaker.rejected"] == [1, 3]


def test_a_late_call(logged):
    """A call that would have begun too late has its line."""
    call = guard("geo")(list)
    with deadline(0.001):
        time.sleep(0.002)
        with pytest.raises(TimeoutError):
            call()
    assert events(logged) == ["deadline.exceeded"]


def test_a_full_bulkhead(logged):
    """So has one of which there are too many."""
    with guard("geo", limit=1), pytest.raises(Exception, match="under way"):
        guard("geo")(list)()
    assert events(logged) == ["bulkhead.full"]


def test_a_fallback(logged):
    """And one for which something else stood in."""
    assert guard("geo", attempts=1, fallback="somewhere")(dead)() == "somewhere"
    assert events(logged) == ["fallback.used"]
    assert logged[0]["error"] == "nobody there"


def test_an_exhausted_budget(logged):
    """Retries that end for all calls are told as such."""
    call = guard("geo", attempts=2, consecutive=0, failure_rate=1.0, minimum_calls=999)(
        dead
    )
    for _ in range(20):
        with pytest.raises(ConnectionRefusedError):
            call()
    assert events(logged).count("budget.exhausted") == 1
    assert events(logged).count("retry.scheduled") <= 20 * 0.2 + 11


def test_targets_before_the_settings():
    """Who had called already when they were read doesn't get every line twice, nor none."""
    first, second = lines.connect(), lines.connect()
    with capture_logs() as records:
        assert guard("geo", attempts=1, fallback=1)(dead)() == 1
        first()
        assert guard("auth", attempts=1, fallback=1)(dead)() == 1
    second()
    assert events(records) == ["fallback.used"] * 2


def test_the_error_of_an_impossible_option_says_what_is_possible():
    """It names the option and its value."""
    with pytest.raises(ConfigError, match=r"window = -1.*positive"):
        guard("geo", window=-1.0)
