"""`protect` for Redis clients: commands and pipelines are guarded, each wait has an end."""

from __future__ import annotations

import inspect
import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError
from redis.retry import Retry

from flask_hardening.core import logs
from flask_hardening.core.resilience import deadline
from flask_hardening.core.resilience.adapters import redis_commands
from flask_hardening.core.resilience.adapters.redis_connections import (
    RedisDeadlineExceededError,
    Refusal,
    patient,
    until,
    within,
)
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.errors import (
    REJECTIONS,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.timings import note_external

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flask_hardening.core.resilience.options import Profile

_FULL = {"Too many connections", "No connection available."}  # what a pool of ours says
_patience: ContextVar[float] = ContextVar("hardening_redis_patience", default=0.0)


class RedisCircuitOpenError(Refusal, CircuitOpenError, redis.ConnectionError):
    """The breaker is open: no command was sent."""


class RedisBulkheadFullError(Refusal, BulkheadFullError, redis.ConnectionError):
    """As many commands are under way as may be: this one was not sent."""


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
    is not made again; nor is what a pipeline asks after `WATCH`. Subscriptions, and clients
    made from this one by `client.client()`, are not guarded, but have lost the library's own
    retries, since these are their connections' alone. The deadline does not bound how long a
    `BlockingConnectionPool` waits for a free connection.
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
        pool.connection_class = patient(pool.connection_class, self)
        pool.reset()  # what is there was made by the old class
        single: Any = client.connection
        if single is not None:
            single.disconnect()
            client.connection = pool.make_connection()  # it connects when it is needed
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
        if patience := redis_commands.patience(args):
            with self._once(patience):
                return send(*args, **options)
        again = redis_commands.may_repeat(args)
        return self._caller.call("", again, send, *args, **options)

    @contextmanager
    def _once(self, patience: float) -> Iterator[None]:
        """Guard what is not to be made again, and may wait for others so long."""
        token = _patience.set(patience)
        try:
            with self._caller.block(timed=not patience):
                yield
        finally:
            _patience.reset(token)

    def pipeline(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Make a pipeline, as `redis.Redis.pipeline` does."""
        pipe: Any = self._pipeline(*args, **kwargs)
        self._wait_in(pipe)
        ask = pipe.immediate_execute_command
        pipe.execute = partial(self._execute_pipeline, pipe, pipe.execute, ask)
        pipe.immediate_execute_command = partial(self._ask, ask)
        pipe.reset = partial(self._reset, pipe, pipe.reset)
        return pipe

    def _reset(self, pipe: Any, reset: Callable[[], None]) -> None:  # noqa: ANN401
        """Let a pipeline go, which may send an `UNWATCH` and wait for the answer."""
        if getattr(pipe.connection, "_sock", pipe) is None:
            pipe.watching = False  # the server has forgotten it with the connection
        if not pipe.watching:  # as most, also those that are only collected later
            reset()
            return
        try:
            with within(pipe.connection, deadline.within(self.timeout)):
                reset()
        except redis.TimeoutError:
            pipe.watching = False
            reset()

    def _ask(self, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Send what a pipeline can't put off, as the commands after `WATCH`."""
        with self._once(redis_commands.patience(args)):
            return self._timed(redis_commands.name_of(args), ask, *args, **options)

    def _execute_pipeline(
        self,
        pipe: Any,  # noqa: ANN401
        execute: Callable[..., Any],
        ask: Callable[..., Any],
        raise_on_error: bool = True,  # noqa: FBT001, FBT002 - the library's signature
    ) -> Any:  # noqa: ANN401
        commands, scripts = list(pipe.command_stack), set(pipe.scripts)
        explicit, guarded = pipe.explicit_transaction, pipe.immediate_execute_command

        def send() -> Any:  # noqa: ANN401
            # it has emptied itself, if this is not the first time
            pipe.command_stack, pipe.scripts = list(commands), set(scripts)
            pipe.explicit_transaction = explicit
            pipe.immediate_execute_command = ask  # its scripts are loaded within this call
            try:
                return self._timed("PIPELINE", execute, raise_on_error)
            finally:
                pipe.immediate_execute_command = guarded

        if not commands:
            return execute(raise_on_error)
        patience = max(redis_commands.patience(args) for args, _ in commands)
        if pipe.watching or patience:  # what it watches over is lost with the connection
            with self._once(patience):
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
            if (other := self._instead(error, time.monotonic() - began)) is None:
                raise
            raise other from error
        finally:
            note_external(self._caller.name, time.monotonic() - began, command)

    def _instead(self, error: Exception, waited: float) -> Exception | None:
        """Return what says better what an error comes from, if anything does."""
        if isinstance(error, REJECTIONS):
            return None
        if str(error) in _FULL:
            return MaxConnectionsError(*error.args)
        # of who waits for others a deadline says nothing
        own = None if _patience.get() else self.timeout
        if deadline.is_deadlines(own, waited):
            return deadline.exceeded(RedisDeadlineExceededError)
        return None

    def _wait_in(self, client: Any) -> None:  # noqa: ANN401
        """Let a client or a pipeline wait for each answer as long as it may."""
        cache = getattr(client, "get_cache", None)
        if cache is not None and cache() is not None:
            return  # an answer from the cache never arrives
        read = client.parse_response

        def parse_response(connection: Any, command: Any, **options: Any) -> Any:  # noqa: ANN401
            current = deadline.current()
            at = current.at if current else math.inf
            cut = until(connection, at, "reading from socket")
            with cut, within(connection, self._reading()):
                return read(connection, command, **options)

        client.parse_response = parse_response

    def _reading(self) -> float | None:
        """Return the seconds that each part of an answer may take to come."""
        patience, own = _patience.get(), self.timeout
        if self._own is None and own is not None:
            own += patience
        return deadline.within(own)


def _without_retries(client: redis.Redis, name: str) -> None:
    """Switch the library's retries off, which know no command, and tell of them."""
    kwargs = client.connection_pool.connection_kwargs
    found: Any = kwargs.get("retry")
    times = getattr(found, "_retries", 0) if found is not None else 0
    more = [key for key in ("retry_on_timeout", "retry_on_error") if kwargs.get(key)]
    kwargs["retry"] = Retry(NoBackoff(), 0)
    if not isinstance(client.connection_pool, redis.BlockingConnectionPool):
        client.set_retry(kwargs["retry"])  # it does not know those pools
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
