"""From a flat record to the bytes of one line: JSON for machines, columns for people."""

from __future__ import annotations

from datetime import datetime, timezone
from textwrap import indent
from typing import Any

import orjson

from flask_hardening.core.redaction import active

# no OPT_NON_STR_KEYS: 1 and "1" would be the same key twice
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
_HIDDEN = frozenset(
    {
        "timestamp",
        "level",
        "message",
        "event",
        "logger",
        "service",
        "environment",
        "correlation_id",
        "request_id",
        "exception_type",
        "exception_message",
        "exception_stack",
        # the message of a request's line says these
        "method",
        "path",
        "status",
        "request_bytes",
        "client_address",
        "user_agent",
    }
)
_COLOURS = {
    "TRACE": "\x1b[2m",
    "DEBUG": "\x1b[2m",
    "INFO": "\x1b[32m",
    "SUCCESS": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}
_SET_IN = "  "
_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROL |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_STACK_CONTROL = {k: v for k, v in _CONTROL.items() if k != 0x0A}  # noqa: PLR2004


def to_json(line: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON (RFC 8259); it never raises."""
    try:
        return orjson.dumps(line, option=_OPTIONS)
    except Exception:  # noqa: BLE001 - whatever a value does when it is looked at
        return _to_json_with_force(line)


def _to_json_with_force(line: dict[str, Any]) -> bytes:
    try:
        stamp = line["timestamp"]
        clean = active().clean
        copy = {_ascii(key): _encodable(clean(value)) for key, value in line.items()}
        return orjson.dumps({**copy, "timestamp": stamp}, option=_OPTIONS)
    except Exception:  # noqa: BLE001 - a line with little in it beats a lost one
        keep = ("level", "event", "logger", "service", "correlation_id", "request_id")
        rest = {key: _ascii(line[key]) for key in keep if type(line.get(key)) is str}
        stamp = line.get("timestamp")
        now = stamp if type(stamp) is datetime else datetime.now(timezone.utc)
        told = {**rest, "message": "This record could not be encoded."}
        return orjson.dumps({"timestamp": now, **told}, option=_OPTIONS)


def _encodable(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return _ascii(value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_ascii(key): _encodable(item) for key, item in value.items()}
    return value


def _ascii(text: object) -> str:
    # lone surrogates have no UTF-8 form
    return str(text).encode("utf-8", "backslashreplace").decode()


def to_console(line: dict[str, Any], *, colour: bool) -> bytes:
    """
    Return a record as a person reads it: time, level, logger, message, fields, id.

    Control characters from outside are shown as escapes, so no text can forge a line; only
    a traceback spans several, each set in.
    """
    stamp = line["timestamp"]
    time = (
        stamp.astimezone() if isinstance(stamp, datetime) else datetime.now().astimezone()
    )
    message = line["message"] or line.get("event", "")
    subject = line.get("event") or line["logger"]
    fields = " ".join(f"{k}={v}" for k, v in line.items() if k not in _HIDDEN)
    ids = str(line.get("correlation_id") or "")
    level = line["level"]
    on, dim, off = (_COLOURS.get(level, ""), _DIM, _RESET) if colour else ("", "", "")
    text = (
        f"{dim}{time:%H:%M:%S}.{time.microsecond // 1000:03}{off} {on}{level:<8}{off} "
        f"{_plain(subject)}  {_plain(message)}"
        f"{'  ' + dim + _plain(fields) + off if fields else ''}"
        f"{'  ' + dim + '[' + ids + ']' + off if ids else ''}\n"
    )
    stack = line.get("exception_stack")
    if stack:
        text += indent(str(stack).translate(_STACK_CONTROL).rstrip("\n"), _SET_IN) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _plain(text: object) -> str:
    return str(text).translate(_CONTROL)
