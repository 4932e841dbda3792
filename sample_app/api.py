"""The API: what clients talk to. It asks the other services and hands slow work to the worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from flask import Blueprint, request
from loguru import logger

from sample_app import cache, clients, inputs, invoices
from sample_app.errors import InvoiceNotFoundError, NotYourBusinessError
from sample_app.tasks import send_invoice, settle_payment

if TYPE_CHECKING:
    from sample_app.models import Invoice

blueprint = Blueprint("api", __name__)
_SLOW = 1.2

Answer = tuple[dict[str, Any], int]


@blueprint.post("/users")
def register() -> Answer:
    """Register a user."""
    return clients.auth("POST", "/users", json=request.get_json()), 201


@blueprint.post("/tokens")
def sign_in() -> Answer:
    """Sign in."""
    return clients.auth("POST", "/tokens", json=request.get_json()), 201


@blueprint.post("/businesses")
def create_business() -> Answer:
    """Create a business of the user's own."""
    user_id = _user()
    given = inputs.read(name=inputs.text(100))
    body = {**given, "owner_id": user_id}
    return clients.business("POST", "/businesses", json=body), 201


@blueprint.post("/invoices")
def create_invoice() -> Answer:
    """Write an invoice; the worker sends it."""
    user_id = _user()
    given = inputs.read(
        business_id=inputs.positive,
        number=inputs.text(40),
        customer=inputs.email,
        amount_cents=inputs.positive,
        auto_charge=inputs.flag,
    )
    _check_owner(given["business_id"], user_id)
    given["auto_charge"] = bool(given["auto_charge"])
    invoice = invoices.create(**given)
    logger.bind(event="invoice.created", invoice_id=invoice.id).info(
        "An invoice has been written."
    )
    # after the commit: a worker may be faster than a transaction
    send_invoice.delay(invoice.id)
    return invoice.as_json(), 201


@blueprint.get("/invoices")
def list_invoices() -> dict[str, Any]:
    """List the user's latest invoices."""
    return {"invoices": [invoice.as_json() for invoice in invoices.of_owner(_user())]}


@blueprint.get("/invoices/<int:invoice_id>")
def show_invoice(invoice_id: int) -> dict[str, Any]:
    """Show one invoice."""
    return _own_invoice(invoice_id).as_json()


@blueprint.post("/invoices/<int:invoice_id>/send")
def send_again(invoice_id: int) -> Answer:
    """Have an invoice sent whose job got lost; one that was sent stays as it is."""
    invoice = _own_invoice(invoice_id)
    send_invoice.delay(invoice.id)
    return invoice.as_json(), 202


@blueprint.post("/invoices/<int:invoice_id>/payments")
def pay_invoice(invoice_id: int) -> Answer:
    """Pay an invoice, or a part of it; the same key never pays twice."""
    invoice = _own_invoice(invoice_id)
    given = inputs.read(key=inputs.text(64), amount_cents=inputs.positive)
    payment = invoices.pay(invoice.id, **given)
    settle_payment.delay(payment.id)
    return payment.as_json(), 202


@blueprint.get("/reports/slow")
def slow_report() -> dict[str, Any]:
    """Add up all invoices, in the time that a query without its index would take."""
    count, cents = invoices.totals(_user())
    time.sleep(_SLOW)
    return {"invoices": count, "sum_cents": cents}


@blueprint.get("/reports/average")
def average_report() -> dict[str, Any]:
    """
    Return the average of a customer's invoices.

    Nobody thought of a customer without any. The mistake stays in: it shows what becomes of
    an exception that nobody expected.
    """
    count, cents = invoices.totals(_user(), request.args.get("customer"))
    return {"average_cents": cents / count}


def _user() -> int:
    return clients.user_of(request.headers.get("Authorization"))


def _own_invoice(invoice_id: int) -> Invoice:
    user_id = _user()
    invoice = invoices.get(invoice_id)
    number = invoice.business_id
    # whose it was a minute ago is good enough here; who writes a new one is asked for anew
    owner_id = cache.remembered(f"owner-of-business-{number}", lambda: _owner_of(number))
    if owner_id != user_id:
        # whether there is one is no business of anybody else's
        raise InvoiceNotFoundError(details={"invoice_id": invoice_id})
    return invoice


def _check_owner(business_id: int, user_id: int) -> None:
    if _owner_of(business_id) != user_id:
        raise NotYourBusinessError(details={"business_id": business_id})


def _owner_of(business_id: int) -> int:
    return int(clients.business("GET", f"/businesses/{business_id}")["owner_id"])
