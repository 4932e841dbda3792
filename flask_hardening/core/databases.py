"""Whether a database driver's error is an outage, a time-out, a conflict, or a bug in a statement."""

from __future__ import annotations

import re
from typing import Any, Literal

Meaning = Literal["down", "slow", "conflict"]

# SQLSTATE (ISO 9075; PostgreSQL's appendix A), whole or by its class
_STATES: dict[str, Meaning] = {
    "08": "down",  # no connection
    "53": "down",  # out of connections, memory, disk
    "57P01": "down",  # shut down by an administrator
    "57P02": "down",  # crashed
    "57P03": "down",  # starting up
    "57P05": "down",  # idle for too long
    "25006": "down",  # read-only after a fail-over
    "57014": "slow",  # statement time-out
    "55P03": "slow",  # lock time-out
    "40001": "conflict",  # serialization
    "40P01": "conflict",  # deadlock
}
# numbers of MySQL's and MariaDB's
_NUMBERS: dict[int, Meaning] = {
    **dict.fromkeys((1040, 1042, 1043, 1053, 1203), "down"),
    **dict.fromkeys((2002, 2003, 2005, 2006, 2013, 2055), "down"),
    **dict.fromkeys((1205, 3024), "slow"),
    1213: "conflict",
}
_TAKEN = {"23505", "23503", "23P01"}  # unique, foreign key, exclusion
_BUG = re.compile(r"no such |near |unknown column|unknown table", re.IGNORECASE)
_SLOW = re.compile(
    r"database (?:table )?is locked|timed? ?out\b|timeout expired", re.IGNORECASE
)
_DOWN = re.compile(
    r"unable to open database file|disk i/o error|disk is full"
    r"|(?:could not|couldn't|can't|cannot|unable to|failed to) (?:connect|create a connection)"
    r"|connection (?:\w+ )*(?:refused|reset|failed|closed|aborted|lost|not open|to server)"
    r"|lost connection|closed the connection|gone away|broken pipe|network is unreachable"
    r"|no route to host|(?:resolve|translate) host|name or service not known"
    r"|too many (?:clients|connections)|is starting up|is shutting down|recovery mode"
    r"|connection slots|terminating connection|not yet accepting",
    re.IGNORECASE,
)
_UNREACHED = re.compile(r"connection to server .* failed: timeout expired", re.IGNORECASE)
_SAID = "FATAL:"  # PostgreSQL refuses a connection; libpq keeps nothing but its words


def meaning_of(error: Any) -> Meaning | None:  # noqa: ANN401
    """
    Return what a failed operation of SQLAlchemy's or its driver's means, or None for a bug.

    A missing table is an `OperationalError` as well as a missing server; only the driver's
    SQLSTATE, its number or its words tell them apart.
    """
    if getattr(error, "connection_invalidated", False):
        return "down"
    original = getattr(error, "orig", error)
    state = state_of(original)
    if state:
        return _STATES.get(state) or _STATES.get(state[:2])
    args = getattr(original, "args", None) or (None,)
    if type(args[0]) is int:
        return _NUMBERS.get(args[0])
    return _by_words(str(original))


def _by_words(text: str) -> Meaning | None:
    _, said, text = text.rpartition(_SAID)
    if _BUG.match(text):
        return None
    if not said and _UNREACHED.search(text):
        return "down"
    if _SLOW.search(text):
        return "slow"
    return "down" if _DOWN.search(text) else None


def conflict_of(error: Any) -> Meaning | None:  # noqa: ANN401
    """
    Tell a taken value (unique, foreign key, exclusion) from a bug such as a missing one.

    SQLSTATE class 23 (ISO 9075) where the driver gives it, else the driver's words.
    """
    original = getattr(error, "orig", None)
    state = state_of(original)
    text = str(original).lower()
    if state:
        taken = state in _TAKEN
    else:
        taken = "unique" in text or "foreign key" in text or "duplicate" in text
    return "conflict" if taken else None


def state_of(original: object) -> str | None:
    """Return the SQLSTATE of a driver's error, where it has one."""
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return state if isinstance(state, str) else None
