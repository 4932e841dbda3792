"""The id in the message: put in at publishing, checked and taken out at the run."""

from __future__ import annotations

import time

import pytest

from celery_hooks.correlation import ID_HEADER, PUBLISHED_HEADER, stamp
from flask_hardening import correlation_id
from flask_hardening.core import correlation
from flask_hardening.core.correlation import correlated, valid


@pytest.fixture
def seen():
    """The ids that runs saw, in order."""
    return []


@pytest.fixture
def look(celery, seen):
    """A task that looks at its id."""

    @celery.task(shared=False)
    def look():
        seen.append(correlation_id())

    return look


def test_a_message_carries_the_publishers_id(celery, look, arrived):
    """What is published in a unit of work carries its id, beside the time of publishing."""
    before = time.time()
    with correlated("mine"):
        look.delay()

    (message,) = arrived(celery)
    assert message.headers[ID_HEADER] == "mine"
    assert before <= message.headers[PUBLISHED_HEADER] <= time.time()
    assert message.properties["correlation_id"] == message.headers["id"]


def test_a_publish_without_a_cause_starts_a_new_id(celery, look, arrived):
    """Outside of any unit of work each publish is a cause of its own."""
    for _ in range(3):
        look.delay()

    ids = {valid(message.headers[ID_HEADER]) for message in arrived(celery)}
    assert len(ids) == 3
    assert None not in ids


def test_an_id_given_in_the_headers_stays(celery, look, arrived):
    """A publisher may say what cause a message belongs to: replays and relays do."""
    with correlated("mine"):
        look.apply_async(headers={ID_HEADER: "theirs"})

    (message,) = arrived(celery)
    assert message.headers[ID_HEADER] == "theirs"


HOSTILE = [
    "x" * 65_536,
    "two\nlines",
    "",
    "semi;colon",
    "ünïcode",
    17,
    None,
    True,
    ["mine"],
    {"a": 1},
    b"bytes",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:12])
def test_an_impossible_id_is_replaced_at_publishing(value):
    """What can't be an id is not sent on."""
    headers = {ID_HEADER: value}
    stamp(headers)

    assert valid(headers[ID_HEADER])


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:12])
def test_an_impossible_id_is_not_believed_on_arrival(celery, look, run, seen, value):
    """A message from elsewhere can't bring a bad id in; it gets the task family's own."""
    with correlated("mine"):
        result = look.delay()
    run(celery, change=lambda headers: headers.update({ID_HEADER: value}))

    assert seen == [result.id]


def test_a_message_without_any_id_gets_a_new_one(celery, look, run, seen):
    """With neither our header nor Celery's root id, the run starts an id."""
    look.delay()

    def strip(headers):
        del headers[ID_HEADER]
        headers["root_id"] = None

    run(celery, change=strip)

    assert valid(seen[0])


def test_publishing_survives_no_headers():
    """Protocol 1 publishes without headers; the hook lets it."""
    stamp(None)
    stamp(headers=None, body=(), sender="task")


@pytest.mark.parametrize("value", ["soon", None, [1], "1", float("nan")])
def test_an_impossible_time_of_publishing_is_ignored(celery, look, run, worker_logs, value):
    """A hostile time costs the line its wait, nothing else."""
    lines = worker_logs(celery)
    look.delay()
    run(celery, change=lambda headers: headers.update({PUBLISHED_HEADER: value}))

    (done,) = lines.of("task.succeeded")
    assert "queue_wait_ms" not in done


def test_the_id_of_a_message_is_bound_for_its_run_alone(celery, look, run, seen):
    """The run has the message's id; before and after there is none."""
    with correlated("mine"):
        look.delay()
    run(celery)

    assert seen == ["mine"]
    assert correlation.current() is None


def test_a_run_leaves_the_id_of_its_surroundings_alone(celery, look, run, seen):
    """A run inside another unit of work gives that unit's id back."""
    with correlated("mine"):
        look.delay()
    with correlated("around"):
        run(celery)
        assert correlation_id() == "around"

    assert seen == ["mine"]


def test_a_failed_run_leaves_no_id_behind(celery, run):
    """After an exception the id is given back as after a success."""

    @celery.task(shared=False)
    def fails():
        raise ValueError("no")

    with correlated("mine"):
        fails.delay()
    run(celery)

    assert correlation.current() is None


def test_a_task_publishes_on_under_its_id(celery, look, run, arrived):
    """What a run publishes carries the run's id."""

    @celery.task(shared=False)
    def outer():
        look.delay()

    with correlated("mine"):
        outer.delay()
    run(celery)

    (message,) = arrived(celery)
    assert message.headers["task"] == look.name
    assert message.headers[ID_HEADER] == "mine"


def test_a_retry_keeps_its_id_and_counts_its_wait_anew(celery, run, arrived, worker_logs):
    """A retry's message carries the id, and the time of its own publishing."""
    lines = worker_logs(celery)

    @celery.task(bind=True, shared=False)
    def again(self):
        raise self.retry(exc=ValueError("not yet"), countdown=60)

    with correlated("mine"):
        again.delay()
    before = time.time()
    run(celery)

    (message,) = arrived(celery)
    assert message.headers[ID_HEADER] == "mine"
    assert message.headers[PUBLISHED_HEADER] >= before
    (line,) = lines.of("task.retried")
    assert line["retry_in"] == 60
    assert line["correlation_id"] == "mine"


@pytest.mark.parametrize("countdown", [None, 30, -30])
def test_a_wanted_delay_is_no_wait(celery, look, run, worker_logs, countdown):
    """The wait counts from when the task was to run, or from its publishing if that is later."""
    lines = worker_logs(celery)
    look.apply_async(countdown=countdown)
    published = []

    def earlier(headers):
        # as if it had been published 40 seconds ago, and its time moved along
        published.append(headers[PUBLISHED_HEADER])
        headers[PUBLISHED_HEADER] -= 40

    run(celery, change=earlier)

    (done,) = lines.of("task.succeeded")
    if countdown == 30:
        assert done["queue_wait_ms"] == 0
    else:
        passed = 40 if countdown is None else 30
        assert passed * 1000 <= done["queue_wait_ms"] < passed * 1000 + 10_000
