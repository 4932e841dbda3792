"""Targets: what is set for them, how many breakers they have, and that they are told of."""

from __future__ import annotations

import pytest

from flask_hardening.core import settings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.guard import guard
from flask_hardening.core.resilience.retry import no_backoff
from flask_hardening.testing import fresh_process


def set_up(**entries):
    """Set up the process's targets."""
    return targets.set_up(settings.Resilience(targets=entries), "a test")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"atempts": 3.0}, "'atempts', which is no option. The nearest one is 'attempts'"),
        ({"attempts": 2.5}, "['attempts'] = 2.5 must be a whole number"),
        ({"attempts": 0.0}, "attempts = 0"),
        ({"attempts": 9.0}, "would open the breaker"),
        ({"open_for": -1.0}, "open_for"),
        ({"failure_rate": None}, "TARGETS['billing']"),
    ],
)
def test_wrong_options_fail_at_start(entry, problem):
    """The key, the option and the fix are named."""
    with pytest.raises(ConfigError) as caught:
        set_up(billing=entry)
    assert problem in str(caught.value)
    assert "HARDENING_RESILIENCE_TARGETS['billing']" in str(caught.value)


def test_options_come_from_the_profile_the_code_and_the_settings():
    """Each goes over the one before."""
    all_targets = set_up(**{"*": {"window": 60.0}, "cache": {"open_for": 1.0}})
    options = all_targets.target("cache", "redis", {"attempts": 3, "open_for": 2.0}).options
    assert (options.attempts, options.window, options.open_for) == (3, 60.0, 1.0)
    assert options.wait_initial == 0.02


def test_hosts_have_breakers_of_their_own():
    """One dead host closes no other, and their number has a bound."""
    target = set_up().target("billing")
    assert target.breaker("a:80") is target.breaker("a:80")
    assert target.breaker("a:80") is not target.breaker("b:80")
    for number in range(1000):
        target.breaker(f"host-{number}")
    assert len(target.breakers()) == 257
    assert target.breaker("host-998") is target.breaker("host-999")


def test_what_they_do_is_logged(set_up_logs, read_lines):
    """Retries, their end, and each state of a breaker, without the secrets of an error."""
    set_up_logs()
    set_up()

    def call():
        raise ConnectionError("redis://:hunter2@cache:6379 is down")

    guarded = guard("cache", idempotent=True, attempts=2, consecutive=2)(call)
    with no_backoff(), pytest.raises(ConnectionError):
        guarded()
    target = targets.active().target("cache")
    target.breaker().reset()
    lines = read_lines()
    found = [(line["level"], line["event"]) for line in lines]
    assert found == [
        ("WARNING", "retry.scheduled"),
        ("ERROR", "breaker.opened"),
        ("WARNING", "retry.gave_up"),
        ("INFO", "breaker.closed"),
    ]
    assert {line["target"] for line in lines} == {"cache"}
    assert (lines[0]["attempt"], lines[0]["attempts"]) == (1, 2)
    assert lines[0]["error_type"] == "builtins.ConnectionError"
    assert lines[1]["cause"] == "consecutive"
    assert lines[1]["open_for_s"] > 0
    assert "hunter2" not in str(lines)


def test_deadlines_are_each_apps_own():
    """Two apps of a process may give their requests different times; they share the targets."""
    with fresh_process():
        first = targets.set_up(settings.Resilience(deadline=2.0), "one")
        assert targets.set_up(settings.Resilience(trust_deadline=True), "two") is first
        with pytest.raises(ConfigError, match="RESILIENCE_TARGETS"):
            targets.set_up(settings.Resilience(targets={"geo": {"attempts": 2}}), "three")
