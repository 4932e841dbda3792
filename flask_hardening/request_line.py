"""What a request's line says beyond its outcome: its query, headers and bodies, without secrets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from werkzeug.http import parse_options_header

from flask_hardening.core import redaction
from flask_hardening.record import Beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import WSGIEnvironment

    from flask_hardening.core.settings import Logs
    from flask_hardening.record import Headers, Record

    Detail = Callable[[Record], Iterable[tuple[str, Any]]]

_FORM = "application/x-www-form-urlencoded"
_TEXTS = (
    "application/x-ndjson",
    "application/yaml",
    "application/xml",
    "application/javascript",
    "application/graphql",
    "text/",
)
_NO_FIELD = re.compile(r"[\"{}<>\n]").search
_QUERY = 2048
_PAIRS = 100
_MARGIN = 256  # bytes: what a cut body ends with is looked at and left out
_NO_PREFIX = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


def details_of(config: Logs) -> list[Detail]:
    """Return what adds to a line all that is wanted."""
    wanted: list[Detail] = []
    if config.query:
        wanted.append(_query)
    if config.headers:
        wanted.append(_Headers(config.headers))
    if config.bodies:
        wanted.append(lambda record: _bodies(record, config))
    return wanted


def gatherer_of(config: Logs) -> Callable[[Record], None] | None:
    """Return what begins to gather a request's bodies, if any are wanted."""
    if not config.bodies:
        return None
    limit = config.body_limit + _MARGIN
    request, response = "request" in config.bodies, "response" in config.bodies

    def gather(record: Record) -> None:
        environ = record.environ
        if response:
            record.given = Beginning(limit)
        stream = environ.get("wsgi.input")
        readable = _form_of(environ.get("CONTENT_TYPE", ""))
        if request and readable and stream is not None:
            record.taken = Beginning(limit)
            environ["wsgi.input"] = _Watched(stream, record.taken.add)

    return gather


class _Watched:
    """
    A request's body, of which a copy is taken as the app reads it.

    It reads nothing by itself, so what the app doesn't read isn't logged.
    """

    def __init__(self, stream: Any, seen: Callable[[bytes], None]) -> None:  # noqa: ANN401
        self._stream = stream
        self._seen = seen

    def read(self, *size: int) -> bytes:
        return self._pass_on(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._pass_on(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._pass_on(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._pass_on, self._stream)

    def _pass_on(self, data: bytes) -> bytes:
        self._seen(data)
        return data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        # what reads in other ways must not find them: everybody falls back to `read`
        if name.startswith(("read", "peek", "raw", "detach", "getvalue", "getbuffer")):
            raise AttributeError(name)
        return getattr(self._stream, name)


def _query(record: Record) -> Iterator[tuple[str, Any]]:
    query = record.environ.get("QUERY_STRING")
    if query:
        yield "query", redaction.active().scrub(query, _QUERY)


class _Headers:
    """Adds the headers that are wanted, of the request and of the response."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._all = "*" in self._names
        self._keys = {_environ_key(name): name for name in sorted(self._names - {"*"})}

    def __call__(self, record: Record) -> Iterator[tuple[str, Any]]:
        clean = redaction.active().clean_fields
        environ = record.environ
        keys = _all_keys(environ) if self._all else self._keys
        sent = {name: environ[key] for key, name in keys.items() if environ.get(key)}
        answered: dict[str, str] = {}
        for given, value in record.headers:
            name = given.lower()
            if self._all or name in self._names:
                before = answered.get(name)
                answered[name] = value if before is None else f"{before}, {value}"
        if sent:
            yield "request_headers", clean(sent)
        if answered:
            yield "response_headers", clean(answered)


def _environ_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in _NO_PREFIX else "HTTP_" + key


def _all_keys(environ: WSGIEnvironment) -> dict[str, str]:
    return {
        key: _NO_PREFIX.get(key) or key[5:].replace("_", "-").lower()
        for key in environ
        if key.startswith("HTTP_") or key in _NO_PREFIX
    }


def _bodies(record: Record, config: Logs) -> Iterator[tuple[str, Any]]:
    if (record.status or config.bodies_from) < config.bodies_from:
        return
    limit = config.body_limit
    if record.taken is not None and record.taken.size:
        content_type = record.environ.get("CONTENT_TYPE", "")
        encoded = record.environ.get("HTTP_CONTENT_ENCODING")
        yield "request_body", _shown(record.taken, content_type, encoded, limit)
    if record.given is not None and record.given.size:
        content_type = _value(record.headers, "content-type") or ""
        encoded = _value(record.headers, "content-encoding")
        yield "response_body", _shown(record.given, content_type, encoded, limit)


def _value(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)


def _shown(body: Beginning, content_type: str, encoded: str | None, limit: int) -> Any:  # noqa: ANN401
    """Return a body as it may be shown; None for one that is no text."""
    form = _form_of(content_type)
    if form is None or (encoded or "identity").lower() != "identity":
        return None
    redactor = redaction.active()
    if body.size > limit:
        text = _decoded(body.data, content_type)
        kept = redactor.scrub(text, len(text))[: max(0, limit - _MARGIN) or limit]
        return f"{kept}<{body.size - len(kept)} more>"
    try:
        return redactor.clean(form(body.data, content_type))
    except ValueError:
        return redactor.scrub(_decoded(body.data, content_type), limit)


def _form_of(content_type: str) -> Callable[[bytes, str], Any] | None:
    """Return what reads a body of this media type, None for one that isn't logged."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return lambda data, kind: orjson.loads(_decoded(data, kind))
    if kind == _FORM:
        return _parsed_form
    if kind.startswith(_TEXTS) or kind.endswith("+xml"):
        return _decoded
    return None


def _parsed_form(data: bytes, content_type: str) -> dict[str, Any]:
    pairs = parse_qsl(
        _decoded(data, content_type), keep_blank_values=True, max_num_fields=_PAIRS
    )
    if any(_NO_FIELD(name) for name, _ in pairs):
        raise ValueError("Something else is said to be a form")
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            before = fields[name]
            fields[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            fields[name] = value
    return fields


def _decoded(data: bytes, content_type: str) -> str:
    charset = parse_options_header(content_type)[1].get("charset")
    if charset is None:
        # JSON comes in all of them, and whoever reads it finds out as this does
        charset = json.detect_encoding(data[:4]) if b"\0" in data[:4] else "utf-8"
    try:
        return data.decode(charset, "replace")
    except LookupError:
        return data.decode("utf-8", "replace")
