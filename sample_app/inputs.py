"""Reading a request's JSON: every problem is reported at once, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import request

from flask_hardening.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    Rule = Callable[[Any], str | None]

_PASSWORD = 8


def read(**rules: Rule) -> dict[str, Any]:
    """
    Return the fields of the request's JSON object that *rules* name.

    Args:
        rules: For each field what gets its value (None if it is missing) and returns what
            is wrong with it, or None.

    Raises:
        ValidationError: At least one is wrong.
    """
    body = request.get_json()
    if not isinstance(body, dict):
        raise ValidationError("The body must be a JSON object.")
    problems = {
        name: problem for name, rule in rules.items() if (problem := rule(body.get(name)))
    }
    if problems:
        raise ValidationError(
            [f"{name} {problem}" for name, problem in problems.items()],
            details=[{"field": name, "message": text} for name, text in problems.items()],
        )
    return {name: body.get(name) for name in rules}


def text(longest: int) -> Rule:
    """Return the rule for a text that is not blank."""

    def rule(value: object) -> str | None:
        if not isinstance(value, str) or not value.strip():
            return "is required"
        if not value.isprintable():
            return "must not contain control characters"
        return f"must have at most {longest} characters" if len(value) > longest else None

    return rule


def email(value: object) -> str | None:
    """Check an e-mail address as far as that can be done without writing to it."""
    if not isinstance(value, str) or not value:
        return "is required"
    name, at, domain = value.rpartition("@")
    good = name and at and "." in domain and value.isprintable() and " " not in value
    return None if good and len(value) <= 254 else "must be an e-mail address"  # noqa: PLR2004


def password(value: object) -> str | None:
    """Check a new password."""
    if not isinstance(value, str) or len(value) < _PASSWORD:
        return f"must have at least {_PASSWORD} characters"
    return None


def positive(value: object) -> str | None:
    """Check a whole number above 0 that fits a database column."""
    if type(value) is int and 0 < value < 2**31:
        return None
    return "must be a whole number above 0"


def flag(value: object) -> str | None:
    """Check a boolean that may be left out."""
    return None if value is None or isinstance(value, bool) else "must be true or false"
