"""How a task ended: what Celery's signals mean, each end told once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from flask_hardening.core.recognition import INTERNAL, classify

if TYPE_CHECKING:
    from celery import Task

_REMEMBERED = 1000
_recent: OrderedDict[tuple[str, int], None] = OrderedDict()


def failure_fields(error: BaseException) -> dict[str, Any]:
    """Return what a line says of a failed attempt, beside its exception."""
    verdict = classify(error) or INTERNAL
    return {"error_category": verdict.category.value, "error_code": verdict.code}


def is_failure(error: object) -> bool:
    """Tell a failure from what Celery only calls one: a reject, an ignore, a retry."""
    return isinstance(error, BaseException) and not isinstance(
        error, (Reject, Ignore, Retry)
    )


def first_time(task: Task[Any, Any], task_id: str) -> bool:
    """
    Tell whether the end of this attempt has not been told by this process.

    A hard time limit is announced twice: once without the task's request, which is left
    for the second, and a lost process may be seen by two roads.
    """
    if task.request.id != task_id:
        return False
    key = task_id, task.request.retries or 0
    if key in _recent:
        return False
    _recent[key] = None
    if len(_recent) > _REMEMBERED:
        _recent.popitem(last=False)
    return True
