"""The id on its way through the queue: into the message at publishing, out of it at the run."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import signals

from flask_hardening.core import correlation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import Token

    from celery import Task

    from celery_hooks.installation import Installation

ID_HEADER = "x_correlation_id"
PUBLISHED_HEADER = "x_published_at"
_RUN = "_hardening_run"


class Run:
    """
    One execution of a task, kept on its request: ids may repeat, executions don't.

    Attributes:
        unit: The ids it runs under.
        started: When it started, in `time.monotonic()` seconds.
        queue_wait: Milliseconds it could have run but waited; None if unknown.
    """

    __slots__ = ("queue_wait", "started", "token", "unit")

    def __init__(self, unit: correlation.Unit, queue_wait: float | None) -> None:
        self.unit = unit
        self.queue_wait = queue_wait
        self.started = time.monotonic()
        self.token: Token[correlation.Unit | None] | None = None


def install(installation: Installation) -> None:
    """Connect the receivers."""
    app = installation.app
    origin = installation.origin

    def start(task: Task[Any, Any], **_: Any) -> None:  # noqa: ANN401
        if task.app is not app:
            return
        request = task.request
        run = Run(unit_of(request, task.name, origin), queue_wait(request))
        run.token = correlation.bind(run.unit)
        setattr(request, _RUN, run)

    def end(task: Task[Any, Any], **_: Any) -> None:  # noqa: ANN401
        run = run_of(task.request)
        if run is not None and run.token is not None:
            token, run.token = run.token, None
            correlation.reset(token)

    installation.connect(signals.before_task_publish, stamp)
    installation.connect(signals.task_prerun, start)
    installation.connect(signals.task_postrun, end)


def stamp(headers: dict[str, Any] | None = None, **_: Any) -> None:  # noqa: ANN401
    """
    Put the id and the time of publishing into a message.

    A valid id that is there already stays: a retry or a replay carries its own.
    """
    if headers is None:
        return
    given = correlation.valid(headers.get(ID_HEADER))
    headers[ID_HEADER] = given or correlation.correlation_id() or correlation.new_id()
    headers[PUBLISHED_HEADER] = time.time()


def run_of(request: Any) -> Run | None:  # noqa: ANN401
    """Return the execution that a request belongs to, if it started in this process."""
    return getattr(request, _RUN, None)


def unit_of(request: Any, task: str, origin: correlation.Origin) -> correlation.Unit:  # noqa: ANN401
    """
    Return the unit of work of a task's request.

    An eager task shares its caller's ids. A message without our header gets Celery's root
    id, which a whole family of retries, chains and callbacks has in common.
    """
    caller = correlation.current() if request.is_eager else None
    given = (
        caller.correlation_id if caller else correlation.valid(header(request, ID_HEADER))
    )
    found = given or correlation.valid(request.root_id) or correlation.new_id()
    return correlation.Unit(
        found,
        caller.request_id if caller else None,
        origin,
        {"task_id": request.id or "", "task": task},
    )


def queue_wait(request: Any) -> float | None:  # noqa: ANN401
    """Return how many milliseconds a message lay ready, not counting a wanted delay."""
    published = header(request, PUBLISHED_HEADER)
    if request.is_eager or not isinstance(published, (int, float)):
        return None
    if not math.isfinite(published):
        return None
    ready = max(published, _timestamp(request.eta))
    return max(0.0, (time.time() - ready) * 1000)


def header(request: Any, name: str) -> Any:  # noqa: ANN401
    """Return a message header from where the protocol in use leaves it."""
    headers = request.headers
    if isinstance(headers, dict) and name in headers:
        return headers[name]
    return getattr(request, name, None)


@contextmanager
def bound(unit: correlation.Unit) -> Iterator[None]:
    """Run a block under the ids of *unit*."""
    if correlation.current() is unit:
        yield
        return
    token = correlation.bind(unit)
    try:
        yield
    finally:
        correlation.reset(token)


def _timestamp(eta: object) -> float:
    try:
        return datetime.fromisoformat(str(eta)).timestamp() if eta else 0.0
    except ValueError:
        return 0.0
