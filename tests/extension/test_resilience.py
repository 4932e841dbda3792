"""Guarded calls in requests: what a client gets, and the deadline of a request."""

from __future__ import annotations

import pytest

from flask_hardening.core.resilience import deadline as deadlines
from flask_hardening.resilience import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    deadline,
    guard,
)


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (CircuitOpenError("billing", 4.2), 503, "dependency_unavailable", "5"),
        (CircuitOpenError("billing"), 503, "dependency_unavailable", None),
        (BulkheadFullError("billing", 3), 503, "overloaded", None),
        (DeadlineExceededError(2.0), 504, "deadline_exceeded", None),
    ],
)
def test_what_a_client_gets(raising, error, status, code, retry_after):
    """A status that says so, when to come back, and not a word of the target."""
    answer = raising(error).get("/raise")
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == retry_after
    assert b"billing" not in answer.data


@pytest.fixture
def left(make_app):
    """Return what is left of the deadline inside a request with this header."""

    def ask(value=None, **settings):
        app = make_app(**settings)
        app.add_url_rule("/left", "left", lambda: {"left": deadlines.remaining()})
        headers = {} if value is None else {"X-Request-Timeout-Ms": value}
        found = app.test_client().get("/left", headers=headers).get_json()["left"]
        assert deadlines.remaining() is None
        return found

    return ask


def test_no_deadline_by_default(left):
    """A request has all the time it takes, whatever a stranger asks for."""
    assert left() is None
    assert left("50") is None


def test_a_deadline_for_each_request(left):
    """With `HARDENING_RESILIENCE_DEADLINE`, and a stranger's is not obeyed."""
    assert 4 < left("50", RESILIENCE_DEADLINE=5.0) <= 5


@pytest.mark.parametrize(
    ("value", "most"), [("500", 0.5), ("9000", 5), ("x", 5), ("-1", 5), ("0", 5), (None, 5)]
)
def test_a_callers_deadline(left, value, most):
    """It is obeyed where it is sooner and makes sense, if callers are trusted."""
    found = left(value, RESILIENCE_DEADLINE=5.0, RESILIENCE_TRUST_DEADLINE=True)
    assert most - 0.4 < found <= most


def test_in_a_view(make_app, read_lines):
    """A view's guarded call fails in time, and the next one is not made."""
    app = make_app(RESILIENCE_TARGETS={"geo": {"attempts": 1, "consecutive": 1}})

    @guard("geo")
    def lookup():
        raise ConnectionResetError("geo.internal")

    @app.get("/geo")
    def geo():
        with deadline(1.0):
            return lookup()

    client = app.test_client()
    assert [client.get("/geo").status_code for _ in range(2)] == [503, 503]
    assert [line["target"] for line in read_lines("breaker.opened")] == ["geo"]


@pytest.mark.parametrize(
    "settings",
    [{"RESILIENCE_TARGETS": {"geo": {"retries": 1}}}, {"RESILIENCE_DEADLINE": 0.0}],
)
def test_wrong_settings_fail_at_start(make_app, settings):
    """The key is named."""
    with pytest.raises(ValueError, match="HARDENING_RESILIENCE_"):
        make_app(**settings)
