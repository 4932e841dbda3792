"""`protect` for engines of SQLAlchemy: connecting, statements, COMMIT and ROLLBACK are guarded."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from flask_hardening.core.databases import state_of
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import classes, deadline
from flask_hardening.core.resilience.adapters.wires import CONNECT_TIMEOUTS, Call, Wire
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.errors import (
    REJECTIONS,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.machine import FAILURE
from flask_hardening.core.timings import note_db

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import Connection, Dialect, Engine, ExceptionContext

    from flask_hardening.core.resilience.options import Profile

_MARK, _CALL, _WIRE = "_hardening_engine", "_hardening_call", "_hardening_wire"
_GRACE = 0.25  # seconds: a server may cancel by itself; COMMIT and ROLLBACK get as much
_CANCELED = "57014"
_EVENTS = (
    "do_execute do_executemany do_execute_no_params after_cursor_execute handle_error"
    " commit rollback"
    " checkout reset checkin"
).split()


class _Refusal:
    """What who handles SQLAlchemy's errors may read of each."""

    def __init__(self, *args: Any) -> None:  # noqa: ANN401
        super().__init__(*args)
        self.detail: list[str] = []
        self.hide_parameters = True


class DatabaseCircuitOpenError(_Refusal, CircuitOpenError, OperationalError):
    """The database's breaker is open: nothing was sent."""


class DatabaseBulkheadFullError(_Refusal, BulkheadFullError, OperationalError):
    """As many statements are under way as may be: nothing was sent."""


class DatabaseDeadlineExceededError(_Refusal, DeadlineExceededError, OperationalError):
    """The time for this piece of work is used up; `orig` is how the driver ended, if it did."""


_ERRORS: dict[type[Exception], type[Exception]] = {
    CircuitOpenError: DatabaseCircuitOpenError,
    BulkheadFullError: DatabaseBulkheadFullError,
    DeadlineExceededError: DatabaseDeadlineExceededError,
}


def protect(
    engine: Engine, name: str, profile: Profile, options: Mapping[str, Any]
) -> None:
    """
    Guard what an engine and its copies with other `execution_options` do.

    Connections that a `creator` makes are not guarded while they are made. What a server-side
    cursor fetches later is not bounded, nor is the wait for a connection of the pool's.

    Raises:
        ConfigError: A copy of it is protected in another way.
    """
    while (original := getattr(engine, "_proxied", None)) is not None:
        engine = original
    wanted = name, profile, dict(options)
    standing = vars(engine.dialect).setdefault(_MARK, wanted)
    if standing is wanted:
        _Guard(Caller(name, profile, options, errors=_ERRORS)).attach(engine)
    elif standing != wanted:
        raise ConfigError(
            f"The engine is protected as {standing[0]!r} with {standing[1:]}, and now a copy "
            f"of it as {name!r} with {wanted[1:]}: protect the one, before it is copied."
        )


def _wire(connection: Connection) -> Wire:
    try:
        return connection.info.setdefault(_WIRE, Wire())  # type: ignore[no-any-return]
    except NotImplementedError:  # SQLAlchemy itself looks at its first connection
        return Wire()


def _taken(context: Any) -> Call | None:  # noqa: ANN401
    """Return what is under way in an execution, once."""
    return None if context is None else vars(context).pop(_CALL, None)


class _Guard:
    """What stands at the events of an engine, each method at that of its name."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def attach(self, engine: Engine) -> None:
        dialect = engine.dialect
        for name in _EVENTS:
            event.listen(engine, name, getattr(self, name))
        # its event ends with the first listener that connects: one that was added later to
        # fetch a password would not be asked; and none surrounds the ping of a pool
        vars(dialect)["connect"] = partial(self._connect, dialect, dialect.connect)
        vars(dialect)["do_ping"] = partial(self._ping, dialect.do_ping)

    def _connect(
        self,
        dialect: Dialect,
        connect: Callable[..., Any],
        *args: Any,  # noqa: ANN401
        **params: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        once = partial(self._connect_once, dialect, connect, args, params)
        if dialect.is_async:  # a wait between attempts would hold up the event loop
            with self._caller.block():
                return once()
        return self._caller.call("", True, once)

    def _connect_once(
        self,
        dialect: Dialect,
        connect: Callable[..., Any],
        args: tuple[Any, ...],
        params: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        key, rounded = CONNECT_TIMEOUTS.get(dialect.driver, ("", float))
        standing = params.get(key)
        own = self._caller.options.connect_timeout
        own = own if standing is None else float(standing) or None
        bound, started = deadline.bounded(own), time.monotonic()
        if key and bound is not None:
            params = params | {key: rounded(bound)}
        try:
            return connect(*args, **params)
        except Exception as error:
            late = deadline.is_deadlines(own, time.monotonic() - started)
            if late and classes.is_failure(error):
                raise deadline.exceeded(DatabaseDeadlineExceededError) from error
            raise

    def _ping(self, ping: Callable[[Any], bool], driver: Any) -> bool:  # noqa: ANN401
        self._refuse_if_open()
        call, left = Call(), self._left()
        if left is not None:
            call.watch_over(driver, max(left, _GRACE))
        try:
            return ping(driver)
        finally:
            call.unwatch()

    def checkout(self, driver: Any, record: Any, proxy: Any) -> None:  # noqa: ANN401, ARG002
        self._refuse_if_open()

    def _refuse_if_open(self) -> None:
        if self._caller.target.breaker().opened:
            block = self._caller.block()  # it raises, unless it is due just now
            block.__exit__(GeneratorExit, GeneratorExit(), None)

    def do_execute(self, cursor: Any, statement: str, *more: Any) -> None:  # noqa: ANN401, ARG002
        # `before_cursor_execute` is no place for it: what fails there is told to nobody in
        # SQLAlchemy 2.0
        context = more[-1]
        if context is None:
            return
        call = Call(self._caller.block())
        vars(context)[_CALL] = call
        connection: Connection = context.root_connection
        wire = _wire(connection)
        wire.take()
        left = self._left()
        if left is None and wire.limit is None:
            return
        dialect, driver = connection.dialect, connection.connection.dbapi_connection
        cancels = dialect.driver in ("psycopg", "psycopg2") and dialect.name == "postgresql"
        if left is not None:
            call.watch_over(driver, left + _GRACE if cancels else left)
        if cancels:
            wire.limit_to(driver, left, statement)

    do_executemany = do_execute_no_params = do_execute

    def after_cursor_execute(self, connection: Connection, *more: Any) -> None:  # noqa: ANN401
        _, statement, _, context, _ = more
        call = _taken(context)
        if call is None:
            return
        call.block.close()
        if call.unwatch():
            _wire(connection).cut = True
        if statement[:11].upper() == "ROLLBACK TO":
            _wire(connection).forget_limit()
        note_db(self._caller.name, time.monotonic() - call.started, statement)

    def commit(self, connection: Connection) -> None:
        # now it is certain what becomes of the transaction
        deadline.check(DatabaseDeadlineExceededError)
        self.rollback(connection)

    def rollback(self, connection: Connection) -> None:
        if not connection.invalidated:
            self._end(_wire(connection), connection.connection.dbapi_connection)

    def reset(self, driver: Any, record: Any, state: Any) -> None:  # noqa: ANN401
        if record is not None and not state.transaction_was_reset:
            self._end(record.info.setdefault(_WIRE, Wire()), driver)

    def _end(self, wire: Wire, driver: Any) -> None:  # noqa: ANN401
        wire.take()
        left = self._left()
        if left is not None:
            wire.ending = Call()
            wire.ending.watch_over(driver, max(left, _GRACE))

    def checkin(self, driver: Any, record: Any) -> None:  # noqa: ANN401
        wire = record.info.get(_WIRE)
        if wire is not None:
            wire.take()
            if wire.cut and driver is not None:
                record.invalidate()

    def handle_error(self, failed: ExceptionContext) -> None:
        connection, original = failed.connection, failed.original_exception
        if connection is None or isinstance(original, REJECTIONS):
            return  # connecting has been counted, and what was not made does not count
        call = _taken(failed.execution_context)
        usable = not (connection.closed or connection.invalidated)
        ended = call or (_wire(connection).take() if usable else None)
        judged = self._judge(failed, ended)
        if call is not None:
            call.block.__exit__(type(judged), judged, None)
            seconds = time.monotonic() - call.started
            note_db(self._caller.name, seconds, failed.statement or "")
        elif failed.sqlalchemy_exception is not None:  # else it has come by here before
            self._count(judged)
        if isinstance(judged, DatabaseDeadlineExceededError):
            judged.orig = original  # type: ignore[assignment]
            judged.connection_invalidated = failed.is_disconnect
            raise judged

    def _judge(self, failed: ExceptionContext, call: Call | None) -> BaseException:
        """Return what a failure says of the database, which may be another error."""
        error = failed.sqlalchemy_exception or failed.original_exception
        cut = call is not None and call.unwatch()
        if cut:  # the other connections may be well
            failed.is_disconnect, failed.invalidate_pool_on_disconnect = True, False
        canceled = state_of(failed.original_exception) == _CANCELED
        if call is None or failed.sqlalchemy_exception is None or not (cut or canceled):
            return error
        timeout, waited = self._caller.options.timeout, time.monotonic() - call.started
        if deadline.is_deadlines(timeout, waited):
            return deadline.exceeded(DatabaseDeadlineExceededError)
        if cut or (timeout is not None and waited >= timeout):
            return TimeoutError(f"no answer in {waited:.3g} s")
        return error

    def _count(self, error: BaseException) -> None:
        """Count what failed without a permit: COMMIT, ROLLBACK, or reading on."""
        breaker = self._caller.target.breaker()
        if breaker.outcome_of(error) is FAILURE:
            with suppress(CircuitOpenError):
                breaker.release(breaker.acquire(), FAILURE, error)

    def _left(self) -> float | None:
        """Return the seconds that what begins now may take."""
        bounds = deadline.remaining(), self._caller.options.timeout
        return min((bound for bound in bounds if bound is not None), default=None)
