"""One id from the publisher to everything it set off, in every pool, over both brokers."""

from __future__ import annotations

import pytest
from scenarios import BARE, CALM, CROWD, ENDS, LOSSES, TRAVELS, ends_of

from flask_hardening.core.correlation import valid


@pytest.mark.parametrize("scenario", TRAVELS)
def test_the_id_travels(recording, scenario):
    """Whatever a task sets off ends under the id of the cause, each step once."""
    assert ends_of(recording.of(scenario)) == TRAVELS[scenario].ends


def test_each_run_has_the_id_it_should_have(recording):
    """No line of a task's own carries another run's id, in 200 tasks with an id each."""
    told = [x for x in recording.lines if "wanted" in x]

    assert len(told) > CROWD
    assert [x for x in told if x["wanted"] != x["correlation_id"]] == []
    crowd = {x["correlation_id"] for x in told if x["wanted"].startswith("crowd-")}
    assert len(crowd) == CROWD


def test_each_crowded_run_has_one_start_and_one_end(recording):
    """Each of the 200 ids has one start and one end, and a task id of its own."""
    task_ids = set()
    for number in range(CROWD):
        lines = recording.of(f"crowd-{number}")
        events = sorted(x["event"] for x in lines if x.get("event"))
        assert events == ["task.started", "task.succeeded"]
        (task_id,) = {x["task_id"] for x in lines}
        task_ids.add(task_id)
    assert len(task_ids) == CROWD


def test_a_publish_without_a_cause_starts_a_new_id(recording):
    """Tasks published outside any unit of work have valid ids that no two share."""
    told = [x for x in recording.lines if "marker" in x]

    ids = {valid(x["correlation_id"]) for x in told}
    assert len(told) == BARE
    assert len(ids) == BARE
    assert None not in ids
    assert not ids & {*CALM, *TRAVELS, *ENDS, *LOSSES}


def test_an_eager_task_inside_a_task_keeps_its_id(recording):
    """A task that runs another in place goes on under its own id afterwards."""
    told = [x for x in recording.of("eager_inside") if x["message"] == "ran"]

    assert [x["task"] for x in told] == ["step", "eager_inside"]


def test_an_error_callback_in_place_runs_under_the_id(recording):
    """A callback that Celery calls without a message of its own has the failed task's id."""
    told = [x for x in recording.of("link_error_in_place") if x["message"] == "ran"]

    assert len(told) == 2


def test_outside_of_tasks_there_is_no_id(recording):
    """The worker's own lines carry no task's id: none is left bound after a run."""
    own = ("celery.worker.consumer.connection", "celery.apps.worker", "celery_hooks.worker")
    lines = [x for x in recording.lines if x["logger"] in own]

    assert len(lines) >= 3
    assert [x for x in lines if "correlation_id" in x] == []
