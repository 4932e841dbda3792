"""What can be done with invoices and payments; each step may be repeated without harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from flask_hardening.resilience import transaction
from sample_app import db
from sample_app.errors import (
    InvoiceNotFoundError,
    InvoiceNumberTakenError,
    OverpaidError,
    PaymentKeyReusedError,
)
from sample_app.models import Business, Invoice, Payment, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

AUTO_CHARGE_KEY = "auto-charge"


def create(**fields: object) -> Invoice:
    """
    Store a new invoice.

    Raises:
        InvoiceNumberTakenError: The business has one with this number.
    """
    invoice = Invoice(**fields)
    try:
        with db.writing() as session:
            session.add(invoice)
    except IntegrityError:
        raise InvoiceNumberTakenError(details={"number": fields["number"]}) from None
    return invoice


def get(invoice_id: int) -> Invoice:
    """
    Return an invoice.

    Raises:
        InvoiceNotFoundError: There is none.
    """
    with db.reading() as session:
        invoice = session.get(Invoice, invoice_id)
    if invoice is None:
        raise InvoiceNotFoundError(details={"invoice_id": invoice_id})
    return invoice


def of_owner(owner_id: int) -> Sequence[Invoice]:
    """Return the latest hundred invoices of a user's businesses."""
    query = (
        sa.select(Invoice)
        .join(Business, Business.id == Invoice.business_id)
        .where(Business.owner_id == owner_id)
        .order_by(Invoice.id.desc())
        .limit(100)
    )
    with db.reading() as session:
        return session.scalars(query).all()


def totals(owner_id: int, customer: str | None = None) -> tuple[int, int]:
    """Return how many invoices a user has written, and the sum in cents."""
    query = (
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(Invoice.amount_cents), 0))
        .join(Business, Business.id == Invoice.business_id)
        .where(Business.owner_id == owner_id)
    )
    if customer is not None:
        query = query.where(Invoice.customer == customer)
    with db.reading() as session:
        count, cents = session.execute(query).one()
    return int(count), int(cents)


def mark_sent(invoice_id: int) -> bool:
    """Note that it was sent; False if that was known."""
    change = (
        sa.update(Invoice)
        .where(Invoice.id == invoice_id, Invoice.sent_at.is_(None))
        .values(sent_at=now())
    )
    with db.writing() as session:
        return session.execute(change).rowcount == 1  # type: ignore[attr-defined]


def pay(invoice_id: int, key: str, amount_cents: int) -> Payment:
    """
    Store a payment to be settled; the same key always gives the same payment.

    Raises:
        InvoiceNotFoundError: There is no such invoice.
        OverpaidError: It is more than what is left to pay.
        PaymentKeyReusedError: The key stands for another amount.
    """
    with db.writing() as session:
        invoice = _locked(session, invoice_id)
        for payment in invoice.payments:
            if payment.key == key:
                if payment.amount_cents != amount_cents:
                    raise PaymentKeyReusedError(details={"key": key})
                return payment
        left = _left(invoice)
        if amount_cents > left:
            raise OverpaidError(details={"left_cents": left})
        payment = Payment(key=key, amount_cents=amount_cents)
        invoice.payments.append(payment)
        session.flush()
        return payment


def auto_charge(invoice_id: int) -> Payment | None:
    """Store the payment of all that is left, once; None if nothing is."""
    with db.writing() as session:
        invoice = _locked(session, invoice_id)
        for payment in invoice.payments:
            if payment.key == AUTO_CHARGE_KEY:
                return payment
        left = _left(invoice)
        if not left:
            return None
        payment = Payment(key=AUTO_CHARGE_KEY, amount_cents=left)
        invoice.payments.append(payment)
        session.flush()
        return payment


def to_be_settled(payment_id: int) -> int | None:
    """Return the amount of a payment in cents; None if it has been settled."""
    with db.reading() as session:
        payment = session.get_one(Payment, payment_id)
        return None if payment.settled_at else payment.amount_cents


@transaction(db.new_session, name="database")
def settle(session: Session, payment_id: int) -> bool:
    """Note that the money was taken; False if that was known."""
    payment = session.get_one(Payment, payment_id)
    invoice = _locked(session, payment.invoice_id)
    session.refresh(payment)  # as it is now that nobody else can change it
    if payment.settled_at is not None:
        return False
    payment.settled_at = now()
    settled = sum(p.amount_cents for p in invoice.payments if p.settled_at)
    if settled >= invoice.amount_cents:
        invoice.paid_at = now()
    return True


def _locked(session: Session, invoice_id: int) -> Invoice:
    """Return an invoice that others can't change until the transaction ends."""
    invoice = session.get(Invoice, invoice_id, with_for_update=True)
    if invoice is None:
        raise InvoiceNotFoundError(details={"invoice_id": invoice_id})
    return invoice


def _left(invoice: Invoice) -> int:
    return invoice.amount_cents - sum(p.amount_cents for p in invoice.payments)
