"""What the exceptions of HTTP clients, Redis and SQLAlchemy say of their target."""

from __future__ import annotations

import inspect
import socket

import httpx
import pytest
import redis
import requests
import sqlalchemy.exc as sa

from flask_hardening.core.resilience import classes
from flask_hardening.core.resilience.classes import Kind, is_failure, kind_of, may_repeat


def with_status(error, status):
    """Return an HTTP error with a response."""
    response = requests.Response()
    response.status_code = status
    error.response = response
    return error


class DriverError(Exception):
    """A driver's error with an SQLSTATE."""

    def __init__(self, text, sqlstate=None):
        super().__init__(text)
        self.sqlstate = sqlstate


def in_database(sqlstate):
    """Return SQLAlchemy's error for one of its driver's."""
    return sa.OperationalError("select", {}, DriverError("failed", sqlstate))


CASES = [
    (ConnectionRefusedError(), Kind.NEVER_SENT),
    (socket.gaierror(), Kind.NEVER_SENT),
    (requests.ConnectTimeout(), Kind.NEVER_SENT),
    (httpx.ConnectError("x"), Kind.NEVER_SENT),
    (ConnectionResetError(), Kind.CUT_OFF),
    (TimeoutError(), Kind.CUT_OFF),
    (requests.ReadTimeout(), Kind.CUT_OFF),
    (requests.ConnectionError(), Kind.CUT_OFF),
    (httpx.ReadTimeout("x"), Kind.CUT_OFF),
    (httpx.RemoteProtocolError("x"), Kind.CUT_OFF),
    (redis.ConnectionError(), Kind.CUT_OFF),
    (redis.BusyLoadingError(), Kind.CUT_OFF),
    (redis.ReadOnlyError(), Kind.BUSY),
    (requests.exceptions.SSLError(), Kind.ANSWERED),
    (redis.AuthenticationError(), Kind.ANSWERED),
    (redis.ResponseError(), Kind.ANSWERED),
    (httpx.PoolTimeout("x"), Kind.OURS),
    (requests.exceptions.InvalidURL(), Kind.OURS),
    (redis.exceptions.MaxConnectionsError(), Kind.OURS),
    (sa.TimeoutError(), Kind.OURS),
    (with_status(requests.HTTPError(), 503), Kind.CUT_OFF),
    (with_status(requests.HTTPError(), 429), Kind.BUSY),
    (with_status(requests.HTTPError(), 404), Kind.ANSWERED),
    (in_database("57P01"), Kind.CUT_OFF),
    (in_database("40001"), Kind.BUSY),
    (in_database("57014"), Kind.ANSWERED),
    (in_database("28P01"), Kind.ANSWERED),
    (ZeroDivisionError(), Kind.UNKNOWN),
    (KeyboardInterrupt(), Kind.UNKNOWN),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda case: repr(case)[:40])
def test_each_has_its_kind(error, kind):
    """By class, status and SQLSTATE."""
    assert kind_of(error) is kind


@pytest.mark.parametrize(
    ("kind", "failure", "once", "twice"),
    [
        (Kind.NEVER_SENT, True, True, True),
        (Kind.CUT_OFF, True, False, True),
        (Kind.BUSY, False, False, True),
        (Kind.ANSWERED, False, False, False),
        (Kind.OURS, None, False, False),
        (Kind.UNKNOWN, None, False, False),
    ],
)
def test_what_a_kind_means(kind, failure, once, twice):
    """For the breaker, for calls that may be made once, and for those that may be repeated."""
    error = next(error for error, found in CASES if found is kind)
    assert is_failure(error) is failure
    assert may_repeat(error, idempotent=False) is once
    assert may_repeat(error, idempotent=True) is twice


@pytest.mark.parametrize("module", [requests.exceptions, httpx, redis.exceptions])
def test_no_class_of_a_client_is_unknown(module):
    """A class that a new release brings turns this red, and wants to be classified."""
    base = {
        requests.exceptions: requests.RequestException,
        httpx: httpx.HTTPError,
        redis.exceptions: redis.RedisError,
    }[module]
    known = set(classes.names())
    roots = {"RequestException", "HTTPError", "RequestError", "TransportError"}
    roots |= {"ProtocolError", "RedisError"}  # which say nothing by themselves
    unknown = [
        name
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base)
        and name not in roots
        and not issubclass(cls, Warning)
        and not known & {f"{c.__module__}.{c.__qualname__}" for c in cls.__mro__}
    ]
    assert unknown == []
