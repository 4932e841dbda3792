"""`transaction`: units of work that are made again as a whole, or not at all."""

from __future__ import annotations

import sqlite3
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.orm import scoped_session as scoped

from flask_hardening.core import settings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.protection import protect
from flask_hardening.core.resilience.transactions import transaction


class Base(DeclarativeBase):
    """The tables of these tests."""


class Entry(Base):
    """A row."""

    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class DriverError(sqlite3.OperationalError):
    """A driver's error with an SQLSTATE."""

    def __init__(self, text, sqlstate=None):
        super().__init__(text)
        self.sqlstate = sqlstate


pytestmark = pytest.mark.usefixtures("at_once")
LOST = DriverError("server closed the connection unexpectedly")


@pytest.fixture
def engine(tmp_path):
    """A protected engine over a file with the table."""
    made = protect(sa.create_engine(f"sqlite:///{tmp_path}/x.db"))
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture(params=["sessionmaker", "scoped_session", "function"])
def factory(request, engine):
    """Each kind of what makes sessions."""
    maker = sessionmaker(engine)
    made = {"sessionmaker": maker, "scoped_session": scoped(maker)}
    yield made.get(request.param, lambda: Session(engine))
    if request.param == "scoped_session":
        made["scoped_session"].remove()


def count(engine):
    """Return how many rows there are."""
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(Entry))


def failing(engine, errors):
    """Let the next statements that insert fail so."""
    left = list(errors)

    def fail(_, statement, *__):
        if statement.startswith("INSERT") and left:
            raise left.pop(0)

    sa.event.listen(engine, "do_execute", fail)
    return left


def failing_commits(engine, errors, *, after=False):
    """Let the next COMMITs fail, before or after they are done."""
    left, commit = list(errors), engine.dialect.do_commit

    def fail(driver):
        if after or not left:
            commit(driver)
        if left:
            raise left.pop(0)

    engine.dialect.do_commit = fail
    return left


def unit(factory, **options):
    """Return a unit of work, and the sessions that it got."""
    sessions = []

    @transaction(factory, **options)
    def work(session, text="x"):
        sessions.append(session)
        entry = Entry(text=text)
        session.add(entry)
        session.flush()
        return entry

    return work, sessions


def test_it_is_committed_and_its_result_can_be_read(engine, factory):
    """Arguments and result pass; no connection stays out; and it can be done again."""
    work, _ = unit(factory)
    assert work("y").text == "y"
    if isinstance(factory, scoped):
        factory.remove()
    assert work(text="z").id == 2
    if isinstance(factory, scoped):
        factory.remove()
    assert count(engine) == 2
    assert engine.pool.checkedout() == 0


@pytest.mark.parametrize(
    "error",
    [
        DriverError("could not serialize", "40001"),
        DriverError("deadlock detected", "40P01"),
        DriverError("terminating connection", "57P01"),
        DriverError("sorry, too many clients", "53300"),
        LOST,
        DriverError("database is locked"),
    ],
)
def test_what_passes_is_made_again_as_a_whole(engine, factory, error):
    """With a session of its own, and once: nothing of the first attempt stays."""
    failing(engine, [error])
    work, sessions = unit(factory)
    work()
    assert len(sessions) == 2
    assert sessions[0] is not sessions[1]
    if isinstance(factory, scoped):
        factory.remove()
    assert count(engine) == 1


@pytest.mark.parametrize(
    "error",
    [
        DriverError("canceling statement due to statement timeout", "57014"),
        DriverError("lock timeout", "55P03"),
        DriverError("could not extend file", "53100"),
        DriverError("no such table: x"),
        sqlite3.IntegrityError("UNIQUE constraint failed"),
        ZeroDivisionError(),
        ConnectionError("of another service"),
    ],
)
def test_what_does_not_pass_is_made_once(engine, factory, error):
    """A time-out, a broken constraint, a bug: rolled back, and raised."""
    failing(engine, [error])
    work, sessions = unit(factory)
    with pytest.raises((type(error), sa.exc.DBAPIError)):
        work()
    assert len(sessions) == 1
    assert count(engine) == 0
    assert engine.pool.checkedout() == 0


def test_it_gives_up_after_so_many_attempts(engine, factory):
    """The last error is raised, with a note; *attempts* goes over the target's own."""
    work, sessions = unit(factory, attempts=4, consecutive=20)
    failing(engine, [LOST] * 9)
    with pytest.raises(sa.exc.OperationalError) as caught:
        work()
    assert len(sessions) == 4
    assert caught.value.__notes__ == ["4 attempts at 'database' in 0.0 s"]


def test_the_settings_of_its_target_hold(engine):
    """Attempts and budget are those of the name."""
    targets.set_up(settings.Resilience(targets={"ledger": {"attempts": 2}}), "a test")
    work, sessions = unit(sessionmaker(engine), name="ledger")
    failing(engine, [DriverError("conflict", "40001")] * 99)
    for _ in range(20):
        with pytest.raises(sa.exc.OperationalError):
            work()
    assert 30 <= len(sessions) <= 36  # the budget has ten to begin with, and one in five


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_a_conflict_at_commit_is_made_again(engine, factory, sqlstate):
    """The server says that it was rolled back."""
    failing_commits(engine, [DriverError("conflict", sqlstate)])
    work, sessions = unit(factory)
    work()
    assert len(sessions) == 2
    if isinstance(factory, scoped):
        factory.remove()
    assert count(engine) == 1


@pytest.mark.parametrize("error", [LOST, DriverError("unknown", "08007")])
def test_a_connection_lost_in_commit_is_the_end(engine, factory, error):
    """It may have been committed: one attempt, and a note that says so."""
    failing_commits(engine, [error], after=True)
    work, sessions = unit(factory)
    with pytest.raises(sa.exc.OperationalError) as caught:
        work()
    assert len(sessions) == 1
    assert "not known whether the transaction was committed" in caught.value.__notes__[0]
    assert count(engine) == 1


def test_who_may_do_it_twice_does(engine, factory):
    """With *idempotent*, it is made again after COMMIT was lost too."""
    failing_commits(engine, [LOST], after=True)
    work, sessions = unit(factory, idempotent=True)
    work()
    assert len(sessions) == 2


def test_a_transaction_under_way_is_refused(engine):
    """What was done in it would be lost by a second attempt; the message says the fix."""
    session = scoped(sessionmaker(engine))
    work, _ = unit(session)
    session.add(Entry(text="before"))
    session.flush()
    with pytest.raises(RuntimeError, match=r"commit\(\) or rollback\(\)"):
        work()
    session.commit()  # what was there is untouched
    work()
    session.remove()
    assert count(engine) == 2


def test_layers_do_not_multiply(engine):
    """A unit within a unit, over connections that are tried again too: no more attempts."""
    maker = sessionmaker(engine)
    inner, sessions = unit(maker)
    outer = []

    @transaction(maker)
    def work(_):
        outer.append(1)
        inner()

    failing(engine, [LOST] * 20)
    with pytest.raises(sa.exc.OperationalError):
        work()
    assert (len(outer), len(sessions)) == (1, 3)


def test_an_open_breaker_ends_it(engine, factory):
    """There is no use in trying again."""
    targets.active().target("database").breaker().force_open()
    work, sessions = unit(factory)
    with pytest.raises(CircuitOpenError):
        work()
    assert len(sessions) == 1


def test_the_deadline_ends_it(tmp_path):
    """No attempt begins that would come too late."""
    made = []

    @transaction(sessionmaker(sa.create_engine("sqlite://")))
    def work(_):
        made.append(1)
        time.sleep(0.06)
        raise sa.exc.OperationalError("x", {}, DriverError("conflict", "40001"))

    with deadline(0.05), pytest.raises(sa.exc.OperationalError):
        work()
    assert len(made) == 1


def test_impossible_uses_are_found_where_they_stand(engine):
    """A wrong number, an unknown option, a function that would outlive its session."""
    maker = sessionmaker(engine)
    with pytest.raises(ConfigError, match="attempts = 0"):
        transaction(maker, attempts=0)
    with pytest.raises(TypeError, match="atempts"):
        transaction(maker, atempts=2)

    async def work(session):
        """Go on later."""

    with pytest.raises(TypeError, match="ordinary functions"):
        transaction(maker)(work)
