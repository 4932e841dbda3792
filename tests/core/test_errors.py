"""`AppError` and its tree: what a subclass gets for free, and what an error carries."""

from __future__ import annotations

import copy
import pickle
from http import HTTPStatus

import pytest

from flask_hardening import errors
from flask_hardening.core.errors import (
    STATUS_OF,
    AppError,
    Category,
    ConfigError,
    HardeningError,
    category_of,
    reason,
    snake_case,
)


class OutOfStockError(AppError):
    """
    The shelf is empty.

    A second paragraph is for colleagues.
    """

    status, code, category = 409, "out_of_stock", Category.CONFLICT


class PaymentDeclinedError(AppError):  # noqa: D101 - what it does without is the case
    category = Category.DEPENDENCY


TREE = [
    (errors.ValidationError, 422, "validation_failed", "validation"),
    (errors.AuthenticationError, 401, "unauthorized", "authentication"),
    (errors.AuthorizationError, 403, "forbidden", "authorization"),
    (errors.NotFoundError, 404, "not_found", "not_found"),
    (errors.ConflictError, 409, "conflict", "conflict"),
    (errors.RateLimitError, 429, "too_many_requests", "rate_limit"),
    (errors.DependencyError, 502, "dependency_failed", "dependency"),
    (errors.UnavailableError, 503, "service_unavailable", "unavailable"),
    (errors.DeadlineError, 504, "timeout", "timeout"),
    (errors.AppError, 400, "bad_request", "client"),
    (OutOfStockError, 409, "out_of_stock", "conflict"),
    (PaymentDeclinedError, 502, "payment_declined", "dependency"),
]


@pytest.mark.parametrize(("cls", "status", "code", "category"), TREE)
def test_the_tree(cls, status, code, category):
    """Each class has the status, code and category that it promises."""
    assert (cls.status, cls.code, cls.category) == (status, code, category)


def test_the_default_message_is_the_docstrings_first_line():
    """Without a message the class speaks for itself, or at least says its name."""
    assert OutOfStockError().message == "The shelf is empty."
    assert PaymentDeclinedError().message == "PaymentDeclinedError"


@pytest.mark.parametrize("message", ["Only 2 left.", ["One.", "Two."], ""])
def test_a_message_is_kept(message):
    """A sentence, a list of them, even an empty one."""
    error = OutOfStockError(message)
    assert error.message == message
    assert error.args == (message,)


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0, "0"), (0.1, "1"), (1, "1"), (1.5, "2"), (30.0, "30"), (-3, "0")],
)
def test_retry_after_is_rounded_up(seconds, header):
    """Clients are never told to come back too early."""
    assert OutOfStockError(retry_after=seconds).headers == {"Retry-After": header}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything(protocol):
    """An error crosses processes with all that a client would see."""
    error = OutOfStockError(["a"], details={"sku": 1}, headers={"X": "y"}, retry_after=2)
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is OutOfStockError
    assert vars(twin) == vars(error)
    assert twin.args == error.args
    assert vars(copy.copy(error)) == vars(error)


def test_the_callers_headers_are_not_changed():
    """The mapping that was given stays as it was."""
    headers = {"X": "y"}
    OutOfStockError(headers=headers, retry_after=1)
    assert headers == {"X": "y"}


def test_every_category_has_a_status_that_leads_back_to_it():
    """The two tables agree; `client` alone stands for more than its own status."""
    assert set(STATUS_OF) == set(Category)
    for category, status in STATUS_OF.items():
        if category is not Category.CLIENT:
            assert category_of(status) is category


@pytest.mark.parametrize("status", [s for s in HTTPStatus if s >= 400])
def test_every_status_has_a_category_on_its_side(status):
    """A status above 499 is never the client's fault, one below never internal."""
    ours = {Category.INTERNAL, Category.DEPENDENCY, Category.UNAVAILABLE, Category.TIMEOUT}
    if status >= 500:
        assert category_of(status) in ours
    else:
        assert category_of(status) not in ours - {Category.TIMEOUT}


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (404, "Not Found"),
        # Python 3.13 took these from RFC 9110; before, they had other names
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (599, "Error"),
    ],
)
def test_reasons_are_the_same_on_every_python(status, phrase):
    """Codes are made of the phrases, so an interpreter's update must not change them."""
    assert reason(status) == phrase


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OutOfStock", "out_of_stock"),
        ("HTTPGone", "http_gone"),
        ("Not Found", "not_found"),
        ("I'm a Teapot", "i_m_a_teapot"),
        ("X", "x"),
    ],
)
def test_snake_case(name, expected):
    """Class names and phrases become codes."""
    assert snake_case(name) == expected


def test_config_errors_are_value_errors():
    """Who catches `ValueError` or `HardeningError` catches a wrong setting."""
    assert issubclass(ConfigError, (HardeningError, ValueError))
    assert not issubclass(ConfigError, AppError)
