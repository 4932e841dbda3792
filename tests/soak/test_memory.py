"""A million requests, each of them different: memory stays where it was."""

from __future__ import annotations

import gc
import io
import os
import sys
from pathlib import Path

import pytest
from flask import Flask, abort, request

from flask_hardening import Hardening

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "1000000"))
PAGE = os.sysconf("SC_PAGE_SIZE")
LIMIT = 4 * 1024 * 1024


def resident():
    """Return how much memory this process has, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def environ(number):
    """Return one request: paths, agents, ids, names and values that never come again."""
    body = b'{"field_%d": "value %d", "password": "x"}' % (number, number)
    kind = ("/ok", "/broken", "/nowhere", "/refused")[
        number % 100 if number % 100 < 4 else 0
    ]
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": f"{kind}/{number}",
        "QUERY_STRING": f"key_{number}=value",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": f"client/{number}",
        "HTTP_X_CORRELATION_ID": f"id-{number}",
        f"HTTP_X_NEW_{number}": "x",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


@pytest.fixture
def app(_fresh_process, tmp_path):
    """Return an app that logs all it can, to a file that is emptied now and then."""
    app = Flask("shop")
    app.config.update(
        HARDENING_LOGS_OUTPUTS=(),
        HARDENING_LOGS_FILE=str(tmp_path / "log"),
        HARDENING_LOGS_QUERY=True,
        HARDENING_LOGS_HEADERS=("*",),
        HARDENING_LOGS_BODIES=("request", "response"),
        HARDENING_LOGS_CLIENT_ADDRESS="truncated",
    )
    Hardening(app)
    app.add_url_rule("/ok/<int:n>", "ok", lambda n: request.get_json(), methods=["POST"])
    app.add_url_rule("/broken/<int:n>", "broken", lambda n: n / 0, methods=["POST"])
    app.add_url_rule("/refused/<int:n>", "refused", lambda n: abort(403), methods=["POST"])
    return app


@pytest.mark.timeout(3600)
def test_a_million_requests(app, tmp_path):
    """After the caches are full nothing grows, whatever comes from outside."""
    statuses = set()

    def start_response(status, headers, exc_info=None):
        statuses.add(status[:3])

    def serve(numbers):
        for number in numbers:
            body = app(environ(number), start_response)
            for _ in body:
                pass
            body.close()
            if number % 1000 == 0:
                os.truncate(tmp_path / "log", 0)

    first = REQUESTS // 10
    serve(range(first))
    before = resident()
    serve(range(first, REQUESTS))
    assert resident() - before < LIMIT
    assert statuses == {"200", "403", "404", "500"}
