"""How long the current piece of work may still take: a deadline in the context, which calls obey."""

from __future__ import annotations

import math
import re
import time
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, TypeVar

from flask_hardening.core.resilience.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator

E = TypeVar("E", bound=DeadlineExceededError)

HEADER = "X-Request-Timeout-Ms"

_FAIR = 0.25
_LEAST = 0.001  # seconds; clients take 0 for "no time-out" or for "don't wait at all"
_MILLISECONDS = re.compile(r"[0-9]{1,15}").fullmatch
_clock = time.monotonic


class Deadline:
    """
    A moment after which the work is worth nothing.

    Attributes:
        at: The moment, in seconds of the monotonic clock.
        seconds: How long it was away when it was set.
    """

    __slots__ = ("at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.at = _clock() + seconds
        self.seconds = seconds


_deadline: ContextVar[Deadline | None] = ContextVar("hardening_deadline", default=None)

current = _deadline.get


def bind(seconds: float) -> Token[Deadline | None]:
    """
    Set a deadline until `reset`; one that comes sooner stays in force.

    Args:
        seconds: How far away it is.

    Raises:
        ValueError: *seconds* is no finite number above 0.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(
            f"A deadline is a finite number of seconds above 0, not {seconds!r}"
        )
    outer, new = _deadline.get(), Deadline(seconds)
    return _deadline.set(outer if outer and outer.at <= new.at else new)


def bind_for_request(seconds: float | None) -> None:
    """Set the deadline of a request that begins, or with None, take it away at its end."""
    _deadline.set(None if seconds is None else Deadline(seconds))


def reset(token: Token[Deadline | None]) -> None:
    """
    Give back the deadline that was in force before *token* was made.

    A token from another context, or one used before, changes nothing: work may end in
    another thread than it began in.
    """
    try:
        _deadline.reset(token)
    except (ValueError, RuntimeError):
        return


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """
    Give what runs inside so many seconds; inside another deadline it can only take away.

    Nothing is interrupted: calls ask `bounded` or `check`, and waits between retries end.

    Args:
        seconds: How many; a finite number above 0.

    Raises:
        ValueError: It is none.
    """
    token = bind(seconds)
    try:
        yield
    finally:
        reset(token)


def remaining() -> float | None:
    """Return the seconds left, below 0 if it has passed; None without a deadline."""
    now_in_force = _deadline.get()
    return None if now_in_force is None else now_in_force.at - _clock()


def check(kind: type[DeadlineExceededError] = DeadlineExceededError) -> None:
    """
    Go on only while there is time.

    Args:
        kind: What is raised.

    Raises:
        DeadlineExceededError: The deadline has passed.
    """
    if is_past():
        raise exceeded(kind)


def is_past() -> bool:
    """Tell whether there is a deadline, and it has passed."""
    now_in_force = _deadline.get()
    return now_in_force is not None and now_in_force.at <= _clock()


def exceeded(kind: type[E]) -> E:
    """Return the error that the deadline has passed, of a client's own kind."""
    now_in_force = _deadline.get()
    return kind(now_in_force.seconds if now_in_force else None)


def bounded(
    timeout: float | None, kind: type[DeadlineExceededError] = DeadlineExceededError
) -> float | None:
    """
    Return the time-out for a call that begins now.

    Args:
        timeout: Seconds the client would wait; None for ever.
        kind: What is raised.

    Returns:
        *timeout*, or what is left if that is less, but never below 0.001; *timeout* as it
        is without a deadline.

    Raises:
        DeadlineExceededError: Nothing is left.
    """
    check(kind)
    return within(timeout)


def within(timeout: float | None) -> float | None:
    """Do what `bounded` does; if nothing is left it is 0.001, for what is to end all the same."""
    left = remaining()
    if left is None:
        return timeout
    return max(_LEAST, left if timeout is None else min(timeout, left))


def is_deadlines(timeout: float | None, waited: float) -> bool:
    """
    Tell whether it was for the deadline alone that a call ended which was cut off just now.

    Then it says nothing of its target, which may be well and in need of more time than was
    left. A target that had a fair part of the time it gets without a deadline is to blame:
    else, where every request has a deadline, one that hangs would never be found out.

    Args:
        timeout: Seconds that the client would have waited without a deadline.
        waited: Seconds that it has.
    """
    left = remaining()
    if left is None or left > _LEAST:
        return False
    return timeout is None or waited < timeout * _FAIR


def header() -> dict[str, str]:
    """
    Return the header that tells a called service how many milliseconds are left.

    It is empty without a deadline. The least is 1: a service may take 0 for no deadline.
    """
    left = remaining()
    return {} if left is None else {HEADER: str(max(1, int(left * 1000)))}


def from_header(value: str | None, most: float) -> float | None:
    """
    Return the seconds that a caller gives for its request.

    Args:
        value: Its `X-Request-Timeout-Ms`: digits alone, from 1.
        most: Seconds; more than that is not believed.

    Returns:
        None if there is no such value.
    """
    if not isinstance(value, str) or not _MILLISECONDS(value):
        return None
    seconds = int(value) / 1000
    return seconds if 0 < seconds <= most else None
