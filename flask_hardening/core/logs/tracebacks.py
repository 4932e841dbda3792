"""Exceptions as log fields: type, text and stack, never the values of local variables."""

from __future__ import annotations

import traceback
from typing import Any

_FRAMES = 50
_STACK = 16384
_TEXT = 2048


def exception_fields(error: BaseException) -> dict[str, Any]:
    """
    Return what a log line says of an exception; it never raises.

    The names follow OpenTelemetry's `exception.type`, `exception.message` and
    `exception.stacktrace`.
    """
    kind = type(error)
    return {
        "exception_type": f"{kind.__module__}.{kind.__qualname__}",
        "exception_message": exception_text(error),
        "exception_stack": stack_text(error),
    }


def exception_text(error: BaseException) -> str:
    """Return `str(error)`, cut, also for exceptions whose `__str__` fails."""
    try:
        return str(error)[:_TEXT]
    except Exception:  # noqa: BLE001 - the class of a broken exception is still worth a line
        return f"<{type(error).__name__} without text>"


def stack_text(error: BaseException) -> str:
    """Return the traceback with its causes, its middle left out where it is too long."""
    try:
        report = traceback.TracebackException.from_exception(error, limit=-_FRAMES)
        text = "".join(report.format())
    except Exception:  # noqa: BLE001 - see above
        return f"<no traceback for {type(error).__name__}>"
    if len(text) <= _STACK:
        return text
    half = _STACK // 2
    return f"{text[:half]}\n… {len(text) - _STACK} characters left out …\n{text[-half:]}"
