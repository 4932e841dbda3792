"""What may stand in a setting: each check gets a value and returns what is wrong with it, or None."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGEST_BODY = 65_536
_SHORTEST_KEY = 16


def nearest(name: str, known: Iterable[str]) -> str:
    """Return which of the names that there are somebody may have meant; none if there is none."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), "")


def header(value: str) -> str | None:
    """Refuse what is no header name (RFC 9110, section 5.1, without its odd characters)."""
    ok = value and all(c.isascii() and (c.isalnum() or c == "-") for c in value)
    return None if ok else "must be a header name: letters, digits and '-'"


def environment(value: str) -> str | None:
    """Refuse `Development`: it would pass for another environment."""
    misspelt = value != "development" and value.strip().lower() == "development"
    return "must be 'development', in small letters" if misspelt else None


def not_negative(value: float) -> str | None:
    """Refuse numbers below 0."""
    return None if value >= 0 else "must not be negative"


def positive(value: float) -> str | None:
    """Refuse numbers that are not above 0."""
    return None if value > 0 else "must be above 0 (seconds)"


def not_negative_each(value: dict[str, float]) -> str | None:
    """Refuse a dict with a number below 0."""
    bad = sorted(route for route, seconds in value.items() if seconds < 0)
    return f"must not be negative (see {', '.join(bad)})" if bad else None


def host_patterns(value: tuple[str, ...]) -> str | None:
    """Refuse what is no host name, port or pattern of one."""
    for pattern in value:
        name = pattern if pattern == "*" else pattern.removeprefix("*.")
        if not name or (name != "*" and set(name) & set("*/@\\ \t\r\n")):
            return (
                f"has {pattern!r}; each entry is a host name such as 'auth.internal', "
                "'*.example.com', 'localhost:8000' or '*', without scheme and path"
            )
    return None


def header_names(value: tuple[str, ...]) -> str | None:
    """Refuse what is neither a header name nor `*`."""
    bad = [name for name in value if name != "*" and header(name)]
    return f"has {bad[0]!r}, which is no header name" if bad else None


def patterns(value: dict[str, str]) -> str | None:
    """Refuse regular expressions that are broken or match nothing."""
    for name, pattern in value.items():
        try:
            found = regex.compile(pattern)
        except regex.error as error:
            return f"has {name!r}: {pattern!r}, which is no regular expression ({error})"
        if found.search(""):
            return f"has {name!r}: {pattern!r}, which matches where there is nothing"
    return None


def key(value: str | None) -> str | None:
    """Refuse keys that can be guessed."""
    if value is None or len(value) >= _SHORTEST_KEY:
        return None
    return f"must have at least {_SHORTEST_KEY} characters"


def body_limit(value: int) -> str | None:
    """Refuse limits that keep nothing, or more than a log line should have."""
    ok = 0 < value <= _LARGEST_BODY
    return None if ok else f"must be 1 to {_LARGEST_BODY} (bytes)"
