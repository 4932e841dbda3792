"""Two gunicorn workers with one breaker: a dead backend is called as if by one of them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading

import pytest
from client import ask
from processes import environment, gunicorn, poll

WORKERS = ("-k", "sync", "-w", "2", "--timeout", "20")
THRESHOLD = 5


class Backend:
    """A server that counts connections and closes each."""

    def __init__(self):
        self.calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.calls += 1
                connection.close()

    def close(self):
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def backend():
    """A backend that is down."""
    made = Backend()
    yield made
    made.close()


@pytest.fixture
def serve(tmp_path, backend):
    """Start the app with these settings and gunicorn options; returns its port."""
    with contextlib.ExitStack() as stack:

        def serve(*options, **env):
            env = {"BACKEND": str(backend.port), **env}
            child, port = gunicorn(tmp_path, env, *WORKERS, *options, app="breaker_app:app")
            stack.callback(child.stop)
            return child, port

        yield serve


def fan_out(port, until):
    """Send requests, several at once, until enough have come back; returns their bodies."""
    bodies = []

    def send():
        while not until(bodies):
            bodies.append(ask(port, "GET", "/").json)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return bodies


def both_refuse(bodies):
    """Tell whether two workers have refused a call; give up after 400 requests."""
    pids = {body["pid"] for body in bodies if body["error"] == "CircuitOpenError"}
    return len(pids) == 2 or len(bodies) > 400


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["each-loads", "preload"])
def test_a_dead_backend_is_called_as_if_by_one_worker(serve, backend, tmp_path, options):
    """
    Five calls reach it in all, and hardly more.

    One may be under way in the other worker, and one failure get lost between the two.
    """
    _, port = serve(*options, FLASK_HARDENING_RESILIENCE_SHARED=str(tmp_path / "breakers"))
    bodies = fan_out(port, both_refuse)
    assert both_refuse(bodies[:400])
    assert THRESHOLD <= backend.calls <= THRESHOLD + 2


def test_without_the_setting_each_worker_finds_out_by_itself(serve, backend):
    """What the setting is for: twice as many calls reach the backend."""
    _, port = serve()
    bodies = fan_out(port, both_refuse)
    assert both_refuse(bodies[:400])
    assert backend.calls == 2 * THRESHOLD


def test_an_operator_opens_it_in_both_workers(serve, backend, tmp_path):
    """No call reaches the backend from then on, and the list says why."""
    shared = {"FLASK_HARDENING_RESILIENCE_SHARED": str(tmp_path / "breakers")}
    child, port = serve(**shared)

    def command(*arguments):
        line = [sys.executable, "-m", "flask", "--app", "breaker_app", "hardening"]
        done = subprocess.run(
            [*line, "breakers", *arguments],
            env=environment(BACKEND="0", **shared),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    assert "not called" in command()
    command("open", "backend")
    bodies = fan_out(port, both_refuse)
    assert both_refuse(bodies[:400])
    assert {body["error"] for body in bodies} == {"CircuitOpenError"}
    assert backend.calls == 0
    assert "forced_open" in command()
    told = {"event": "breaker.forced_open", "cause": "shared"}
    poll(lambda: len(child.found(**told)) == 2, "a line of each worker")
