"""Celery apps that need no broker, and what their messages look like on arrival."""

from __future__ import annotations

import itertools

import pytest
from celery import Celery, signals
from celery.worker.request import Request

import celery_hooks
from flask_hardening.core import logs, shield

_numbers = itertools.count()


@pytest.fixture
def make_celery(_fresh_process):
    """Make a Celery app over memory with the hooks; further settings are its configuration."""
    made = []

    def make(config=None, *, hooks=True, name=None, **conf):
        number = next(_numbers)
        app = Celery(name or f"app-{number}", set_as_current=False)
        # the memory of the transport is one for the whole process
        ours = {"task_default_queue": f"queue-{number}", "broker_url": "memory://"}
        app.conf.update({"result_backend": "cache+memory://", **ours, **conf})
        if hooks:
            celery_hooks.install(app, config or {})
        made.append(app)
        return app

    yield make
    for app in made:
        celery_hooks.uninstall(app)
        app.close()


@pytest.fixture
def celery(make_celery):
    """A Celery app that queues."""
    return make_celery()


@pytest.fixture
def eager(make_celery):
    """A Celery app that runs its tasks where they are called."""
    return make_celery(task_always_eager=True, task_store_eager_result=False)


@pytest.fixture
def arrived():
    """Return the messages that wait in an app's queue, as a worker gets them."""

    def take(app):
        messages = []
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue(app.conf.task_default_queue)
            while queue.qsize():
                messages.append(queue.get(block=False))
                messages[-1].ack()
            queue.close()
        return messages

    return take


@pytest.fixture
def run(arrived):
    """Run what waits in an app's queue, as a worker of the solo pool does; returns results."""

    def work(app, change=lambda _: None):
        results = []
        for message in arrived(app):
            change(message.headers)
            results.append(Request(message, app=app, hostname="here").execute())
        return results

    return work


@pytest.fixture
def worker_logs(make_celery):
    """Set up an app's logs as its worker does, and collect the lines."""

    class Lines(list):
        def of(self, event):
            return [line for line in self if line.get("event") == event]

    lines = Lines()

    def start(app):
        signals.setup_logging.send(sender=None)
        logs.active().pipeline.tap(lines.append)
        return lines

    return start


@pytest.fixture(autouse=True)
def _nothing_lost():
    """Fail a test that loses telemetry without expecting it."""
    yield
    assert not shield.dropped
