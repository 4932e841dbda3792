"""How long it took: the timing headers of a response, and a line for slow requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_hardening.core import logs
from flask_hardening.lifecycle import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask

    from flask_hardening.core.settings import Timings
    from flask_hardening.lifecycle import Record


def init_app(app: Flask, config: Timings) -> None:
    """Wire the part."""
    state = state_of(app)
    shown = config.server_timing
    server_timing = state.development if shown is None else shown

    def head(record: Record) -> Iterable[tuple[str, str]]:
        elapsed = f"{record.elapsed:.2f}"
        response_time = ("X-Response-Time", elapsed + "ms")
        if server_timing:
            return response_time, ("Server-Timing", "app;dur=" + elapsed)
        return (response_time,)

    def end(record: Record) -> None:
        _log_if_slow(record, config)

    names = ("X-Response-Time", "Server-Timing") if server_timing else ("X-Response-Time",)
    state.add_head(names, head)
    state.ends.append(end)


def _log_if_slow(record: Record, config: Timings) -> None:
    duration = record.duration or 0.0
    limit = config.slow
    if config.slow_routes:
        limit = config.slow_routes.get(record.route, limit)
    if not limit or duration <= limit * 1000:
        return
    fields = {
        "method": record.environ.get("REQUEST_METHOD"),
        "route": record.route,
        "path": record.path,
        "duration_ms": round(duration, 2),
        "threshold_ms": limit * 1000,
    }
    message = f"{fields['method']} {fields['route']} took {duration:.0f} ms"
    logs.emit("WARNING", "request.slow", message, __name__, fields)
