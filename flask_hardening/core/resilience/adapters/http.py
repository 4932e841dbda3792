"""What guarding a call over HTTP takes, whichever client makes it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from flask_hardening.core import correlation, logs
from flask_hardening.core.resilience import budget, classes, deadline
from flask_hardening.core.resilience.classes import Kind
from flask_hardening.core.resilience.errors import StatusError
from flask_hardening.core.resilience.watch import Watch
from flask_hardening.core.timings import note_external

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from types import TracebackType

    from flask_hardening.core.resilience.errors import DeadlineExceededError

_IDEMPOTENT = frozenset("GET HEAD OPTIONS TRACE PUT DELETE".split())  # RFC 9110, 9.2.2
_KEY = "Idempotency-Key"
_PORTS = {"http": 80, "https": 443}


class _Response(Protocol):
    @property
    def status_code(self) -> int: ...


R = TypeVar("R", bound=_Response)


class Call:
    """
    One call, with all its attempts.

    Args:
        method: As in the request.
        url: The same.

    Attributes:
        key: Host and port, which have a breaker of their own.
        what: What it does, without anything secret.
        failed: The answer to the last attempt, if it tells of a failure.
    """

    __slots__ = ("failed", "key", "what")

    def __init__(self, method: str | None, url: str | None) -> None:
        self.key = _key_of(url or "")
        self.what = f"{method} {self.key}"
        self.failed: Any = None

    def accept(self, response: R) -> R:
        """
        Take an answer.

        Raises:
            StatusError: It tells of a failure that may pass.
        """
        if classes.kind_of_status(response.status_code) in (Kind.CUT_OFF, Kind.BUSY):
            self.failed = response
            raise StatusError(response)
        return response

    def answer(self, error: Exception) -> Any:  # noqa: ANN401
        """
        Return the answer that there was, though it tells of a failure; there is to be no other.

        Raises:
            Exception: *error*; there was none.
        """
        if self.failed is None:
            raise error
        budget.hand_on(error, self.failed)
        return self.failed

    def drop(self) -> None:
        """Close an answer that nobody will get."""
        failed, self.failed = self.failed, None
        if failed is not None:
            failed.close()

    async def adrop(self) -> None:
        """Do the same, and await it."""
        failed, self.failed = self.failed, None
        if failed is not None:
            await failed.aclose()


class Attempt:
    """
    One attempt, whose time is told when it has ended.

    Args:
        target: Name of what is called.
        call: What it is an attempt of.

    Attributes:
        watch: What cuts its connection off at the deadline; None without one.
        late: Whether it was ended from this side, because of the deadline.
    """

    __slots__ = ("_call", "_started", "_target", "late", "watch")

    def __init__(self, target: str, call: Call) -> None:
        self._target, self._call = target, call
        current = deadline.current()
        self.watch = None if current is None else Watch(current.at)
        self.late = False

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.watch is not None:
            self.watch.end()
            self.late = self.late or self.watch.fired
        note_external(self._target, time.monotonic() - self._started, self._call.what)

    def instead(
        self,
        error: Exception | None,
        timeout: float | None,
        *,
        late: type[DeadlineExceededError],
        slow: type[Exception],
    ) -> Exception | None:
        """
        Return what is to be raised in place of how it has ended, if anything is.

        Args:
            error: What it has ended with.
            timeout: Seconds that the client would have waited without a deadline.
            late: Says that there was too little time: nothing against the target.
            slow: Says that it does not answer. The client's own error stays, but cut off
                from here it is that of a lost connection, or none.
        """
        if not self.late and (error is None or not classes.is_failure(error)):
            return None
        waited = time.monotonic() - self._started
        if deadline.is_deadlines(timeout, waited):
            return deadline.exceeded(late)
        return slow(f"no answer in {waited:.3g} s") if self.late else None


def may_repeat(method: str | None, headers: Mapping[str, Any], *, replayable: bool) -> bool:
    """
    Tell whether doing it twice is as good as once.

    Args:
        method: As in the request.
        headers: The same.
        replayable: Its body can be sent again.
    """
    again = (method or "").upper() in _IDEMPOTENT or bool(headers.get(_KEY))
    return replayable and again


def stamp(headers: MutableMapping[str, Any], url: str | None) -> None:
    """
    Tell a service how much time is left, if it may know anything at all, else nothing.

    A redirected request arrives with what the hop before was told.
    """
    headers.pop(deadline.HEADER, None)
    if deadline.current() is not None and correlation.outgoing(url or ""):
        headers.update(deadline.header())


def warn_of_stacked(target: str, found: str) -> None:
    """Say that retries of the library's own were switched off."""
    message = (
        f"The client of {target} made retries of its own, which would multiply with "
        "protect()'s: they are off now. Leave them out where it is made"
    )
    fields = {"target": target, "found": found}
    logs.emit("WARNING", "config.stacked_retries", message, __name__, fields)


def _key_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # the client is to say so
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host
