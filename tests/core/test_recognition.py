"""What other libraries' exceptions mean: real ones, from real failures where that is quick."""

from __future__ import annotations

import socket
import sqlite3
import urllib.error

import httpx
import kombu.exceptions
import pytest
import redis
import requests
import sqlalchemy as sa
import urllib3.exceptions
from sqlalchemy import exc as sa_exc
from sqlalchemy.orm import exc as orm_exc

from flask_hardening.core.recognition import classify

REQUEST = httpx.Request("GET", "http://x/")

MEANINGS = [
    (sa_exc.DisconnectionError(), 503, "database_unavailable"),
    (sa_exc.TimeoutError(), 504, "database_timeout"),
    (orm_exc.StaleDataError(), 409, "conflict"),
    (redis.ConnectionError("x"), 503, "redis_unavailable"),
    (redis.BusyLoadingError("x"), 503, "redis_unavailable"),
    (redis.TimeoutError("x"), 504, "redis_timeout"),
    (redis.ResponseError("x"), 502, "redis_error"),
    (kombu.exceptions.OperationalError("x"), 503, "queue_unavailable"),
    (requests.ConnectionError("x"), 503, "dependency_unavailable"),
    (requests.exceptions.SSLError("x"), 503, "dependency_unavailable"),
    (requests.ReadTimeout("x"), 504, "dependency_timeout"),
    (requests.ConnectTimeout("x"), 504, "dependency_timeout"),
    (requests.HTTPError("x"), 502, "dependency_failed"),
    (requests.TooManyRedirects("x"), 502, "dependency_failed"),
    (requests.JSONDecodeError("x", "", 0), 502, "dependency_failed"),
    (requests.exceptions.ChunkedEncodingError("x"), 502, "dependency_failed"),
    (httpx.ConnectError("x"), 503, "dependency_unavailable"),
    (httpx.ReadError("x"), 503, "dependency_unavailable"),
    (httpx.ConnectTimeout("x"), 504, "dependency_timeout"),
    (httpx.ReadTimeout("x"), 504, "dependency_timeout"),
    (httpx.PoolTimeout("x"), 504, "dependency_timeout"),
    (httpx.RemoteProtocolError("x"), 502, "dependency_failed"),
    (httpx.DecodingError("x"), 502, "dependency_failed"),
    (
        httpx.HTTPStatusError("x", request=REQUEST, response=httpx.Response(500)),
        502,
        "dependency_failed",
    ),
    (urllib3.exceptions.ConnectTimeoutError("x"), 504, "dependency_timeout"),
    (urllib3.exceptions.MaxRetryError(None, "/", None), 503, "dependency_unavailable"),
    (urllib3.exceptions.ProtocolError("x"), 503, "dependency_unavailable"),
    (urllib.error.URLError("x"), 503, "dependency_unavailable"),
    (TimeoutError("x"), 504, "dependency_timeout"),
    (ConnectionRefusedError("x"), 503, "dependency_unavailable"),
    (ConnectionResetError("x"), 503, "dependency_unavailable"),
    (socket.gaierror("x"), 503, "dependency_unavailable"),
]
CATEGORY = {503: "unavailable", 504: "timeout", 502: "dependency", 409: "conflict"}


@pytest.mark.parametrize(
    ("error", "status", "code"), MEANINGS, ids=[type(row[0]).__name__ for row in MEANINGS]
)
def test_meaning(error, status, code):
    """Each failure of a dependency has its status, code and category, and no text of its own."""
    verdict = classify(error)
    assert (verdict.status, verdict.code) == (status, code)
    assert verdict.category == CATEGORY[status]
    assert verdict.details is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        OSError("x"),
        FileNotFoundError("x"),
        sa_exc.ProgrammingError("s", {}, Exception()),
        sa_exc.NoResultFound(),
        requests.exceptions.MissingSchema("x"),
        httpx.UnsupportedProtocol("x"),
        type("ConnectionError", (Exception,), {})("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_bugs_are_nobodys_fault_but_ours(error):
    """What a bug raises is not explained away, whatever its class is called."""
    assert classify(error) is None


def test_a_subclass_means_what_its_base_means():
    """A library's or app's own subclass is found by its bases, the nearest first."""

    class Ours(redis.TimeoutError):
        pass

    assert classify(Ours("x")).code == "redis_timeout"


@pytest.fixture
def database():
    """Open a database with one row in one table and another that refers to it."""
    engine = sa.create_engine("sqlite://")
    sa.event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA foreign_keys=ON"))
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT NOT NULL)"
        )
        connection.exec_driver_sql("CREATE TABLE b (a INTEGER REFERENCES a (id))")
        connection.exec_driver_sql("INSERT INTO a VALUES (1, 'x')")
        yield connection
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("INSERT INTO a VALUES (1, 'y')", "conflict"),
        ("INSERT INTO b VALUES (99)", "conflict"),
        ("INSERT INTO a VALUES (2, NULL)", None),
    ],
)
def test_a_real_integrity_error(database, statement, code):
    """A taken or missing key is a conflict; a missing value is a bug."""
    with pytest.raises(sa_exc.IntegrityError) as caught:
        database.exec_driver_sql(statement)
    verdict = classify(caught.value)
    assert (verdict and verdict.code) == code


@pytest.mark.parametrize(
    ("state", "conflict"),
    [("23505", True), ("23503", True), ("23P01", True), ("23502", False), ("23514", False)],
)
@pytest.mark.parametrize("attribute", ["sqlstate", "pgcode"])
def test_the_drivers_state_counts_more_than_its_words(attribute, state, conflict):
    """PostgreSQL's drivers say by SQLSTATE what happened, in whatever language."""
    original = Exception("unique")
    setattr(original, attribute, state)
    verdict = classify(sa_exc.IntegrityError("s", {}, original))
    assert (verdict is not None) is conflict


def test_a_real_operational_error(tmp_path):
    """A database that can't be opened is an outage."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/missing/x.db")
    with pytest.raises(sa_exc.OperationalError) as caught:
        engine.connect()
    assert classify(caught.value).code == "database_unavailable"
    engine.dispose()
    # the bare driver's error names no database library we know
    assert classify(sqlite3.OperationalError("x")) is None


class DriverError(Exception):
    """An error of a database driver."""

    def __init__(self, *args, **attributes):
        super().__init__(*args)
        vars(self).update(attributes)


OUTAGES = [
    DriverError(sqlstate="08006"),
    DriverError(pgcode="57P01"),
    DriverError(sqlstate="57P03"),
    DriverError(sqlstate="53300"),
    DriverError(2006, "MySQL server has gone away"),
    DriverError("unable to open database file"),
    DriverError(
        "connection failed: connection to server at 'db', port 5432 failed: refused"
    ),
    DriverError("could not connect to server: Connection refused"),
    DriverError("server closed the connection unexpectedly"),
    DriverError("the connection is closed"),
    DriverError("connection already closed"),
    DriverError("could not translate host name 'db' to address"),
    DriverError("FATAL: the database system is starting up"),
]
SLOW = [
    DriverError(sqlstate="57014"),
    DriverError(sqlstate="55P03"),
    DriverError(1205, "Lock wait timeout exceeded"),
    DriverError("database is locked"),
    DriverError("connection timeout expired"),
]
BUGS = [
    DriverError(sqlstate="42P01"),
    DriverError(sqlstate="42703"),
    DriverError(1054, "Unknown column 'connection refused' in 'field list'"),
    DriverError("no such table: connection_refused"),
    DriverError("no such column: timeout"),
    DriverError('near "SELEC": syntax error'),
    DriverError("too many SQL variables"),
    DriverError("Error binding parameter 1"),
    DriverError(),
]


@pytest.mark.parametrize("cls", [sa_exc.OperationalError, sa_exc.InterfaceError])
@pytest.mark.parametrize(
    ("errors", "code"),
    [(OUTAGES, "database_unavailable"), (SLOW, "database_timeout"), (BUGS, None)],
    ids=["outages", "slow", "bugs"],
)
def test_an_outage_is_told_from_a_bug(cls, errors, code):
    """Drivers raise one class for a missing server and a missing table; 503 is for the first."""
    for original in errors:
        verdict = classify(cls("s", {}, original))
        assert (verdict and verdict.code) == code, original


def test_a_lost_connection_is_an_outage():
    """SQLAlchemy itself marks an error after which the connection is gone."""
    error = sa_exc.OperationalError("s", {}, DriverError("?"), connection_invalidated=True)
    assert classify(error).code == "database_unavailable"


def test_a_deadlock_is_a_conflict():
    """Two transactions that stand in each other's way are told as a conflict."""
    for original in (DriverError(sqlstate="40P01"), DriverError(1213, "Deadlock found")):
        assert classify(sa_exc.OperationalError("s", {}, original)).code == "conflict"


def test_a_real_missing_table(database):
    """A statement that names no table of the database is a bug."""
    with pytest.raises(sa_exc.OperationalError) as caught:
        database.exec_driver_sql("SELECT * FROM nowhere")
    assert classify(caught.value) is None


def test_real_refusals():
    """Each client's own way of saying that nobody listens is understood."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        codes = set()
        store = redis.Redis.from_url(f"redis://127.0.0.1:{port}/", retry=None)
        for call in (
            lambda: requests.get(url, timeout=5),
            lambda: httpx.get(url),
            lambda: urllib3.PoolManager(retries=False).request("GET", url),
            lambda: socket.create_connection(("127.0.0.1", port), 5),
            store.ping,
        ):
            with pytest.raises(Exception, match=r".") as caught:
                call()
            codes.add(classify(caught.value).code)
        store.close()
    assert codes == {"dependency_unavailable", "redis_unavailable"}
