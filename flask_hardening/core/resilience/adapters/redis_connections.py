"""Connections to Redis whose every wait has an end, and which say what was never sent."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import redis

from flask_hardening.core.resilience import deadline
from flask_hardening.core.resilience.classes import NEVER_SENT
from flask_hardening.core.resilience.errors import DeadlineExceededError
from flask_hardening.core.resilience.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Refusal:
    """What newer releases expect of each of their errors."""

    error_type: Any = getattr(redis.ConnectionError(), "error_type", None)
    status_code: Any = None
    __repr__ = Exception.__repr__


class RedisDeadlineExceededError(Refusal, DeadlineExceededError, redis.TimeoutError):
    """The time for this piece of work is used up."""


class Patience(Protocol):
    """How long a client's connections may wait, as it is now."""

    @property
    def timeout(self) -> float | None:
        """Seconds that an answer may take."""

    @property
    def connect_timeout(self) -> float | None:
        """Seconds that it may take to connect, hand-shake included."""


@contextmanager
def within(connection: Any, seconds: float | None) -> Iterator[None]:  # noqa: ANN401
    """
    Let each wait for a connection's socket last so long.

    Its own time-out comes back at the end: a subscription may use it next, and waits longer.
    """
    sock = getattr(connection, "_sock", None)
    if sock is None:
        yield
        return
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        yield
    finally:
        with suppress(OSError):  # it has been closed
            sock.settimeout(before)


@contextmanager
def until(connection: Any, at: float, what: str) -> Iterator[None]:  # noqa: ANN401
    """Cut a connection off at a moment; what it then fails with is a time-out."""
    if math.isinf(at):
        yield
        return
    with Watch(at) as watch:
        descriptor = getattr(getattr(connection, "_sock", None), "fileno", lambda: -1)()
        if descriptor >= 0:
            watch.over(descriptor)
        try:
            yield
        except redis.ConnectionError as error:
            if watch.fired:
                raise redis.TimeoutError(f"Timeout {what}") from error
            raise


def patient(kind: Any, client: Patience) -> Any:  # noqa: ANN401
    """
    Return the class of connections that take no longer to connect than they may.

    What fails on the way has sent no command: that is noted with the error.
    """
    late = RedisDeadlineExceededError  # of any other kind the library would not clean up
    # newer releases come by the second one alone
    connect = "connect_check_health" if hasattr(kind, "connect_check_health") else "connect"
    greet = "on_connect_check_health"
    greet = greet if hasattr(kind, greet) else "on_connect"

    def connect_in_time(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self.socket_connect_timeout = deadline.bounded(client.connect_timeout, late)
        return unsent(connect)(self, *args, **kwargs)

    def greet_in_time(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        seconds = deadline.bounded(client.connect_timeout, late)
        at = math.inf if seconds is None else time.monotonic() + seconds
        with until(self, at, "connecting to server"):
            return getattr(kind, greet)(self, *args, **kwargs)

    def send_in_time(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with within(self, deadline.within(client.timeout)):
            return kind.send_packed_command(self, *args, **kwargs)

    def unsent(method: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            try:
                return getattr(kind, method)(self, *args, **kwargs)
            except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
                setattr(error, NEVER_SENT, True)
                raise

        return call

    methods = {connect: connect_in_time, greet: greet_in_time}
    methods |= {"send_packed_command": send_in_time, "check_health": unsent("check_health")}
    return type(kind.__name__, (kind,), methods)
