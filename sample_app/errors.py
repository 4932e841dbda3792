"""What can go wrong, as clients are told: the docstring is the message, the name the code."""

from __future__ import annotations

from flask_hardening.errors import (
    AppError,
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
    ValidationError,
)


class EmailTakenError(ConflictError):
    """There is a user with this e-mail address."""


class BadCredentialsError(AuthenticationError):
    """E-mail address or password is wrong."""


class InvalidTokenError(AuthenticationError):
    """A valid bearer token is required."""


class BusinessNotFoundError(NotFoundError):
    """There is no such business."""


class BusinessNameTakenError(ConflictError):
    """There is a business with this name."""


class NotYourBusinessError(AuthorizationError):
    """This business belongs to somebody else."""


class InvoiceNotFoundError(NotFoundError):
    """There is no such invoice."""


class InvoiceNumberTakenError(ConflictError):
    """This business has an invoice with this number."""


class OverpaidError(ConflictError):
    """This is more than is left to pay."""


class PaymentKeyReusedError(ConflictError):
    """This key stands for a payment of another amount."""


# what one service answers, another can raise again as the same error
BY_CODE: dict[str, type[AppError]] = {
    cls.code: cls
    for cls in (
        ValidationError,
        EmailTakenError,
        BadCredentialsError,
        InvalidTokenError,
        BusinessNotFoundError,
        BusinessNameTakenError,
    )
}
