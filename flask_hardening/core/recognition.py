"""
What other libraries' exceptions mean, by name, so that none of them is required.

A row names a class by module and qualified name; an exception is looked up along its
method resolution order, so the most specific row wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flask_hardening.core.databases import conflict_of, meaning_of
from flask_hardening.core.errors import STATUS_OF, AppError, Category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask_hardening.core.databases import Meaning

_DETAILS = 50
_TEXT = 300


@dataclass(frozen=True)
class Verdict:
    """
    What an exception means to a client.

    Attributes:
        status: HTTP status.
        code: Stable text for client code.
        category: Its category.
        message: What a client may read; a sentence or a list of them.
        details: More of it: for invalid input a list of `{"field", "message"}`, without
            `field` for what is wrong with the whole.
        headers: Response headers it asks for.
    """

    status: int
    code: str
    category: Category
    message: str | list[str]
    details: Any = None
    headers: dict[str, str] | None = None


def _row(category: Category, code: str, message: str) -> Verdict:
    return Verdict(STATUS_OF[category], code, category, message)


INTERNAL = _row(
    Category.INTERNAL,
    "internal_error",
    "An unexpected error occurred. Quote the correlation id when you report it.",
)
_DATABASE_DOWN = _row(
    Category.UNAVAILABLE, "database_unavailable", "The database is not available."
)
_DATABASE_SLOW = _row(
    Category.TIMEOUT, "database_timeout", "The database did not answer in time."
)
_CONFLICT = _row(Category.CONFLICT, "conflict", "The request conflicts with stored data.")
_CACHE_DOWN = _row(
    Category.UNAVAILABLE, "redis_unavailable", "A data store is not available."
)
_CACHE_SLOW = _row(
    Category.TIMEOUT, "redis_timeout", "A data store did not answer in time."
)
_CACHE_FAILED = _row(Category.DEPENDENCY, "redis_error", "A data store failed.")
_QUEUE_DOWN = _row(
    Category.UNAVAILABLE, "queue_unavailable", "The job queue is not available."
)
_SERVICE_DOWN = _row(
    Category.UNAVAILABLE,
    "dependency_unavailable",
    "A service this one depends on is not available.",
)
_SERVICE_SLOW = _row(
    Category.TIMEOUT,
    "dependency_timeout",
    "A service this one depends on did not answer in time.",
)
_SERVICE_FAILED = _row(
    Category.DEPENDENCY,
    "dependency_failed",
    "A service this one depends on answered with an error.",
)

_OVERLOADED = _row(
    Category.UNAVAILABLE, "overloaded", "Too much is under way: try again in a moment."
)
_TOO_LATE = _row(
    Category.TIMEOUT, "deadline_exceeded", "There was not enough time for this."
)
_MALFORMED = _row(Category.CLIENT, "bad_request", "The request is not valid.")

_OURS = "flask_hardening.core.resilience.errors."
_KNOWN: dict[str, Verdict] = {
    _OURS + "CircuitOpenError": _SERVICE_DOWN,
    _OURS + "BulkheadFullError": _OVERLOADED,
    _OURS + "DeadlineExceededError": _TOO_LATE,
    "gunicorn.http.errors.InvalidChunkSize": _MALFORMED,
    "gunicorn.http.errors.ChunkMissingTerminator": _MALFORMED,
    "sqlalchemy.exc.OperationalError": _DATABASE_DOWN,
    "sqlalchemy.exc.InterfaceError": _DATABASE_DOWN,
    "sqlalchemy.exc.DisconnectionError": _DATABASE_DOWN,
    "sqlalchemy.exc.TimeoutError": _DATABASE_SLOW,
    "sqlalchemy.orm.exc.StaleDataError": _CONFLICT,
    "redis.exceptions.ConnectionError": _CACHE_DOWN,
    "redis.exceptions.TimeoutError": _CACHE_SLOW,
    "redis.exceptions.RedisError": _CACHE_FAILED,
    "kombu.exceptions.OperationalError": _QUEUE_DOWN,
    "requests.exceptions.Timeout": _SERVICE_SLOW,
    "requests.exceptions.ConnectTimeout": _SERVICE_SLOW,  # a ConnectionError first
    "requests.exceptions.ConnectionError": _SERVICE_DOWN,
    "requests.exceptions.HTTPError": _SERVICE_FAILED,
    "requests.exceptions.JSONDecodeError": _SERVICE_FAILED,
    "requests.exceptions.ChunkedEncodingError": _SERVICE_FAILED,
    "requests.exceptions.ContentDecodingError": _SERVICE_FAILED,
    "requests.exceptions.TooManyRedirects": _SERVICE_FAILED,
    "httpx.TimeoutException": _SERVICE_SLOW,
    "httpx.NetworkError": _SERVICE_DOWN,
    "httpx.ProxyError": _SERVICE_DOWN,
    "httpx.RemoteProtocolError": _SERVICE_FAILED,
    "httpx.HTTPStatusError": _SERVICE_FAILED,
    "httpx.DecodingError": _SERVICE_FAILED,
    "httpx.TooManyRedirects": _SERVICE_FAILED,
    "urllib3.exceptions.TimeoutError": _SERVICE_SLOW,
    "urllib3.exceptions.NewConnectionError": _SERVICE_DOWN,
    "urllib3.exceptions.MaxRetryError": _SERVICE_DOWN,
    "urllib3.exceptions.ProtocolError": _SERVICE_DOWN,
    "urllib.error.HTTPError": _SERVICE_FAILED,
    "urllib.error.URLError": _SERVICE_DOWN,
    "builtins.TimeoutError": _SERVICE_SLOW,
    "asyncio.exceptions.TimeoutError": _SERVICE_SLOW,
    "builtins.ConnectionError": _SERVICE_DOWN,
    "socket.gaierror": _SERVICE_DOWN,
}

# classes that drivers raise for an outage or a conflict, and for a bug as well
_BY_DRIVER: dict[str, Callable[[Any], Meaning | None]] = {
    "sqlalchemy.exc.OperationalError": meaning_of,
    "sqlalchemy.exc.InterfaceError": meaning_of,
    "sqlalchemy.exc.IntegrityError": conflict_of,
}
_DATABASE = {"down": _DATABASE_DOWN, "slow": _DATABASE_SLOW, "conflict": _CONFLICT}

# Celery has no class for a result store that can't be reached while publishing
_RESULTS_DOWN = "trying to reconnect to the Celery result store"


def classify(error: BaseException) -> Verdict | None:
    """Return what an exception means, or None for one that nobody expected."""
    if isinstance(error, AppError):
        return Verdict(
            error.status,
            error.code,
            error.category,
            error.message,
            error.details,
            error.headers,
        )
    names = names_of(type(error))
    for name in names:
        if name in VALIDATION:
            return _invalid(error, VALIDATION[name])
        if name in _BY_DRIVER:
            meaning = _BY_DRIVER[name](error)
            return _DATABASE[meaning] if meaning else None
        if name in _KNOWN:
            return _with_retry_after(error, _KNOWN[name])
    if type(error) is RuntimeError and _RESULTS_DOWN in str(error):
        return _QUEUE_DOWN
    return None


def _with_retry_after(error: BaseException, verdict: Verdict) -> Verdict:
    """Tell the client when a breaker will let calls through again (RFC 9110, 10.2.3)."""
    seconds = getattr(error, "retry_after", None)
    if verdict.status != STATUS_OF[Category.UNAVAILABLE] or not isinstance(seconds, float):
        return verdict
    if not 0 < seconds < math.inf:
        return verdict
    return replace(verdict, headers={"Retry-After": str(math.ceil(seconds))})


def name_of(cls: type) -> str:
    """Return the full name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def names_of(cls: type) -> list[str]:
    """Return the full names of a class and its bases, the most specific first."""
    return [name_of(base) for base in cls.__mro__]


Problem = tuple[str, str]


def _invalid(error: Any, read: Callable[[Any], Iterable[Problem]]) -> Verdict:  # noqa: ANN401
    try:
        problems = [(f[:_TEXT], m[:_TEXT]) for f, m in read(error)][:_DETAILS]
    except Exception:  # noqa: BLE001 - a version with another shape still gives a 422
        problems = []
    return Verdict(
        STATUS_OF[Category.VALIDATION],
        "validation_failed",
        Category.VALIDATION,
        [f"{field}: {text}" if field else text for field, text in problems]
        or "The request is not valid.",
        [
            {"field": field, "message": text} if field else {"message": text}
            for field, text in problems
        ]
        or None,
    )


def _marshmallow(error: Any) -> Iterable[Problem]:  # noqa: ANN401
    return _walk(error.normalized_messages(), ())


def _walk(node: object, path: tuple[str, ...]) -> Iterable[Problem]:
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from _walk(inner, path if key == "_schema" else (*path, str(key)))
    elif isinstance(node, list):
        for inner in node:
            yield from _walk(inner, path)
    else:
        yield ".".join(path), str(node)


def _pydantic(error: Any) -> Iterable[Problem]:  # noqa: ANN401
    # the input itself stays out: it may be a password that was too short
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, item["loc"])), item["msg"]) for item in found]


def _jsonschema(error: Any) -> Iterable[Problem]:  # noqa: ANN401
    # jsonschema's own text quotes the value; the schema's side of it says enough
    field = ".".join(map(str, error.absolute_path))
    if error.validator == "required" and isinstance(error.instance, dict):
        for name in error.validator_value:
            if name not in error.instance:
                yield ".".join(filter(None, (field, str(name)))), "is required"
        return
    yield field, f"must satisfy {error.validator}: {error.validator_value}"


def _wtforms(error: Any) -> Iterable[Problem]:  # noqa: ANN401
    yield "", str(error)


VALIDATION: dict[str, Callable[[Any], Iterable[Problem]]] = {
    "marshmallow.exceptions.ValidationError": _marshmallow,
    "pydantic_core._pydantic_core.ValidationError": _pydantic,
    "jsonschema.exceptions.ValidationError": _jsonschema,
    "wtforms.validators.ValidationError": _wtforms,
}
