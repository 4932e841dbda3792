"""Exceptions as log fields: type, text and stack, never the values of local variables."""

from __future__ import annotations

import traceback
from typing import Any

from flask_hardening.core.recognition import name_of
from flask_hardening.core.redaction import active, text_of

_FRAMES = 50
_STACK = 16384
_LOOKED_AT = 131_072
_TEXT = 2048


def exception_fields(error: BaseException, stack: str | None = None) -> dict[str, Any]:
    """
    Return what a log line says of an exception, its secrets replaced; it never raises.

    Args:
        error: It.
        stack: Its stack as text, where it came from another process without one.

    The names follow OpenTelemetry's `exception.type`, `exception.message` and
    `exception.stacktrace`.
    """
    return {
        "exception_type": name_of(type(error)),
        "exception_message": exception_text(error),
        "exception_stack": _short(stack) if stack else stack_text(error),
    }


def exception_text(error: BaseException) -> str:
    """Return `str(error)`, cut, also for exceptions whose `__str__` fails."""
    text = text_of(error, _TEXT)
    # the class of a broken exception is still worth a line
    return f"<{type(error).__name__} without text>" if text is None else text


def stack_text(error: BaseException) -> str:
    """
    Return the traceback with its causes, its middle left out where it is too long.

    Its secrets are replaced: texts of exceptions hold them, and lines of source may.
    """
    try:
        report = traceback.TracebackException.from_exception(error, limit=-_FRAMES)
        text = "".join(report.format())
    except Exception:  # noqa: BLE001 - its causes may be as broken
        return f"<no traceback for {type(error).__name__}>"
    return _short(text)


def _short(text: str) -> str:
    # first replaced, then cut: half a secret isn't recognised
    scrubbed = active().scrub(text, _LOOKED_AT)
    if len(scrubbed) <= _STACK:
        return scrubbed
    half = _STACK // 2
    left_out = len(text) - _STACK
    return f"{scrubbed[:half]}\n… {left_out} characters left out …\n{scrubbed[-half:]}"
