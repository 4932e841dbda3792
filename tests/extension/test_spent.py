"""What a request has spent on databases and services: on its line, in a header, and when it is slow."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.pool import StaticPool

from flask_hardening import Hardening
from flask_hardening.resilience import protect
from flask_hardening.testing import capture_logs, fresh_process

SECRET = "hunter2"
STATEMENT = f"SELECT :id, '{SECRET}', 4711"


@pytest.fixture
def engine():
    """A protected database in memory."""
    made = protect(sa.create_engine("sqlite://", poolclass=StaticPool), name="orders")
    yield made
    made.dispose()


@pytest.fixture
def get(engine):
    """Return what gets `/` of a new app; the view makes *times* statements."""

    def get(times=1, **config):
        app = Flask("shop")
        app.config.update({"HARDENING_LOGS_OUTPUTS": (), **config})
        Hardening(app)

        @app.get("/")
        def index():
            with engine.connect() as connection:
                for number in range(times):
                    connection.execute(sa.text(STATEMENT), {"id": number})
            return ""

        with capture_logs() as lines:
            response = app.test_client().get("/")
            assert response.data == b""
        return response, lines

    with fresh_process():
        yield get


def of(lines, event):
    """Return the lines of an event."""
    return [line for line in lines if line.get("event") == event]


def test_the_requests_line(get):
    """It says how many statements were made, and how long they took."""
    (line,) = of(get(times=3)[1], "request.finished")
    assert line["db_calls"] == 3
    assert 0 < line["db_ms"] <= line["duration_ms"]
    assert "external_calls" not in line


def test_a_request_without_calls(get):
    """It says nothing of them."""
    (line,) = of(get(times=0)[1], "request.finished")
    assert not {"db_calls", "db_ms", "external_calls", "external_ms"} & line.keys()


def test_the_header(get):
    """`Server-Timing` shows them beside the app's own time."""
    response, _ = get(times=2, HARDENING_TIMINGS_SERVER_TIMING=True)
    app, db = response.headers["Server-Timing"].split(", ")
    assert app.startswith("app;dur=")
    assert db.startswith("db;dur=")
    assert db.endswith('desc="2 calls"')


def test_a_slow_statement(get):
    """It has a line of its own, without a value that stands in it."""
    _, lines = get(HARDENING_TIMINGS_SLOW_DB=1e-9)
    (line,) = of(lines, "db.slow")
    assert (line["target"], line["times"]) == ("orders", 1)
    assert line["statement"] == "SELECT ?, ?, ?"
    assert SECRET not in str(lines)
    assert line["correlation_id"]


@pytest.mark.parametrize(("times", "told"), [(19, 0), (20, 1), (60, 1)])
def test_the_same_statement_again_and_again(get, times, told):
    """A query in a loop is told of once for a request."""
    _, lines = get(times=times)
    assert len(of(lines, "db.repeated")) == told


def test_switched_off(get):
    """Without thresholds nobody is told of anything."""
    _, lines = get(times=30, HARDENING_TIMINGS_SLOW_DB=0.0)
    assert not of(lines, "db.slow") + of(lines, "db.repeated")
