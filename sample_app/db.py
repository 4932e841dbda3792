"""The database: one engine per process, and sessions that commit or roll back."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from flask_hardening.resilience import protect
from sample_app import settings
from sample_app.models import Base

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flask import Flask

_BUSY_MS = 5000


def init_app(app: Flask) -> None:
    """Add `flask --app sample_app init-db`."""
    app.cli.command("init-db", help="Create the tables that are missing.")(create_tables)


def create_tables() -> None:
    """Create the tables that are missing."""
    Base.metadata.create_all(engine())


def new_session() -> Session:
    """Return a session for one transaction, as `transaction` wants it."""
    return Session(engine(), expire_on_commit=False)


def writing() -> AbstractContextManager[Session]:
    """Return a session whose block is one transaction."""
    return sessionmaker(engine(), expire_on_commit=False).begin()


def reading() -> Session:
    """Return a session that only reads, so it never waits for a writer."""
    return Session(engine().execution_options(reads=True), expire_on_commit=False)


def engine() -> sa.Engine:
    """
    Return this process's engine.

    It is made at the first query, thus after a server or a worker has forked: connections
    must not be shared between processes.
    """
    return _engine(settings.database_url())


@functools.cache
def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return protect(sa.create_engine(parsed, pool_pre_ping=True), name="database")
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    made = protect(sa.create_engine(parsed), name="database")
    event.listen(made, "connect", _prepare_sqlite)
    event.listen(made, "begin", _begin_sqlite)
    return made


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401
    connection.isolation_level = None  # transactions begin below, not in the driver
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    """
    Take the write lock at once where a transaction will write.

    One that reads first and takes the lock later fails at once if another has written
    meanwhile, however long the busy timeout.
    """
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
