"""Each error has one line, with all that is known of it and no value of a local variable."""

from __future__ import annotations

import pytest
from loguru import logger
from sqlalchemy import exc as sa_exc
from werkzeug.exceptions import ServiceUnavailable

from flask_hardening.errors import DependencyError, NotFoundError


def _failed(lines):
    return [line for line in lines if line.get("event") == "request.failed"]


def test_an_unexpected_exception_is_logged_once(client, read_lines):
    """One ERROR line with route, ids and stack; Flask's own line for it is not there."""
    client.get("/boom?x=1", headers={"X-Correlation-ID": "abc"}).get_data()
    lines = read_lines()
    assert [line["event"] for line in lines] == ["request.failed", "request.finished"]
    line = lines[0]
    assert line["level"] == "ERROR"
    assert line["message"] == "GET /boom failed: RuntimeError"
    assert line["correlation_id"] == "abc"
    assert line["request_id"] == lines[1]["request_id"]
    assert (line["method"], line["route"], line["path"]) == ("GET", "/boom", "/boom")
    assert (line["endpoint"], line["status"]) == ("boom", 500)
    assert (line["error_category"], line["error_code"]) == ("internal", "internal_error")
    assert line["exception_type"] == "builtins.RuntimeError"
    assert "under the stairs" in line["exception_message"]
    assert line["exception_stack"].startswith("Traceback")
    assert "in _boom" in line["exception_stack"]


def test_no_line_shows_a_local_variable(client, read_lines, capfd):
    """`_boom` has a local named hunter; its value is in no output."""
    client.get("/boom").get_data()
    lines = read_lines()
    assert "hunter" in lines[0]["exception_stack"]
    assert "hunter2" not in str(lines)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("via", ["direct", "loguru"])
def test_loguru_shows_no_local_variable_either(make_app, read_lines, via):
    """An app that logs an exception itself tells no values through our sink."""
    app = make_app(LOGS_REQUEST_VIA=via)

    @app.route("/caught")
    def caught():
        password = "hunter" + str(2)
        try:
            raise LookupError(len(password))
        except LookupError:
            logger.exception("caught")
        return "x"

    app.test_client().get("/caught").get_data()
    lines = read_lines()
    assert lines[0]["exception_type"] == "builtins.LookupError"
    assert "hunter2" not in str(lines)


@pytest.mark.parametrize("error", [ServiceUnavailable(), DependencyError("x")])
def test_a_5xx_on_purpose_is_logged_once(raising, read_lines, error):
    """An abort or an app's own error with a 5xx status has its line, too."""
    raising(error).get("/raise").get_data()
    lines = read_lines()
    assert len(_failed(lines)) == 1
    assert lines[-1]["event"] == "request.finished"
    assert lines[-1]["level"] == "ERROR"


def test_a_4xx_is_told_by_its_request_line(raising, read_lines):
    """A client's mistake has one line: the request's, with code, category and message."""
    raising(NotFoundError("No such invoice.")).get("/raise").get_data()
    (line,) = read_lines()
    assert line["event"] == "request.finished"
    assert line["level"] == "WARNING"
    assert line["error_category"] == "not_found"
    assert line["error_code"] == "not_found"
    assert line["error_message"] == "No such invoice."
    assert "exception_stack" not in line


def test_causes_are_in_the_stack(app, client, read_lines):
    """A chain of exceptions is told to its end."""

    @app.route("/chain")
    def chain():
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    client.get("/chain").get_data()
    stack = _failed(read_lines())[0]["exception_stack"]
    assert "KeyError: 'first'" in stack
    assert "ValueError: second" in stack


def test_testing_logs_before_it_propagates(make_app, read_lines):
    """An exception that goes up to the test has had its line."""
    client = make_app(testing=True).test_client()
    with pytest.raises(RuntimeError):
        client.get("/boom")
    lines = read_lines()
    assert [line["event"] for line in lines] == ["request.failed", "request.finished"]


def test_deep_recursion_is_bounded(app, client, read_lines):
    """A stack without end still makes one line of bounded size."""

    @app.route("/deep")
    def deep():
        return deep()

    client.get("/deep").get_data()
    (line,) = _failed(read_lines())
    assert line["exception_type"] == "builtins.RecursionError"
    assert len(line["exception_stack"]) < 20_000


def test_an_exception_that_cannot_be_printed(raising, read_lines):
    """An exception whose text fails is logged by its class."""

    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    assert raising(MuteError()).get("/raise").json["statusCode"] == 500
    (line,) = _failed(read_lines())
    assert line["exception_type"].endswith("MuteError")
    assert "Mute" in line["exception_stack"]


def test_an_app_with_its_own_log_exception_keeps_it(make_app):
    """A subclass that overrides `log_exception` means it."""
    calls = []

    def override(app):
        app.__class__ = type(
            "Own", (type(app),), {"log_exception": lambda self, info: calls.append(info[0])}
        )

    make_app(before=override).test_client().get("/boom").get_data()
    assert calls == [RuntimeError]


def test_a_conflict_is_told_by_its_request_line(raising, read_lines):
    """A taken value is the client's to mend: WARNING, no traceback, nothing of the values."""
    error = sa_exc.IntegrityError("INSERT", {"pin": "hunter2"}, Exception("UNIQUE failed"))
    response = raising(error).get("/raise")
    assert response.status_code == 409
    response.get_data()
    (line,) = read_lines()
    assert (line["event"], line["level"]) == ("request.finished", "WARNING")
    assert line["error_code"] == "conflict"
    assert "hunter2" not in str(line)
