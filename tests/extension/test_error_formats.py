"""JSON, problem details or a page: what the client asks for and what the app allows."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import BadRequest

from flask_hardening.errors import AppError

JSON, PROBLEM, HTML = "application/json", "application/problem+json", "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

NEGOTIATION = [
    # accept, default, with FORMAT=problem, with HTML
    (None, JSON, PROBLEM, JSON),
    ("", JSON, PROBLEM, JSON),
    ("*/*", JSON, PROBLEM, JSON),
    ("application/json", JSON, PROBLEM, JSON),
    ("application/problem+json", PROBLEM, PROBLEM, PROBLEM),
    ("application/problem+json, application/json;q=0.5", PROBLEM, PROBLEM, PROBLEM),
    ("application/json, application/problem+json;q=0.5", JSON, PROBLEM, JSON),
    ("application/problem+json;q=0", JSON, PROBLEM, JSON),
    (BROWSER, JSON, PROBLEM, HTML),
    ("text/html", JSON, PROBLEM, HTML),
    ("text/html;q=0.5, application/json", JSON, PROBLEM, JSON),
    ("text/html;q=0", JSON, PROBLEM, JSON),
    ("image/png", JSON, PROBLEM, JSON),
    (";;;,,q=x", JSON, PROBLEM, JSON),
]


@pytest.mark.parametrize(("accept", "default", "problem", "html"), NEGOTIATION)
def test_negotiation(make_app, accept, default, problem, html):
    """Each `Accept` gets the form it asks for, as far as the app allows it."""
    headers = {} if accept is None else {"Accept": accept}
    for settings, expected in (
        ({}, default),
        ({"ERRORS_FORMAT": "problem"}, problem),
        ({"ERRORS_HTML": True}, html),
    ):
        response = make_app(**settings).test_client().get("/nowhere", headers=headers)
        assert response.status_code == 404
        assert response.mimetype == expected


def test_problem_details(raising):
    """A problem has RFC 9457's members, and ours beside them."""
    client = raising(AppError(["One.", "Two."], details={"a": 1}))
    headers = {"Accept": PROBLEM, "X-Correlation-ID": "abc"}
    body = client.get("/raise", headers=headers).json
    assert body.pop("timestamp")
    assert body == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "One.; Two.",
        "instance": "/raise",
        "code": "bad_request",
        "category": "client",
        "correlationId": "abc",
        "details": {"a": 1},
    }


def test_instance_is_a_uri_reference(client):
    """A path that isn't one as it stands is escaped (RFC 3986)."""
    response = client.get("/a%20%C3%B6%22", headers={"Accept": PROBLEM})
    assert response.json["instance"] == "/a%20%C3%B6%22"


def test_the_page_quotes_the_id_and_escapes_the_rest(raising):
    """A browser's page shows the id; nothing in it can become markup."""
    client = raising(BadRequest("<script>alert(1)</script>"), ERRORS_HTML=True)
    headers = {"Accept": BROWSER, "X-Correlation-ID": "abc"}
    response = client.get("/raise", headers=headers)
    assert response.content_type == "text/html; charset=utf-8"
    assert "<code>abc</code>" in response.text
    assert "<script>" not in response.text
    assert "&lt;script&gt;" in response.text


def test_the_page_of_an_unexpected_error_shows_no_more(make_app):
    """In production a browser learns of an unexpected exception what everyone learns."""
    client = make_app(ERRORS_HTML=True).test_client()
    response = client.get("/boom", headers={"Accept": BROWSER})
    assert response.status_code == 500
    assert "vault" not in response.text
    assert "RuntimeError" not in response.text


def test_the_page_escapes_the_stack(raising):
    """In development the page shows the stack, as text."""
    settings = {"ERRORS_HTML": True, "ENVIRONMENT": "development"}
    client = raising(RuntimeError("<b>bold</b>"), **settings)
    text = client.get("/raise", headers={"Accept": BROWSER}).text
    assert "<pre>" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>" not in text
