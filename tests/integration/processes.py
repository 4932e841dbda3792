"""Child processes of a test: started, waited for, read line by line, and stopped by their id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from sample_app.demo.processes import free_port

HERE = Path(__file__).parent
TAIL = 4000


def poll(condition, what, timeout=30.0, every=0.02):
    """Return the first true answer of *condition*; fail when there is none in time."""
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"Waited {timeout:.0f} s in vain for: {what}")
        time.sleep(every)


def answers(port):
    """Tell whether somebody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def environment(**more):
    """Return a child's environment: ours, without settings of the house but those given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLASK_")}
    path = os.pathsep.join(filter(None, (str(HERE), kept.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path} | more


def parse(line):
    """Return one line of a log, which must be a JSON object."""
    parsed = json.loads(line)
    assert isinstance(parsed, dict), f"not an object: {line!r}"
    return parsed


class Child:
    """
    A process whose output goes to files.

    Args:
        command: What to run.
        folder: Where its output is kept.
        env: Its environment.
        **popen: More for `subprocess.Popen`.
    """

    def __init__(self, command, folder, env=None, **popen):
        name = f"{Path(command[0]).name}-{time.monotonic_ns()}"
        self.stdout = Path(folder, name + ".out")
        self.stderr = Path(folder, name + ".err")
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env, **popen
            )

    @property
    def pid(self):
        """The id of the process."""
        return self.process.pid

    def wait_for(self, condition, what, timeout=30.0):
        """Return the first true answer of *condition*; fail if the process dies before."""

        def asked():
            code = self.process.poll()
            assert code is None, f"It ended with {code} before {what}.\n{self.tail()}"
            return condition()

        try:
            return poll(asked, what, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def tail(self):
        """Return the end of its output, for a failure's message."""
        texts = (path.read_text("utf-8", "replace") for path in (self.stdout, self.stderr))
        return "\n--\n".join(text[-TAIL:] for text in texts)

    def lines(self):
        """Return its log so far: each whole line of stdout must be a JSON object."""
        whole, _, _ = self.stdout.read_bytes().rpartition(b"\n")
        return [parse(line) for line in whole.split(b"\n") if line]

    def found(self, **fields):
        """Return the lines of its log that have these fields."""
        return [x for x in self.lines() if all(x.get(k) == v for k, v in fields.items())]

    def stop(self, how=signal.SIGTERM, timeout=30.0):
        """End it, if it runs still, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout)
            raise AssertionError(
                f"It went on for {timeout:.0f} s after {how!r}.\n{self.tail()}"
            ) from None


class Service(Child):
    """A child in a process group of its own, whose own children end with it."""

    def __init__(self, command, folder, env=None, **popen):
        super().__init__(command, folder, env, start_new_session=True, **popen)

    def stop(self, how=signal.SIGTERM, timeout=30.0):
        """End the whole group."""
        if self.process.poll() is None:
            os.killpg(self.pid, how)
        return super().stop(how, timeout)


def worker(folder, env, *options, app="worker_app"):
    """Start a Celery worker and wait until it takes tasks."""
    command = [sys.executable, "-m", "celery", "-A", app, "worker"]
    quick = ["--without-gossip", "--without-mingle"]
    child = Child([*command, *quick, *options], folder, environment(**env), cwd=folder)

    def ready():
        return any(line["message"].endswith(" ready.") for line in child.lines())

    try:
        child.wait_for(ready, "the worker to be ready", 60)
    except BaseException:
        child.process.kill()
        child.process.wait()
        raise
    return child


def gunicorn(folder, env, *options, app="web_app:app"):
    """Start gunicorn and wait until it serves; returns the child and its port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:flask_hardening.gunicorn"]
    bind = ["--bind", f"127.0.0.1:{port}"]
    child = Child([*command, *bind, *options, app], folder, environment(**env), cwd=folder)
    try:
        child.wait_for(lambda: answers(port), "gunicorn to listen")
    except BaseException:
        child.process.kill()
        child.process.wait()
        raise
    return child, port
