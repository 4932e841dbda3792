"""The business service: who may write invoices. Only the API can reach it, which says for whom."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from loguru import logger
from sqlalchemy.exc import IntegrityError

from sample_app import db, inputs
from sample_app.errors import BusinessNameTakenError, BusinessNotFoundError
from sample_app.models import Business

blueprint = Blueprint("business", __name__)


@blueprint.post("/businesses")
def create() -> tuple[dict[str, Any], int]:
    """Add a business."""
    given = inputs.read(name=inputs.text(100), owner_id=inputs.positive)
    business = Business(**given)
    try:
        with db.writing() as session:
            session.add(business)
    except IntegrityError:
        raise BusinessNameTakenError from None
    logger.bind(event="business.created", business_id=business.id).info(
        "A business has been created."
    )
    return _as_json(business), 201


@blueprint.get("/businesses/<int:business_id>")
def show(business_id: int) -> dict[str, Any]:
    """Return a business."""
    with db.reading() as session:
        business = session.get(Business, business_id)
    if business is None:
        raise BusinessNotFoundError(details={"business_id": business_id})
    return _as_json(business)


def _as_json(business: Business) -> dict[str, Any]:
    return {"id": business.id, "owner_id": business.owner_id, "name": business.name}
