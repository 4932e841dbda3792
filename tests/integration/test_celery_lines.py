"""What a worker writes: one JSON object per line whatever speaks, one line per step of a task."""

from __future__ import annotations

import pytest
from processes import parse
from scenarios import TRAVELS

RUN = (
    "correlation_id",
    "task",
    "task_id",
    "queue",
    "attempt",
    "runtime_ms",
    "queue_wait_ms",
)


def test_every_line_is_a_json_object(recording):
    """From its first to its last byte, stdout holds JSON objects, one per line."""
    *lines, rest = recording.raw.split(b"\n")

    assert rest == b""
    assert len(lines) > 500
    for line in lines:
        fields = parse(line)
        assert {"timestamp", "level", "message", "logger"} <= fields.keys()
        assert fields["service"] == "jobs"
        assert fields["environment"] == "production"


def test_the_worker_ends_well(recording):
    """A worker with the hooks stops at SIGTERM with status 0, and says so first."""
    events = [x["event"] for x in recording.lines if "event" in x]

    assert recording.code == 0
    assert events[0] == "worker.started"
    assert events[-1] == "worker.stopping"


def test_nothing_of_a_task_goes_past_the_log(recording):
    """The worker's own stderr holds no word of a task, nor of a line that was lost."""
    for word in ("to stderr", "printed", "shown", "noisy", "telemetry.dropped"):
        assert word not in recording.stderr


@pytest.mark.parametrize(
    ("logger", "message"),
    [
        ("stdout", 'printed "ünïcode" {braces}'),
        ("stdout", "in two lines"),
        ("stdout", "without an end"),
        ("stderr", "to stderr"),
        ("stderr", "KeyError: 'shown'"),
        ("some.library", "from a library: x\ny"),
        ("some.library", "with a traceback"),
        ("jobs", "from the task logger"),
        ("jobs", "from loguru"),
    ],
)
def test_each_voice_of_a_task_is_a_line_with_its_id(recording, logger, message):
    """`print`, stderr, `logging`, loguru: each line of a task has its id and name."""
    found = [
        x for x in recording.of("noisy") if (x["logger"], x["message"]) == (logger, message)
    ]

    assert len(found) == 1
    assert found[0]["task"] == "noisy"


def test_a_warning_in_a_task_is_a_line(recording):
    """Python's warnings come through the log."""
    (line,) = [x for x in recording.of("noisy") if x["logger"] == "py.warnings"]

    assert "UserWarning: a warning" in line["message"]


def test_a_logged_exception_has_its_stack(recording):
    """A traceback from `logging` is in fields of its line."""
    (line,) = [x for x in recording.of("noisy") if x["message"] == "with a traceback"]

    assert line["exception_type"] == "builtins.KeyError"
    assert line["exception_stack"].startswith("Traceback")


@pytest.mark.parametrize("event", ["task.started", "task.succeeded"])
def test_a_run_tells_what_it_was(recording, event):
    """The lines of a run have all its fields, with times that make sense."""
    line = recording.one("delay", event)

    assert set(RUN) <= line.keys()
    assert line["task"] == "step"
    assert line["queue"] == recording.queue
    assert line["attempt"] == 1
    assert 0 <= line["runtime_ms"] < 30_000
    assert 0 <= line["queue_wait_ms"] < 30_000


def test_a_wanted_delay_is_no_wait(recording):
    """A countdown of two seconds is not counted as time in the queue."""
    line = recording.one("waits", "task.succeeded")

    assert 0 <= line["queue_wait_ms"] < 1900


def test_a_retry_counts_its_attempts(recording):
    """Each attempt has its line, with its number, and what it failed with."""
    retried = recording.of("retry", "task.retried")

    assert [x["attempt"] for x in retried] == [1, 2]
    assert {x["exception_type"] for x in retried} == {"builtins.ConnectionError"}
    assert {x["error_category"] for x in retried} == {"unavailable"}
    assert {x["retry_in"] for x in retried} == {0.0}
    assert recording.one("retry", "task.succeeded")["attempt"] == 3
    assert len({x["task_id"] for x in recording.of("retry")}) == 1


def test_giving_up_is_a_failure(recording):
    """After its last attempt a task has failed, with the error behind the retries."""
    line = recording.one("gives_up", "task.failed")

    assert line["attempt"] == 2
    assert line["exception_type"] == "builtins.ConnectionError"


def test_a_failure_tells_its_error(recording):
    """A failed run has its error's category, type, text and stack, and ERROR as level."""
    line = recording.one("failed", "task.failed")

    assert set(RUN) <= line.keys()
    assert line["level"] == "ERROR"
    assert line["error_category"] == "internal"
    assert line["exception_type"] == "builtins.ValueError"
    assert line["exception_message"] == "broken on purpose"
    assert "in broken" in line["exception_stack"]


@pytest.mark.parametrize(
    ("scenario", "event", "expected"),
    [
        ("rejected", "task.rejected", {"level": "WARNING", "task": "refuses"}),
        ("ignored", "task.ignored", {"level": "INFO", "task": "ignores"}),
        ("expired", "task.revoked", {"level": "WARNING", "expired": True}),
        ("unknown", "task.rejected", {"level": "ERROR", "reason": "unknown_task"}),
        ("garbage", "task.rejected", {"level": "ERROR", "reason": "invalid_message"}),
    ],
)
def test_each_other_end_has_its_line(recording, scenario, event, expected):
    """Rejected, ignored, expired, unknown and unreadable: one line each, with the queue."""
    line = recording.one(scenario, event)

    assert line["queue"] == recording.queue
    assert {key: line[key] for key in expected} == expected


def test_celery_does_not_tell_it_again(recording):
    """Celery's own lines of a task's life stay out: ours say it."""
    theirs = ("celery.app.trace", "celery.worker.strategy")

    assert [x for x in recording.lines if x["logger"] in theirs] == []
    unregistered = [x for x in recording.lines if "unregistered" in x["message"]]
    assert unregistered == []


def test_arguments_are_logged_only_if_asked_for(recording):
    """By default no argument is in the log; if asked for, secret ones are masked."""
    line = recording.one("secretive", "task.succeeded")

    assert b"hunter2" not in recording.raw
    if recording.arguments:
        assert line["args"] == ["secretive"]
        assert line["kwargs"] == {"note": "seen", "password": "***"}
    else:
        assert [x for x in recording.lines if "args" in x or "kwargs" in x] == []


def test_each_task_line_names_its_task(recording):
    """No line of ours about a task lacks its ids, its name, or its queue if it had one."""
    lines = [x for x in recording.lines if (x.get("event") or "").startswith("task.")]

    assert len(lines) > 2 * len(TRAVELS)
    for line in lines:
        assert {"correlation_id", "task_id", "task"} <= line.keys()
        assert ("queue" in line) == (not _was_eager(line))


def _was_eager(line):
    return line["correlation_id"] == "eager_inside" and line["task"] == "step"
