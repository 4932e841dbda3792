"""`protect`: clients whose every call is guarded, each at its library's own point of entry."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flask_hardening.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
_MARK = "_hardening_protection"
_HERE = "flask_hardening.core.resilience.adapters"


class Entry(NamedTuple):
    """
    A class of clients that can be protected.

    Attributes:
        module: Where it stands: `requests`.
        name: Its name there: `Session`.
        adapter: Name of the module that knows it, imported when it is first needed; its
            function `protect(client, name, profile, options)` does the work.
        target: The target's name where nobody says one.
        profile: The same for its profile.
    """

    module: str
    name: str
    adapter: str
    target: str
    profile: str


_entries = [
    Entry("requests", "Session", f"{_HERE}.for_requests", "http", "http"),
    Entry("httpx", "Client", f"{_HERE}.for_httpx", "http", "http"),
    Entry("httpx", "AsyncClient", f"{_HERE}.for_httpx", "http", "http"),
    Entry("redis", "Redis", f"{_HERE}.for_redis", "redis", "redis"),
    Entry("sqlalchemy", "Engine", f"{_HERE}.for_sqlalchemy", "database", "database"),
]


def register(entry: Entry) -> None:
    """Add a class of clients; one that is there already changes nothing."""
    if entry not in _entries:
        _entries.append(entry)


def protect(
    client: T,
    *,
    name: str | None = None,
    profile: str | None = None,
    **options: Any,  # noqa: ANN401
) -> T:
    """
    Guard every call of a client, and return the same client.

    Each call obeys the deadline, goes through its target's breaker (of HTTP one per host
    and port) and is made again where that does no harm. Missing time-outs are set, the
    library's own retries switched off. An HTTP client carries the correlation id, as with
    `propagate`. Doing it twice changes nothing.

    Args:
        client: A `requests.Session`, an `httpx.Client` or `AsyncClient`, a `redis.Redis`, or
            a SQLAlchemy `Engine` (of an `AsyncEngine`, its `sync_engine`).
        name: The target's name in settings, log lines and metrics; by default `http`,
            `redis` or `database`.
        profile: As for `guard`; by default that of its kind.
        **options: As for `guard`.

    Returns:
        It.

    Raises:
        TypeError: It is none of these, or there is no such option.
        ConfigError: The options are impossible, or it is protected under another name.
    """
    for entry in _entries:
        loaded = sys.modules.get(entry.module)
        kind = getattr(loaded, entry.name, None)
        if kind is not None and isinstance(client, kind):
            _once(client, entry, name or entry.target, profile or entry.profile, options)
            return client
    known = ", ".join(f"{entry.module}.{entry.name}" for entry in _entries)
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    raise TypeError(f"protect() takes one of {known}; got a {kind}.")


def _once(
    client: Any,  # noqa: ANN401
    entry: Entry,
    name: str,
    profile: str,
    options: Mapping[str, Any],
) -> None:
    wanted = name, profile, dict(options)
    standing = vars(client).get(_MARK)
    if standing is None:
        prepare: Callable[..., None] = importlib.import_module(entry.adapter).protect
        prepare(client, name, profile, options)
        vars(client)[_MARK] = wanted
    elif standing != wanted:
        raise ConfigError(
            f"This {entry.name} is protected as {standing[0]!r} with {standing[1:]}, and now "
            f"as {name!r} with {wanted[1:]}: protect it once, or make two."
        )
