"""One line per request, and the app's own logging brought into the house's outputs."""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from flask.logging import default_handler

from flask_hardening.core import logs, redaction, timings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.settings import LEVELS
from flask_hardening.record import state_of
from flask_hardening.request_line import details_of, gatherer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from flask_hardening.core.recognition import Verdict
    from flask_hardening.core.settings import Logs
    from flask_hardening.record import Record

_ACCESS = '] "%s" %s %s'
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_USER_AGENT = 256
_LONGEST_AGENT = 8192
_GLOB = re.compile(r"[*?\[]").search
_PATH = 1024
_V4, _V6 = 24, 48


def init_app(app: Flask, config: Logs) -> None:
    """
    Wire the part.

    Raises:
        ConfigError: The process's logs stand with other settings, the file can't be
            opened, or pseudonyms are asked for without a key.
    """
    state = state_of(app)
    plan = logs.Plan.of(config, development=state.development)
    active = logs.set_up(plan, state.origin.fields, owner=f"app {app.name!r}")
    if plan.stdlib:
        app.logger.removeHandler(default_handler)  # its lines come to us through the root
    app.logger.setLevel(LEVELS[plan.level])
    logging.getLogger("werkzeug").addFilter(_told_by_us)
    if active.pipeline.enabled(LEVELS["DEBUG"], __name__):
        state.begins.append(_started)
    gather = gatherer_of(config)
    if gather is not None:
        state.begins.append(gather)
    state.ends.append(_RequestLine(config, active))


def _told_by_us(record: logging.LogRecord) -> bool:
    """Drop the development server's access line: ours says the same, with the ids."""
    return logs.active() is None or not str(record.msg).endswith(_ACCESS)


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what tells whether a path fits a pattern; the usual ones need no search."""
    exact = frozenset(p for p in patterns if not _GLOB(p))
    below = tuple(p[:-1] for p in patterns if p.endswith("*") and not _GLOB(p[:-1]))
    others = [p for p in patterns if p not in exact and p[:-1] not in below]
    if not others:
        return lambda path: path in exact or path.startswith(below)
    match = re.compile("|".join(map(translate, others))).match
    return lambda path: path in exact or path.startswith(below) or match(path) is not None


def _started(record: Record) -> None:
    method = record.environ.get("REQUEST_METHOD", "")
    path = redaction.active().scrub(record.path, _PATH)
    fields = {"method": method, "path": path}
    logs.emit("DEBUG", "request.started", f"{method} {path}", __name__, fields)


class _RequestLine:
    """
    Writes one line at the end of each request.

    Args:
        config: What it tells.
        active: The process's logs.
    """

    def __init__(self, config: Logs, active: logs.Logs) -> None:
        self._active = active
        self._via_loguru = active.via_loguru
        self._pipeline = active.pipeline
        self._levels = {
            level
            for level, number in LEVELS.items()
            if active.via_loguru or active.pipeline.enabled(number, __name__)
        }
        self._skip = _matcher(config.skip_paths)
        self._address = _client_address(config)
        self._details = details_of(config)
        redactor = redaction.active()
        self._scrub = redactor.scrub
        # few clients write most requests, and what they call themselves is long
        self._agent = functools.lru_cache(maxsize=512)(
            lambda text: redactor.scrub(text, _USER_AGENT)
        )

    def __call__(self, record: Record) -> None:
        """Write the line of one request."""
        path, status, aborted = record.path, record.status, record.aborted
        if (
            status is not None
            and status < _CLIENT_ERROR
            and not aborted
            and self._skip(path)
        ):
            return
        level = "WARNING" if aborted else _level(status)
        if level not in self._levels:
            return
        event = "request.aborted" if aborted else "request.finished"
        path = self._scrub(path, _PATH)
        message = f"{record.environ.get('REQUEST_METHOD', '')} {path} {status or aborted}"
        # an exception that no error handling has seen is told here, or nowhere
        untold = None if record.logged or record.verdict else record.error
        if self._via_loguru or untold is not None:
            fields = self._fill({}, record, path)
            self._active.write(level, event, message, __name__, fields, untold)
        else:
            line = self._pipeline.begin(level, event, message, __name__)
            self._pipeline.write(self._fill(line, record, path))

    def _fill(self, line: dict[str, Any], record: Record, path: str) -> dict[str, Any]:
        """Put what is known of a request into its line."""
        environ = record.environ
        line["method"] = environ.get("REQUEST_METHOD", "")
        line["route"] = record.route
        line["path"] = path
        if record.status is not None:
            line["status"] = record.status
        line["duration_ms"] = round(record.duration or 0.0, 2)
        length = environ.get("CONTENT_LENGTH")
        line["request_bytes"] = _number(length) if length else 0
        line["response_bytes"] = record.sent
        address = environ.get("REMOTE_ADDR")
        if address and (shown := self._address(address)):
            line["client_address"] = shown
        agent = environ.get("HTTP_USER_AGENT")
        if agent:
            line["user_agent"] = self._agent(agent[:_LONGEST_AGENT])
        if record.unit.spent is not None:
            line.update(timings.fields_of(record.unit))
        if record.aborted:
            line["reason"] = record.aborted
        if record.verdict is not None:
            line |= self._of_error(record.verdict)
        for detail in self._details:
            line.update((name, said) for name, said in detail(record) if said is not None)
        return line

    def _of_error(self, verdict: Verdict) -> dict[str, Any]:
        fields = {
            "error_category": verdict.category.value,
            "error_code": verdict.code,
            "error_message": verdict.message,
        }
        return redaction.active().clean_own(fields)


def _level(status: int | None) -> str:
    if status is None or status >= _SERVER_ERROR:
        return "ERROR"
    return "WARNING" if status >= _CLIENT_ERROR else "INFO"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def _client_address(config: Logs) -> Callable[[str], str | None]:
    if config.client_address == "off":
        return lambda _: None
    if config.client_address == "truncated":
        return functools.lru_cache(maxsize=1024)(_network)
    if config.client_address == "hmac":
        redactor = redaction.active()
        if not redactor.has_key:
            raise ConfigError(
                "HARDENING_LOGS_CLIENT_ADDRESS = 'hmac' needs a key: set "
                "HARDENING_REDACTION_HMAC_KEY to at least 16 random characters."
            )
        return functools.lru_cache(maxsize=1024)(redactor.pseudonym)
    return str


def _network(address: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None  # a unix socket has none; anything else must not slip through whole
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    prefix = _V4 if mapped.version == 4 else _V6  # noqa: PLR2004
    return str(ipaddress.ip_network(f"{mapped}/{prefix}", strict=False))
