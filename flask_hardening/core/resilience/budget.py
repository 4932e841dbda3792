"""Which retries are allowed: a share of the calls, none after a final error, none before its time."""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from contextlib import suppress
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience.errors import REJECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from flask_hardening.core.signals import RetryEnded

EXHAUSTED = "_hardening_exhausted"
"""The attribute of an error that a retry has given up on; it holds the reason."""

_CAUSES = 10  # that are looked at; they may go round
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?").fullmatch
_budgets: weakref.WeakSet[RetryBudget] = weakref.WeakSet()


class RetryBudget:
    """
    A bucket of tokens: calls put some in, each retry takes one out.

    In *t* seconds with *n* calls there are at most `n * ratio + initial + reserve * t`
    retries. All calls to a target share one.

    Args:
        ratio: Tokens that a call puts in, 0 to 1: the share of calls that may be retried
            once.
        reserve: Tokens that come back each second, for a target with little traffic.
        initial: Tokens at the start.
        most: The most that it holds.
        clock: Returns seconds, and never goes back.

    Raises:
        ConfigError: *ratio* is not from 0 to 1, or another is below 0.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        reserve: float = 1.0,
        initial: float = 10.0,
        most: float = 100.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (0 <= ratio <= 1 and reserve >= 0 and initial >= 0 and most >= 0):
            raise ConfigError(
                "A retry budget needs a ratio from 0 to 1, and no less than 0 of the rest: "
                f"{ratio=}, {reserve=}, {initial=}, {most=}"
            )
        self._ratio = ratio
        self._reserve = reserve
        self._most = most
        self._clock = clock
        self._tokens = min(initial, most)
        self._calls = 0
        self._counted = clock()
        # a signal handler or a finalizer may come in between
        self._lock = threading.RLock()
        _budgets.add(self)

    @property
    def tokens(self) -> float:
        """How many retries may be made now; of a token in parts, none."""
        with self._lock:
            self._refill()
            return self._tokens

    def deposit(self) -> None:
        """Count a call."""
        # without the lock, which each call would pay for: one that gets lost allows nothing
        self._calls += 1

    def withdraw(self) -> bool:
        """Take the token for a retry, and tell whether there was one."""
        with self._lock:
            self._refill()
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def _refill(self) -> None:
        now, calls = self._clock(), self._calls
        self._calls = 0
        earned = calls * self._ratio + max(0.0, now - self._counted) * self._reserve
        self._tokens = min(self._most, self._tokens + earned)
        self._counted = now


def _renew_locks() -> None:
    for budget in _budgets:  # a lock held by another thread at fork stays held
        budget._lock = threading.RLock()  # noqa: SLF001


os.register_at_fork(after_in_child=_renew_locks)


def is_final(error: BaseException | None) -> bool:
    """Tell whether a layer further in has tried enough, or there is no use in trying."""
    for _ in range(_CAUSES):
        if error is None:
            return False
        if isinstance(error, REJECTIONS) or _is_marked(error):
            return True
        # who is given an answer that tells of a failure makes an error of it himself
        if _is_marked(getattr(error, "response", None)):
            return True
        # not its context: a fallback runs while the error it stands in for is handled
        error = error.__cause__
    return False


def _is_marked(found: object) -> bool:
    return EXHAUSTED in getattr(found, "__dict__", ())


def hand_on(error: Exception, response: object) -> None:
    """Make an answer final in place of the error that it was told by, if that is."""
    if is_final(error):
        with suppress(Exception):
            vars(response)[EXHAUSTED] = "answered"


def close(end: RetryEnded) -> None:
    """Make the error that a call has ended with final, and note how often it was made."""
    error = end.error
    attempts = "1 attempt" if end.attempts == 1 else f"{end.attempts} attempts"
    with suppress(Exception):  # an error may be of any kind
        if error is not None and EXHAUSTED not in vars(error):
            vars(error)[EXHAUSTED] = end.reason  # past a class that forbids to set it
            error.add_note(f"{attempts} at {end.target!r} in {end.elapsed:.1f} s")


def retry_after(error: Exception | None) -> float | None:
    """
    Return the seconds for which a target wants to be left alone (RFC 9110, section 10.2.3).

    Args:
        error: What a call failed with. A `Retry-After` in the headers of its response, or
            in its own, tells; else its `retry_after`.

    Returns:
        None if nothing tells, or nothing that can be understood.
    """
    try:
        response = getattr(error, "response", None)
        # a response of `requests` that tells of a failure is false
        headers = getattr(error if response is None else response, "headers", None)
        if headers is not None and (value := headers.get("Retry-After")) is not None:
            return _seconds(value, headers.get("Date"))
        return _seconds(getattr(error, "retry_after", None), None)
    except Exception:  # noqa: BLE001 - it comes from outside, and may be anything
        return None


def _seconds(value: object, date: str | None) -> float | None:
    if isinstance(value, (int, float)):
        return float(value) if value >= 0 else None
    if not isinstance(value, str):
        return None
    if _SECONDS(value.strip()):
        return float(value)
    # by the target's own clock where it tells it: this one's may be wrong
    now = _utc(date).timestamp() if date else time.time()
    return max(0.0, _utc(value).timestamp() - now)


def _utc(date: str) -> datetime:
    moment = parsedate_to_datetime(date)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
