"""Tasks run in place: they work under the caller's ids and give them back untouched."""

from __future__ import annotations

import pytest
from celery import chain, group
from flask import Flask, jsonify

from flask_hardening import Hardening, correlation_id, request_id
from flask_hardening.core import correlation
from flask_hardening.testing import capture_logs


@pytest.fixture
def web():
    """A hardened Flask app."""
    app = Flask("web")
    Hardening(app)
    return app


@pytest.fixture
def seen():
    """What each task saw, in order."""
    return []


@pytest.fixture
def tasks(eager, seen):
    """Eager tasks: one that looks, one that calls it, one that fails."""

    @eager.task(shared=False)
    def look():
        seen.append((correlation_id(), request_id()))

    @eager.task(shared=False)
    def outer():
        look.delay()
        seen.append((correlation_id(), request_id()))

    @eager.task(shared=False)
    def fails():
        seen.append((correlation_id(), request_id()))
        raise ValueError("no")

    return {"look": look, "outer": outer, "fails": fails}


def serve(web, call):
    """Answer a request whose view does *call*; returns the response and the lines."""

    @web.get("/")
    def view():
        before = correlation.current()
        call()
        return jsonify(same=correlation.current() is before, id=correlation_id())

    with capture_logs() as lines:
        response = web.test_client().get("/", headers={"X-Correlation-ID": "mine"})
        response.get_data()
    return response, lines


@pytest.mark.parametrize("name", ["look", "outer", "fails"])
def test_a_request_is_untouched_by_an_eager_task(web, tasks, seen, name):
    """The view goes on under the very ids it had, whatever the task did."""
    response, _ = serve(web, tasks[name].delay)

    assert response.json == {"same": True, "id": "mine"}
    assert response.headers["X-Correlation-ID"] == "mine"
    assert seen == [("mine", response.headers["X-Request-ID"])] * len(seen)
    assert seen


def test_the_lines_of_an_eager_task_are_the_requests(web, tasks):
    """The task's line and the request's have the same ids; only the task's name its task."""
    response, lines = serve(web, tasks["look"].delay)

    (done,) = [x for x in lines if x.get("event") == "task.succeeded"]
    (finished,) = [x for x in lines if x.get("event") == "request.finished"]
    ids = {"correlation_id": "mine", "request_id": response.headers["X-Request-ID"]}
    assert ids.items() <= done.items()
    assert ids.items() <= finished.items()
    assert done["task"].endswith("look")
    assert "task" not in finished


def test_an_eager_task_waited_in_no_queue(web, tasks):
    """Nothing is said of a wait where there was none."""
    _, lines = serve(web, tasks["look"].delay)

    (done,) = [x for x in lines if x.get("event") == "task.succeeded"]
    assert done["attempt"] == 1
    assert done["runtime_ms"] >= 0
    assert "queue_wait_ms" not in done


def test_an_eager_failure_that_propagates_is_the_requests_error(web, eager, tasks):
    """An exception let through an eager task is told once: as its caller's, with the id."""
    eager.conf.task_eager_propagates = True
    response, lines = serve(web, tasks["fails"].delay)

    assert response.status_code == 500
    assert response.json["correlationId"] == "mine"
    events = [x["event"] for x in lines if x.get("event")]
    assert events == ["request.failed", "request.finished"]
    assert {x["correlation_id"] for x in lines} == {"mine"}
    assert [x for x in lines if "task" in x] == []


def test_an_eager_retry_stays_under_the_id(web, eager, seen):
    """All attempts of an eager task run under the caller's id."""

    @eager.task(bind=True, shared=False, max_retries=2)
    def again(self):
        seen.append(correlation_id())
        if self.request.retries < 2:
            raise self.retry(countdown=0)

    response, lines = serve(web, again.delay)

    assert response.json["same"]
    assert seen == ["mine"] * 3
    assert sorted(x["attempt"] for x in lines if x.get("event") == "task.retried") == [1, 2]


def test_eager_tasks_of_a_group_and_a_chain_stay_under_the_id(web, tasks, seen):
    """Eager canvases run under the caller's id, each step."""
    look = tasks["look"]

    def call():
        chain(look.si(), look.si()).delay()
        group(look.si(), look.si()).delay()

    response, _ = serve(web, call)

    assert response.json["same"]
    assert [correlation for correlation, _ in seen] == ["mine"] * 4


def test_an_eager_task_outside_of_requests_has_an_id_of_its_own(tasks, seen):
    """Without a caller's id each eager run starts one, and leaves none behind."""
    for _ in range(2):
        tasks["look"].delay()
        assert correlation.current() is None

    first, second = (correlation.valid(found) for found, _ in seen)
    assert first
    assert second
    assert first != second


def test_nested_eager_tasks_share_the_id_that_the_outer_one_started(tasks, seen):
    """An eager task called in an eager task belongs to the same cause."""
    tasks["outer"].delay()

    assert len({found for found, _ in seen}) == 1
    assert correlation.current() is None
