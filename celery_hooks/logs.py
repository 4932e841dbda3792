"""One line per step in a task's life."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals

from celery_hooks import errors
from celery_hooks.correlation import ID_HEADER, bound, run_of, unit_of
from flask_hardening.core import correlation, logs, redaction, settings, timings

if TYPE_CHECKING:
    from celery import Task

    from celery_hooks.installation import Installation

_TOLD_BY_US = {
    "celery.app.trace": (),
    "celery.worker.strategy": (),
    "celery.worker.request": ("Task handler raised error", "Hard time limit"),
    "celery.worker.consumer.consumer": (
        "Received unregistered task",
        "Received invalid task",
        "Received and deleted unknown message",
    ),
}


def install(installation: Installation) -> None:
    """Connect the receivers."""
    if not installation.configuration.section(settings.Tasks).enabled:
        return
    lines = _TaskLines(installation)
    installation.connect(signals.task_prerun, lines.started)
    installation.connect(signals.task_success, lines.succeeded)
    installation.connect(signals.task_retry, lines.retried)
    installation.connect(signals.task_failure, lines.failed)
    installation.connect(signals.task_postrun, lines.ended)
    installation.connect(signals.task_revoked, lines.revoked)
    installation.connect(signals.task_unknown, lines.unknown)
    installation.connect(signals.task_rejected, lines.invalid)
    for name, starts in _TOLD_BY_US.items():
        logger, told = logging.getLogger(name), _ToldByUs(starts)
        logger.addFilter(told)
        installation.undo_with(partial(logger.removeFilter, told))


class _ToldByUs(logging.Filter):
    """
    Drops what Celery says of a task's run: our line says it, without its arguments.

    Celery marks such records with `data`, which holds the arguments; or they are known by
    how they begin.
    """

    def __init__(self, starts: tuple[str, ...]) -> None:
        super().__init__()
        self._starts = starts

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record goes on."""
        if self._starts and str(record.msg).startswith(self._starts):
            return False
        data = vars(record).pop("data", None)
        # an internal error of Celery's own has no line of ours
        return data is None or record.levelno >= logging.CRITICAL


class _TaskLines:
    """The receivers that write the lines."""

    def __init__(self, installation: Installation) -> None:
        self._app = installation.app
        self._origin = installation.origin
        self._arguments = installation.configuration.section(settings.Tasks).arguments

    def started(self, task: Task[Any, Any], args: Any, kwargs: Any, **_: Any) -> None:  # noqa: ANN401
        """Before the task's body."""
        if task.app is self._app and logs.enabled("DEBUG", __name__):
            more = self._shown(task, args, kwargs)
            self._line("DEBUG", "task.started", task, task.request, more)

    def succeeded(self, sender: Task[Any, Any], **_: Any) -> None:  # noqa: ANN401
        """After it has returned."""
        if sender.app is self._app:
            request = sender.request
            more = self._shown(sender, request.args, request.kwargs)
            self._line("INFO", "task.succeeded", sender, request, more)

    def retried(
        self,
        sender: Task[Any, Any],
        request: Any,  # noqa: ANN401
        reason: Any = None,  # noqa: ANN401
        **_: Any,  # noqa: ANN401
    ) -> None:
        """After it has asked for another attempt."""
        if sender.app is not self._app:
            return
        cause = getattr(reason, "exc", None)
        more: dict[str, Any] = {"retry_in": _seconds(getattr(reason, "when", None))}
        error = cause if isinstance(cause, BaseException) else None
        if error is not None:
            more |= errors.failure_fields(error)
        more |= self._shown(sender, request.args, request.kwargs)
        self._line("WARNING", "task.retried", sender, request, more, error)

    def failed(
        self,
        sender: Task[Any, Any],
        task_id: str,
        exception: BaseException,
        einfo: Any = None,  # noqa: ANN401
        **_: Any,  # noqa: ANN401
    ) -> None:
        """After it has failed for good, in its own process or in the main one."""
        if sender.app is not self._app or not errors.is_failure(exception):
            return
        request = sender.request
        if run_of(request) is None and not errors.first_time(sender, task_id):
            return
        more = errors.failure_fields(exception)
        more |= self._shown(sender, request.args, request.kwargs)
        # an exception that came from another process has lost its stack on the way
        stack = getattr(einfo, "traceback", None) if not exception.__traceback__ else None
        expected = bool(sender.throws) and isinstance(exception, tuple(sender.throws))
        level = "INFO" if expected else "ERROR"
        self._line(level, "task.failed", sender, request, more, exception, stack)

    def ended(self, task: Task[Any, Any], state: str | None = None, **_: Any) -> None:  # noqa: ANN401
        """After all else: the ends that have no signal of their own."""
        if task.app is not self._app or state not in ("REJECTED", "IGNORED"):
            return
        level = "WARNING" if state == "REJECTED" else "INFO"
        more = self._shown(task, task.request.args, task.request.kwargs)
        self._line(level, f"task.{str(state).lower()}", task, task.request, more)

    def revoked(
        self,
        sender: Task[Any, Any],
        request: Any,  # noqa: ANN401
        terminated: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        expired: bool = False,  # noqa: FBT001, FBT002
        **_: Any,  # noqa: ANN401
    ) -> None:
        """After it was taken back, before its run or during it."""
        if sender.app is self._app:
            more = {"terminated": bool(terminated), "expired": bool(expired)}
            self._line("WARNING", "task.revoked", sender, request, more)

    def unknown(self, message: Any, name: str, id: str, **_: Any) -> None:  # noqa: A002, ANN401
        """After a message for a task that this worker doesn't know."""
        self._refused(message, "unknown_task", name, id)

    def invalid(self, message: Any, **_: Any) -> None:  # noqa: ANN401
        """After a message that is none of Celery's."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        name, task_id = headers.get("task"), headers.get("id")
        self._refused(message, "invalid_message", str(name or ""), str(task_id or ""))

    def _refused(self, message: Any, reason: str, task: str, task_id: str) -> None:  # noqa: ANN401
        headers = message.headers if isinstance(message.headers, dict) else {}
        found = correlation.valid(headers.get(ID_HEADER)) or correlation.valid(
            headers.get("root_id")
        )
        queue = (message.delivery_info or {}).get("routing_key")
        # both are what the message says
        task, task_id = map(redaction.active().scrub, (task, task_id))
        unit = correlation.Unit(
            found or correlation.new_id(),
            None,
            self._origin,
            {"task_id": task_id, "task": task},
        )
        with bound(unit):
            logs.emit(
                "ERROR",
                "task.rejected",
                f"{task or 'A message'} rejected: {reason}",
                __name__,
                {"reason": reason, "queue": queue},
            )

    def _line(
        self,
        level: str,
        event: str,
        task: Task[Any, Any],
        request: Any,  # noqa: ANN401
        more: dict[str, Any],
        error: BaseException | None = None,
        stack: str | None = None,
    ) -> None:
        run = run_of(request)
        unit = run.unit if run else unit_of(request, task.name, self._origin)
        fields = {
            "queue": (request.delivery_info or {}).get("routing_key"),
            "attempt": (request.retries or 0) + 1,
            "runtime_ms": _since(run.started) if run else None,
            "queue_wait_ms": _rounded(run.queue_wait) if run else None,
            **timings.fields_of(unit),
            **more,
        }
        with bound(unit):
            message = f"{task.name} {event[5:]}"
            logs.emit(level, event, message, __name__, fields, error, stack)

    def _shown(self, task: Task[Any, Any], args: Any, kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        if not self._arguments:
            return {}
        return {"args": _named(task, args), "kwargs": kwargs}


@functools.lru_cache(maxsize=1024)
def _parameters(run: Any) -> tuple[str, ...]:  # noqa: ANN401
    try:
        return tuple(inspect.signature(run).parameters)
    except (TypeError, ValueError):
        return ()


def _named(task: Task[Any, Any], args: Any) -> Any:  # noqa: ANN401
    """Return the arguments by position, those hidden whose parameters name secrets."""
    if not isinstance(args, (list, tuple)):
        return args
    names = _parameters(task.run)
    clean = redaction.active().clean_fields
    return [
        next(iter(clean({names[place]: value}).values())) if place < len(names) else value
        for place, value in enumerate(args)
    ]


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _seconds(when: object) -> float | None:
    return round(float(when), 3) if isinstance(when, (int, float)) else None
