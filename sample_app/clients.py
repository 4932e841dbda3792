"""Calls to the other services and to the payment provider: guarded, and with errors that keep their meaning."""

from __future__ import annotations

from typing import Any

import httpx
import requests

from flask_hardening.errors import AppError, DependencyError
from flask_hardening.resilience import protect
from sample_app import settings
from sample_app.errors import BY_CODE, InvalidTokenError

_ERROR, _SERVER_ERROR = 400, 500


def _session(name: str) -> requests.Session:
    session = protect(requests.Session(), name=name)
    session.trust_env = False  # calls inside the system don't go through a proxy
    return session


auth_http = _session("auth")
business_http = _session("business")
payments_http = protect(
    httpx.Client(trust_env=False),
    name="payments",
    profile="third_party",
    timeout=1.0,
    consecutive=3,  # all attempts of one charge fail: enough to leave it alone for a while
    open_for=2.0,
)


def auth(method: str, path: str, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call the auth service."""
    return _call(auth_http, method, settings.auth_url() + path, kwargs)


def business(method: str, path: str, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call the business service."""
    return _call(business_http, method, settings.business_url() + path, kwargs)


def charge(payment_id: int, amount_cents: int) -> None:
    """
    Have the provider take the money of a payment.

    It takes it once, however often it is asked with the same key, and is told so: thus the
    call is made again when it fails.

    Raises:
        httpx.HTTPError: It could not be reached, or refuses.
    """
    answer = payments_http.post(
        settings.payments_url() + "/charges",
        json={"amount_cents": amount_cents},
        headers={"Idempotency-Key": f"payment-{payment_id}"},
    )
    answer.raise_for_status()


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


def _call(session: requests.Session, method: str, url: str, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    # what `requests` raises is left alone: it becomes a 503 or 504 with the right category
    answer = session.request(method, url, **kwargs)
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
