"""`TESTING`, `PROPAGATE_EXCEPTIONS`, debug, signals, and the part switched off."""

from __future__ import annotations

import pytest
from flask import got_request_exception

from flask_hardening.errors import AppError

BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def test_got_request_exception_fires_once(app, client):
    """Error trackers hear of an unexpected exception exactly once, and of no 404."""
    heard = []

    def hear(sender, exception, **_):
        heard.append((sender, type(exception)))

    with got_request_exception.connected_to(hear, app):
        client.get("/boom")
        client.get("/nowhere")
    assert heard == [(app, RuntimeError)]


@pytest.mark.parametrize("errors", [True, False])
def test_testing_propagates_what_nobody_expected(make_app, errors):
    """With `TESTING` a test sees the exception itself, and 4xx as responses."""
    client = make_app(testing=True, ERRORS_ENABLED=errors).test_client()
    with pytest.raises(RuntimeError, match="vault"):
        client.get("/boom")
    assert client.get("/nowhere").status_code == 404


def test_testing_answers_app_errors(raising):
    """`TESTING` doesn't propagate what an app says on purpose."""
    client = raising(AppError("x"), testing=True)
    assert client.get("/raise").status_code == 400


@pytest.mark.parametrize("testing", [True, False])
def test_propagate_exceptions_wins(make_app, testing):
    """`PROPAGATE_EXCEPTIONS` says it either way, whatever `TESTING` says."""
    app = make_app(testing=testing)
    client = app.test_client()
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(RuntimeError, match="vault"):
        client.get("/boom")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert client.get("/boom").json["statusCode"] == 500


def test_debug_answers_an_api_client(make_app):
    """In debug mode an API client gets the error response, with the stack."""
    response = make_app(debug=True).test_client().get("/boom")
    assert response.status_code == 500
    assert "vault" in response.json["stack"]
    assert response.json["correlationId"] == response.headers["X-Correlation-ID"]


def test_debug_leaves_a_browser_to_the_debugger(make_app):
    """In debug mode a browser's exception goes on to the debugger's page."""
    client = make_app(debug=True).test_client()
    with pytest.raises(RuntimeError, match="vault"):
        client.get("/boom", headers=BROWSER)


@pytest.mark.parametrize("key", ["TRAP_HTTP_EXCEPTIONS", "TRAP_BAD_REQUEST_ERRORS"])
def test_trapping_does_not_lose_the_response(make_app, key):
    """Flask's trap settings still give an answer in the common format."""
    app = make_app()
    app.config[key] = True
    assert app.test_client().get("/nowhere").json["statusCode"] == 404


def test_the_part_switched_off_is_flasks_own_behaviour(make_app, read_lines):
    """Without the part, Flask answers in HTML and logs its own line, once."""
    client = make_app(ERRORS_ENABLED=False).test_client()
    assert client.get("/nowhere").mimetype == "text/html"
    assert client.get("/boom").get_data()
    told = [line for line in read_lines() if "exception_stack" in line]
    assert [line["message"] for line in told] == ["Exception on /boom [GET]"]
