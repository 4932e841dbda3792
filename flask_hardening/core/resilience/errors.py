"""
What a guarded call raises instead of, or on top of, the errors of the call itself.

    Exception
    ├── CircuitOpenError        the breaker lets nothing through; also circuitbreaker's own class
    ├── BulkheadFullError       too many calls to this target are under way
    └── TimeoutError
        └── DeadlineExceededError   the time for this piece of work is used up

Each can be pickled, so that it survives the way from a Celery worker to who asked.
"""

from __future__ import annotations

from typing import Any

from circuitbreaker import CircuitBreakerError


class _Rejection(Exception):  # noqa: N818 - it is none by itself
    """What is raised for a call that is not made; adapters make clients' own errors of it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it was made of: what a client adds to it may not be possible to."""
        return type(self), self.args


class CircuitOpenError(_Rejection, CircuitBreakerError):  # type: ignore[misc]
    """
    The target's breaker is open: the call was not made.

    Args:
        target: Its name.
        retry_after: Seconds until a call makes sense again; 0 if that is not known.
        reason: `open`, `forced open`, or `half-open, probe under way`.
        last_failure: Class and text of the failure that opened it, if there was one.
    """

    def __init__(
        self,
        target: str,
        retry_after: float = 0.0,
        reason: str = "open",
        last_failure: str | None = None,
    ) -> None:
        # past the base class, which wants the breaker itself and can't be pickled with it
        Exception.__init__(self, target, retry_after, reason, last_failure)
        self.target = target
        self.retry_after = retry_after
        self.reason = reason
        self.last_failure = last_failure

    def __str__(self) -> str:
        after = f"; retry after {self.retry_after:.1f} s" if self.retry_after else ""
        last = f" (last failure: {self.last_failure})" if self.last_failure else ""
        return f"The breaker of {self.target!r} is {self.reason}{after}{last}"


class BulkheadFullError(_Rejection):
    """
    As many calls to the target are under way as may be: this one was not made.

    Args:
        target: Its name.
        limit: How many may be.
    """

    def __init__(self, target: str, limit: int) -> None:
        Exception.__init__(self, target, limit)  # the next in line may be a library's
        self.target = target
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} calls to {self.target!r} are under way, and no more may be"


class DeadlineExceededError(_Rejection, TimeoutError):
    """
    The time for this piece of work is used up.

    Args:
        seconds: How much it was; None if that is not known.
    """

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        if self.seconds is None:
            return "The deadline has passed"
        return f"The deadline of {self.seconds:.3g} s has passed"


class StatusError(Exception):
    """
    An answer that is a failure: for retry and breaker alone, who called gets the answer.

    Args:
        response: It, of whatever client.
    """

    def __init__(self, response: Any) -> None:  # noqa: ANN401
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        return f"It answered with status {self.response.status_code}"


REJECTIONS = (CircuitOpenError, BulkheadFullError, DeadlineExceededError)
"""What a call ends with that was not made, or not made again: nothing is wrong with it itself."""
