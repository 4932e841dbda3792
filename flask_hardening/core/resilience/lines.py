"""What breakers and retries do, as log lines."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from flask_hardening.core import logs, redaction, signals
from flask_hardening.core.recognition import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_hardening.core.signals import (
        BreakerChanged,
        CallRefused,
        FallbackUsed,
        RetryEnded,
        RetryScheduled,
    )

_TEXT = 200
_users: list[Any] = []
_EVERY = 10.0  # seconds: in an outage there is one for each request
_REFUSALS = {
    "breaker": ("INFO", "breaker.rejected", "Calls to {} are not let through"),
    "bulkhead": ("WARNING", "bulkhead.full", "As many calls to {} as may be are under way"),
    "deadline": ("WARNING", "deadline.exceeded", "There was no time left to call {}"),
}
_EVENTS = {
    "open": ("ERROR", "breaker.opened"),
    "half_open": ("INFO", "breaker.half_open"),
    "closed": ("INFO", "breaker.closed"),
    "forced_open": ("WARNING", "breaker.forced_open"),
    "disabled": ("WARNING", "breaker.disabled"),
}


def connect() -> Callable[[], None]:
    """
    Write them from now on; returns what ends it.

    Targets made before the settings were read, and those made after, both want them: they
    are written once, and until the last who wanted them is gone.
    """
    pairs = (
        (signals.breaker_changed, _breaker_changed),
        (signals.retry_scheduled, _retry_scheduled),
        (signals.retry_ended, _retry_ended),
        (signals.call_refused, _call_refused),
        (signals.fallback_used, _fallback_used),
    )
    _seldom.forget()
    for signal, receiver in pairs:
        signal.connect(receiver, weak=False)
    _users.append(pairs)

    def disconnect() -> None:
        _users.remove(pairs)
        for signal, receiver in () if _users else pairs:
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
    if end.reason == "budget" and (times := _seldom.take(("budget", end.target))):
        told = f"Too many calls to {end.target} fail: it is called again no more for now"
        exhausted = {"target": end.target, "times": times}
        logs.emit("WARNING", "budget.exhausted", told, __name__, exhausted)
    message = f"{end.target} failed, and is called no more"
    logs.emit("WARNING", "retry.gave_up", message, __name__, fields)


def _call_refused(refused: CallRefused) -> None:
    level, event, message = _REFUSALS[refused.reason]
    times = _seldom.take((event, refused.target))
    if times:
        fields = {"target": refused.target, "times": times, **_of(refused.error)}
        logs.emit(level, event, message.format(refused.target), __name__, fields)


def _fallback_used(used: FallbackUsed) -> None:
    times = _seldom.take(("fallback", used.target))
    if times:
        fields = {"target": used.target, "times": times, **_of(used.error)}
        message = f"A fallback stands in for {used.target}"
        logs.emit("INFO", "fallback.used", message, __name__, fields)


class _Seldom:
    """Lets something be told once in a while, and says how often it happened since."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}
        self._since: Counter[tuple[str, str]] = Counter()

    def forget(self) -> None:
        """Tell the next of each."""
        self._told.clear()
        self._since.clear()

    def take(self, what: tuple[str, str]) -> int:
        """Count it, and return how many there are to tell of; 0 for not now."""
        now = time.monotonic()
        self._since[what] += 1
        if now - self._told.get(what, -_EVERY) < _EVERY:
            return 0
        self._told[what] = now
        return self._since.pop(what, 1)


_seldom = _Seldom()


def _of(error: BaseException) -> dict[str, Any]:
    text = redaction.text_of(error, _TEXT)
    return {"error_type": name_of(type(error)), "error": text}
