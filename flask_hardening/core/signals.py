"""
What the parts tell each other: blinker signals, each with one frozen record as its sender.

Send with `tell`: a receiver that fails is counted and never reaches who sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blinker import Namespace

from flask_hardening.core.shield import drop

if TYPE_CHECKING:
    from blinker import Signal

_signals = Namespace()


@dataclass(frozen=True)
class BreakerChanged:
    """
    A breaker went from one state to another.

    Attributes:
        target: Whose it is.
        before: `closed`, `open`, `half_open`, `forced_open` or `disabled`.
        after: The same.
        cause: `consecutive`, `rate`, `slow`, `probe`, `timer`, `forced` or `reset`; or
            `shared`: another process of the host has told of it.
        calls: Calls in the window when it did.
        failures: Those of them that failed.
        open_for: Seconds it will stay open; 0 for other states.
        last_failure: Class and text of the last failure, if there was one.
    """

    target: str
    before: str
    after: str
    cause: str
    calls: int = 0
    failures: int = 0
    open_for: float = 0.0
    last_failure: str | None = None


@dataclass(frozen=True)
class RetryScheduled:
    """
    A call failed and will be made again.

    Attributes:
        target: What was called.
        attempt: Number of the attempt that failed, from 1.
        attempts: How many there may be.
        delay: Seconds until the next.
        error: What it failed with.
    """

    target: str
    attempt: int
    attempts: int
    delay: float
    error: BaseException


@dataclass(frozen=True)
class RetryEnded:
    """
    A call that had been retried has come to its end.

    Attributes:
        target: What was called.
        reason: `recovered`; or why no more were made: `attempts`, `deadline`, `budget`,
            `retry_after`, `permanent`, `open`.
        attempts: How many were made.
        elapsed: Seconds from the first one's begin.
        error: What the last one failed with; None if it succeeded.
    """

    target: str
    reason: str
    attempts: int
    elapsed: float
    error: BaseException | None = None


@dataclass(frozen=True)
class CallRefused:
    """
    A call was not made.

    Attributes:
        target: What would have been called.
        reason: `breaker`, `bulkhead` or `deadline`.
        error: What who called has got instead.
    """

    target: str
    reason: str
    error: Exception


@dataclass(frozen=True)
class FallbackUsed:
    """
    A fallback stood in for a call.

    Attributes:
        target: What was called.
        error: What the call ended with.
    """

    target: str
    error: Exception


breaker_changed: Signal = _signals.signal("breaker-changed")
"""Sent with a `BreakerChanged`, outside of the breaker's lock."""

retry_scheduled: Signal = _signals.signal("retry-scheduled")
"""Sent with a `RetryScheduled`, before the wait."""

retry_ended: Signal = _signals.signal("retry-ended")
"""Sent with a `RetryEnded`, once per call that was retried or might have been."""

call_refused: Signal = _signals.signal("call-refused")
"""Sent with a `CallRefused`, once per call, by the innermost that refused it."""

fallback_used: Signal = _signals.signal("fallback-used")
"""Sent with a `FallbackUsed`, before the fallback is asked."""


def tell(signal: Signal, record: Any) -> None:  # noqa: ANN401
    """Send a record to each receiver, whatever the one before it did."""
    if not signal.receivers:
        return
    for receiver in list(signal.receivers_for(None)):
        try:
            receiver(record)
        except Exception as error:  # noqa: BLE001 - see core.shield
            drop("signal", signal.name, type(error).__name__)  # type: ignore[attr-defined]
