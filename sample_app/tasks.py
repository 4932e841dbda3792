"""What the worker does: send an invoice, settle a payment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from loguru import logger

from sample_app import clients, invoices, mail
from sample_app.celery_app import celery_app

if TYPE_CHECKING:
    from celery import Task

_LATER = 1.0  # seconds


@celery_app.task(bind=True, max_retries=3)
def send_invoice(self: Task[Any, Any], invoice_id: int) -> str:
    """Mail an invoice to its customer, then charge the customer if that was agreed."""
    log = logger.bind(invoice_id=invoice_id)
    invoice = invoices.get(invoice_id)
    if invoice.sent_at is None:
        attempt = self.request.retries + 1
        try:
            mail.deliver(invoice.customer, f"invoice-{invoice_id}", attempt)
        except mail.GreylistedError as error:
            raise self.retry(exc=error, countdown=error.retry_after) from error
        invoices.mark_sent(invoice_id)
        log.bind(event="invoice.sent").info("The invoice has been sent.")
    payment = invoices.auto_charge(invoice_id) if invoice.auto_charge else None
    if payment is not None:
        settle_payment.delay(payment.id)
    return "sent"


@celery_app.task(bind=True, max_retries=100)
def settle_payment(self: Task[Any, Any], payment_id: int) -> str:
    """
    Take the money of a payment; a second run finds nothing left to do.

    While the provider is down its breaker answers at once, so that waiting for it costs the
    worker next to nothing.
    """
    log = logger.bind(payment_id=payment_id)
    amount_cents = invoices.to_be_settled(payment_id)
    if amount_cents is not None:
        try:
            clients.charge(payment_id, amount_cents)
        except httpx.HTTPError as error:
            answer = getattr(error, "response", None)
            if answer is not None and answer.is_client_error:
                raise  # it would say so again
            raise self.retry(exc=error, countdown=_LATER) from error
    if not invoices.settle(payment_id):
        log.bind(event="payment.settled_before").info("The payment was settled before.")
        return "settled before"
    log.bind(event="payment.settled").info("The payment has been settled.")
    return "settled"
