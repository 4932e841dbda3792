"""How long it took: in the headers of each response, and a line for slow requests."""

from __future__ import annotations

import re
import time

import pytest
from flask import Response

MILLISECONDS = re.compile(r"\d+\.\d\dms")
SERVER_TIMING = re.compile(r"app;dur=\d+\.\d\d")


@pytest.mark.parametrize("path", ["/ok", "/nowhere", "/boom"])
def test_every_response_tells_its_time(client, path):
    """`X-Response-Time` has milliseconds with two digits, once."""
    (value,) = client.get(path).headers.getlist("X-Response-Time")
    assert MILLISECONDS.fullmatch(value)


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, False),
        ({"debug": True}, True),
        ({"ENVIRONMENT": "development"}, True),
        ({"TIMINGS_SERVER_TIMING": True}, True),
        ({"TIMINGS_SERVER_TIMING": False, "debug": True}, False),
    ],
)
def test_server_timing_is_for_development(make_app, settings, sent):
    """`Server-Timing` is off in production unless it is set."""
    headers = make_app(**settings).test_client().get("/ok").headers
    assert ("Server-Timing" in headers) is sent
    if sent:
        assert SERVER_TIMING.fullmatch(headers["Server-Timing"])


def test_a_server_timing_of_the_apps_own_stays(make_app):
    """Where we send none, what the app tells in it is the app's."""
    app = make_app()
    app.add_url_rule("/own", "own", lambda: ("x", {"Server-Timing": "db;dur=5"}))
    assert app.test_client().get("/own").headers["Server-Timing"] == "db;dur=5"


def test_the_part_switched_off(make_app, read_lines):
    """Without the part there is neither header nor line."""
    app = make_app(TIMINGS_ENABLED=False, TIMINGS_SLOW=0.000001)
    response = app.test_client().get("/ok")
    assert response.data
    assert "X-Response-Time" not in response.headers
    assert [line["event"] for line in read_lines()] == ["request.finished"]


def test_a_slow_request_has_a_line_of_its_own(make_app, read_lines):
    """Over the threshold `request.slow` comes before the finishing line, under its ids."""
    client = make_app(TIMINGS_SLOW=0.000001).test_client()
    client.get("/ok").get_data()
    slow, finished = read_lines()
    assert (slow["event"], slow["level"]) == ("request.slow", "WARNING")
    assert (slow["method"], slow["route"], slow["path"]) == ("GET", "/ok", "/ok")
    assert slow["duration_ms"] == finished["duration_ms"]
    assert slow["threshold_ms"] == 0.001
    assert slow["request_id"] == finished["request_id"]


@pytest.mark.parametrize(
    ("settings", "slow"),
    [
        ({}, False),
        ({"TIMINGS_SLOW": 0}, False),
        ({"TIMINGS_SLOW": 60, "TIMINGS_SLOW_ROUTES": {"/ok": 0.000001}}, True),
        ({"TIMINGS_SLOW": 0.000001, "TIMINGS_SLOW_ROUTES": {"/ok": 60}}, False),
        ({"TIMINGS_SLOW": 0.000001, "TIMINGS_SLOW_ROUTES": {"/ok": 0}}, False),
        ({"TIMINGS_SLOW": 0.000001, "TIMINGS_SLOW_ROUTES": {"/other": 60}}, True),
    ],
)
def test_the_threshold_can_be_the_routes_own(make_app, read_lines, settings, slow):
    """A route's own threshold counts more than the common one; 0 switches it off."""
    make_app(**settings).test_client().get("/ok").get_data()
    assert bool(read_lines("request.slow")) is slow


def test_the_line_counts_to_the_last_byte_and_the_header_to_the_first(
    app, client, read_lines
):
    """A slow stream is slow in its line, while its headers went out at once."""

    def body():
        yield b"a"
        time.sleep(0.05)
        yield b"b"

    app.add_url_rule("/stream", "stream", lambda: Response(body()))
    response = client.get("/stream")
    header = float(response.headers["X-Response-Time"].removesuffix("ms"))
    assert response.data == b"ab"
    (line,) = read_lines("request.finished")
    assert line["duration_ms"] >= header + 50
