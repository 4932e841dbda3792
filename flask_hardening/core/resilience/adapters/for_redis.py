"""`protect` for Redis clients: commands and pipelines are guarded, each wait has an end."""

from __future__ import annotations

import inspect
import math
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flask_hardening.core import logs
from flask_hardening.core.resilience import deadline
from flask_hardening.core.resilience.adapters import redis_commands
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.classes import NEVER_SENT
from flask_hardening.core.resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.watch import Watch
from flask_hardening.core.timings import note_external

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask_hardening.core.resilience.options import Profile

_LEAST = 0.001
_waits: ContextVar[bool] = ContextVar("hardening_redis_waits", default=False)


class RedisCircuitOpenError(CircuitOpenError, redis.ConnectionError):
    """The breaker is open: no command was sent."""


class RedisBulkheadFullError(BulkheadFullError, redis.ConnectionError):
    """As many commands are under way as may be: this one was not sent."""


class RedisDeadlineExceededError(DeadlineExceededError, redis.TimeoutError):
    """The time for this piece of work is used up."""


_ERRORS: dict[type[Exception], type[Exception]] = {
    CircuitOpenError: RedisCircuitOpenError,
    BulkheadFullError: RedisBulkheadFullError,
    DeadlineExceededError: RedisDeadlineExceededError,
}


def protect(
    client: redis.Redis, name: str, profile: Profile, options: Mapping[str, Any]
) -> None:
    """
    Guard the commands and pipelines of a client.

    Commands are made again that change neither data nor answer the second time; a pipeline,
    if all of its commands are so. What waits for others, as `BLPOP`, has its own time, and
    the deadline alone ends it. Subscriptions, what a pipeline asks after `WATCH`, and clients
    made from this one by `client.client()` are not guarded.
    """
    caller = Caller(name, profile, options, errors=_ERRORS)
    _without_retries(client, name)
    _Client(client, caller)


class _Client:
    """What stands between an app and its client."""

    def __init__(self, client: redis.Redis, caller: Caller) -> None:
        self._caller = caller
        kwargs = client.connection_pool.connection_kwargs
        given = kwargs.get("socket_timeout")
        self._own: float | None = None if given == _default("socket_timeout") else given
        # how long one wants to wait is a setting, and those may be read later
        if kwargs.get("socket_connect_timeout") == _default("socket_connect_timeout"):
            kwargs.pop("socket_connect_timeout", None)
            self._connect: float | None = None
        else:
            self._connect = kwargs.get("socket_connect_timeout")
        self._execute = client.execute_command
        self._pipeline = client.pipeline
        pool: Any = client.connection_pool
        pool.connection_class = _patient(pool.connection_class, self)
        pool.disconnect(inuse_connections=False)  # those were made by the old class
        self._wait_in(client)
        for method in (self.execute_command, self.pipeline):
            setattr(client, method.__name__, method)

    @property
    def timeout(self) -> float | None:
        """Seconds that an answer may take."""
        return self._own if self._own is not None else self._caller.options.timeout

    @property
    def connect_timeout(self) -> float | None:
        """Seconds that it may take to connect, hand-shake included."""
        if self._connect is not None:
            return self._connect
        return self._caller.options.connect_timeout

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Send a command, as `redis.Redis.execute_command` does."""
        send = partial(self._timed, redis_commands.name_of(args), self._execute)
        if redis_commands.waits(args):
            token = _waits.set(True)
            try:
                with self._caller.block(timed=False):
                    return send(*args, **options)
            finally:
                _waits.reset(token)
        again = redis_commands.may_repeat(args)
        return self._caller.call("", again, send, *args, **options)

    def pipeline(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Make a pipeline, as `redis.Redis.pipeline` does."""
        pipe: Any = self._pipeline(*args, **kwargs)
        self._wait_in(pipe)
        pipe.execute = partial(self._execute_pipeline, pipe, pipe.execute)
        return pipe

    def _execute_pipeline(
        self,
        pipe: Any,  # noqa: ANN401
        execute: Callable[..., Any],
        raise_on_error: bool = True,  # noqa: FBT001, FBT002 - the library's signature
    ) -> Any:  # noqa: ANN401
        commands, scripts = list(pipe.command_stack), set(pipe.scripts)
        explicit = pipe.explicit_transaction

        def send() -> Any:  # noqa: ANN401
            # it has emptied itself, if this is not the first time
            pipe.command_stack, pipe.scripts = list(commands), set(scripts)
            pipe.explicit_transaction = explicit
            return self._timed("PIPELINE", execute, raise_on_error)

        if not commands:
            return execute(raise_on_error)
        if pipe.watching:  # what it watches over is lost with the connection
            with self._caller.block():
                return send()
        again = all(redis_commands.may_repeat(args) for args, _ in commands)
        return self._caller.call("", again, send)

    def _timed(
        self,
        command: str,
        send: Callable[..., Any],
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        began = time.monotonic()
        try:
            return send(*args, **options)
        except (redis.TimeoutError, redis.ConnectionError) as error:
            waited = time.monotonic() - began
            now_in_force = deadline.current()
            if now_in_force and deadline.is_deadlines(self.timeout, waited):
                raise RedisDeadlineExceededError(now_in_force.seconds) from error
            raise
        finally:
            note_external(self._caller.name, time.monotonic() - began, command)

    def _wait_in(self, client: Any) -> None:  # noqa: ANN401
        """Let a client or a pipeline wait for each answer as long as it may."""
        cache = getattr(client, "get_cache", None)
        if cache is not None and cache() is not None:
            return  # an answer from the cache never arrives
        read = client.parse_response

        def parse_response(connection: Any, command: Any, **options: Any) -> Any:  # noqa: ANN401
            own = None if _waits.get() else self.timeout
            with self.watched(connection, own) as watch:
                self._wait(connection, own)
                try:
                    return read(connection, command, **options)
                except redis.ConnectionError as error:
                    if watch.fired:
                        raise redis.TimeoutError("Timeout reading from socket") from error
                    raise

        client.parse_response = parse_response

    def _wait(self, connection: Any, own: float | None) -> None:  # noqa: ANN401
        left = deadline.remaining()
        bound = min((s for s in (own, left) if s is not None), default=None)
        if bound is None or (left is None and self._own is not None):
            return  # the library's own time-out does it
        if not connection.can_read(max(_LEAST, bound)):
            connection.disconnect()
            raise redis.TimeoutError("Timeout reading from socket")

    @staticmethod
    def watched(connection: Any, seconds: float | None) -> Watch:  # noqa: ANN401
        """Watch over a connection for as long as a deadline says, or so many seconds."""
        current = deadline.current()
        if current is None:
            return Watch(math.inf)
        at = current.at if seconds is None else min(current.at, time.monotonic() + seconds)
        return _over(connection, at)


def _over(connection: Any, at: float) -> Watch:  # noqa: ANN401
    watch = Watch(at)
    if math.isinf(at):
        return watch
    descriptor = getattr(getattr(connection, "_sock", None), "fileno", lambda: -1)()
    if descriptor >= 0:
        watch.over(descriptor)
    return watch


def _patient(kind: Any, client: _Client) -> Any:  # noqa: ANN401
    """
    Return the class of connections that take no longer to connect than they may.

    What fails on the way has sent no command: that is noted with the error.
    """
    # newer releases come by the second one alone
    connect = "connect_check_health" if hasattr(kind, "connect_check_health") else "connect"
    greet = "on_connect_check_health"
    greet = greet if hasattr(kind, greet) else "on_connect"

    def connect_in_time(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self.socket_connect_timeout = deadline.bounded(client.connect_timeout)
        try:
            return getattr(kind, connect)(self, *args, **kwargs)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            setattr(error, NEVER_SENT, True)
            raise

    def greet_in_time(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        seconds = deadline.bounded(client.connect_timeout)
        at = math.inf if seconds is None else time.monotonic() + seconds
        with _over(self, at) as watch:
            try:
                return getattr(kind, greet)(self, *args, **kwargs)
            except redis.ConnectionError as error:
                if watch.fired:
                    raise redis.TimeoutError("Timeout connecting to server") from error
                raise

    return type(kind.__name__, (kind,), {connect: connect_in_time, greet: greet_in_time})


def _without_retries(client: redis.Redis, name: str) -> None:
    """Switch the library's retries off, which know no command, and tell of them."""
    kwargs = client.connection_pool.connection_kwargs
    found: Any = kwargs.get("retry")
    times = getattr(found, "_retries", 0) if found is not None else 0
    more = [key for key in ("retry_on_timeout", "retry_on_error") if kwargs.get(key)]
    client.set_retry(Retry(NoBackoff(), 0))
    if not times and not more:
        return
    own = bool(more) or found != _default("retry")
    fields = {"target": name, "found": f"redis: {times} retries", "options": more or None}
    message = f"The retries of {name}'s own client are off: the guard makes them"
    level = "WARNING" if own else "INFO"
    logs.emit(level, "config.stacked_retries", message, __name__, fields)


def _default(parameter: str) -> Any:  # noqa: ANN401
    """Return what a client has where nobody says otherwise."""
    return inspect.signature(redis.Redis.__init__).parameters[parameter].default
