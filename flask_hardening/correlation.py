"""Ids at the door: the correlation id read from the request, both ids in every response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request
from werkzeug.exceptions import BadRequest

from flask_hardening.core.correlation import Unit, new_id, new_ids, valid
from flask_hardening.core.errors import ConfigError
from flask_hardening.record import state_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from flask import Flask

    from flask_hardening.core.settings import Correlation
    from flask_hardening.record import Record

_MISSING = "hardening.uncorrelated"


def init_app(app: Flask, config: Correlation) -> None:
    """
    Wire the part.

    Raises:
        ConfigError: Both ids would be in one header.
    """
    if config.header.lower() == config.request_header.lower():
        raise ConfigError(
            f"HARDENING_CORRELATION_HEADER and HARDENING_CORRELATION_REQUEST_HEADER are "
            f"both {config.header!r}. Give each id a header of its own."
        )
    state = state_of(app)
    origin = state.origin
    header, request_header = config.header, config.request_header
    inbound_key, request_key = _environ_key(header), _environ_key(request_header)
    trusts = config.inbound != "ignore"

    def identify(environ: WSGIEnvironment) -> Unit:
        given = environ.get(inbound_key) if trusts else None
        if given is not None and valid(given):
            unit = Unit(given, new_id(), origin)
        else:
            unit = Unit(*new_ids(), origin)
            environ[_MISSING] = True
        # views and other extensions read the ids from request.headers
        environ[inbound_key] = unit.correlation_id
        environ[request_key] = unit.request_id
        return unit

    def head(record: Record) -> tuple[tuple[str, str], tuple[str, str]]:
        unit = record.unit
        return (header, unit.correlation_id), (request_header, unit.request_id or "")

    state.identify = identify
    state.add_head((header, request_header), head)
    if config.inbound == "require":
        app.before_request(lambda: _refuse(header))


def _environ_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _refuse(header: str) -> None:
    if request.environ.get(_MISSING):
        raise BadRequest(
            f"The header {header} is required: 1 to 128 letters, digits, '.', '_' or '-'."
        )
