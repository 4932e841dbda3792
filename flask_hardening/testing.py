"""For users' tests: what was logged, and a process as good as new."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask_hardening.core import logs, process
from flask_hardening.core.resilience.retry import no_backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["capture_logs", "fresh_process", "no_backoff"]


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """
    Collect the records that a block logs, as dicts, in order.

    The outputs get them too. A request's line is there once the response's body has been
    read (`response.data` does).

    Raises:
        RuntimeError: No app has set up the logs yet, so nothing could be captured.
    """
    active = logs.active()
    if active is None:
        raise RuntimeError(
            "No log outputs are set up in this process: call Hardening(app) before "
            "capture_logs(), and leave HARDENING_LOGS_ENABLED on."
        )
    captured: list[dict[str, Any]] = []
    untap = active.pipeline.tap(captured.append)
    try:
        yield captured
    finally:
        untap()


@contextmanager
def fresh_process() -> Iterator[None]:
    """
    Run a block as if the process had just started.

    Apps made in it share nothing with apps made outside: log outputs are set up anew, with
    whatever settings, and closed at its end.
    """
    outside = process.swap({})
    try:
        yield
    finally:
        process.close_all()
        process.swap(outside)
