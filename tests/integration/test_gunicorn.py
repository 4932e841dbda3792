"""The Flask side under a real gunicorn: ids on every response, one line per request, whatever ends it."""

from __future__ import annotations

import contextlib
import http.client
import random

import pytest
from client import ask, leave_early
from processes import gunicorn, poll
from web_app import PART, PARTS

from flask_hardening.core.correlation import valid

WORKERS = {
    "sync": ("-k", "sync", "-w", "2"),
    "gthread": ("-k", "gthread", "-w", "2", "--threads", "4"),
}
ENDS = ("request.finished", "request.aborted")


@pytest.fixture(scope="module")
def big_file(tmp_path_factory):
    """A file too big for one write."""
    path = tmp_path_factory.mktemp("files") / "big"
    path.write_bytes(random.Random(1).randbytes(5_000_001))
    return path


@pytest.fixture(scope="module", params=WORKERS)
def web(request, big_file, tmp_path_factory):
    """Gunicorn with two workers, and its port."""
    folder = tmp_path_factory.mktemp(f"web-{request.param}")
    child, port = gunicorn(folder, {"WEB_FILE": str(big_file)}, *WORKERS[request.param])
    yield child, port
    assert child.stop() == 0
    for line in child.lines():
        assert {"timestamp", "level", "message", "logger", "service"} <= line.keys()
    assert child.stderr.read_text() == ""


def end_of(child, correlation_id):
    """Return the one finishing line of a request, once it is there."""

    def ends():
        return [
            x for x in child.found(correlation_id=correlation_id) if x.get("event") in ENDS
        ]

    poll(ends, f"the line of {correlation_id}", 10)
    (line,) = ends()
    return line


@pytest.mark.parametrize(
    ("name", "method", "path", "status", "route"),
    [
        ("ok", "GET", "/", 200, "/"),
        ("head", "HEAD", "/", 200, "/"),
        ("created", "POST", "/items", 201, "/items"),
        ("not-found", "GET", "/nowhere", 404, "<unmatched>"),
        ("not-allowed", "DELETE", "/items", 405, "<unmatched>"),
        ("error", "GET", "/boom", 500, "/boom"),
        ("early", "GET", "/early", 202, "<unmatched>"),
        ("stream", "GET", "/stream", 200, "/stream"),
        ("file", "GET", "/file", 200, "/file"),
    ],
)
def test_every_response_has_its_ids_and_its_line(web, name, method, path, status, route):
    """The two ids are in the response, and in exactly one finishing line of the request."""
    child, port = web
    headers = {"X-Correlation-ID": name, "Content-Type": "application/json"}
    answer = ask(port, method, path, headers, b"{}" if method == "POST" else None)

    assert answer.status == status
    assert answer.ids[0] == name
    assert valid(answer.ids[1])
    assert answer.headers["x-response-time"].endswith("ms")
    line = end_of(child, name)
    assert line["event"] == "request.finished"
    assert line["request_id"] == answer.ids[1]
    assert (line["status"], line["method"], line["route"]) == (status, method, route)
    if method != "HEAD":
        assert line["response_bytes"] == len(answer.body)


def test_a_bad_host_is_answered_with_ids(web):
    """A Host that isn't trusted gets a 400 with both ids, and its line."""
    child, port = web
    answer = ask(port, "GET", "/", {"Host": "evil.example", "X-Correlation-ID": "bad-host"})

    assert answer.status == 400
    assert answer.ids[0] == "bad-host"
    assert answer.json["correlationId"] == "bad-host"
    assert end_of(child, "bad-host")["status"] == 400


def test_an_error_tells_the_client_nothing_but_the_id(web):
    """A 500 has the id to quote, and no word of the exception; the log has all of it."""
    child, port = web
    answer = ask(port, "GET", "/boom", {"X-Correlation-ID": "quoted"})

    assert answer.json["correlationId"] == "quoted"
    assert b"boom on purpose" not in answer.body
    assert b"RuntimeError" not in answer.body
    poll(lambda: child.found(event="request.failed", correlation_id="quoted"), "the line")
    (line,) = child.found(event="request.failed", correlation_id="quoted")
    assert line["exception_message"] == "boom on purpose"


def test_a_big_file_arrives_whole(web, big_file):
    """`send_file` keeps the server's own way of sending, and every byte arrives."""
    child, port = web
    answer = ask(port, "GET", "/file", {"X-Correlation-ID": "whole"})

    assert answer.body == big_file.read_bytes()
    assert end_of(child, "whole")["response_bytes"] == len(answer.body)


def test_a_stream_knows_its_id(web):
    """A body made while it is sent runs under the request's id, and arrives whole."""
    _, port = web
    answer = ask(port, "GET", "/stream", {"X-Correlation-ID": "streamed"})

    assert answer.body == PART * PARTS + b"streamed"


def test_a_client_that_leaves_early_is_told_of_once(web):
    """A stream cut off by the client has one line, which says who left."""
    child, port = web
    leave_early(port, "/endless", {"X-Correlation-ID": "left"})

    line = end_of(child, "left")
    assert line["event"] == "request.aborted"
    assert line["reason"] == "client_disconnected"
    assert line["route"] == "/endless"
    assert line["response_bytes"] > 0


def test_an_invalid_id_is_replaced(web):
    """An inbound id that isn't one is neither kept nor logged."""
    child, port = web
    answer = ask(port, "GET", "/", {"X-Correlation-ID": "no id at all!"})

    assert valid(answer.ids[0])
    assert answer.json["id"] == answer.ids[0]
    end_of(child, answer.ids[0])
    assert b"no id at all" not in child.stdout.read_bytes()


def test_the_servers_own_lines_are_in_the_log(web):
    """What gunicorn's master and workers say of themselves are lines of the same form."""
    child, _ = web
    own = [x for x in child.lines() if x["logger"].startswith("gunicorn")]

    assert any("Listening at" in x["message"] for x in own)
    assert sum("Booting worker" in x["message"] for x in own) >= 2


def test_a_request_that_times_out_is_told_of_once(tmp_path):
    """A sync worker killed for its time-out leaves one line, with the ids and the route."""
    child, port = gunicorn(tmp_path, {}, *WORKERS["sync"], "--timeout", "1")
    try:
        # what the dying worker still tells the client is gunicorn's to decide
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            assert ask(port, "GET", "/slow", {"X-Correlation-ID": "slow"}).status >= 500

        line = end_of(child, "slow")
        assert line["event"] == "request.aborted"
        assert line["reason"] == "worker_exit"
        assert line["route"] == "/slow"
        assert valid(line["request_id"])
        assert ask(port, "GET", "/").status == 200
    finally:
        child.stop()
    assert (
        len([x for x in child.found(correlation_id="slow") if x.get("event") in ENDS]) == 1
    )
    assert not [x for x in child.lines() if "Error handling request" in x["message"]]
