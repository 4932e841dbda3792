"""Units of work at a database, made again as a whole where that is certain to do no harm."""

from __future__ import annotations

import functools
import inspect
import re
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import scoped_session

from flask_hardening.core.databases import meaning_of, state_of
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.options import RetryConfig
from flask_hardening.core.resilience.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from flask_hardening.core.resilience.targets import Target

P = ParamSpec("P")
R = TypeVar("R")

_UNKNOWN = "_hardening_commit_unknown"
_NOTE = (
    "The connection was lost while COMMIT was under way: it is not known whether the "
    "transaction was committed."
)
_LOCKED = re.compile(r"database (?:table )?is locked").search
# out of memory or disk, read-only: there for longer than a few attempts
_LASTING = re.compile(r"53(?!300)|25").match
_COMPLETION_UNKNOWN = "40003"


def transaction(
    session_factory: Callable[[], Any],
    *,
    name: str = "database",
    attempts: int | None = None,
    idempotent: bool = False,
    **options: Any,  # noqa: ANN401
) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[P, R]]:
    """
    Run a function as one transaction, and again as a whole where the database asks for it.

    It gets a session as its first argument, in place of who calls it. When it has returned,
    the session is flushed and committed; on any error it is rolled back and closed. A
    serialization failure, a deadlock, a lost connection or a locked SQLite ends an attempt,
    and another begins with a session of its own; so what the function does besides may be
    done more than once. Once COMMIT was sent, a lost connection is the end: the error has a
    note that nobody knows whether it was committed.

    Objects that it returns can be read after a session of a `sessionmaker` is closed: they
    are not expired by COMMIT (`expire_on_commit`), but what was not loaded can't be loaded
    any more. The session of a `scoped_session` stays open, and expires them as it is set to.

    To call another such function inside makes a transaction of its own, which is committed
    for good: pass the session on instead.

    Args:
        session_factory: A `sessionmaker`, a `scoped_session` as `db.session` of
            Flask-SQLAlchemy, or a function that returns a new session.
        name: The target's, as with `protect`: they share settings and the retry budget.
        attempts: How many there are at most; by default those of the target.
        idempotent: Doing it twice is as good as doing it once: it is made again even if it
            may have been committed.
        **options: As for `protect`.

    Raises:
        ConfigError: The options are impossible.
        TypeError: The function is asynchronous, or there is no such option.
        RuntimeError: The session is in a transaction already; when the function is called.
    """
    unit = _Unit(session_factory, Caller(name, "database", options), attempts, idempotent)

    def decorate(function: Callable[Concatenate[Any, P], R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(
                f"@transaction takes ordinary functions alone: {function!r} would go on "
                "after its session is closed."
            )

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return unit.retry().call(unit.attempt, function, *args, **kwargs)  # type: ignore[no-any-return]

        vars(call).pop("__wrapped__", None)  # its signature has one argument more
        return call

    return decorate


class _Unit:
    """How units of work of one kind are made."""

    def __init__(
        self,
        factory: Callable[[], Any],
        caller: Caller,
        attempts: int | None,
        idempotent: bool,  # noqa: FBT001
    ) -> None:
        self._factory, self._caller, self._idempotent = factory, caller, idempotent
        self._changes = {} if attempts is None else {"attempts": attempts}
        RetryConfig(**self._changes)  # an impossible number is found where it stands
        self._known: tuple[Target, Retry] | None = None

    def retry(self) -> Retry:
        """Return what repeats; the breaker is the engine's own affair."""
        target, known = self._caller.target, self._known
        if known is None or known[0] is not target:
            config = RetryConfig(
                **{
                    one.name: getattr(target.options, one.name)
                    for one in fields(RetryConfig)
                }
                | self._changes
            )
            again = Retry(
                target.name, config, transient=self._is_passing, budget=target.budget
            )
            self._known = known = target, again
        return known[1]

    def attempt(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Do all of it once."""
        session = self._session()
        try:
            result = function(session, *args, **kwargs)
            session.flush()
            _commit(session)
        except BaseException:
            self._give_up(session)
            raise
        if not self._is_shared():
            session.close()
        return result

    def _session(self) -> Session:
        session: Session = self._factory()
        if session.in_transaction():
            raise RuntimeError(
                "The session of this @transaction is in a transaction already, which would be "
                "lost if this one is made again. End that with commit() or rollback() "
                "before, or give @transaction a sessionmaker of its own."
            )
        if not self._is_shared():
            session.expire_on_commit = False  # it is closed after, so nothing gets stale
        return session

    def _is_shared(self) -> bool:
        return isinstance(self._factory, scoped_session)

    def _give_up(self, session: Session) -> None:
        try:
            session.rollback()
        except Exception:  # noqa: BLE001 - the error that brought us here tells more
            with suppress(Exception):
                session.invalidate()
        with suppress(Exception):
            session.close()
        if isinstance(self._factory, scoped_session):
            self._factory.remove()

    def _is_passing(self, error: Exception) -> bool:
        if not isinstance(error, DBAPIError):
            return False
        if vars(error).get(_UNKNOWN) and not self._idempotent:
            return False
        meaning, state = meaning_of(error), state_of(error.orig)
        if meaning == "slow":  # a lock of SQLite's; a server's time-out would come again
            return state is None and bool(_LOCKED(str(error.orig)))
        return meaning is not None and not _LASTING(state or "")


def _commit(session: Session) -> None:
    try:
        session.commit()
    except DBAPIError as error:
        lost = meaning_of(error) == "down" or state_of(error.orig) == _COMPLETION_UNKNOWN
        if lost:
            vars(error)[_UNKNOWN] = True
            error.add_note(_NOTE)
        raise
