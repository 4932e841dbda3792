"""One finishing line per request, with what operators ask for and no more."""

from __future__ import annotations

import pytest
from flask import Response, request

from flask_hardening.testing import fresh_process

FIELDS = [
    "timestamp",
    "level",
    "message",
    "event",
    "logger",
    "service",
    "environment",
    "correlation_id",
    "request_id",
    "method",
    "route",
    "path",
    "status",
    "duration_ms",
    "request_bytes",
    "response_bytes",
    "client_address",
    "user_agent",
]


def test_the_schema_of_the_line(app, client, read_lines):
    """A request has one line at its end, with these fields in this order."""
    app.add_url_rule("/pay/<int:n>", "pay", lambda n: "ten bytes!", methods=["POST"])
    response = client.post(
        "/pay/7?token=hunter2",
        data=b"x" * 33,
        headers={"X-Correlation-ID": "abc", "User-Agent": "tester/1"},
    )
    assert response.data == b"ten bytes!"
    (line,) = read_lines()
    assert list(line) == FIELDS
    assert line.pop("timestamp").endswith("Z")
    assert 0 < line.pop("duration_ms") < 60_000
    assert line == {
        "level": "INFO",
        "message": "POST /pay/7 200",
        "event": "request.finished",
        "logger": "flask_hardening.logs",
        "service": "shop",
        "environment": "production",
        "correlation_id": "abc",
        "request_id": response.headers["X-Request-ID"],
        "method": "POST",
        "route": "/pay/<int:n>",
        "path": "/pay/7",
        "status": 200,
        "request_bytes": 33,
        "response_bytes": 10,
        "client_address": "127.0.0.1",
        "user_agent": "tester/1",
    }


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (200, "INFO"),
        (204, "INFO"),
        (302, "INFO"),
        (400, "WARNING"),
        (499, "WARNING"),
        (503, "ERROR"),
    ],
)
def test_the_level_follows_the_outcome(app, client, read_lines, status, level):
    """Below 400 INFO, below 500 WARNING, else ERROR."""
    app.add_url_rule("/x", "x", lambda: ("", status))
    client.get("/x").get_data()
    assert [(line["status"], line["level"]) for line in read_lines()] == [(status, level)]


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/nowhere", "<unmatched>", 404),
        ("POST", "/ok", "<unmatched>", 405),
        ("GET", "/slash", "<unmatched>", 308),
        ("GET", "/boom", "/boom", 500),
        ("HEAD", "/ok", "/ok", 200),
        ("GET", "/early", "/early", 401),
    ],
)
def test_each_kind_of_request_has_one_line(
    app, client, read_lines, method, path, route, status
):
    """Also what matched no route, or never reached its view."""
    app.add_url_rule("/slash/", "slash", lambda: "x")
    app.add_url_rule("/early", "early", lambda: "x")
    app.before_request(lambda: ("no", 401) if request.path == "/early" else None)
    client.open(path, method=method).get_data()
    (line,) = read_lines("request.finished")
    assert (line["route"], line["path"], line["status"]) == (route, path, status)


def test_the_path_is_the_one_the_client_asked_for(client, read_lines):
    """Text from the path is decoded, cut, and can't forge a line; the query stays out."""
    client.get("/n%C3%B6%0Aforged?q=hunter2").get_data()
    client.get("/" + "x" * 3000, base_url="http://localhost/mount").get_data()
    first, second = read_lines()
    assert first["path"] == "/nö\nforged"
    assert second["path"].startswith("/mount/xxx")
    assert second["path"].endswith("x<1983 more>")
    assert len(second["path"]) == 1024 + len("<1983 more>")
    assert "hunter2" not in str(first)


@pytest.mark.parametrize("path", ["/health", "/health/db", "/livez", "/readyz", "/metrics"])
def test_successful_probes_stay_out(app, client, read_lines, path):
    """A probe that succeeds has no line; one that fails has."""
    outcome = []
    app.add_url_rule(path, "probe", lambda: ("", outcome[-1]))
    for status in (200, 302, 500):
        outcome.append(status)
        client.get(path).get_data()
    assert [line["status"] for line in read_lines("request.finished")] == [500]


def test_skip_paths_are_a_setting(make_app, read_lines):
    """The patterns match the whole path; `()` skips nothing."""
    client = make_app(LOGS_SKIP_PATHS=("/o?", "/x*")).test_client()
    for path in ("/ok", "/ok/", "/boom"):
        client.get(path).get_data()
    paths = [line["path"] for line in read_lines("request.finished")]
    assert paths == ["/ok/", "/boom"]


def test_request_started_at_debug(make_app, read_lines):
    """With DEBUG each request also has a line at its beginning, under the same ids."""
    client = make_app(LOGS_LEVEL="DEBUG").test_client()
    client.get("/ok?x=1").get_data()
    started, finished = read_lines()
    assert (started["event"], started["level"]) == ("request.started", "DEBUG")
    assert (started["method"], started["path"]) == ("GET", "/ok")
    assert started["request_id"] == finished["request_id"]


def test_levels_reach_our_own_lines(make_app, read_lines):
    """`HARDENING_LOGS_LEVELS` can quieten the request lines, too."""
    client = make_app(LOGS_LEVELS={"flask_hardening.logs": "WARNING"}).test_client()
    client.get("/ok").get_data()
    client.get("/nowhere").get_data()
    assert [line["status"] for line in read_lines()] == [404]


ADDRESSES = [
    ("full", "203.0.113.77", "203.0.113.77"),
    ("full", "2001:db8:1:2::3", "2001:db8:1:2::3"),
    ("truncated", "203.0.113.77", "203.0.113.0/24"),
    ("truncated", "2001:db8:1:2::3", "2001:db8:1::/48"),
    ("truncated", "::ffff:203.0.113.77", "203.0.113.0/24"),
    ("truncated", "unix:", None),
    ("truncated", "", None),
    ("off", "203.0.113.77", None),
    ("full", "", None),
]


@pytest.mark.parametrize(("mode", "address", "shown"), ADDRESSES)
def test_client_addresses(make_app, read_lines, mode, address, shown):
    """In full, cut to the network, or not at all."""
    client = make_app(LOGS_CLIENT_ADDRESS=mode).test_client()
    client.get("/ok", environ_overrides={"REMOTE_ADDR": address}).get_data()
    (line,) = read_lines()
    assert line.get("client_address") == shown
    if shown != address and address:
        assert address not in str(line)


def test_pseudonyms(make_app, read_lines):
    """With a key, an address always has the same pseudonym, which another key changes."""
    shown = []
    for key, address in (
        ("a" * 16, "1.2.3.4"),
        ("a" * 16, "1.2.3.5"),
        ("b" * 16, "1.2.3.4"),
    ):
        with fresh_process():
            app = make_app(LOGS_CLIENT_ADDRESS="hmac", REDACTION_HMAC_KEY=key)
            for _ in range(2):
                environ = {"REMOTE_ADDR": address}
                app.test_client().get("/ok", environ_overrides=environ).get_data()
        first, second = read_lines()
        assert first["client_address"] == second["client_address"]
        assert address not in str(first)
        shown.append(first["client_address"])
    assert len(set(shown)) == 3


def test_the_user_agent_is_cut(client, read_lines):
    """A long or strange user agent costs no long line."""
    client.get("/ok", headers={"User-Agent": "x" * 5000}).get_data()
    client.get("/ok", headers={"User-Agent": ""}).get_data()
    first, second = read_lines()
    assert first["user_agent"] == "x" * 256 + "<4744 more>"
    assert "user_agent" not in second


@pytest.mark.parametrize("length", ["", "x", "-5", "\u0661", "1e9"])
def test_a_length_that_is_no_number(client, read_lines, length):
    """What a client says of its body's length is believed only if it is a number."""
    client.get("/ok", environ_overrides={"CONTENT_LENGTH": length}).get_data()
    assert [line["request_bytes"] for line in read_lines()] == [0]


def test_streams_are_counted_to_the_last_byte(app, client, read_lines):
    """The line of a stream comes after its end, with what was sent."""
    app.add_url_rule("/s", "s", lambda: Response(iter([b"abc", b"", b"de"])))
    response = client.get("/s")
    assert read_lines() == []
    assert response.data == b"abcde"
    assert [line["response_bytes"] for line in read_lines()] == [5]
