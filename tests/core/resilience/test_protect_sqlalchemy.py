"""`protect` over engines: what is counted, what is refused, and that nothing stays behind."""

from __future__ import annotations

import pickle
import sqlite3
import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from flask_hardening.core import correlation
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.adapters import for_sqlalchemy
from flask_hardening.core.resilience.classes import is_failure
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.protection import protect

pytestmark = pytest.mark.usefixtures("at_once")
DOWN = "server closed the connection unexpectedly"


@pytest.fixture
def engine(tmp_path):
    """An engine over a file."""
    made = sa.create_engine(f"sqlite:///{tmp_path}/x.db")
    yield made
    made.dispose()


def breaker(name="database"):
    """Return a target's breaker."""
    return targets.active().target(name).breaker()


@contextmanager
def ill(engine, error=None):
    """Let each statement fail as it does when the server is gone."""

    def fail(*_):
        raise error or sqlite3.OperationalError(DOWN)

    sa.event.listen(engine, "do_execute", fail)
    sa.event.listen(engine, "do_execute_no_params", fail)
    try:
        yield
    finally:
        sa.event.remove(engine, "do_execute", fail)
        sa.event.remove(engine, "do_execute_no_params", fail)


def select(engine, statement="select 1"):
    """Make a statement."""
    with engine.connect() as connection:
        result = connection.exec_driver_sql(statement)
        found = result.scalar() if result.returns_rows else None
        connection.commit()
        return found


def open_breaker(engine, times=5):
    """Let so many statements fail."""
    with ill(engine):
        for _ in range(times):
            with pytest.raises(sa.exc.OperationalError, match="unexpectedly"):
                select(engine)


@pytest.mark.parametrize(
    ("error", "base", "text"),
    [
        (
            for_sqlalchemy.DatabaseCircuitOpenError("db", 2.0, "open", "E: x"),
            CircuitOpenError,
            "The breaker of 'db' is open; retry after 2.0 s (last failure: E: x)",
        ),
        (
            for_sqlalchemy.DatabaseBulkheadFullError("db", 3),
            BulkheadFullError,
            "3 calls to 'db' are under way, and no more may be",
        ),
        (
            for_sqlalchemy.DatabaseDeadlineExceededError(0.5),
            DeadlineExceededError,
            "The deadline of 0.5 s has passed",
        ),
    ],
)
def test_rejections_are_errors_of_both_libraries(error, base, text):
    """`except OperationalError` catches each, handlers can read it, and it survives pickling."""
    assert isinstance(error, base)
    assert isinstance(error, sa.exc.OperationalError)
    assert str(error) == text
    for name in ("orig", "statement", "params", "ismulti"):
        assert getattr(error, name) is None
    assert error.connection_invalidated is False
    assert error.code
    error.add_detail("more")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, text)
    assert is_failure(error) is None


def test_statements_are_counted_and_timed(engine):
    """For the unit of work: executed singly, in bulk, raw, by sessions and failed ones."""
    protect(engine)
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    table.create(engine)
    with correlation.correlated(), Session(engine) as session:
        unit = correlation.current()
        session.execute(table.insert(), [{"id": number} for number in range(50)])
        session.execute(sa.text("insert into t values (:id)"), [{"id": 60}, {"id": 61}])
        with session.begin_nested():
            session.execute(sa.select(table))
        session.connection().exec_driver_sql("select 2")
        with pytest.raises(sa.exc.OperationalError, match="no such table"):
            session.execute(sa.text("select * from missing"))
        session.commit()
    assert unit.spent.db_calls == 7  # SAVEPOINT and RELEASE among them
    assert unit.spent.db_seconds > 0


def test_an_answer_is_no_failure(engine):
    """A missing table, a broken constraint and a locked database say that it is alive."""
    protect(engine)
    select(engine, "create table t (id integer primary key)")
    for statement in ["select * from missing", "insert into t values (1), (1)"] * 6:
        with pytest.raises(sa.exc.DBAPIError):
            select(engine, statement)
    with ill(engine, sqlite3.OperationalError("database is locked")):
        for _ in range(6):
            with pytest.raises(sa.exc.OperationalError, match="locked"):
                select(engine)
    found = breaker().snapshot()
    assert (found.state, found.failures) == ("closed", 0)
    assert found.calls > 18


def test_a_dead_database_is_left_alone(engine):
    """After five failures nothing is sent; held connections too are refused, and told why."""
    protect(engine)
    with engine.connect() as held:
        open_breaker(engine)
        for call in (lambda: select(engine), lambda: held.exec_driver_sql("select 1")):
            with pytest.raises(sa.exc.OperationalError) as caught:
                call()
            assert type(caught.value) is for_sqlalchemy.DatabaseCircuitOpenError
            assert "unexpectedly" in caught.value.last_failure
    assert breaker().snapshot().failures == 5
    assert engine.pool.checkedout() == 0


def test_connecting_is_repeated_and_counted(tmp_path):
    """Nothing was sent yet; a driver's error stays itself, and an open breaker ends it."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/missing/x.db")
    protect(engine, open_for=60)
    tried = []
    sa.event.listen(engine, "do_connect", lambda *_: tried.append(1))
    with pytest.raises(sa.exc.OperationalError, match="unable to open") as caught:
        engine.connect()
    assert caught.value.orig.__notes__ == ["3 attempts at 'database' in 0.0 s"]
    assert len(tried) == 1
    assert breaker().failure_count == 3
    with pytest.raises(for_sqlalchemy.DatabaseCircuitOpenError):
        engine.connect()  # its second attempt is the fifth failure
    with pytest.raises(for_sqlalchemy.DatabaseCircuitOpenError):
        engine.raw_connection()
    assert breaker().snapshot().failures == 5


def test_who_listens_later_can_still_change_how_it_connects(engine):
    """A listener that is added after `protect` to fetch a password is asked."""
    protect(engine)

    @sa.event.listens_for(engine, "do_connect")
    def listen(dialect, record, args, params):
        params["timeout"] = 0.25

    with engine.connect() as connection:
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() == 250


@pytest.mark.parametrize("early", [True, False])
def test_copies_with_other_options_are_the_same_engine(engine, early):
    """What a copy does is counted once, whenever it was made and whichever is protected."""
    copy = engine.execution_options(isolation_level="AUTOCOMMIT") if early else None
    protect(copy or engine)
    copy = copy or engine.execution_options(isolation_level="AUTOCOMMIT")
    assert protect(engine) is engine
    assert protect(copy) is copy
    before = breaker().snapshot().calls
    with correlation.correlated():
        unit = correlation.current()
        select(copy)
        select(engine)
    assert unit.spent.db_calls == 2
    assert breaker().snapshot().calls <= before + 4  # and up to two connections
    with pytest.raises(ConfigError, match="protect"):
        protect(engine.execution_options(), name="other")


def test_twice_is_once_and_another_name_is_refused(engine):
    """The same call changes nothing; a contradiction is told."""
    assert protect(protect(engine)) is engine
    with correlation.correlated():
        unit = correlation.current()
        select(engine)
    assert unit.spent.db_calls == 1
    with pytest.raises(ConfigError):
        protect(engine, name="other")


def test_a_disposed_engine_stays_guarded(engine):
    """Its new pool is the old one's heir."""
    protect(engine)
    engine.dispose()
    assert select(engine) == 1
    open_breaker(engine)
    engine.dispose()
    with pytest.raises(for_sqlalchemy.DatabaseCircuitOpenError):
        select(engine)


def test_a_forked_child_uses_its_own(engine, exit_code_of_child):
    """Locks that were held at fork, and calls that were under way, stay with the parent."""
    protect(engine, limit=1)
    assert select(engine) == 1

    def work():
        engine.dispose(close=False)
        return select(engine) == 1

    with targets.active().target("database").bulkhead:
        assert exit_code_of_child(work, breaker()._lock) == 0


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ZeroDivisionError(), sqlite3.ProgrammingError("x")]
)
def test_no_permit_stays_behind(engine, error):
    """However a probe ends, the breaker lets the next one in."""
    protect(engine, open_for=0.01, jitter=0.0, probe_lease=1000.0, limit=1)
    with engine.connect() as held:
        open_breaker(engine)
        time.sleep(0.02)
        assert breaker().state == "half_open"
        with ill(engine, error), pytest.raises((type(error), sa.exc.DBAPIError)):
            held.exec_driver_sql("select 1")
    assert targets.active().target("database").bulkhead.under_way == 0
    assert select(engine) == 1
    assert breaker().state == "closed"


def test_a_listener_that_fails_leaves_no_permit(engine):
    """Neither one before the statement, nor one after it."""
    protect(engine, limit=1)
    for name in ("before_cursor_execute", "after_cursor_execute"):

        def fail(*_):
            raise ZeroDivisionError

        sa.event.listen(engine, name, fail)
        with pytest.raises(ZeroDivisionError):
            select(engine)
        sa.event.remove(engine, name, fail)
    assert targets.active().target("database").bulkhead.under_way == 0
    assert select(engine) == 1


def test_so_many_statements_at_once(engine):
    """One more is refused by the bulkhead, with an error that is SQLAlchemy's as well."""
    protect(engine, limit=1)
    with (
        engine.connect() as connection,
        targets.active().target("database").bulkhead,
        pytest.raises(for_sqlalchemy.DatabaseBulkheadFullError) as caught,
    ):
        connection.exec_driver_sql("select 1")
    assert isinstance(caught.value, sa.exc.OperationalError)


def test_nothing_begins_after_the_deadline(engine):
    """Neither a statement nor COMMIT; the transaction can be rolled back."""
    protect(engine)
    select(engine, "create table t (id integer)")
    with deadline(0.05), Session(engine) as session:
        session.execute(sa.text("insert into t values (1)"))
        time.sleep(0.06)
        with pytest.raises(for_sqlalchemy.DatabaseDeadlineExceededError):
            session.execute(sa.text("select 1"))
        with pytest.raises(for_sqlalchemy.DatabaseDeadlineExceededError):
            session.commit()
        session.rollback()
    assert select(engine, "select count(*) from t") == 0
    assert breaker().snapshot().failures == 0


def test_a_failed_commit_counts(engine):
    """A connection lost in COMMIT is a failure of the database, and so it opens the breaker."""
    protect(engine)

    def fail(_):
        raise sqlite3.OperationalError(DOWN)

    engine.dialect.do_commit = fail
    for _ in range(5):
        with pytest.raises(sa.exc.OperationalError, match="unexpectedly"):
            select(engine)
    assert breaker().snapshot().failures == 5


def test_an_exhausted_pool_says_nothing_of_the_database(tmp_path):
    """Who waited for a connection in vain never asked it."""
    engine = sa.create_engine(
        f"sqlite:///{tmp_path}/x.db", pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    protect(engine)
    with engine.connect():
        for _ in range(6):
            with pytest.raises(sa.exc.TimeoutError):
                engine.connect()
    assert breaker().snapshot().failures == 0
    engine.dispose()


def test_the_pool_pings_no_dead_database(tmp_path):
    """With `pool_pre_ping`, an open breaker refuses before the ping."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db", pool_pre_ping=True)
    pings, ping = [], engine.dialect.do_ping
    engine.dialect.do_ping = lambda driver: pings.append(1) or ping(driver)
    protect(engine)
    assert [select(engine), select(engine)] == [1, 1]
    assert len(pings) == 1
    breaker().force_open()
    with pytest.raises(for_sqlalchemy.DatabaseCircuitOpenError):
        select(engine)
    assert len(pings) == 1
    breaker().reset()
    assert select(engine) == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("connection failed: FATAL:  password authentication failed for user", False),
        ('connection failed: FATAL:  database "x" does not exist', False),
        ("connection failed: FATAL:  the database system is shutting down", True),
        ("connection failed: FATAL:  sorry, too many clients already", True),
        ('connection to server at "db", port 5432 failed: timeout expired', True),
        ('connection to server at "db", port 1 failed: Connection refused', True),
        ("connection failed: FATAL:  remaining connection slots are reserved", True),
    ],
)
def test_words_of_a_refused_connection(text, failure):
    """Without an SQLSTATE, what PostgreSQL says tells a wrong password from an outage."""
    assert is_failure(sqlite3.OperationalError(text)) is failure
