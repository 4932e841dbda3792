"""The tasks that the real workers run, and the Celery app that both they and the tests make."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
import warnings

from celery import Celery
from celery.exceptions import Ignore, Reject
from celery.utils.log import get_task_logger
from loguru import logger

import celery_hooks

SETTINGS = {"HARDENING_SERVICE": "jobs", "HARDENING_LOGS_LEVELS": {"celery_hooks": "DEBUG"}}
LIBRARY = logging.getLogger("some.library")
TASK_LOGGER = get_task_logger("jobs")


def build(broker, backend, queue, **settings):
    """Return a Celery app with all tasks and the hooks."""
    app = Celery("jobs", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=queue,
        worker_prefetch_multiplier=16,
        broker_connection_retry_on_startup=True,
        result_expires=600,
        timezone="UTC",
        **settings,
    )
    for fill in (_travel, _retry, _end, _speak):
        fill(app)
    app.finalize()
    celery_hooks.install(app, SETTINGS)
    return app


def say(wanted):
    """Write the line that the tests look for: the id this run should have, beside its own."""
    logger.bind(wanted=wanted).info("ran")


def _travel(app):
    """Tasks that set off others."""

    @app.task(name="step", shared=False)
    def step(wanted, pause=0.0):
        time.sleep(pause)
        say(wanted)

    @app.task(name="nested", shared=False)
    def nested(wanted):
        step.delay(wanted)
        say(wanted)

    @app.task(name="replaced", bind=True, shared=False)
    def replaced(self, wanted):
        say(wanted)
        raise self.replace(step.si(wanted))

    @app.task(name="eager_inside", shared=False)
    def eager_inside(wanted):
        step.apply((wanted,))
        say(wanted)

    @app.task(name="errback", shared=False)
    def errback(wanted):
        say(wanted)

    @app.task(name="errback_in_place", shared=False)
    def errback_in_place(request, error, stack):
        say(request.args[0])

    @app.task(name="bare", shared=False)
    def bare(marker):
        logger.bind(marker=marker).info("ran")


def _retry(app):
    """Tasks that come again."""

    @app.task(name="flaky", bind=True, max_retries=2, shared=False)
    def flaky(self, wanted):
        say(wanted)
        if self.request.retries < self.max_retries:
            raise self.retry(exc=ConnectionError("not yet"), countdown=0)

    @app.task(
        name="auto",
        shared=False,
        bind=True,
        autoretry_for=(ConnectionError,),
        retry_kwargs={"max_retries": 1, "countdown": 0},
    )
    def auto(self, wanted):
        say(wanted)
        if not self.request.retries:
            raise ConnectionError("not yet")

    @app.task(name="gives_up", bind=True, max_retries=1, shared=False)
    def gives_up(self, wanted):
        say(wanted)
        raise self.retry(exc=ConnectionError("never"), countdown=0)


def _end(app):
    """Tasks that end in other ways than well."""

    @app.task(name="broken", shared=False)
    def broken(wanted, password=None):
        say(wanted)
        raise ValueError("broken on purpose")

    @app.task(name="refuses", shared=False)
    def refuses(wanted):
        say(wanted)
        raise Reject("not mine", requeue=False)

    @app.task(name="ignores", shared=False)
    def ignores(wanted):
        say(wanted)
        raise Ignore

    @app.task(name="killed", shared=False)
    def killed(wanted):
        say(wanted)
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="stuck", time_limit=1, shared=False)
    def stuck(wanted):
        say(wanted)
        time.sleep(60)

    @app.task(name="leaves", shared=False)
    def leaves(wanted):
        say(wanted)
        raise SystemExit(3)


def _speak(app):
    """Tasks that write in every way there is."""

    @app.task(name="noisy", shared=False)
    def noisy(wanted):
        say(wanted)
        # what comes of `print` is what is tested
        print('printed "ünïcode" {braces}\nin two lines')  # noqa: T201
        print("without an end", end="")  # noqa: T201
        sys.stdout.flush()
        sys.stderr.write("to stderr\n")
        warnings.warn("a warning", UserWarning, stacklevel=1)
        LIBRARY.warning("from a library: %s", "x\ny")
        TASK_LOGGER.info("from the task logger")
        logger.info("from loguru")
        try:
            raise KeyError("shown")
        except KeyError:
            traceback.print_exc()
            LIBRARY.exception("with a traceback")

    @app.task(name="secretive", shared=False)
    def secretive(wanted, note, password):
        say(wanted)
