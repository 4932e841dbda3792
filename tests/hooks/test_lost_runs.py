"""Runs that never came back: what the worker's main process does with them, under their ids."""

from __future__ import annotations

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.worker.request import Request

import celery_hooks
from celery_hooks.correlation import ID_HEADER
from flask_hardening import correlation_id
from flask_hardening.core import correlation
from flask_hardening.core.correlation import correlated


class Worker:
    """What Celery tells its receivers of a worker that has been set up."""

    hostname, concurrency, quiet, pool_cls = "here", 1, True, Request

    def __init__(self, app):
        self.app = app


class Lost:
    """One published task, as the main process holds it when its child is gone."""

    def __init__(self, celery, arrived, worker_logs):
        self.seen = []
        task = celery.task(name="job", shared=False)(nothing)
        errback = celery.task(name="errback", shared=False)(nothing)

        @celery.task(name="in_place", shared=False)
        def in_place(request, error, stack):
            self.seen.append((correlation_id(), request.id))

        self.lines = worker_logs(celery)
        signals.celeryd_after_setup.send(sender="here", instance=Worker(celery))
        with correlated("mine"):
            result = task.apply_async(link_error=[errback.si(), in_place.s()])
        (message,) = arrived(celery)
        self.id = result.id
        job = celery.tasks["job"]
        self.request = job.Request(message, app=celery, hostname="here", task=job)


def nothing():
    """Do nothing."""


@pytest.fixture
def lost(celery, arrived, worker_logs):
    """A task whose child is gone, with two error callbacks."""
    return Lost(celery, arrived, worker_logs)


def error_info(error):
    """Return an exception as the pool hands it over."""
    try:
        raise error
    except type(error):
        return ExceptionInfo()


def test_a_killed_child_is_told_of_once_under_the_id(lost):
    """However often Celery announces it, the line comes once, with the run's own fields."""
    lost.request.on_failure(error_info(WorkerLostError("signal 9")))
    lost.request.on_failure(error_info(WorkerLostError("signal 9")))

    (line,) = lost.lines.of("task.failed")
    assert line["correlation_id"] == "mine"
    assert line["task_id"] == lost.id
    assert line["task"] == "job"
    assert line["queue"].startswith("queue-")
    assert line["exception_type"] == "billiard.exceptions.WorkerLostError"
    assert correlation.current() is None


@pytest.mark.parametrize("reverse", [False, True])
def test_a_hard_time_limit_is_told_of_once_under_the_id(lost, reverse):
    """Celery announces it by two roads, in either order; the line comes once."""
    roads = [
        lambda: lost.request.on_timeout(soft=False, timeout=1),
        lambda: lost.request.on_failure(error_info(TimeLimitExceeded(1))),
    ]
    for road in reversed(roads) if reverse else roads:
        road()

    (line,) = lost.lines.of("task.failed")
    assert (line["correlation_id"], line["task_id"]) == ("mine", lost.id)
    assert line["exception_type"] == "billiard.exceptions.TimeLimitExceeded"


def test_the_error_callbacks_of_a_killed_child_run_under_the_id(celery, lost, arrived):
    """Those that are published carry the id; those called in place run under it."""
    lost.request.on_failure(error_info(WorkerLostError("signal 9")))

    (message,) = [m for m in arrived(celery) if m.headers["task"] == "errback"]
    assert message.headers[ID_HEADER] == "mine"
    assert lost.seen == [("mine", lost.id)]


def test_a_request_class_of_the_apps_own_is_kept(make_celery):
    """A task's own request class goes on being used, and is alone again afterwards."""
    app = make_celery()

    class Own(Request):
        pass

    task = app.task(name="job", shared=False, Request=Own)(nothing)
    plain = app.task(name="plain", shared=False)(nothing)
    before = plain.Request
    signals.celeryd_after_setup.send(sender="here", instance=Worker(app))

    assert issubclass(task.Request, Own)
    assert task.Request is not Own
    assert plain.Request is not before
    celery_hooks.uninstall(app)
    assert task.Request is Own
    assert plain.Request is before
