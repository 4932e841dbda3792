"""What clients read of werkzeug's HTTP errors: the app's words, or a sentence made for them."""

from __future__ import annotations

import pytest
from flask import abort, request
from werkzeug import exceptions as http


@pytest.fixture
def ask(make_app):
    """Ask an app whose one view does what it is given."""

    def ask(view, *, debug=False, **request_args):
        app = make_app(debug=debug)
        app.add_url_rule("/x", "x", view, methods=["GET", "POST"])
        return app.test_client().post("/x", **request_args).json

    return ask


@pytest.mark.parametrize("debug", [False, True])
def test_a_broken_json_body(ask, debug):
    """A body that is no JSON is told as such, with the place and without its text."""
    body = ask(
        lambda: request.json, debug=debug, data="{secret", content_type="application/json"
    )
    assert (body["statusCode"], body["code"]) == (400, "bad_request")
    assert body["category"] == "validation"
    assert body["message"] == "The body is not valid JSON (line 1, column 2)."


@pytest.mark.parametrize("debug", [False, True])
def test_a_body_that_is_not_sent_as_json(ask, debug):
    """A wrong content type is told with the right one."""
    body = ask(lambda: request.json, debug=debug, data="a=1", content_type="text/plain")
    assert body["statusCode"] == 415
    assert body["message"] == "The body must be JSON, sent as application/json."


@pytest.mark.parametrize("debug", [False, True])
def test_a_missing_field(ask, debug):
    """`request.form["amount"]` names the field, and nothing of how it was looked up."""
    body = ask(lambda: request.form["amount"], debug=debug)
    assert (body["statusCode"], body["category"]) == (400, "validation")
    assert body["message"] == "'amount' is missing."
    assert body["details"] == [{"field": "amount", "message": "is missing"}]
    assert "KeyError" not in str(body.get("message"))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "The request is not valid."),
        (401, "Authentication is required."),
        (404, "There is nothing at this address."),
        (415, "The body's media type is not supported."),
        (418, http.ImATeapot.description),
    ],
)
def test_standard_sentences(ask, status, message):
    """An abort without words has a sentence that fits an API."""
    assert ask(lambda: abort(status))["message"] == message


@pytest.mark.parametrize("status", [400, 401, 404, 415])
def test_the_apps_own_words_stay(ask, status):
    """What the app says at an abort reaches the client as it is."""
    assert ask(lambda: abort(status, "Mine."))["message"] == "Mine."


def test_an_own_class_keeps_its_description(ask):
    """A subclass's description is the app's own word."""

    class Gone(http.NotFound):
        description = "It was here yesterday."

    def view():
        raise Gone

    assert ask(view)["message"] == "It was here yesterday."


def test_an_abort_400_is_the_clients(ask):
    """`abort(400)` falls into the same category as `AppError`."""
    assert ask(lambda: abort(400, "x"))["category"] == "client"


@pytest.mark.parametrize("given", [{"sku": "unknown"}, ["a", "b"]])
def test_structures_become_details(ask, given):
    """A dict or list given to `abort` is data, not a text."""
    body = ask(lambda: abort(400, given))
    assert body["details"] == given
    assert body["message"] == "The request is not valid."


def test_a_5xx_tells_nothing(ask):
    """Whatever is given to `abort(503)`, the client reads the standard phrase."""
    body = ask(lambda: abort(503, {"dsn": "hunter2"}))
    assert body["message"] == "Service Unavailable."
    assert "hunter2" not in str(body)
