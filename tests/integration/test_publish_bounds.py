"""A publish in a request against a broker that is gone or silent: an error response, in time."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import servers
from celery import Celery
from flask import Flask
from processes import free_port

import celery_hooks
from flask_hardening import Hardening
from flask_hardening.testing import capture_logs

# with the default of 2 s per network operation it is over in 6; stock Celery takes over 40
BOUND = 20


@contextmanager
def silent_port():
    """Accept every connection and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept():
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


@contextmanager
def refusing_port():
    """Nobody is there."""
    yield free_port()


@pytest.fixture
def web():
    """Make a hardened app whose view publishes; returns a call that asks and takes the time."""
    celery_apps = []

    def make(broker, backend=None):
        celery_app = Celery(
            "publisher", broker=broker, backend=backend, set_as_current=False
        )
        celery_hooks.install(celery_app)
        celery_apps.append(celery_app)
        job = celery_app.task(name="job", shared=False)(_nothing)
        app = Flask("web")
        Hardening(app)

        @app.get("/")
        def view():
            job.delay()
            return "published"

        def ask():
            started = time.monotonic()
            with capture_logs() as lines:
                response = app.test_client().get("/", headers={"X-Correlation-ID": "mine"})
                response.get_data()
            return response, lines, time.monotonic() - started

        return ask

    yield make
    for celery_app in celery_apps:
        celery_hooks.uninstall(celery_app)
        celery_app.close()


def _nothing():
    pass


def assert_unavailable(response, lines, seconds):
    """Check for the error response, its line, and the bound."""
    assert seconds < BOUND
    assert response.status_code == 503
    assert response.json["category"] == "unavailable"
    assert response.json["code"] == "queue_unavailable"
    assert response.json["correlationId"] == "mine"
    (line,) = [x for x in lines if x.get("event") == "request.failed"]
    assert line["correlation_id"] == "mine"


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("port", [silent_port, refusing_port])
def test_a_publish_ends(web, scheme, port):
    """A broker that is silent or gone gives a 503 in seconds, not a hanging request."""
    with port() as number:
        ask = web(f"{scheme}://127.0.0.1:{number}//")
        assert_unavailable(*ask())


@pytest.mark.parametrize("port", [silent_port, refusing_port])
def test_a_publish_ends_when_its_result_store_is_gone(web, redis_url, port):
    """A publish subscribes to its result: a store that is silent or gone can't hold it."""
    with port() as number:
        ask = web(redis_url + "/0", f"redis://127.0.0.1:{number}/1")
        assert_unavailable(*ask())


def test_a_publish_ends_when_redis_stalls_later(web):
    """A server that falls silent on an open connection is no other, and is back when it speaks."""
    with servers.redis_process() as (url, pid):
        ask = web(url + "/0", url + "/1")
        response, _, _ = ask()
        assert response.status_code == 200
        os.kill(pid, signal.SIGSTOP)
        try:
            assert_unavailable(*ask())
        finally:
            os.kill(pid, signal.SIGCONT)
        response, _, _ = ask()
        assert response.status_code == 200


def test_publishing_goes_on_when_the_broker_comes_back(web):
    """Nothing need be restarted once the broker is there."""
    port = free_port()
    ask = web(f"redis://127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/1")
    assert_unavailable(*ask())
    with servers.redis_process(port):
        response, _, _ = ask()
        assert response.status_code == 200
