"""How long it took: the timing headers of a response, and a line for slow requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_hardening.core import logs
from flask_hardening.record import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask

    from flask_hardening.core.correlation import Unit
    from flask_hardening.core.settings import Timings
    from flask_hardening.record import Record


def init_app(app: Flask, config: Timings) -> None:
    """Wire the part."""
    state = state_of(app)
    shown = config.server_timing
    server_timing = state.development if shown is None else shown

    def head(record: Record) -> Iterable[tuple[str, str]]:
        elapsed = record.elapsed
        response_time = ("X-Response-Time", f"{elapsed:.2f}ms")
        if server_timing:
            return response_time, ("Server-Timing", _server_timing(elapsed, record.unit))
        return (response_time,)

    slow, by_route = config.slow, config.slow_routes
    lowest = min([limit for limit in (slow, *by_route.values()) if limit], default=0.0)

    def end(record: Record) -> None:
        duration = record.duration or 0.0
        if lowest and duration > lowest * 1000:
            _log_if_slow(record, duration, by_route.get(record.route, slow))

    names = ("X-Response-Time", "Server-Timing") if server_timing else ("X-Response-Time",)
    state.add_head(names, head)
    state.ends.append(end)


def _server_timing(elapsed: float, unit: Unit) -> str:
    """Return the header's value (W3C Server Timing): milliseconds, and how many calls."""
    parts = [f"app;dur={elapsed:.2f}"]
    spent = unit.spent
    if spent is not None and spent.db_calls:
        parts.append(f'db;dur={spent.db_seconds * 1000:.2f};desc="{spent.db_calls} calls"')
    if spent is not None and spent.external_calls:
        external = spent.external_seconds * 1000
        parts.append(f'external;dur={external:.2f};desc="{spent.external_calls} calls"')
    return ", ".join(parts)


def _log_if_slow(record: Record, duration: float, limit: float) -> None:
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
