"""In production nothing of an unexpected exception reaches the client."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import abort, request

from flask_hardening.errors import AppError, UnavailableError

ACCEPTS = ["*/*", "application/problem+json", "text/html"]


class VaultError(RuntimeError):
    """A name that must not leak either."""


def _leaks(response):
    told = response.get_data(as_text=True) + str(response.headers)
    words = ("vault", "stairs", "hunter2", "Traceback", "VaultError", "RuntimeError", ".py")
    return [word for word in words if word.lower() in told.lower()]


@pytest.mark.parametrize("accept", ACCEPTS)
def test_an_unexpected_exception_is_not_told(raising, accept):
    """No text, no type and no stack, in the body or a header, in any form."""
    error = VaultError("under the stairs: hunter2")
    error.__cause__ = KeyError("hunter2")
    response = raising(error, ERRORS_HTML=True).get("/raise", headers={"Accept": accept})
    assert response.status_code == 500
    assert _leaks(response) == []


@pytest.mark.parametrize("status", [500, 502, 503])
def test_the_description_of_a_5xx_abort_is_not_told(app, client, status):
    """`abort(500, str(error))` is a habit that would tell the exception's text."""

    @app.route("/abort")
    def view():
        abort(status, str(VaultError("under the stairs")))

    response = client.get("/abort")
    assert response.status_code == response.json["statusCode"] == status
    assert _leaks(response) == []


def test_a_dependencys_text_is_not_told(app, client):
    """A database's error holds the statement and its values; the client gets neither."""

    @app.route("/query")
    def view():
        engine = sa.create_engine("sqlite://")
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT :p FROM vault"), {"p": "hunter2"})
        finally:
            engine.dispose()

    response = client.get("/query")
    assert response.status_code == 500
    assert response.json["code"] == "internal_error"
    assert _leaks(response) == []


def test_a_missing_form_field_tells_no_internals(app, client):
    """`request.form["x"]` is a 400 that says nothing of dictionaries."""
    app.add_url_rule("/form", "form", lambda: request.form["missing"], methods=["POST"])
    response = client.post("/form", data={})
    assert response.status_code == 400
    assert "KeyError" not in response.text


def test_an_app_error_is_meant_to_be_told(raising):
    """What an app says on purpose is told, also with a 5xx status."""
    assert raising(UnavailableError("Back at six.")).get("/raise").json["message"] == (
        "Back at six."
    )


def test_the_cause_of_an_app_error_is_not_told(raising):
    """`raise AppError(...) from error` tells the first and keeps the second."""
    error = AppError("Try again.")
    error.__cause__ = VaultError("under the stairs")
    assert _leaks(raising(error).get("/raise")) == []


@pytest.mark.parametrize("environment", ["production", "staging", "prod"])
def test_only_development_shows_the_stack(raising, environment):
    """Any other environment's name counts as production."""
    response = raising(VaultError("x"), ENVIRONMENT=environment).get("/raise")
    assert "stack" not in response.json


def test_development_shows_the_stack(raising):
    """In development the stack is in the answer of a 5xx, and of no 4xx."""
    client = raising(VaultError("under the stairs"), ENVIRONMENT="development")
    stack = client.get("/raise").json["stack"]
    assert stack.startswith("Traceback")
    assert "VaultError: under the stairs" in stack
    assert "stack" not in client.get("/nowhere").json
