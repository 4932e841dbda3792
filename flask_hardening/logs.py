"""One line per request, and the app's own logging brought into the house's outputs."""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
import logging
import re
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from flask.logging import default_handler

from flask_hardening.core import logs
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.settings import LEVELS
from flask_hardening.lifecycle import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from flask_hardening.core.settings import Logs
    from flask_hardening.lifecycle import Record

_ACCESS = '] "%s" %s %s'
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_USER_AGENT = 256
_PATH = 1024
_PSEUDONYM = 16
_V4, _V6 = 24, 48


def init_app(app: Flask, config: Logs) -> None:
    """
    Wire the part.

    Raises:
        ConfigError: The process's logs stand with other settings, the file can't be
            opened, or pseudonyms are asked for without a key.
    """
    address = _client_address(config)
    state = state_of(app)
    plan = logs.Plan.of(config, development=state.development)
    active = logs.set_up(plan, state.origin.fields, owner=f"app {app.name!r}")
    if plan.stdlib:
        app.logger.removeHandler(default_handler)  # its lines come to us through the root
    app.logger.setLevel(LEVELS[plan.level])
    logging.getLogger("werkzeug").addFilter(_told_by_us)
    skip = _matcher(config.skip_paths)
    if active.pipeline.enabled(LEVELS["DEBUG"], __name__):
        state.begins.append(_started)
    state.ends.append(
        functools.partial(_finished, emit=active.emit, skip=skip, address=address)
    )


def _told_by_us(record: logging.LogRecord) -> bool:
    """Drop the development server's access line: ours says the same, with the ids."""
    return logs.active() is None or not str(record.msg).endswith(_ACCESS)


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object]:
    if not patterns:
        return lambda _: None
    return re.compile("|".join(map(translate, patterns))).match


def _started(record: Record) -> None:
    method = record.environ.get("REQUEST_METHOD", "")
    path = record.path[:_PATH]
    fields = {"method": method, "path": path}
    logs.emit("DEBUG", "request.started", f"{method} {path}", __name__, fields)


def _finished(
    record: Record,
    *,
    emit: Callable[..., None],
    skip: Callable[[str], object],
    address: Callable[[str], str | None],
) -> None:
    path = record.path
    if record.succeeded and skip(path):
        return
    environ = record.environ
    status = record.status
    method = environ.get("REQUEST_METHOD", "")
    fields: dict[str, Any] = {
        "method": method,
        "route": record.route,
        "path": path[:_PATH],
        "status": status,
        "duration_ms": round(record.duration or 0.0, 2),
        "request_bytes": _number(environ.get("CONTENT_LENGTH")),
        "response_bytes": record.sent,
        "client_address": address(environ.get("REMOTE_ADDR") or ""),
        "user_agent": (environ.get("HTTP_USER_AGENT") or "")[:_USER_AGENT] or None,
    }
    event, level = "request.finished", _level(status)
    if record.aborted:
        event, level = "request.aborted", "WARNING"
        fields["reason"] = record.aborted
    verdict = record.verdict
    if verdict is not None:
        fields["error_category"] = verdict.category.value
        fields["error_code"] = verdict.code
        fields["error_message"] = verdict.message
    message = f"{method} {fields['path']} {status or record.aborted}"
    # an exception that no error handling has seen is told here, or nowhere
    untold = None if record.logged or verdict else record.error
    emit(level, event, message, __name__, fields, untold)


def _level(status: int | None) -> str:
    if status is None or status >= _SERVER_ERROR:
        return "ERROR"
    return "WARNING" if status >= _CLIENT_ERROR else "INFO"


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else 0


def _client_address(config: Logs) -> Callable[[str], str | None]:
    if config.client_address == "off":
        return lambda _: None
    if config.client_address == "truncated":
        return functools.lru_cache(maxsize=1024)(_network)
    if config.client_address == "hmac":
        if config.hmac_key is None:
            raise ConfigError(
                "HARDENING_LOGS_CLIENT_ADDRESS = 'hmac' needs a key: set "
                "HARDENING_LOGS_HMAC_KEY to at least 16 random characters."
            )
        key = config.hmac_key.encode()
        return functools.lru_cache(maxsize=1024)(functools.partial(_pseudonym, key))
    return lambda address: address or None


def _network(address: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None  # a unix socket has none; anything else must not slip through whole
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    prefix = _V4 if mapped.version == 4 else _V6  # noqa: PLR2004
    return str(ipaddress.ip_network(f"{mapped}/{prefix}", strict=False))


def _pseudonym(key: bytes, address: str) -> str | None:
    if not address:
        return None
    return hmac.new(key, address.encode(), hashlib.sha256).hexdigest()[:_PSEUDONYM]
