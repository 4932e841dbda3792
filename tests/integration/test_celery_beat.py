"""A real beat: each tick is a cause of its own, and its process writes the same lines."""

from __future__ import annotations

import sys

import pytest
from processes import Child, environment, worker

from flask_hardening.core.correlation import valid

TICKS = 5


@pytest.fixture(scope="module")
def ticked(redis_url, tmp_path_factory):
    """The lines of a beat and of the worker that ran its ticks."""
    folder = tmp_path_factory.mktemp("beat")
    names = ("JOBS_BROKER", "JOBS_BACKEND", "JOBS_QUEUE")
    env = dict(zip(names, (redis_url + "/2", redis_url + "/1", "ticks"), strict=True))
    runner = worker(folder, env, "-P", "solo")
    # without -q, beat greets people with a banner before it lets anybody in
    command = [sys.executable, "-m", "celery", "-q", "-A", "beat_app", "beat", "-l", "INFO"]
    beat = Child(command, folder, environment(**env), cwd=folder)
    try:
        beat.wait_for(lambda: len(runner.found(marker="tick")) >= TICKS, "the ticks")
    finally:
        codes = beat.stop(), runner.stop()
    assert codes == (0, 0)
    return beat, runner


def test_each_tick_has_an_id_of_its_own(ticked):
    """No two ticks share an id, and none is without."""
    _, runner = ticked
    ids = [valid(x["correlation_id"]) for x in runner.found(marker="tick")]

    assert len(ids) >= TICKS
    assert None not in ids
    assert len(set(ids)) == len(ids)


def test_each_tick_has_its_line(ticked):
    """A tick's run is told like any other."""
    _, runner = ticked
    done = runner.found(event="task.succeeded", task="bare")

    assert len(done) >= TICKS
    assert {x["queue"] for x in done} == {"ticks"}


def test_every_line_of_beat_is_a_json_object(ticked):
    """Beat speaks like a worker does, and carries no id itself."""
    beat, _ = ticked
    lines = beat.lines()

    assert any("Sending due task tick" in x["message"] for x in lines)
    assert {x["service"] for x in lines} == {"jobs"}
    assert [x for x in lines if "correlation_id" in x] == []
