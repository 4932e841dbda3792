"""Workers with the publish time-outs and nothing to do: they stay connected, and then do it."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from jobs import build
from processes import poll, worker

import celery_hooks
from flask_hardening.core.correlation import correlated

# four times as long as one network operation of a publish may take
IDLE = 8
POOLS = {"prefork": ("-c", "1"), "threads": ("-c", "2"), "gevent": ("-c", "2"), "solo": ()}


@pytest.fixture(scope="module")
def idled(redis_url, tmp_path_factory):
    """Workers of each pool that had nothing to do for a while, then one task."""
    broker, backend = redis_url + "/3", redis_url + "/1"
    workers = {}
    with ExitStack() as stack:
        for pool, options in POOLS.items():
            folder = tmp_path_factory.mktemp(f"idle-{pool}")
            env = {
                "JOBS_BROKER": broker,
                "JOBS_BACKEND": backend,
                "JOBS_QUEUE": f"idle-{pool}",
            }
            workers[pool] = worker(folder, env, "-P", pool, *options)
            stack.callback(workers[pool].stop)
        time.sleep(IDLE)
        for pool in workers:
            app = build(broker, backend, f"idle-{pool}")
            stack.callback(celery_hooks.uninstall, app)
            stack.callback(app.close)
            with correlated(f"after-{pool}"):
                app.tasks["bare"].delay("after")
        for child in workers.values():
            poll(lambda child=child: child.found(event="task.succeeded"), "the task")
    return workers


@pytest.mark.parametrize("pool", POOLS)
def test_an_idle_worker_stays_connected(idled, pool):
    """Its log has no word of a lost connection, and the task came through at once."""
    child = idled[pool]

    (done,) = child.found(event="task.succeeded")
    assert done["correlation_id"] == f"after-{pool}"
    assert done["queue_wait_ms"] < 5000
    connected = child.found(logger="celery.worker.consumer.connection")
    assert len(connected) == 1
    lines = child.lines()
    ready = next(n for n, x in enumerate(lines) if x["message"].endswith(" ready."))
    assert [x for x in lines[ready:] if x["level"] not in {"DEBUG", "INFO"}] == []
