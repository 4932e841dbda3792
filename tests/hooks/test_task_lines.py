"""The lines of a task's life, read in process: what they say, and what they keep to themselves."""

from __future__ import annotations

import pytest
from celery.exceptions import Ignore, Reject

from flask_hardening.core.correlation import correlated

QUIET = {"HARDENING_LOGS_OUTPUTS": ()}


def nothing(*args, **kwargs):
    """Do nothing."""


@pytest.fixture
def play(make_celery, run, worker_logs):
    """Run one task as a worker does, and return its lines."""

    def played(body, config=None, args=(), kwargs=None, **options):
        app = make_celery({**QUIET, **(config or {})})
        lines = worker_logs(app)
        task = app.task(shared=False, name="body", **options)(body)
        with correlated("mine"):
            task.apply_async(args, kwargs)
        run(app)
        return lines

    return played


def test_a_success_is_one_line(play):
    """By default a run that went well is one INFO line with all its fields."""
    (line,) = play(nothing)

    assert line["event"] == "task.succeeded"
    assert line["level"] == "INFO"
    assert line["correlation_id"] == "mine"
    assert line["task"] == "body"
    assert line["queue"].startswith("queue-")
    assert line["attempt"] == 1
    assert line["runtime_ms"] >= 0
    assert line["queue_wait_ms"] >= 0
    assert len(line["task_id"]) == 36


def test_at_debug_a_run_tells_of_its_start(play):
    """With DEBUG on, a line comes before the run as well."""
    lines = play(nothing, {"HARDENING_LOGS_LEVEL": "DEBUG"})

    assert [x["event"] for x in lines if x.get("event")] == [
        "task.started",
        "task.succeeded",
    ]


def test_a_failure_is_one_line_with_its_stack_and_no_locals(play):
    """A failed run is one ERROR line with type, text and stack, never local variables."""

    def body():
        hidden = "hunter2"
        raise LookupError(len(hidden))

    (line,) = play(body)

    assert line["event"] == "task.failed"
    assert line["level"] == "ERROR"
    assert line["exception_type"] == "builtins.LookupError"
    assert "in body" in line["exception_stack"]
    assert "'hunter2'" not in line["exception_stack"].replace('hidden = "hunter2"', "")


def test_an_expected_failure_is_no_error(play):
    """What a task declares in `throws` is told at INFO."""

    def body():
        raise KeyError("known")

    (line,) = play(body, throws=(KeyError,))

    assert line["event"] == "task.failed"
    assert line["level"] == "INFO"


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (Reject("no", requeue=False), "task.rejected", "WARNING"),
        (Ignore(), "task.ignored", "INFO"),
    ],
)
def test_a_refusal_is_no_failure(play, error, event, level):
    """Rejecting and ignoring have lines of their own, and no failure beside them."""

    def body():
        raise error

    (line,) = play(body)

    assert (line["event"], line["level"]) == (event, level)


def test_positional_arguments_are_masked_by_their_parameters_names(play):
    """`login("ada", "hunter2")` hides what `login(user="ada", password="hunter2")` hides."""

    def login(user, password, *more):
        """Log in."""

    config = {"HARDENING_TASKS_ARGUMENTS": True}
    (line,) = play(login, config, ("ada", "hunter2", 3), {})

    assert (line["args"], line["kwargs"]) == (["ada", "***", 3], {})


def test_arguments_stay_out(play):
    """By default no line says what a task was called with."""
    (line,) = play(nothing, args=("hunter2",), kwargs={"note": "seen"})

    assert "args" not in line
    assert "hunter2" not in repr(line)
    assert "seen" not in repr(line)


@pytest.mark.parametrize("fails", [False, True])
def test_arguments_are_masked_when_asked_for(play, fails):
    """With `HARDENING_TASKS_ARGUMENTS` they are logged, the values of secret keys masked."""

    def body(*args, **kwargs):
        if fails:
            raise ValueError("no")

    (line,) = play(
        body,
        {"HARDENING_TASKS_ARGUMENTS": True},
        args=({"token": "hunter2", "sku": "A-17"},),
        kwargs={"password": "hunter2", "note": "seen"},
    )

    assert line["args"] == [{"token": "***", "sku": "A-17"}]
    assert line["kwargs"] == {"password": "***", "note": "seen"}
    assert "hunter2" not in repr(line)


def test_without_the_part_there_are_no_lines(play):
    """`HARDENING_TASKS_ENABLED = False` silences the lines; Celery's own come through."""
    lines = play(nothing, {"HARDENING_TASKS_ENABLED": False})

    assert [x for x in lines if x.get("event")] == []
    assert any(x["logger"] == "celery.app.trace" for x in lines)


def test_the_service_is_the_apps_name(make_celery, run, worker_logs):
    """Without a service's name, lines carry that of the Celery app."""
    app = make_celery(QUIET, name="billing")
    lines = worker_logs(app)
    app.task(shared=False, name="body")(nothing).delay()
    run(app)

    assert lines[0]["service"] == "billing"
    assert lines[0]["environment"] == "production"
