"""Calls from the API to the other services: they carry the id, and errors keep their meaning."""

from __future__ import annotations

from typing import Any

import requests

from flask_hardening import propagate
from flask_hardening.errors import AppError, DependencyError
from sample_app import settings
from sample_app.errors import BY_CODE, InvalidTokenError

_TIMEOUT = 1.0, 5.0  # seconds to connect, to answer
_ERROR, _SERVER_ERROR = 400, 500

http = propagate(requests.Session())
http.trust_env = False  # calls inside the system don't go through a proxy


def auth(method: str, path: str, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call the auth service."""
    return _call(method, settings.auth_url() + path, kwargs)


def business(method: str, path: str, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call the business service."""
    return _call(method, settings.business_url() + path, kwargs)


def user_of(authorization: str | None) -> int:
    """
    Return the id of the user that a request's `Authorization` header stands for.

    Raises:
        InvalidTokenError: Nobody.
    """
    if not authorization:
        raise InvalidTokenError(headers={"WWW-Authenticate": "Bearer"})
    found = auth("GET", "/tokens/check", headers={"Authorization": authorization})
    return int(found["user_id"])


def _call(method: str, url: str, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    # what `requests` raises is left alone: it becomes a 503 or 504 with the right category
    answer = http.request(method, url, timeout=_TIMEOUT, **kwargs)
    if answer.status_code < _ERROR:
        return answer.json()
    raise _error_of(answer)


def _error_of(answer: requests.Response) -> AppError:
    try:
        body = answer.json()
        cls = BY_CODE[body["code"]] if answer.status_code < _SERVER_ERROR else None
    except (ValueError, TypeError, KeyError):
        cls = None
    if cls is None:
        return DependencyError()
    challenge = answer.headers.get("WWW-Authenticate")
    return cls(
        body["message"],
        details=body.get("details"),
        headers={"WWW-Authenticate": challenge} if challenge else None,
    )
