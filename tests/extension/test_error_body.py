"""The error response itself: its fields, for werkzeug's errors and for the app's own."""

from __future__ import annotations

import json
import math
import re

import pytest
from flask import Response, abort, redirect
from werkzeug import exceptions as http
from werkzeug.datastructures import WWWAuthenticate

from flask_hardening.errors import AppError, Category, RateLimitError

FIELDS = [
    "statusCode",
    "timestamp",
    "path",
    "method",
    "message",
    "error",
    "category",
    "code",
    "correlationId",
]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CATEGORIES = {
    401: "authentication",
    403: "authorization",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    410: "not_found",
    412: "conflict",
    422: "validation",
    423: "conflict",
    428: "conflict",
    429: "rate_limit",
    500: "internal",
    501: "internal",
    502: "dependency",
    503: "unavailable",
    504: "timeout",
    505: "internal",
}


class OutOfStockError(AppError):
    """The shelf is empty."""

    status, code, category = 409, "out_of_stock", Category.CONFLICT


def test_the_body_has_these_fields_in_this_order(client):
    """A 404 has each field of the common format, and no more."""
    response = client.get("/n%C3%B6where?token=1", headers={"X-Correlation-ID": "abc"})
    body = response.json
    assert response.content_type == "application/json"
    assert list(json.loads(response.data)) == FIELDS
    assert TIMESTAMP.fullmatch(body.pop("timestamp"))
    assert body == {
        "statusCode": 404,
        "path": "/nöwhere",
        "method": "GET",
        "message": "There is nothing at this address.",
        "error": "Not Found",
        "category": "not_found",
        "code": "not_found",
        "correlationId": "abc",
    }


def _all_http_errors():
    found, waiting = [], [http.HTTPException]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.code and cls.code >= 400 and cls.__module__.startswith("werkzeug"):
            found.append(cls)
    return sorted(set(found), key=lambda cls: (cls.code, cls.__name__))


@pytest.mark.parametrize("cls", _all_http_errors())
def test_every_werkzeug_error(raising, cls):
    """Each of werkzeug's errors keeps its status and falls into its category, as JSON."""
    response = raising(cls()).get("/raise")
    assert response.status_code == response.json["statusCode"] == cls.code
    assert response.json["category"] == CATEGORIES.get(cls.code, "client")
    assert re.fullmatch(r"[a-z_]+", response.json["code"])
    assert response.json["correlationId"] == response.headers["X-Correlation-ID"]
    assert response.headers["Cache-Control"] == "no-store"


def test_there_are_werkzeug_errors_to_test():
    """The list above isn't empty by accident."""
    assert len(_all_http_errors()) > 25


def test_an_abort_says_what_the_app_says(raising):
    """The description of a 4xx reaches the client, cut to a thousand characters."""
    assert raising(http.BadRequest("x" * 5000)).get("/raise").json["message"] == "x" * 1000


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (http.MethodNotAllowed(["GET", "PUT"]), "Allow", "GET, PUT"),
        (http.TooManyRequests(retry_after=7), "Retry-After", "7"),
        (http.ServiceUnavailable(retry_after=9), "Retry-After", "9"),
        (
            http.Unauthorized(www_authenticate=WWWAuthenticate("bearer", {"realm": "a b"})),
            "WWW-Authenticate",
            'Bearer realm="a b"',
        ),
        (http.RequestedRangeNotSatisfiable(10), "Content-Range", "bytes */10"),
        (RateLimitError(retry_after=1.2), "Retry-After", "2"),
        (AppError(headers={"WWW-Authenticate": "Bearer"}), "WWW-Authenticate", "Bearer"),
    ],
)
def test_headers_of_an_error_survive(raising, error, header, value):
    """What the error tells in a header is part of the answer."""
    response = raising(error).get("/raise")
    assert response.headers.getlist(header) == [value]
    assert response.json["statusCode"] == response.status_code
    assert int(response.headers["Content-Length"]) == len(response.data)


def test_routing_keeps_allow(client):
    """A 405 that the router made names the methods that would do."""
    response = client.post("/ok")
    assert response.status_code == response.json["statusCode"] == 405
    assert {"GET", "HEAD"} <= set(response.headers["Allow"].split(", "))


def test_answers_that_are_no_errors_stay_untouched(app, client):
    """Redirects and `abort(Response)` pass as they are."""
    app.add_url_rule("/slash/", "slash", lambda: "x")
    app.add_url_rule("/mine", "mine", lambda: abort(Response("mine", 418)))
    app.add_url_rule("/away", "away", lambda: abort(redirect("/ok")))
    assert client.get("/slash").status_code == 308
    assert client.get("/slash").headers["Location"].endswith("/slash/")
    assert (client.get("/mine").status_code, client.get("/mine").data) == (418, b"mine")
    assert client.get("/away").status_code == 302


def test_an_error_with_a_response_of_its_own(raising):
    """A 404 that brings its whole response is answered with that."""
    response = raising(http.NotFound(response=Response("mine", 404))).get("/raise")
    assert (response.status_code, response.data) == (404, b"mine")


def test_an_app_error_is_told_in_full(raising):
    """Message, details, code and headers of an app's own error reach the client."""
    error = OutOfStockError(
        "Only 2 left.", details={"sku": "A-17"}, headers={"X-Sku": "A-17"}
    )
    response = raising(error).get("/raise")
    body = response.json
    assert response.status_code == body["statusCode"] == 409
    assert body["message"] == "Only 2 left."
    assert body["details"] == {"sku": "A-17"}
    assert (body["code"], body["category"]) == ("out_of_stock", "conflict")
    assert body["error"] == "Conflict"
    assert response.headers["X-Sku"] == "A-17"


@pytest.mark.parametrize(
    ("message", "shown"),
    [(None, "The shelf is empty."), (["One.", "Two."], ["One.", "Two."])],
)
def test_messages_are_text_or_a_list(raising, message, shown):
    """Several messages stay a list; none gives the class's own."""
    assert raising(OutOfStockError(message)).get("/raise").json["message"] == shown


class _Hostile:
    def __str__(self):
        raise RuntimeError("no")


CYCLE: dict = {}
CYCLE["self"] = CYCLE


@pytest.mark.parametrize(
    "details",
    [{"x": math.nan}, {"x": "\ud800"}, {("a", 1): 2}, {1: 2}, CYCLE, _Hostile(), 10**400],
    ids=["nan", "surrogate", "tuple", "number", "cycle", "hostile", "huge"],
)
def test_details_that_json_cannot_hold(raising, details):
    """Whatever an error carries, the client gets valid JSON with the status and the id."""

    def refuse(constant):
        raise AssertionError(constant)

    response = raising(OutOfStockError("x", details=details)).get("/raise")
    body = json.loads(response.data, parse_constant=refuse)
    assert response.status_code == body["statusCode"] == 409
    assert body["correlationId"]


def test_a_head_request_has_no_body(client):
    """HEAD gets the status and headers of the error, and no byte more."""
    response = client.head("/nowhere")
    assert (response.status_code, response.data) == (404, b"")


def test_the_error_response_of_a_broken_answer(raising):
    """An error whose own headers can't be sent still gives a 500 in the common format."""
    response = raising(OutOfStockError(headers={"X": "a\r\nSet-Cookie: b"})).get("/raise")
    assert response.status_code == response.json["statusCode"] == 500
    assert response.json["correlationId"] == response.headers["X-Correlation-ID"]
    assert "Set-Cookie" not in response.headers
