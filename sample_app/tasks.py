"""What the worker does: send an invoice, settle a payment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loguru import logger

from sample_app import invoices, mail
from sample_app.celery_app import celery_app

if TYPE_CHECKING:
    from celery import Task


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


@celery_app.task
def settle_payment(payment_id: int) -> str:
    """Take the money of a payment; a second run finds nothing left to do."""
    log = logger.bind(payment_id=payment_id)
    if not invoices.settle(payment_id):
        log.bind(event="payment.settled_before").info("The payment was settled before.")
        return "settled before"
    log.bind(event="payment.settled").info("The payment has been settled.")
    return "settled"
