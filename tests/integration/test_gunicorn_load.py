"""Thousands of mixed requests at once: no id lost, mixed up or told twice, no line torn."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import pytest
from client import Client
from processes import gunicorn, poll

from flask_hardening.core.correlation import valid

AT_ONCE = 16
MIXED = (
    ("GET", "/", None, 200),
    ("GET", "/items/7", None, 200),
    ("POST", "/items", b'{"a": 1}', 201),
    ("POST", "/items", b"{broken", 400),
    ("GET", "/nowhere", None, 404),
    ("PUT", "/items", None, 405),
    ("GET", "/boom", None, 500),
    ("GET", "/stream", None, 200),
    ("GET", "/file", None, 200),
    ("GET", "/early", None, 202),
    ("HEAD", "/", None, 200),
    ("GET", "/bad-host", None, 400),
)
SERVERS = {
    "sync": (10_000, ("-k", "sync", "-w", "2")),
    "gthread": (10_000, ("-k", "gthread", "-w", "2", "--threads", "8")),
    "gevent": (2_000, ("-k", "gevent", "-w", "2")),
}


def send(number, client):
    """Send the request of a number: half bring an id of their own, one in seven a bad one."""
    method, path, body, status = MIXED[number % len(MIXED)]
    headers = {"Content-Type": "application/json"}
    if number % 7 == 0:
        headers["X-Correlation-ID"] = f"bad id {number}"
    elif number % 2:
        headers["X-Correlation-ID"] = f"load-{number}"
    if path == "/bad-host":
        headers["Host"] = "evil.example"
    return client.ask(method, path, headers, body), status


def bombard(port, total):
    """Send all requests, 16 at a time; returns each number's answer and what it should be."""
    numbers = itertools.count()
    answers, failures = {}, []

    def work():
        client = Client(port)
        try:
            for number in iter(lambda: next(numbers), None):
                if number >= total or failures:
                    return
                answers[number] = send(number, client)
        except Exception as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return answers


@pytest.fixture(scope="module", params=SERVERS)
def load(request, tmp_path_factory):
    """The answers to all requests, and every line that the server wrote, to its end."""
    total, options = SERVERS[request.param]
    folder = tmp_path_factory.mktemp(f"load-{request.param}")
    (folder / "file").write_bytes(b"f" * 100_000)
    child, port = gunicorn(folder, {"WEB_FILE": str(folder / "file")}, *options)
    try:
        answers = bombard(port, total)
        poll(
            lambda: child.stdout.read_bytes().count(b'"request.finished"') >= total, "lines"
        )
    finally:
        code = child.stop()
    assert code == 0
    return total, answers, child.lines()


def test_every_response_is_right_and_has_its_ids(load):
    """Each response has its status and both ids; a valid id that was sent comes back."""
    total, answers, _ = load

    assert len(answers) == total
    for number, (answer, status) in answers.items():
        correlation_id, request_id = answer.ids
        assert answer.status == status
        assert valid(request_id)
        if number % 7 and number % 2:
            assert correlation_id == f"load-{number}"
        else:
            assert valid(correlation_id)
            assert not correlation_id.startswith("load-")
    assert len({answer.ids[0] for answer, _ in answers.values()}) == total
    assert len({answer.ids[1] for answer, _ in answers.values()}) == total


def test_every_request_has_one_finishing_line(load):
    """Each response's request has exactly one finishing line, with its ids and status."""
    total, answers, lines = load
    ends = [x for x in lines if x.get("event") in {"request.finished", "request.aborted"}]
    told = {x["request_id"]: (x["event"], x["correlation_id"], x["status"]) for x in ends}

    assert len(ends) == len(told) == total
    for answer, status in answers.values():
        correlation_id, request_id = answer.ids
        assert told[request_id] == ("request.finished", correlation_id, status)


def test_every_error_is_told_once(load):
    """Each unhandled exception has one line of its own, under its request's ids."""
    _, answers, lines = load
    failed = Counter(
        (x["correlation_id"], x["request_id"])
        for x in lines
        if x.get("event") == "request.failed"
    )

    assert failed == Counter(a.ids for a, status in answers.values() if status == 500)
