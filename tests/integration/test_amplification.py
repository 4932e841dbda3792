"""Three services that all retry, behind each other, before a backend that is dead: what it sees."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from flask_hardening import Hardening
from flask_hardening.resilience import guard, protect
from flask_hardening.testing import fresh_process, no_backoff

REQUESTS = 100
FLOOR = 11  # what a budget holds at the start, and a second's worth of its reserve


class Dead(BaseHTTPRequestHandler):
    """Counts who comes, and has a 503 for each."""

    seen = 0

    def do_GET(self):
        """Answer."""
        type(self).seen += 1
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(server):
    """Run a server in a thread; yields its address."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def relay(name, behind, **options):
    """Make a service that asks the one behind it, and fails as that does."""
    session = protect(requests.Session(), name=f"behind-{name}", **options)
    session.trust_env = False
    app = Flask(name)
    app.config |= {"HARDENING_LOGS_OUTPUTS": (), "HARDENING_SERVICE": "layers"}
    Hardening(app)

    @app.get("/")
    def index():
        answer = session.get(behind, timeout=5)
        return "", answer.status_code

    return app


# the breaker is to have no part in it: budgets alone
NO_BREAKER = {"consecutive": 0, "minimum_calls": 10**6}


@pytest.mark.parametrize(
    ("options", "most"), [(NO_BREAKER, REQUESTS * 1.2 + FLOOR), ({}, 10)]
)
def test_three_layers_in_one_service(options, most):
    """Of guards within guards round a protected client the innermost alone retries."""
    Dead.seen = 0
    with fresh_process(), no_backoff(), ExitStack() as running:
        url = running.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), Dead)))
        session = protect(requests.Session(), name="http", **options)
        session.trust_env = False

        @guard("outer", idempotent=True, **options)
        @guard("inner", idempotent=True, **options)
        def ask():
            session.get(url, timeout=5).raise_for_status()

        for _ in range(REQUESTS):
            with pytest.raises(requests.RequestException):
                ask()
        session.close()
    assert Dead.seen <= most


@pytest.mark.parametrize(
    ("options", "most"),
    [
        # each service has a budget of its own, and knows nothing of the others'
        (NO_BREAKER, REQUESTS * 1.2**3 + 3 * FLOOR * 1.5),
        ({}, 10),
    ],
)
def test_three_services_behind_each_other(options, most):
    """Budgets keep three services of three attempts far from 27 calls; breakers end it."""
    Dead.seen = 0
    with fresh_process(), no_backoff(), ExitStack() as running:
        url = running.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), Dead)))
        for name in ("inner", "middle", "outer"):
            app = relay(name, url, attempts=3, **options)
            server = make_server("127.0.0.1", 0, app, threaded=True)
            url = running.enter_context(serving(server))
        with requests.Session() as client:
            client.trust_env = False
            statuses = {client.get(url, timeout=30).status_code for _ in range(REQUESTS)}
    assert statuses == {503}
    assert Dead.seen <= most
