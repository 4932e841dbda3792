"""What breakers and retries do, as log lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_hardening.core import logs, redaction, signals
from flask_hardening.core.recognition import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_hardening.core.signals import BreakerChanged, RetryEnded, RetryScheduled

_TEXT = 200
_EVENTS = {
    "open": ("ERROR", "breaker.opened"),
    "half_open": ("INFO", "breaker.half_open"),
    "closed": ("INFO", "breaker.closed"),
    "forced_open": ("WARNING", "breaker.forced_open"),
    "disabled": ("WARNING", "breaker.disabled"),
}


def connect() -> Callable[[], None]:
    """Write them from now on; returns what ends it."""
    pairs = (
        (signals.breaker_changed, _breaker_changed),
        (signals.retry_scheduled, _retry_scheduled),
        (signals.retry_ended, _retry_ended),
    )
    for signal, receiver in pairs:
        signal.connect(receiver, weak=False)

    def disconnect() -> None:
        for signal, receiver in pairs:
            signal.disconnect(receiver)

    return disconnect


def _breaker_changed(change: BreakerChanged) -> None:
    level, event = _EVENTS[change.after]
    fields = {
        "target": change.target,
        "before": change.before,
        "cause": change.cause,
        "calls": change.calls,
        "failures": change.failures,
        "open_for_s": round(change.open_for, 3) if change.open_for else None,
        "last_failure": change.last_failure,
    }
    message = f"The breaker of {change.target} is {change.after.replace('_', ' ')}"
    logs.emit(level, event, message, __name__, fields)


def _retry_scheduled(retry: RetryScheduled) -> None:
    fields = {
        "target": retry.target,
        "attempt": retry.attempt,
        "attempts": retry.attempts,
        "delay_ms": round(retry.delay * 1000, 2),
        **_of(retry.error),
    }
    message = f"{retry.target} failed, and is called again"
    logs.emit("WARNING", "retry.scheduled", message, __name__, fields)


def _retry_ended(end: RetryEnded) -> None:
    fields = {
        "target": end.target,
        "attempts": end.attempts,
        "elapsed_ms": round(end.elapsed * 1000, 2),
    }
    if end.error is None:
        message = f"{end.target} answered at attempt {end.attempts}"
        logs.emit("INFO", "retry.recovered", message, __name__, fields)
        return
    fields |= {"reason": end.reason, **_of(end.error)}
    message = f"{end.target} failed, and is called no more"
    logs.emit("WARNING", "retry.gave_up", message, __name__, fields)


def _of(error: BaseException) -> dict[str, Any]:
    text = redaction.text_of(error, _TEXT)
    return {"error_type": name_of(type(error)), "error": text}
