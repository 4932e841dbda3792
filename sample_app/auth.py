"""The auth service: users, passwords, tokens. Only the API can reach it."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, current_app, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from loguru import logger
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from sample_app import db, inputs
from sample_app.errors import BadCredentialsError, EmailTakenError, InvalidTokenError
from sample_app.models import User

blueprint = Blueprint("auth", __name__)
_HOUR = 3600


@blueprint.post("/users")
def register() -> tuple[dict[str, Any], int]:
    """Add a user."""
    given = inputs.read(email=inputs.email, password=inputs.password)
    user = User(
        email=given["email"].lower(),
        password_hash=generate_password_hash(given["password"]),
    )
    try:
        with db.writing() as session:
            session.add(user)
    except IntegrityError:
        raise EmailTakenError from None
    logger.bind(event="user.registered", user_id=user.id).info("A user has registered.")
    return {"id": user.id, "email": user.email}, 201


@blueprint.post("/tokens")
def sign_in() -> tuple[dict[str, Any], int]:
    """Give out a token for an e-mail address and a password."""
    given = inputs.read(email=inputs.email, password=inputs.text(1024))
    with db.reading() as session:
        user = session.scalar(sa.select(User).filter_by(email=given["email"].lower()))
    # an unknown address must take as long as a wrong password
    password_hash = user.password_hash if user else _nobodys_hash()
    if not check_password_hash(password_hash, given["password"]) or user is None:
        raise BadCredentialsError(headers={"WWW-Authenticate": "Bearer"})
    return {"token": _signer().dumps(user.id), "expires_in": _HOUR}, 201


@blueprint.get("/tokens/check")
def check() -> dict[str, Any]:
    """Tell whose token it is."""
    credentials = request.authorization
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    if credentials is None or credentials.type != "bearer" or not credentials.token:
        raise InvalidTokenError(headers=challenge)
    try:
        user_id = _signer().loads(credentials.token, max_age=_HOUR)
    except BadSignature:  # an expired one is a kind of it
        raise InvalidTokenError(headers=challenge) from None
    return {"user_id": user_id}


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt="sample_app.token")


@cache
def _nobodys_hash() -> str:
    return generate_password_hash("nobody")
