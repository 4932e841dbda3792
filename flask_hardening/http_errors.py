"""What werkzeug's HTTP errors mean to a client: its own words, or better ones for the standard ones."""

from __future__ import annotations

from json import JSONDecodeError
from typing import Any

from werkzeug.exceptions import (
    BadRequest,
    BadRequestKeyError,
    HTTPException,
    UnsupportedMediaType,
)

from flask_hardening.core.errors import Category, category_of, reason, snake_case
from flask_hardening.core.recognition import INTERNAL, Verdict

_SERVER_ERROR = 500
_DESCRIPTION = 1000
_FIELD = 300
_NO_JSON = "Did not attempt to load JSON data"
_BROKEN_JSON = "Failed to decode JSON object"

# werkzeug's own are made for a browser's page: "you entered the URL manually"
_SENTENCES = {
    400: "The request is not valid.",
    401: "Authentication is required.",
    403: "This is not allowed.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    406: "The response can't be given in a form that the request accepts.",
    408: "The request did not arrive in time.",
    409: "The request conflicts with the present state.",
    410: "What was at this address is gone.",
    413: "The request is too large.",
    414: "The address is too long.",
    415: "The body's media type is not supported.",
    429: "Too many requests.",
}


def verdict_of(error: HTTPException) -> Verdict:
    """Return what an HTTP error means that the app, Flask or werkzeug has raised."""
    status = error.code or INTERNAL.status
    if status == INTERNAL.status:
        return INTERNAL
    name = reason(status)
    code, category = snake_case(name), category_of(status)
    if status >= _SERVER_ERROR:
        # what is said at an abort(503, ...) is too often the text of an exception
        return Verdict(status, code, category, name + ".")
    invalid = _invalid_body(error)
    if invalid is not None:
        return Verdict(status, code, Category.VALIDATION, *invalid)
    description: Any = error.description
    standard = _SENTENCES.get(status) or str(type(error).description or name)
    if not description or _is_standard(error):
        return Verdict(status, code, category, standard)
    if isinstance(description, (dict, list, tuple)):
        return Verdict(status, code, category, standard, description)
    return Verdict(status, code, category, str(description)[:_DESCRIPTION])


def _is_standard(error: HTTPException) -> bool:
    """Tell whether nobody has said anything of their own."""
    return any(
        cls.__module__ == HTTPException.__module__
        and vars(cls).get("description") == error.description
        for cls in type(error).__mro__
    )


def _invalid_body(error: HTTPException) -> tuple[str, Any] | None:
    """Return message and details for a body, form or query that Flask could not use."""
    if isinstance(error, BadRequestKeyError):
        return _missing(error)
    if type(error) is UnsupportedMediaType and _begins(error, _NO_JSON):
        return "The body must be JSON, sent as application/json.", None
    if type(error) is BadRequest:
        # out of debug mode Flask hides the decoder's error behind one without a text
        for cause in (error, error.__cause__):
            if _begins(cause, _BROKEN_JSON):
                return f"The body is not valid JSON{_place(cause)}.", None
    return None


def _missing(error: BadRequestKeyError) -> tuple[str, Any] | None:
    named = error.args and isinstance(error.args[0], str)
    # in debug mode werkzeug adds the KeyError to what was said
    if not named or not str(error.description).startswith(str(BadRequest.description)):
        return None
    field = str(error.args[0])[:_FIELD]
    return f"{field!r} is missing.", [{"field": field, "message": "is missing"}]


def _begins(error: BaseException | None, text: str) -> bool:
    return isinstance(error, HTTPException) and str(error.description).startswith(text)


def _place(error: BaseException | None) -> str:
    decoding = getattr(error, "__context__", None)
    if not isinstance(decoding, JSONDecodeError):
        return ""
    return f" (line {decoding.lineno}, column {decoding.colno})"
