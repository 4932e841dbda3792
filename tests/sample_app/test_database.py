"""The database under several writers at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from sample_app import db, invoices
from sample_app.errors import OverpaidError
from sample_app.models import Business, Invoice, Payment, User


@pytest.fixture
def invoice(database):
    """An invoice over 100 cents."""
    with db.writing() as session:
        user = User(email="a@b.c", password_hash="-")
        session.add(user)
        session.flush()
        business = Business(owner_id=user.id, name="B")
        session.add(business)
        session.flush()
        owner = business.id
    return invoices.create(
        business_id=owner, number="1", customer="c@d.e", amount_cents=100
    )


def at_once(work, times):
    """Call a function in as many threads; return what each returned or raised."""

    def call(number):
        try:
            return work(number)
        except OverpaidError as error:
            return error

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(call, range(times)))


def test_payments_at_once_never_exceed_the_invoice(invoice):
    """Of eight payments of 30 that come together, three fit into 100."""
    results = at_once(lambda n: invoices.pay(invoice.id, f"k{n}", 30), 8)
    assert sum(isinstance(result, Payment) for result in results) == 3


def test_a_payment_is_settled_once(invoice):
    """Of eight workers that settle the same payment, one does; the invoice is paid."""
    payment = invoices.pay(invoice.id, "k", 100)
    assert sorted(at_once(lambda _: invoices.settle(payment.id), 8)) == [False] * 7 + [True]
    assert invoices.get(invoice.id).state == "paid"


def test_the_same_key_at_once_is_one_payment(invoice):
    """A client that repeats its request before the first is answered pays once."""
    results = at_once(lambda _: invoices.pay(invoice.id, "same", 100), 8)
    assert len({payment.id for payment in results}) == 1


def test_a_failed_block_changes_nothing(invoice):
    """A writing block that raises is rolled back."""

    def change_and_fail():
        with db.writing() as session:
            session.execute(sa.update(Invoice).values(number="changed"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert invoices.get(invoice.id).number == "1"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_is_set_up_for_several_processes(database):
    """Write-ahead log, a busy timeout, and foreign keys that are checked."""
    with db.reading() as session:

        def pragma(name):
            return session.execute(sa.text(f"PRAGMA {name}")).scalar()

        assert (pragma("journal_mode"), pragma("busy_timeout")) == ("wal", 5000)
        assert pragma("foreign_keys") == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_readers_do_not_wait_for_a_writer(invoice, database):
    """While one transaction writes, others read what was there before."""
    with db.writing() as session:
        session.execute(sa.update(Invoice).values(number="2"))
        assert invoices.get(invoice.id).number == "1"
