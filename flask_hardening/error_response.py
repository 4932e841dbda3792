"""The error response itself: JSON, RFC 9457 problem details, or a page for browsers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from flask_hardening.core.errors import reason
from flask_hardening.core.logs.encoding import to_json
from flask_hardening.core.logs.tracebacks import stack_text

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from flask_hardening.core.recognition import Verdict
    from flask_hardening.record import Answer, Record

JSON = "application/json"
PROBLEM = "application/problem+json"
HTML = "text/html"
_SERVER_ERROR = 500
_URI = "/:@!$&'()*+,;=~"  # what a path may hold as it is (RFC 3986)

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{status} {error}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;
padding:0 1rem;color:#222}}h1{{font-size:1.5rem}}code{{background:#eee;padding:.1em .3em}}
pre{{overflow:auto;background:#f6f6f6;padding:1rem;font-size:.8rem}}</style></head>
<body><h1>{status} {error}</h1><p>{message}</p>
<p>If you report this, quote <code>{id}</code>.</p>{stack}</body></html>
"""


@dataclass(frozen=True)
class Shape:
    """
    How an app wants its errors to look.

    Attributes:
        problem: RFC 9457 is the form for clients that don't say.
        html: Browsers get a page.
        development: The stack is shown.
    """

    problem: bool
    html: bool
    development: bool


def render(
    shape: Shape, record: Record, verdict: Verdict, error: Exception, base: Response
) -> Response:
    """
    Turn *base* into the error response, keeping the headers it came with.

    `Allow`, `Retry-After` and `WWW-Authenticate` are part of the answer.
    """
    mimetype, body = content(shape, record, verdict, error)
    base.status_code = verdict.status
    base.data = body
    base.mimetype = mimetype
    base.headers.update(verdict.headers or {})
    base.headers.setdefault("Cache-Control", "no-store")
    return base


def crash_response(
    shape: Shape, record: Record, verdict: Verdict, error: Exception
) -> Answer:
    """Return the same for WSGI alone, for when the app's own machinery has failed."""
    mimetype, body = content(shape, record, verdict, error)
    headers = [
        ("Content-Type", f"{mimetype}; charset=utf-8" if mimetype == HTML else mimetype),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return f"{verdict.status} {reason(verdict.status)}", headers, body


def content(
    shape: Shape, record: Record, verdict: Verdict, error: Exception
) -> tuple[str, bytes]:
    """Return media type and body of an error response, as the client can read it."""
    mimetype = _negotiate(shape, record.environ.get("HTTP_ACCEPT", ""))
    stack = None
    if shape.development and verdict.status >= _SERVER_ERROR:
        stack = stack_text(error)
    if mimetype == HTML:
        return HTML, _page(record, verdict, stack)
    fields = _problem if mimetype == PROBLEM else _house
    return mimetype, _encode(fields(record, verdict, stack))


def _negotiate(shape: Shape, accept: str) -> str:
    default = PROBLEM if shape.problem else JSON
    if not accept:
        return default
    accepted = parse_accept_header(accept, MIMEAccept)
    named = {mimetype for mimetype, quality in accepted if quality > 0}
    if shape.html and accepted[HTML] > max(accepted[JSON], accepted[PROBLEM]):
        return HTML
    if PROBLEM in named and accepted[PROBLEM] >= accepted[JSON]:
        return PROBLEM
    return JSON if JSON in named and not shape.problem else default


def _house(record: Record, verdict: Verdict, stack: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "statusCode": verdict.status,
        "timestamp": _timestamp(),
        "path": record.path,
        "method": record.environ.get("REQUEST_METHOD", ""),
        "message": verdict.message,
        "error": reason(verdict.status),
        "category": verdict.category.value,
        "code": verdict.code,
        "correlationId": record.unit.correlation_id,
    }
    if verdict.details is not None:
        body["details"] = verdict.details
    if stack:
        body["stack"] = stack
    return body


def _problem(record: Record, verdict: Verdict, stack: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": reason(verdict.status),
        "status": verdict.status,
        "detail": _sentence(verdict.message),
        "instance": quote(record.path, safe=_URI),
        "code": verdict.code,
        "category": verdict.category.value,
        "correlationId": record.unit.correlation_id,
        "timestamp": _timestamp(),
    }
    if verdict.details is not None:
        body["details"] = verdict.details
    if stack:
        body["stack"] = stack
    return body


def _page(record: Record, verdict: Verdict, stack: str | None) -> bytes:
    page = _PAGE.format(
        status=verdict.status,
        error=escape(reason(verdict.status)),
        message=escape(_sentence(verdict.message)),
        id=escape(record.unit.correlation_id),
        stack=f"<pre>{escape(stack)}</pre>" if stack else "",
    )
    return page.encode("utf-8", "backslashreplace")


def _sentence(message: str | list[str]) -> str:
    return message if isinstance(message, str) else "; ".join(message)


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):
        return to_json(body)  # details that JSON can't hold


def _timestamp() -> str:
    now = datetime.now(timezone.utc)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
