"""Handlers of the app's own: they win where they are more specific, and may fail."""

from __future__ import annotations

import pydantic
import pytest
from flask import Blueprint, Flask, abort, jsonify
from werkzeug.exceptions import HTTPException, NotFound

from flask_hardening import Hardening
from flask_hardening.errors import AppError, ConflictError

CASES = [
    (404, lambda: abort(404)),
    (NotFound, lambda: abort(404)),
    (HTTPException, lambda: abort(404)),
    (500, lambda: 1 / 0),
    (ValueError, lambda: int("x")),
    (Exception, lambda: 1 / 0),
    (AppError, lambda: _raise(AppError())),
    (ConflictError, lambda: _raise(ConflictError())),
    (pydantic.ValidationError, lambda: pydantic.TypeAdapter(int).validate_python("x")),
]


def _raise(error):
    raise error


def _make(views, **settings):
    app = Flask("handlers")
    app.config.update(settings)
    for path, view in views.items():
        app.add_url_rule("/" + path, path, view)
    return app


@pytest.mark.parametrize(("key", "view"), CASES)
@pytest.mark.parametrize("first", ["handler", "extension"])
def test_the_apps_own_handler_wins(key, view, first):
    """A handler for the same or a narrower class is used, in whatever order it came."""
    app = _make({"x": view})
    if first == "extension":
        Hardening(app)
    app.register_error_handler(key, lambda _: ("mine", 418))
    if first == "handler":
        Hardening(app)
    response = app.test_client().get("/x", headers={"X-Correlation-ID": "abc"})
    assert (response.status_code, response.data) == (418, b"mine")
    assert response.headers["X-Correlation-ID"] == "abc"


def test_a_blueprints_handler_wins_in_its_blueprint(make_app):
    """A blueprint answers its own errors; the rest of the app keeps the common format."""
    blueprint = Blueprint("b", __name__, url_prefix="/b")
    blueprint.register_error_handler(
        HTTPException, lambda e: (jsonify(mine=e.code), e.code)
    )
    blueprint.add_url_rule("/x", "x", lambda: abort(403))
    app = make_app(before=lambda app: app.register_blueprint(blueprint))
    assert app.test_client().get("/b/x").json == {"mine": 403}
    assert app.test_client().get("/x").json["statusCode"] == 404


def test_a_wider_handler_leaves_the_narrower_to_us():
    """A handler for `Exception` takes what is unexpected; HTTP errors keep the format."""
    app = _make({"x": lambda: 1 / 0})
    Hardening(app)
    app.register_error_handler(Exception, lambda _: ("mine", 418))
    client = app.test_client()
    assert client.get("/x").data == b"mine"
    assert client.get("/nowhere").json["statusCode"] == 404


@pytest.mark.parametrize(
    ("key", "failures"), [(404, 1), (500, 1), (HTTPException, 2), (Exception, 1)]
)
def test_a_handler_that_fails_still_gives_an_answer(read_lines, key, failures):
    """
    A handler's own exception is answered as a 500 with the id, and logged.

    Flask asks a handler for `HTTPException` a second time, for the 500 that its failure is.
    """
    app = _make({"x": lambda: abort(404) if key in {404, HTTPException} else 1 / 0})
    Hardening(app)
    app.register_error_handler(key, lambda _: _raise(LookupError("the handler is broken")))
    response = app.test_client().get("/x", headers={"X-Correlation-ID": "abc"})
    assert response.status_code == response.json["statusCode"] == 500
    assert response.json["correlationId"] == "abc"
    assert response.headers["X-Correlation-ID"] == "abc"
    assert "broken" not in response.text
    failed = [line for line in read_lines() if line["event"] == "request.failed"]
    kinds = [line["exception_type"] for line in failed]
    assert kinds.count("builtins.LookupError") == failures
    assert kinds.count("builtins.ZeroDivisionError") == (key == 500)


@pytest.mark.parametrize("hook", ["before_request", "after_request", "teardown_request"])
def test_a_hook_that_fails(make_app, hook):
    """An exception in a request hook is answered like one in a view."""
    app = make_app()
    getattr(app, hook)(lambda *_: 1 / 0)
    response = app.test_client().get("/ok")
    assert response.headers["X-Correlation-ID"]
    if hook == "teardown_request":  # by then the response was begun
        assert response.status_code in {200, 500}
    else:
        assert response.json["statusCode"] == 500


def test_a_failing_hook_after_the_error_handler_keeps_the_response(make_app):
    """`after_request` that fails for the error response as well loses neither id nor body."""
    app = make_app()
    app.after_request(lambda _: 1 / 0)
    response = app.test_client().get("/boom", headers={"X-Correlation-ID": "abc"})
    assert response.json["statusCode"] == 500
    assert response.headers["X-Correlation-ID"] == "abc"


def test_middleware_of_the_apps_own_that_fails(make_app):
    """What fails outside of Flask, but inside of us, is answered all the same."""

    def wrap(app):
        app.wsgi_app = lambda environ, start_response: 1 / 0

    response = make_app(before=wrap).test_client().get("/ok")
    assert response.status_code == response.json["statusCode"] == 500
    assert response.json["correlationId"] == response.headers["X-Correlation-ID"]


def _answer_of(status):
    return lambda _: ("mine", status)


@pytest.mark.parametrize("first", ["handler", "extension"])
@pytest.mark.parametrize(
    ("status", "lines"), [(500, 1), (503, 1), (400, 0), (200, 0)], ids=str
)
def test_an_own_handler_hides_no_bug_from_the_log(read_lines, first, status, lines):
    """An exception that the app's handler answers with a 5xx has its line, with the stack."""
    app = _make({"x": lambda: 1 / 0})
    if first == "extension":
        Hardening(app)
    app.register_error_handler(Exception, _answer_of(status))
    if first == "handler":
        Hardening(app)
    client = app.test_client()
    for _ in range(2):
        assert client.get("/x").data == b"mine"
        failed = [line for line in read_lines() if line["event"] == "request.failed"]
        assert len(failed) == lines
        for line in failed:
            assert line["status"] == status
            assert "ZeroDivisionError" in line["exception_stack"]


def test_an_own_handler_that_is_a_coroutine(read_lines):
    """So has one that an async handler answers."""
    app = _make({"x": lambda: 1 / 0})
    Hardening(app)

    @app.errorhandler(ArithmeticError)
    async def handle(_):
        return {"mine": True}, 500

    assert app.test_client().get("/x").json == {"mine": True}
    assert read_lines()[0]["event"] == "request.failed"


def test_an_error_whose_own_headers_are_wrong(raising, read_lines):
    """The line tells of what the client got: our failure, not the error it was to be."""
    client = raising(AppError("mine", headers={"X": "a\r\nb"}))
    assert client.get("/raise").get_json()["code"] == "internal_error"
    (finished,) = read_lines("request.finished")
    assert (finished["status"], finished["error_code"]) == (500, "internal_error")
