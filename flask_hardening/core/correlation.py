"""The ids of the current unit of work: made, checked, bound to the context, given back."""

from __future__ import annotations

import os
import random
import re
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# ids need to differ, not to be secret; a generator of our own, since an app may seed the
# common one, and seeded anew in each child
_dice = random.Random()  # noqa: S311
_bits = _dice.getrandbits
os.register_at_fork(after_in_child=_dice.seed)
_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


class AllowList:
    """
    The hosts whose calls may carry the id.

    Args:
        patterns: `auth.internal`, `*.example.com` (its subdomains, not itself),
            `localhost:8000` and `*.example.com:8000` (that port only), `*`.
    """

    __slots__ = ("_all", "_exact", "_suffixes")

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        lowered = [pattern.lower().rstrip(".") for pattern in patterns]
        self._all = "*" in lowered
        self._suffixes = tuple(p[1:] for p in lowered if p.startswith("*."))
        self._exact = frozenset(p for p in lowered if not p.startswith("*"))

    def allows(self, url: str) -> bool:
        """Tell whether a call to *url* may carry the id; a broken URL may not."""
        if self._all:
            return True
        if not self._exact and not self._suffixes:
            return False
        if "\\" in url:  # clients disagree on whether it ends the host's name
            return False
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            return False
        if not host:
            return False
        literal = f"[{host}]" if ":" in host else host
        names = (host, literal, f"{literal}:{port}")
        return any(n in self._exact or n.endswith(self._suffixes) for n in names)


NOBODY = AllowList()


class Spent:
    """
    What one unit of work spent on calls to databases and services.

    Attributes:
        db_seconds: In statements of a database.
        db_calls: How many they were.
        external_seconds: In calls to Redis and over HTTP.
        external_calls: How many they were, each attempt by itself.
        statements: How often each statement was made; the first hundred different ones.
    """

    __slots__ = (
        "db_calls",
        "db_seconds",
        "external_calls",
        "external_seconds",
        "statements",
    )

    def __init__(self) -> None:
        self.db_seconds = self.external_seconds = 0.0
        self.db_calls = self.external_calls = 0
        self.statements: dict[str, int] = {}


class Origin:
    """
    Who does the work: what all units of work of one app have in common.

    Attributes:
        fields: `service` and `environment` for each log line.
        header: Name of the header that carries the correlation id.
        allowed: The hosts whose calls may carry it.
        slow_db: Seconds from which a statement is slow; 0 for never.
        slow_external: The same for a call to Redis or over HTTP.
    """

    __slots__ = ("allowed", "fields", "header", "slow_db", "slow_external")

    def __init__(
        self,
        service: str,
        environment: str,
        header: str = "X-Correlation-ID",
        allowed: AllowList = NOBODY,
        *,
        slow_db: float = 0.0,
        slow_external: float = 0.0,
    ) -> None:
        self.slow_db = slow_db
        self.slow_external = slow_external
        self.fields = {"service": service, "environment": environment}
        self.header = header
        self.allowed = allowed

    @property
    def development(self) -> bool:
        """Whether it is done in development."""
        return self.fields["environment"] == "development"


class Unit:
    """
    One unit of work: a request, a task's run, or a script's block.

    Attributes:
        correlation_id: Shared by everything that one cause set off.
        request_id: This request's alone; None outside of requests.
        origin: The app whose work it is; None in plain scripts.
        fields: What each log line of this unit carries; those of *task* as well.
        spent: Time and count of its calls to databases and services, once it made one.
    """

    __slots__ = ("correlation_id", "fields", "origin", "request_id", "spent")

    def __init__(
        self,
        correlation_id: str,
        request_id: str | None = None,
        origin: Origin | None = None,
        task: Mapping[str, str] | None = None,
    ) -> None:
        self.correlation_id = correlation_id
        self.request_id = request_id
        self.origin = origin
        self.spent: Spent | None = None
        fields = origin.fields.copy() if origin else {}
        fields["correlation_id"] = correlation_id
        if request_id:
            fields["request_id"] = request_id
        if task:
            fields.update(task)
        self.fields = fields


_unit: ContextVar[Unit | None] = ContextVar("hardening_unit", default=None)

current = _unit.get
bind = _unit.set
unbind = _unit.reset  # for who has bound in the same context; `reset` is for all others


def reset(token: Token[Unit | None]) -> None:
    """
    Give back what was bound before *token* was made.

    A token from another context, or one used before, changes nothing: work may end in
    another thread than it began in.
    """
    try:
        _unit.reset(token)
    except (ValueError, RuntimeError):
        return


def correlation_id() -> str | None:
    """Return the current correlation id, or None outside any unit of work."""
    unit = _unit.get()
    return unit.correlation_id if unit else None


def request_id() -> str | None:
    """Return the id of the current request, or None outside of requests."""
    unit = _unit.get()
    return unit.request_id if unit else None


@contextmanager
def correlated(correlation_id: str | None = None) -> Iterator[str]:
    """
    Run a block under one correlation id: in scripts, consumers, commands.

    Args:
        correlation_id: An id from elsewhere; a missing or invalid one is replaced.

    Yields:
        The id in force.
    """
    outer = _unit.get()
    unit = Unit(valid(correlation_id) or new_id(), origin=outer.origin if outer else None)
    token = bind(unit)
    try:
        yield unit.correlation_id
    finally:
        reset(token)


def new_id() -> str:
    """Return a new id: 128 random bits as 32 hexadecimal digits, as W3C trace ids are."""
    return f"{_bits(128):032x}"


def new_ids() -> tuple[str, str]:
    """Return two new ids, for little more than the price of one."""
    digits = f"{_bits(256):064x}"
    return digits[:32], digits[32:]


def valid(value: object) -> str | None:
    """Return *value* if it can serve as an id (1 to 128 of `A-Za-z0-9._-`), else None."""
    if isinstance(value, str) and _VALID(value):
        return value
    return None


def outgoing(url: str) -> dict[str, str]:
    """
    Return the headers that a call to *url* may carry.

    This alone decides: empty outside a unit of work, and for hosts that
    `HARDENING_CORRELATION_PROPAGATE_TO` doesn't name.
    """
    unit = _unit.get()
    if unit is None or unit.origin is None or not unit.origin.allowed.allows(url):
        return {}
    return {unit.origin.header: unit.correlation_id}
