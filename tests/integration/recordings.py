"""The log of one real worker that has been played everything, from its start to its end."""

from __future__ import annotations

import contextlib
import gc
from collections import defaultdict

from celery.result import GroupResult
from jobs import build
from processes import poll, worker
from scenarios import BARE, CALM, CROWD, ENDS, LOSSES, TRAVELS

import celery_hooks
from flask_hardening.core.correlation import correlated

POOLS = {
    "prefork": ("-P", "prefork", "-c", "2"),
    "threads": ("-P", "threads", "-c", "8"),
    "gevent": ("-P", "gevent", "-c", "20"),
    "solo": ("-P", "solo"),
}


class Recording:
    """
    What a worker wrote.

    Attributes:
        lines: Every line of its stdout, parsed.
        stderr: What it wrote past its log.
        code: Its exit code.
        queue: The queue it took its tasks from.
        arguments: Whether it was to log arguments.
        pool: Its pool's name.
    """

    def __init__(self, child, code, queue, pool, *, arguments):
        self.lines = child.lines()
        self.raw = child.stdout.read_bytes()
        self.stderr = child.stderr.read_text()
        self.code = code
        self.queue = queue
        self.pool = pool
        self.arguments = arguments
        self._by_id = defaultdict(list)
        for line in self.lines:
            self._by_id[line.get("correlation_id")].append(line)

    def of(self, scenario, event=None):
        """Return the lines that carry a scenario's id, or those of one event."""
        found = self._by_id[scenario]
        return [x for x in found if event is None or x.get("event") == event]

    def one(self, scenario, event):
        """Return the one line of this event with a scenario's id."""
        found = self.of(scenario, event)
        assert len(found) == 1, found
        return found[0]


def record(broker, backend, pool, folder, *, arguments):
    """Run a worker, play it all scenarios, stop it, and return what it wrote."""
    queue = f"{broker.partition(':')[0]}-{pool}"
    env = {"JOBS_BROKER": broker, "JOBS_BACKEND": backend, "JOBS_QUEUE": queue}
    if arguments:
        env["FLASK_HARDENING_TASKS_ARGUMENTS"] = "true"
    app = build(broker, backend, queue)
    child = worker(folder, env, *POOLS[pool])
    try:
        _play_all(app, child, pool)
    finally:
        code = child.stop()
        celery_hooks.uninstall(app)
        gc.collect()  # results in cycles speak to the backend once more when they go
        app.close()
    return Recording(child, code, queue, pool, arguments=arguments)


def _play_all(app, child, pool):
    _play(app, child, CALM)
    for number in range(BARE):
        app.tasks["bare"].delay(f"bare-{number}")
    for number in range(CROWD):
        with correlated(f"crowd-{number}"):
            app.tasks["step"].delay(f"crowd-{number}", pause=0.002)
    _play(app, child, TRAVELS | ENDS)
    with contextlib.suppress(AssertionError):
        poll(lambda: len(child.found(message="ran")) > CROWD + BARE, "the crowd")
    if pool == "prefork":
        _play(app, child, LOSSES, then=lambda: _terminate(app, child, "terminated"))


def _terminate(app, child, name):
    started = {"event": "task.started", "task_id": name}
    child.wait_for(lambda: child.found(**started), "the run that will be terminated")
    app.control.revoke(name, terminate=True)


def _play(app, child, scenarios, then=lambda: None):
    results = []
    for name, scenario in scenarios.items():
        with correlated(name):
            results.append(scenario.publish(app.tasks, name, app))
    then()
    _wait(child, scenarios)
    for result in results:
        group = getattr(result, "parent", None)
        if isinstance(group, GroupResult):
            group.forget()  # a chord's header is held until somebody asks for its result


def _wait(child, scenarios, timeout=30.0):
    """Wait for all lines, but let the tests say which one is missing."""

    def finished():
        lines = child.lines()
        by_id = defaultdict(list)
        for line in lines:
            by_id[line.get("correlation_id")].append(line)
        return all(s.done(by_id[name]) for name, s in scenarios.items())

    with contextlib.suppress(AssertionError):
        poll(finished, "all scenarios", timeout, every=0.1)
