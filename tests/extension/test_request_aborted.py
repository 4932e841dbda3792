"""Requests that end before their last byte: the client left, the stream broke, the worker died."""

from __future__ import annotations

import io

import pytest
from flask import Response, send_file, stream_with_context
from werkzeug.wsgi import FileWrapper


def _stream(app, steps, wrap=lambda body: body):
    def body():
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            yield step

    app.add_url_rule("/stream", "stream", lambda: Response(wrap(body())))


@pytest.mark.parametrize("wrap", [lambda body: body, stream_with_context])
def test_a_client_that_leaves_early(app, client, read_lines, wrap):
    """A body that is closed before its end has a `request.aborted` line with what was sent."""
    _stream(app, [b"abc", b"def"], wrap)
    response = client.get("/stream", headers={"X-Correlation-ID": "abc"})
    next(response.response)
    response.close()
    (line,) = read_lines()
    assert (line["event"], line["level"]) == ("request.aborted", "WARNING")
    assert line["reason"] == "client_disconnected"
    assert (line["status"], line["response_bytes"]) == (200, 3)
    assert line["correlation_id"] == "abc"


def test_a_server_that_closes_after_the_last_byte(app, client, read_lines):
    """A server may stop asking once the declared length is out; that is a full answer."""
    app.add_url_rule("/x", "x", lambda: "whole")
    response = client.get("/x")
    next(response.response)
    response.close()
    assert [line["event"] for line in read_lines()] == ["request.finished"]


def test_an_exception_in_a_stream(app, client, read_lines):
    """A stream that breaks has one line, with the exception; no handler can see it."""
    _stream(app, [b"abc", LookupError("mid stream")])
    response = client.get("/stream")
    with pytest.raises(LookupError):
        _ = response.data
    response.close()
    (line,) = read_lines()
    assert (line["event"], line["reason"]) == ("request.aborted", "stream_error")
    assert line["exception_type"] == "builtins.LookupError"
    assert line["response_bytes"] == 3


def test_an_exception_in_the_clean_up_of_a_stream(app, client, read_lines):
    """A body whose `close` fails still has its one line."""

    class Body:
        def __iter__(self):
            return iter([b"abc", b"def"])

        def close(self):
            raise LookupError("close")

    app.add_url_rule("/x", "x", lambda: Response(Body()))
    response = client.get("/x")
    next(response.response)
    with pytest.raises(LookupError):
        response.close()
    (line,) = read_lines()
    assert line["event"] == "request.aborted"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_a_worker_that_is_stopped_in_a_view(app, client, read_lines, error):
    """What a server's time-out raises in a view ends the request with a line, and goes on."""

    def view():
        raise error

    app.add_url_rule("/x", "x", view)
    with pytest.raises(type(error)):
        client.get("/x", headers={"X-Correlation-ID": "abc"})
    (line,) = read_lines()
    assert (line["event"], line["reason"]) == ("request.aborted", "worker_exit")
    assert line["correlation_id"] == "abc"
    assert line["route"] == "/x"
    assert line["exception_type"] == f"builtins.{type(error).__name__}"
    assert "status" not in line


def test_a_worker_that_is_stopped_in_a_stream(app, client, read_lines):
    """The same while the body is being sent."""
    _stream(app, [b"abc", SystemExit(1)])
    response = client.get("/stream")
    with pytest.raises(SystemExit):
        list(response.response)
    response.close()
    (line,) = read_lines()
    assert (line["event"], line["reason"]) == ("request.aborted", "worker_exit")


def test_an_aborted_probe_is_told(app, client, read_lines):
    """A path whose successes are skipped has a line when it was cut off."""
    app.add_url_rule("/health", "h", lambda: Response(iter([b"a", b"b"])))
    response = client.get("/health")
    next(response.response)
    response.close()
    assert [line["event"] for line in read_lines()] == ["request.aborted"]


def test_a_file_sent_by_the_server_is_finished(app, client, read_lines):
    """A file that goes out by `wsgi.file_wrapper` has its line when the server closes it."""

    @app.route("/file")
    def file():
        return send_file(io.BytesIO(b"x" * 100), download_name="a.bin")

    environ = client.get("/ok").request.environ | {
        "PATH_INFO": "/file",
        "wsgi.file_wrapper": FileWrapper,
    }
    read_lines()
    body = app.wsgi_app(environ, lambda *_: None)
    assert read_lines() == []
    body.close()
    body.close()
    (line,) = read_lines()
    assert (line["event"], line["response_bytes"]) == ("request.finished", 100)
    assert line["correlation_id"]


def test_streams_closed_twice_have_one_line(app, client, read_lines):
    """However often a server closes, there is one line."""
    _stream(app, [b"a", b"b"])
    response = client.get("/stream")
    list(response.response)
    response.close()
    response.close()
    assert len(read_lines()) == 1
