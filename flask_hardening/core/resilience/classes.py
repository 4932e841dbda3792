"""What an exception says of the target: it is ill, it answered, or nothing; and whether to try again."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from flask_hardening.core.databases import meaning_of
from flask_hardening.core.recognition import names_of
from flask_hardening.core.resilience.errors import REJECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable


NEVER_SENT = "_hardening_never_sent"
"""The attribute of an error that an adapter knows to have come before anything was sent."""


class Kind(enum.Enum):
    """
    What kind of failure it is.

    Attributes:
        NEVER_SENT: The target can't be reached: nothing has happened there, so anything may
            be tried again.
        CUT_OFF: It was reached, and whether it did its work is not known: only what may be
            done twice is tried again.
        BUSY: It refused for now, being well: tried again, and no failure of its own.
        ANSWERED: It answered, and would again: a wrong password, a missing table.
        OURS: It was never asked; the cause is on this side.
        UNKNOWN: Nobody has classified it: it says nothing.
    """

    NEVER_SENT = enum.auto()
    CUT_OFF = enum.auto()
    BUSY = enum.auto()
    ANSWERED = enum.auto()
    OURS = enum.auto()
    UNKNOWN = enum.auto()


def _rows(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


# by module and qualified name, looked up along the method resolution order
_KNOWN: dict[str, Kind] = {
    **_rows(
        Kind.NEVER_SENT,
        "builtins.ConnectionRefusedError socket.gaierror requests.exceptions.ConnectTimeout"
        " httpx.ConnectTimeout httpx.ConnectError urllib3.exceptions.NewConnectionError"
        " urllib3.exceptions.ConnectTimeoutError urllib3.exceptions.NameResolutionError"
        " psycopg.errors.ConnectionTimeout",
    ),
    **_rows(
        Kind.CUT_OFF,
        "builtins.ConnectionError builtins.TimeoutError asyncio.exceptions.TimeoutError"
        " requests.exceptions.ConnectionError requests.exceptions.Timeout"
        " requests.exceptions.ChunkedEncodingError httpx.TimeoutException"
        " httpx.NetworkError httpx.RemoteProtocolError urllib3.exceptions.TimeoutError"
        " urllib3.exceptions.ProtocolError redis.exceptions.ConnectionError"
        " redis.exceptions.TimeoutError redis.exceptions.BusyLoadingError"
        " redis.exceptions.ClusterError redis.exceptions.InvalidResponse"
        " redis.exceptions.ClusterDownError redis.exceptions.MasterDownError"
        " kombu.exceptions.OperationalError amqp.exceptions.RecoverableConnectionError",
    ),
    **_rows(Kind.BUSY, "redis.exceptions.TryAgainError redis.exceptions.ReadOnlyError"),
    **_rows(
        Kind.ANSWERED,
        "requests.exceptions.SSLError requests.exceptions.TooManyRedirects"
        " requests.exceptions.JSONDecodeError requests.exceptions.ContentDecodingError"
        " httpx.TooManyRedirects httpx.DecodingError redis.exceptions.AuthenticationError"
        " redis.exceptions.AuthorizationError redis.exceptions.ResponseError"
        " redis.exceptions.DataError redis.exceptions.WatchError",
    ),
    **_rows(
        Kind.OURS,
        "requests.exceptions.InvalidURL requests.exceptions.MissingSchema"
        " requests.exceptions.InvalidSchema requests.exceptions.InvalidProxyURL"
        " requests.exceptions.UnrewindableBodyError httpx.PoolTimeout httpx.ProxyError"
        " httpx.LocalProtocolError httpx.UnsupportedProtocol httpx.InvalidURL"
        " redis.exceptions.MaxConnectionsError sqlalchemy.exc.TimeoutError"
        " requests.exceptions.InvalidHeader requests.exceptions.InvalidJSONError"
        " requests.exceptions.RetryError requests.exceptions.StreamConsumedError"
        " requests.exceptions.URLRequired redis.exceptions.LockError"
        " redis.exceptions.PubSubError",
    ),
}
_STATUSES = {
    "flask_hardening.core.resilience.errors.StatusError",
    "requests.exceptions.HTTPError",
    "httpx.HTTPStatusError",
    "urllib.error.HTTPError",
}
_DATABASE = {
    "sqlalchemy.exc.OperationalError",
    "sqlalchemy.exc.InterfaceError",
    "sqlalchemy.exc.DBAPIError",
    # as they come while a connection is made
    *"psycopg.Error psycopg2.Error pymysql.err.Error MySQLdb._exceptions.Error".split(),
    *"sqlite3.Error asyncpg.exceptions._base.PostgresError".split(),
}
_ILL = {500, 502, 503, 504}
_AGAIN = {408, 425, 429}


def kind_of(error: BaseException) -> Kind:
    """Return what kind of failure an exception is."""
    if isinstance(error, REJECTIONS):
        return Kind.OURS
    for name in names_of(type(error)):
        if name in _STATUSES:
            return kind_of_status(_status(error))
        if name in _DATABASE:
            return _of_database(error)
        if name in _KNOWN:
            kind = _KNOWN[name]
            return Kind.NEVER_SENT if kind is Kind.CUT_OFF and _never_sent(error) else kind
    return Kind.UNKNOWN


def _never_sent(error: BaseException) -> bool:
    """
    Tell whether a general error hides one that says that nobody was reached.

    urllib3 gives the reason for its last failure to the error that `requests` wraps; others
    raise theirs while they handle the system's.
    """
    if getattr(error, NEVER_SENT, False):
        return True
    inner = getattr(error.args[0], "reason", None) if error.args else None
    for hidden in (inner, error.__cause__, error.__context__):
        if isinstance(hidden, BaseException) and hidden is not error:
            for name in names_of(type(hidden)):
                if _KNOWN.get(name) is Kind.NEVER_SENT:
                    return True
    return False


def kind_of_status(status: int | None) -> Kind:
    """Return what kind of failure an HTTP status is (RFC 9110, section 15)."""
    if status in _ILL:
        return Kind.CUT_OFF
    return Kind.BUSY if status in _AGAIN else Kind.ANSWERED


def is_failure(error: BaseException) -> bool | None:
    """Tell a breaker what an exception says of its target."""
    kind = kind_of(error)
    if kind in (Kind.NEVER_SENT, Kind.CUT_OFF):
        return True
    return False if kind in (Kind.ANSWERED, Kind.BUSY) else None


def may_repeat(error: BaseException, *, idempotent: bool) -> bool:
    """
    Tell whether a call may be made again.

    Args:
        error: What it failed with.
        idempotent: Doing it twice is as good as doing it once.
    """
    kind = kind_of(error)
    return kind is Kind.NEVER_SENT or (idempotent and kind in (Kind.CUT_OFF, Kind.BUSY))


def _status(error: Any) -> int | None:  # noqa: ANN401
    found = getattr(getattr(error, "response", error), "status_code", None)
    found = found if found is not None else getattr(error, "code", None)
    return found if isinstance(found, int) else None


def _of_database(error: Any) -> Kind:  # noqa: ANN401
    meaning = meaning_of(error)
    if meaning == "down":
        return Kind.CUT_OFF
    return Kind.BUSY if meaning == "conflict" else Kind.ANSWERED


def names() -> Iterable[str]:
    """Return the names of all classes that are classified."""
    return _KNOWN.keys() | _STATUSES | _DATABASE
