"""Protected engines and units of work over a real PostgreSQL that fails in many ways."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import servers
import sqlalchemy as sa
from processes import poll
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import sessionmaker

from flask_hardening.core import correlation
from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.adapters.for_sqlalchemy import (
    DatabaseCircuitOpenError,
    DatabaseDeadlineExceededError,
)
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.protection import protect
from flask_hardening.core.resilience.retry import no_backoff
from flask_hardening.core.resilience.transactions import transaction

HANG = 10.0  # seconds: far less than what would hang without us, far more than is needed


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL of this module's own, which a test may stop if it starts it again."""
    with servers.postgresql_process() as running:
        yield running


@pytest.fixture
def engines(server):
    """Return what makes protected engines."""
    made = []

    def make(url=server.url, options=None, **more):
        made.append(sa.create_engine(url, **more))
        return protect(made[-1], **(options or {}))

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(engines, server):
    """A protected engine over a table with two accounts of 100 each."""
    plain = sa.create_engine(server.url)
    with plain.begin() as connection:
        connection.exec_driver_sql("drop table if exists accounts, entries")
        connection.exec_driver_sql("create table accounts (id int primary key, sum int)")
        connection.exec_driver_sql("create table entries (id serial, text text)")
        connection.exec_driver_sql("insert into accounts values (1, 100), (2, 100)")
    yield engines()
    plain.dispose()


@pytest.fixture
def ask(server, engine):
    """Return what asks the server past everything that is tested."""
    plain = sa.create_engine(server.url, isolation_level="AUTOCOMMIT")

    def scalar(statement):
        with plain.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return result.scalar() if result.returns_rows else None

    yield scalar
    plain.dispose()


def breaker():
    """Return the database's breaker."""
    return targets.active().target("database").breaker()


def select(engine, statement="select 1"):
    """Make a statement."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).scalar()


def move(session, source, target, amount):
    """Move an amount between two accounts."""
    for account, change in ((source, -amount), (target, amount)):
        session.execute(
            sa.text("update accounts set sum = sum + :change where id = :id"),
            {"change": change, "id": account},
        )


@contextmanager
def elapsed():
    """Take the time of a block; a list gets it."""
    begun, taken = time.monotonic(), []
    try:
        yield taken
    finally:
        taken.append(time.monotonic() - begun)


def test_a_terminated_backend_is_one_replay(engine, ask):
    """The whole unit is made again, once, and what it had done before is gone."""
    made = []

    @transaction(sessionmaker(engine))
    def work(session):
        made.append(1)
        move(session, 1, 2, 10)
        pid = session.scalar(sa.text("select pg_backend_pid()"))
        if len(made) == 1:
            ask(f"select pg_terminate_backend({pid}, 5000)")
        move(session, 1, 2, 5)

    work()
    assert len(made) == 2
    assert ask("select sum from accounts where id = 1") == 85
    assert ask("select sum from accounts where id = 2") == 115


def test_a_deadlock_ends_well_for_both(engine, ask):
    """One of two is made again; the breaker has seen no failure."""
    meet, made = threading.Barrier(2, timeout=HANG), []

    @transaction(sessionmaker(engine))
    def work(session, first, second):
        made.append(1)
        move(session, first, first, 0)
        if len(made) <= 2:
            meet.wait()
        move(session, first, second, 10)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, 1, 2), pool.submit(work, 2, 1)]:
            done.result(HANG)
    assert len(made) == 3
    assert ask("select sum(sum) from accounts where sum = 100") == 200
    assert breaker().snapshot().failures == 0


def test_serializable_increments_are_exact(engines, engine, ask):
    """Each conflict is made again until it fits; the database is well all the time."""
    strict = engines(isolation_level="SERIALIZABLE", pool_size=6)
    # a budget is there for outages; six that only ever conflict need more than one in five
    targets.active().target("database").budget._tokens = 1000.0

    @transaction(sessionmaker(strict), attempts=50, consecutive=50, wait_max=0.02)
    def work(session):
        found = session.scalar(sa.text("select sum from accounts where id = 1"))
        session.execute(
            sa.text("update accounts set sum = :n where id = 1"), {"n": found + 1}
        )

    def ten():
        for _ in range(10):
            work()

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(ten) for _ in range(6)]:
            done.result(60)
    assert ask("select sum from accounts where id = 1") == 160
    assert breaker().snapshot().failures == 0


class LosingCommit:
    """
    A proxy that cuts the first COMMIT off: its reply, or the request itself.

    Args:
        port: The server's.
        reaches: Whether the server gets it.
    """

    def __init__(self, port, reaches):
        self.server, self.reaches, self.lost = port, reaches, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets, self.threads = [self.listener], []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._end(*self.sockets)
        for thread in self.threads:
            thread.join(HANG)
        for one in self.sockets:
            one.close()

    def _start(self, *call):
        self.threads.append(threading.Thread(target=call[0], args=call[1:], daemon=True))
        self.threads[-1].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                self.sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    self._start(self._pump, *ends)

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                if b"COMMIT\0" in data and not self.lost:
                    self.lost = True
                    self._end(source)
                    if self.reaches:
                        sink.sendall(data)
                        sink.shutdown(socket.SHUT_WR)
                        return
                    break
                sink.sendall(data)
        self._end(source, sink)

    @staticmethod
    def _end(*sockets):
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("reaches", "rows"), [(True, 1), (False, 0)])
def test_a_lost_commit_is_not_repeated(engines, engine, server, ask, reaches, rows):
    """Its reply or itself: nobody can tell which, so it is the end, and the error says so."""
    made = []
    with LosingCommit(server.port, reaches) as proxy:
        lossy = engines(server.url.replace(str(server.port), str(proxy.port)))

        @transaction(sessionmaker(lossy))
        def work(session):
            made.append(1)
            session.execute(sa.text("insert into entries (text) values ('x')"))

        with pytest.raises(OperationalError) as caught:
            work()
        assert len(made) == 1
        assert "not known whether" in caught.value.__notes__[0]
        count = "select count(*) from entries"
        poll(lambda: ask(count) == rows, "the server to be done with it", HANG)


def test_a_stopped_server_costs_little_and_comes_back(engines, server):
    """Five failures, then nothing is tried; soon after its start it is used again."""
    engine = engines(options={"open_for": 0.3, "open_max": 0.3, "wait_max": 0.0})
    assert select(engine) == 1
    server.stop()
    try:
        with elapsed() as took:
            errors = []
            for _ in range(40):
                with pytest.raises(OperationalError) as caught:
                    select(engine)
                errors.append(type(caught.value))
        assert took[0] < HANG
        assert errors.count(DatabaseCircuitOpenError) > 30
        assert 5 <= breaker().snapshot().failures <= 7
    finally:
        server.start()

    def back():
        try:
            return select(engine) == 1
        except OperationalError:
            return False

    poll(back, "the database to be used again", HANG)
    assert breaker().state == "closed"


def test_a_frozen_server_holds_nobody_beyond_the_deadline(engines, server):
    """The call ends in time with an error that says why; after that all is as before."""
    engine = engines(pool_size=1, max_overflow=0)
    assert select(engine) == 1
    server.freeze()
    try:
        with elapsed() as took, deadline(0.5), pytest.raises(DatabaseDeadlineExceededError):
            select(engine)
        assert 0.4 < took[0] < HANG
        assert breaker().snapshot().failures == 0
    finally:
        server.thaw()
    assert [select(engine) for _ in range(3)] == [1] * 3
    assert engine.pool.checkedout() == 0


def test_one_connection_is_cut_off_and_no_other(engines, server):
    """Those that wait in the pool are kept; and one cut off while idle is not given out."""
    engine = engines(pool_size=2, max_overflow=0)
    with engine.connect() as other, engine.connect() as connection:
        pid = other.exec_driver_sql("select pg_backend_pid()").scalar()
        connection.exec_driver_sql("select 1")
        other.rollback()
        server.freeze()
        try:
            with deadline(0.2), pytest.raises(DatabaseDeadlineExceededError):
                connection.exec_driver_sql("select 1")
        finally:
            server.thaw()
    with engine.connect() as first, engine.connect() as second:
        asked = [one.exec_driver_sql("select pg_backend_pid()") for one in (first, second)]
        assert pid in [answer.scalar() for answer in asked]
    with deadline(0.1), engine.connect() as connection:
        connection.exec_driver_sql("select 1")
        connection.commit()
        time.sleep(0.5)
    assert [select(engine) for _ in range(4)] == [1] * 4


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_server_that_freezes_at_the_end_holds_nobody_either(engines, server, ending):
    """COMMIT and ROLLBACK have no time-out at the server; they are cut off here."""
    engine = engines(pool_size=1, max_overflow=0)
    with elapsed() as took, deadline(0.4):
        with engine.connect() as connection:
            connection.exec_driver_sql("select 1")
            server.freeze()
            try:
                with pytest.raises(DatabaseDeadlineExceededError) as caught:
                    getattr(connection, ending)()
            finally:
                server.thaw()
        assert caught.value.connection_invalidated
    assert took[0] < HANG
    assert select(engine) == 1


def test_a_connection_is_given_back_to_a_frozen_server(engines, server):
    """What the pool itself rolls back is bounded as well."""
    engine = engines(pool_size=1, max_overflow=0)
    with elapsed() as took, deadline(0.3):
        connection = engine.raw_connection()
        cursor = connection.cursor()
        cursor.execute("select 1")
        cursor.close()
        server.freeze()
        try:
            connection.close()
        finally:
            server.thaw()
    assert took[0] < HANG
    assert select(engine) == 1


def test_the_ping_of_a_pool_is_bounded(engines, server):
    """With `pool_pre_ping`, the ping would be the first to hang."""
    engine = engines(pool_size=1, max_overflow=0, pool_pre_ping=True)
    assert select(engine) == 1
    server.freeze()
    try:
        with elapsed() as took, deadline(0.3), pytest.raises(DatabaseDeadlineExceededError):
            select(engine)
        assert took[0] < HANG
    finally:
        server.thaw()
    assert select(engine) == 1


def test_the_time_out_of_a_target_ends_a_hang_and_counts(engines, server):
    """Without a deadline, `timeout` bounds each statement; then the database is to blame."""
    engine = engines(options={"timeout": 0.3}, pool_size=1, max_overflow=0)
    assert select(engine) == 1
    with pytest.raises(OperationalError) as caught:
        select(engine, "select pg_sleep(20)")
    assert caught.value.orig.sqlstate == "57014"
    assert breaker().snapshot().failures == 1
    server.freeze()
    try:
        with elapsed() as took, pytest.raises(OperationalError) as caught:
            select(engine)
        assert took[0] < HANG
        assert caught.value.connection_invalidated
        assert breaker().snapshot().failures == 2
    finally:
        server.thaw()
    assert select(engine) == 1


def test_the_server_cancels_what_comes_too_late(engine, ask):
    """Nothing goes on there, the connection is kept, and its next transaction is unbounded."""
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("select pg_backend_pid()").scalar()
        connection.rollback()
        with (
            elapsed() as took,
            deadline(0.3),
            pytest.raises(DatabaseDeadlineExceededError) as caught,
        ):
            connection.exec_driver_sql("select pg_sleep(20)")
        assert took[0] < HANG
        assert caught.value.orig.sqlstate == "57014"
        running = "select count(*) from pg_stat_activity where state = 'active'"
        assert (
            ask(running + " and query like '%%pg_sleep(20)%%' and pid <> pg_backend_pid()")
            == 0
        )
        connection.rollback()
        assert connection.exec_driver_sql("show statement_timeout").scalar() == "0"
        assert connection.exec_driver_sql("select pg_backend_pid()").scalar() == pid
    found = breaker().snapshot()
    assert (found.state, found.failures) == ("closed", 0)


def shown(connection):
    """Return the statement time-out in force, in milliseconds."""
    value = connection.exec_driver_sql(
        "select setting from pg_settings where name = 'statement' || '_timeout'"
    )
    return int(value.scalar())


def test_the_limit_follows_the_deadline(engine):
    """It shrinks with it, survives a savepoint, goes with it, and lets isolation be chosen."""
    with engine.connect() as connection:
        with deadline(30):
            connection.exec_driver_sql("set transaction isolation level serializable")
            assert 20_000 < shown(connection) <= 30_000
            with connection.begin_nested() as savepoint:
                with deadline(5):
                    assert 3000 < shown(connection) <= 5000
                savepoint.rollback()
            assert 20_000 < shown(connection) <= 30_000
            with deadline(5):
                assert shown(connection) <= 5000
        assert shown(connection) == 0
        with deadline(30):
            connection.exec_driver_sql("set local statement_timeout = 77000")
            with deadline(5):
                assert shown(connection) == 77_000


def test_a_limit_that_a_savepoint_took_back_is_set_again(engine):
    """What was set after the savepoint has ended with it."""
    with engine.connect() as connection:
        connection.exec_driver_sql("select 1")
        savepoint = connection.begin_nested()
        with deadline(30):
            assert 20_000 < shown(connection) <= 30_000
            savepoint.rollback()
            assert 20_000 < shown(connection) <= 30_000


def test_a_failed_transaction_can_go_back_to_its_savepoint(engine):
    """Nothing of ours is sent into a transaction that has failed."""
    with engine.connect() as connection, deadline(30):
        for _ in range(2):
            with (
                pytest.raises(sa.exc.ProgrammingError),
                connection.begin_nested(),
                deadline(9),
            ):
                connection.exec_driver_sql("select * from missing")
            assert 20_000 < shown(connection) <= 30_000


def test_a_shorter_limit_of_the_connection_stays(engines):
    """One that the role or the URL sets is not raised."""
    engine = engines(connect_args={"options": "-c statement_timeout=2s"})
    with engine.connect() as connection, deadline(30):
        assert shown(connection) == 2000
        with deadline(1):
            assert shown(connection) <= 1000
        assert shown(connection) == 2000


def test_without_a_deadline_nothing_more_is_sent(engine, server):
    """Every round trip is the user's own; in AUTOCOMMIT, where it would not hold, too."""
    sent = []

    def counted(engine, work):
        with engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            before = driver.cursor_factory

            class Cursor(before):
                """A cursor that keeps what it sends."""

                def execute(self, query, *args, **kwargs):
                    sent.append(query)
                    return super().execute(query, *args, **kwargs)

            driver.cursor_factory = Cursor
            work(connection)
            driver.cursor_factory = before

    counted(engine, lambda c: c.exec_driver_sql("select 1"))
    assert sent == ["select 1"]
    automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
    with deadline(30):
        counted(automatic, lambda c: c.exec_driver_sql("select 2"))
        assert sent[1:] == ["select 2"]
        counted(engine, lambda c: c.exec_driver_sql("select 3"))
    assert len(sent) == 5
    assert sent[2] == "SHOW statement_timeout"
    assert sent[3].startswith("SET LOCAL statement_timeout = ")


def test_answers_of_a_live_database_do_not_count(engine):
    """A taken key and a time-out that the statement's author chose."""
    for _ in range(6):
        with pytest.raises(sa.exc.IntegrityError):
            select(engine, "insert into accounts values (1, 1)")
        with engine.connect() as connection:
            connection.exec_driver_sql("set local statement_timeout = 10")
            with pytest.raises(OperationalError) as caught:
                connection.exec_driver_sql("select pg_sleep(20)")
        assert caught.value.orig.sqlstate == "57014"
    found = breaker().snapshot()
    assert (found.state, found.failures) == ("closed", 0)


def test_one_of_many_finds_out_whether_it_is_back(engines, server):
    """Of twenty threads at a half-open breaker, one reaches the server."""
    engine = engines(options={"open_for": 0.05, "jitter": 0.0}, pool_size=20)
    with ThreadPoolExecutor(20) as pool:
        connections = list(pool.map(lambda _: engine.connect(), range(20)))
        for _ in range(5):
            error = OperationalError("s", {}, Exception("server closed the connection"))
            permit = breaker().acquire()
            breaker().release(permit, breaker().outcome_of(error), error)
        time.sleep(0.1)
        assert breaker().state == "half_open"
        begin = threading.Barrier(20, timeout=HANG)

        def probe(connection):
            begin.wait()
            try:
                return connection.exec_driver_sql("select pg_sleep(0.5)").rowcount
            except DatabaseCircuitOpenError:
                return None

        answers = list(pool.map(probe, connections))
        for connection in connections:
            connection.close()
    assert answers.count(None) == 19
    assert breaker().state == "closed"


def test_a_wrong_password_is_tried_once(engines, engine, server, ask):
    """The server is well, and would say the same again."""
    path = server.folder / "data" / "pg_hba.conf"
    before = path.read_text()
    path.write_text("host all guest 127.0.0.1/32 scram-sha-256\n" + before)
    ask("drop role if exists guest")
    ask("create role guest login password 'right'")
    ask("select pg_reload_conf()")
    url = server.url.replace("postgres@", "guest:wrong@")
    tried = []

    def once():
        guest, connect = sa.create_engine(url), None
        connect = guest.dialect.connect
        guest.dialect.connect = lambda *a, **k: tried.append(k) or connect(*a, **k)
        with no_backoff(), pytest.raises(OperationalError, match="password"):
            protect(guest).connect()
        guest.dispose()

    for _ in range(6):
        once()
    assert len(tried) == 6
    assert {params["connect_timeout"] for params in tried} == {2}
    found = breaker().snapshot()
    assert (found.state, found.failures) == ("closed", 0)


def test_a_black_hole_is_given_up(engines):
    """Who listens and never answers is left after the time-out that nobody had set."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        engine = engines(url, options={"attempts": 1, "connect_timeout": 1.0})
        with elapsed() as took, pytest.raises(OperationalError):
            engine.connect()
        assert took[0] < HANG
        assert breaker().snapshot().failures == 1


def test_a_loop_of_queries_is_seen(engine):
    """Each statement of an N+1 counts for the unit of work; a stream counts once."""
    with correlation.correlated(), engine.connect() as connection:
        for number in range(25):
            connection.execute(
                sa.text("select sum from accounts where id = :id"), {"id": number}
            )
        stream = connection.execution_options(stream_results=True, max_row_buffer=10)
        rows = stream.exec_driver_sql("select generate_series(1, 1000)").all()
        spent = correlation.current().spent
    assert len(rows) == 1000
    assert spent.db_calls == 26
    assert sorted(spent.statements.values()) == [1, 25]
