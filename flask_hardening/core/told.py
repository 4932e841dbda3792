"""Which exceptions have had their line, so that the server that gets them next adds none."""

from __future__ import annotations

from contextlib import suppress

_MARK = "_hardening_told"


def mark_told(error: BaseException) -> None:
    """Remember that a line has told of an exception; one without a dict is forgotten."""
    with suppress(AttributeError, TypeError):
        setattr(error, _MARK, True)


def is_told(error: BaseException | None) -> bool:
    """Tell whether a line has told of it."""
    return getattr(error, _MARK, False) is True
