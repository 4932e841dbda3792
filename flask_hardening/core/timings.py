"""How long the current request or task has waited for databases and services, and for which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask_hardening.core import correlation, logs
from flask_hardening.core.correlation import Spent

if TYPE_CHECKING:
    from flask_hardening.core.correlation import Unit

_MOST = 100  # statements that are told apart
_MANY = 20  # times the same one makes it a suspect
_TEXT = 500
_LITERALS = re.compile(r"'(?:[^']|'')*'?|\b\d+(?:\.\d+)?\b")
_BLANKS = re.compile(r"\s+")


def fields_of(unit: Unit) -> dict[str, Any]:
    """Return what a request's or a task's line says of it; nothing if there was no call."""
    spent = unit.spent
    if spent is None:
        return {}
    fields: dict[str, Any] = {}
    if spent.db_calls:
        fields["db_ms"] = round(spent.db_seconds * 1000, 2)
        fields["db_calls"] = spent.db_calls
    if spent.external_calls:
        fields["external_ms"] = round(spent.external_seconds * 1000, 2)
        fields["external_calls"] = spent.external_calls
    return fields


def note_db(target: str, seconds: float, statement: str) -> None:
    """
    Count a statement for the current unit of work, and tell if it was slow or is repeated.

    Args:
        target: Name of the database.
        seconds: How long it took.
        statement: It, with placeholders; values that stand in it are never logged.
    """
    unit = correlation.current()
    if unit is None:
        return
    spent = _spent(unit)
    spent.db_seconds += seconds
    spent.db_calls += 1
    times = spent.statements.get(statement, 0) + 1
    if times > 1 or len(spent.statements) < _MOST:
        spent.statements[statement] = times
    limit = unit.origin.slow_db if unit.origin else 0.0
    if limit and seconds > limit:
        more = {"statement": without_values(statement), "times": times}
        _tell("db.slow", f"A statement at {target}", target, seconds, limit, more)
    if limit and times == _MANY:
        fields = {"target": target, "statement": without_values(statement), "times": times}
        message = (
            f"The same statement was made {times} times: load what a loop asks for one by "
            "one with a single query (N+1)"
        )
        logs.emit("WARNING", "db.repeated", message, __name__, fields)


def note_external(target: str, seconds: float, what: str) -> None:
    """
    Count a call to Redis or over HTTP for the current unit of work, and tell if it was slow.

    Args:
        target: Name of what was called.
        seconds: How long it took.
        what: Host and method, or the command: without values, and nothing secret.
    """
    unit = correlation.current()
    if unit is None:
        return
    spent = _spent(unit)
    spent.external_seconds += seconds
    spent.external_calls += 1
    limit = unit.origin.slow_external if unit.origin else 0.0
    if limit and seconds > limit:
        more = {"call": what}
        _tell("external.slow", f"A call to {target}", target, seconds, limit, more)


def without_values(statement: str) -> str:
    """Return a statement in one line, its literals replaced by `?`, cut to 500 characters."""
    short = statement[: 4 * _TEXT]
    return _BLANKS.sub(" ", _LITERALS.sub("?", short)).strip()[:_TEXT]


def _tell(
    event: str, what: str, target: str, seconds: float, limit: float, more: dict[str, Any]
) -> None:
    fields = {
        "target": target,
        "duration_ms": round(seconds * 1000, 2),
        "threshold_ms": limit * 1000,
        **more,
    }
    message = f"{what} took {seconds * 1000:.0f} ms"
    logs.emit("WARNING", event, message, __name__, fields)


def _spent(unit: Unit) -> Spent:
    if unit.spent is None:
        unit.spent = Spent()
    return unit.spent
