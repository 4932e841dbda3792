"""Validation errors of the libraries an app may use become 422, field by field."""

from __future__ import annotations

import sys

import jsonschema
import marshmallow
import pydantic
import pytest
import wtforms

from flask_hardening import errors

SECRET = "hunter2-is-too-short"


class Login(pydantic.BaseModel):
    """What pydantic checks."""

    user: str
    pin: int
    tags: list[int] = []


class LoginSchema(marshmallow.Schema):
    """What marshmallow checks."""

    user = marshmallow.fields.String(required=True)
    pin = marshmallow.fields.Integer()
    tags = marshmallow.fields.List(marshmallow.fields.Integer())


JSON_SCHEMA = {
    "type": "object",
    "required": ["user", "site"],
    "properties": {"pin": {"type": "integer"}, "tags": {"items": {"type": "integer"}}},
}


def _pydantic(data):
    Login.model_validate(data)


def _marshmallow(data):
    LoginSchema().load(data)


def _jsonschema(data):
    jsonschema.validate(data, JSON_SCHEMA)


def _wtforms(_):
    raise wtforms.ValidationError("This user is taken.")


@pytest.fixture
def post(make_app):
    """Let a view check its JSON body, and post to it."""

    def post(check, data, **settings):
        app = make_app(**settings)
        app.add_url_rule("/check", "check", lambda: check(data) or "fine", methods=["POST"])
        return app.test_client().post("/check", json=data)

    return post


CASES = [
    (_pydantic, {"user": "x", "pin": SECRET}, {"pin"}),
    (_pydantic, {"pin": SECRET, "tags": [1, SECRET]}, {"user", "pin", "tags.1"}),
    (_marshmallow, {"user": "x", "pin": SECRET}, {"pin"}),
    (_marshmallow, {"pin": SECRET, "tags": [1, SECRET]}, {"user", "pin", "tags.1"}),
    (_jsonschema, {"user": "x", "site": "y", "pin": SECRET}, {"pin"}),
    (_jsonschema, {"user": "x", "site": "y", "tags": [1, SECRET]}, {"tags.1"}),
    (_jsonschema, {"pin": 1}, {"user", "site"}),
]


@pytest.mark.parametrize(("check", "data", "fields"), CASES)
@pytest.mark.parametrize("testing", [False, True])
def test_each_field_is_named_and_no_value_told(post, check, data, fields, testing):
    """The answer is a 422 that names each field, without the value that was sent."""
    response = post(check, data, testing=testing)
    body = response.json
    assert response.status_code == body["statusCode"] == 422
    assert (body["category"], body["code"]) == ("validation", "validation_failed")
    assert {problem["field"] for problem in body["details"]} == fields
    assert all(problem["message"] for problem in body["details"])
    assert len(body["message"]) == len(body["details"])
    assert SECRET not in response.text


@pytest.mark.parametrize("check", [_pydantic, _marshmallow, _jsonschema])
def test_the_log_tells_no_value_either(post, check, read_lines):
    """The request's line names the fields at WARNING; no line tells what was sent."""
    data = {"user": "x", "site": "y", "pin": SECRET}
    post(check, data).get_data()
    lines = read_lines()
    assert [line["event"] for line in lines] == ["request.finished"]
    assert lines[0]["level"] == "WARNING"
    assert lines[0]["error_code"] == "validation_failed"
    assert "pin" in str(lines[0]["error_message"])
    assert SECRET not in str(lines)


def test_wtforms_has_a_message_alone(post):
    """A WTForms error knows no field; its text is the message."""
    body = post(_wtforms, {}).json
    assert body["statusCode"] == 422
    assert body["message"] == ["This user is taken."]


def test_many_problems_are_bounded(post):
    """A body with thousands of mistakes gets an answer of bounded size."""
    response = post(_pydantic, {"user": "x", "pin": 1, "tags": ["x"] * 5000})
    assert len(response.json["details"]) == 50


def test_long_messages_are_bounded(post):
    """So does a message without end."""

    def check(_):
        raise marshmallow.ValidationError("x" * 5000, "y" * 5000)

    (problem,) = post(check, {}).json["details"]
    assert (len(problem["message"]), len(problem["field"])) == (300, 300)


def test_a_validation_error_of_another_shape_is_a_422(post):
    """A release with another shape of error loses the fields, not the status."""

    class Strange(jsonschema.ValidationError):
        absolute_path = property(lambda _: 1 / 0)

    def check(_):
        raise Strange("x")

    body = post(check, {}).json
    assert body["statusCode"] == 422
    assert "details" not in body


def test_what_the_app_sees_itself(make_app):
    """An app's own `ValidationError` looks the same to the client."""
    app = make_app()

    @app.route("/own")
    def own():
        raise errors.ValidationError("x", details=[{"field": "a", "message": "b"}])

    body = app.test_client().get("/own").json
    assert (body["statusCode"], body["code"]) == (422, "validation_failed")


@pytest.fixture
def late_app(make_app, monkeypatch):
    """Make an app that imports jsonschema only after it was hardened."""
    with monkeypatch.context() as before:
        before.delitem(sys.modules, "jsonschema.exceptions")
        app = make_app(testing=True)
    app.add_url_rule("/check", "check", lambda: _jsonschema({"pin": 1}))
    return app


def test_a_library_imported_after_the_extension(late_app):
    """What is imported between `init_app` and the first request is handled as well."""
    response = late_app.test_client().get("/check")
    assert response.status_code == 422


def test_a_library_that_came_too_late(late_app, read_lines):
    """
    Flask takes no handler after its first request; the error is recognised all the same.

    Its text quotes the input, so it is in no line.
    """
    late_app.testing = False
    with late_app.test_request_context("/ok"):
        late_app.full_dispatch_request()
    response = late_app.test_client().get("/check")
    assert response.status_code == 422
    assert response.json["details"]
    response.get_data()
    lines = read_lines()
    assert [line["event"] for line in lines] == ["request.finished"]
    assert (lines[0]["status"], lines[0]["error_code"]) == (422, "validation_failed")
    assert "On instance" not in str(lines)


def test_what_is_wrong_with_the_whole_names_no_field(post):
    """A schema-level error of marshmallow's is about no field."""

    class Passwords(marshmallow.Schema):
        @marshmallow.validates_schema
        def equal(self, *_, **__):
            raise marshmallow.ValidationError("Both must be equal.")

    body = post(lambda data: Passwords().load(data), {}).json
    assert body["message"] == ["Both must be equal."]
    assert body["details"] == [{"message": "Both must be equal."}]
