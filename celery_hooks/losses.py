"""What a worker's main process does for a run whose own process is gone, done under its id."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.utils.imports import symbol_by_name

from celery_hooks.correlation import bound, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_hooks.installation import Installation
    from flask_hardening.core.correlation import Origin


def install(installation: Installation) -> None:
    """Connect the receiver."""
    app = installation.app

    def prepare(instance: Any, **_: Any) -> None:  # noqa: ANN401
        """
        Give each task of a worker a request class that binds the ids.

        Celery has no signal before it calls or publishes the error callbacks of a killed
        run; `Task.Request` is where it lets others in. The worker alone needs it, so its
        modules are not imported where tasks are only published.
        """
        if instance.app is not app:
            return
        classes: dict[type, type] = {}
        for task in app.tasks.values():
            base = symbol_by_name(task.Request)
            if base not in classes:
                classes[base] = _with_ids(base, installation.origin)
            installation.undo_with(partial(_restore, task, task.__dict__.get("Request")))
            task.Request = classes[base]

    installation.connect(signals.celeryd_after_setup, prepare)


def _restore(task: Any, before: Any) -> None:  # noqa: ANN401
    if before is None:
        del task.Request  # it was the class's
    else:
        task.Request = before


def _with_ids(base: Any, origin: Origin) -> type:  # noqa: ANN401
    class Request(base):  # type: ignore[misc]
        def on_failure(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with _as_in_its_run(self, origin):
                return super().on_failure(*args, **kwargs)

        def on_timeout(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with _as_in_its_run(self, origin):
                return super().on_timeout(*args, **kwargs)

    return Request


@contextmanager
def _as_in_its_run(request: Any, origin: Origin) -> Iterator[None]:  # noqa: ANN401
    """
    Bind the ids, and let `task.request` be what it was in the run.

    Celery itself does the latter from 5.7 on only, and not at a hard time limit.
    """
    context = request._context  # noqa: SLF001 - Celery passes it to its own callbacks
    stack = request.task.request_stack
    with bound(unit_of(context, request.name, origin)):
        stack.push(context)
        try:
            yield
        finally:
            stack.pop()
