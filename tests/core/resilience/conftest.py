"""What tests of guarded calls have in common: servers, a process of their own, forked children."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from flask_hardening.core import correlation
from flask_hardening.core.correlation import AllowList, Origin, Unit
from flask_hardening.testing import fresh_process, no_backoff

sys.path.insert(0, str(Path(__file__).parent))
import scripted


@pytest.fixture
def at_once():
    """Wait for nothing between attempts."""
    with no_backoff():
        yield


@pytest.fixture
def alone(at_once):
    """Share no target with another test, and wait for nothing either."""
    with fresh_process():
        yield


@pytest.fixture(scope="module")
def servers():
    """Run two servers."""
    both = scripted.Server(), scripted.Server()
    yield both
    for server in both:
        server.close()


@pytest.fixture
def server(servers):
    """Return the one that tests talk to."""
    servers[0].forget()
    return servers[0]


@pytest.fixture
def other(servers):
    """Return another one."""
    servers[1].forget()
    return servers[1]


@pytest.fixture
def nowhere():
    """Return the URL of a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture
def unit(server):
    """Run a test in a unit of work that may tell what it likes to the first server alone."""
    unit = Unit("abc", origin=Origin("shop", "test", allowed=AllowList((server.address,))))
    token = correlation.bind(unit)
    yield unit
    correlation.reset(token)


@pytest.fixture
def exit_code_of_child():
    """Return what tells how work ends in a child: 0 if it is true, 2 if not, 1 if it fails."""

    def exit_code(work, lock) -> int:
        held, done = threading.Event(), threading.Event()

        def hold():
            with lock:
                held.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        try:
            return _exit_code_of_child(work)
        finally:
            done.set()
            thread.join()

    return exit_code


def _exit_code_of_child(work) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent's is its runner's
        signal.alarm(10)
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
