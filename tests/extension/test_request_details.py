"""Query, headers and bodies in the request's line: when asked for, masked, and never taken from the view."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from flask import Response, request, send_file

ORDER = {"id": 7, "customer": {"name": "Ada", "password": "hunter2"}, "to": "a@b.example"}
MASKED = {"id": 7, "customer": {"name": "Ada", "password": "***"}, "to": "***"}


@pytest.fixture
def line_of(make_app, read_lines):
    """Send one request to an app whose view echoes, and return its line and its answer."""

    def send(*arguments, view=None, settings=None, path="/echo", **more):
        app = make_app(**{"LOGS_BODIES": ("request", "response"), **(settings or {})})
        app.add_url_rule(
            "/echo", "echo", view or (lambda: request.get_data()), methods=["GET", "POST"]
        )
        answer = app.test_client().post(path, *arguments, **more)
        answer.get_data()
        answer.close()
        (line,) = read_lines("request.finished")
        return line, answer

    return send


def test_nothing_of_them_by_default(client, app, read_lines):
    """A line has neither query, headers nor bodies unless they are asked for."""
    app.add_url_rule("/echo", "echo", lambda: request.get_data(), methods=["POST"])
    client.post("/echo?a=1", json=ORDER).get_data()
    (line,) = read_lines()
    assert not {"query", "request_headers", "request_body", "response_body"} & line.keys()


def test_json_bodies(line_of):
    """They come as objects, masked; the client gets what the view gave."""
    line, answer = line_of(json=ORDER, view=lambda: request.get_json())
    assert line["request_body"] == line["response_body"] == MASKED
    assert answer.get_json() == ORDER


def test_forms(line_of):
    """Fields by name, several values of one as a list."""
    form = {"user": "ada", "password": "hunter2", "card": ["4111 1111 1111 1111", "none"]}
    line, answer = line_of(data=form, view=lambda: dict(request.form.lists()))
    assert line["request_body"] == {
        "user": "ada",
        "password": "***",
        "card": ["***", "none"],
    }
    assert answer.get_json()["password"] == ["hunter2"]


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (b"password=x ok", "text/plain", "password=*** ok"),
        (
            "name=Zoë token=x".encode("latin-1"),
            "text/plain; charset=latin-1",
            "name=Zoë token=***",
        ),
        (
            '{"password":"hunter2"}'.encode("utf-16"),
            "application/json",
            {"password": "***"},
        ),
        ('{"password":"hun'.encode("utf-16-le"), "application/json", '{"password":"***'),
        (
            b'{"password":"x1"}\n{"a":1}',
            "application/x-ndjson",
            '{"password":"***"}\n{"a":1}',
        ),
        (b'{"pin": 1', "application/x-www-form-urlencoded", '{"pin": ***'),
        (b"a \xff b", "text/plain; charset=nonsense", "a \ufffd b"),
        (b"<a><pin>1234</pin></a>", "application/soap+xml", "<a><pin>***</pin></a>"),
        (b'{"password": "hunt', "application/json", '{"password": "***'),
        (b'{"token": NaN, "b": 1}', "application/json", '{"token": ***, "b": 1}'),
        (b"[1, 2]", "application/problem+json", [1, 2]),
        (b"\x00\x01", "application/octet-stream", None),
        (b"--x\r\n", "multipart/form-data; boundary=x", None),
        (b"", "application/json", None),
    ],
)
def test_what_is_shown_of_a_body(line_of, body, content_type, shown):
    """Text as text, broken JSON masked all the same, what is no text not at all."""
    line, _ = line_of(
        data=body, content_type=content_type, view=lambda: request.get_data()[:0]
    )
    assert line.get("request_body") == shown


def test_a_long_body_is_cut(line_of):
    """Only its beginning is kept, masked, and without half a secret at its end."""
    body = json.dumps({"password": "hunter2", "rest": "x" * 5000}).encode()
    settings = {"LOGS_BODY_LIMIT": 1000}
    line, answer = line_of(
        data=body,
        content_type="application/json",
        settings=settings,
        view=lambda: Response(request.get_data(), content_type="application/json"),
    )
    for name in ("request_body", "response_body"):
        assert line[name].startswith('{"password": "***", "rest": "xxx')
        assert line[name].endswith(" more>")
        assert len(line[name]) < 1020
    assert answer.data == body


def test_no_secret_where_a_body_is_cut(line_of):
    """Wherever the limit falls in a secret, nothing of it is shown."""
    for before in range(280, 320):
        body = f"{'x' * before} bob.smith@example.com".encode()
        line, _ = line_of(
            data=body, content_type="text/plain", settings={"LOGS_BODY_LIMIT": 300}
        )
        assert "bob" not in str(line)


def test_a_compressed_body_is_left_out(line_of):
    """What can't be read as it passes by isn't shown."""
    packed = gzip.compress(b"password=x")

    def view():
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        return Response(packed, headers=headers)

    line, answer = line_of(
        data=packed,
        content_type="text/plain",
        headers={"Content-Encoding": "gzip"},
        view=view,
    )
    assert not {"request_body", "response_body"} & line.keys()
    assert answer.data == packed


READERS = {
    "get_data": lambda: request.get_data(),
    "stream": lambda: request.stream.read(),
    "in pieces": lambda: b"".join(iter(lambda: request.stream.read(3), b"")),
    "lines": lambda: b"".join(iter(request.stream.readline, b"")),
    "iterated": lambda: b"".join(request.stream),
    "raw": lambda: request.environ["wsgi.input"].read(int(request.content_length)),
    "raw lines": lambda: b"".join(request.environ["wsgi.input"].readlines()),
    "buffered": lambda: io.BufferedReader(request.stream).read(),
}


@pytest.mark.parametrize("how", READERS)
def test_the_view_reads_as_it_likes(line_of, how):
    """However it does, it gets every byte, and the line has them too."""
    body = b"one\ntwo\nthree pin=1234\n"
    line, answer = line_of(data=body, content_type="text/plain", view=READERS[how])
    assert answer.data == body
    assert line["request_body"] == "one\ntwo\nthree pin=***\n"


def test_a_body_that_nobody_reads_is_not_read(line_of):
    """It isn't logged, and still there for whoever reads it later."""
    line, _ = line_of(json=ORDER, view=lambda: "unread")
    assert "request_body" not in line


def test_a_stream_is_not_held_back(make_app):
    """Each part is sent when it comes; the line has the beginning of all of them."""
    app = make_app(LOGS_BODIES=("response",), LOGS_BODY_LIMIT=10)
    made = []

    @app.get("/stream")
    def stream():
        def parts():
            for n in range(100):
                made.append(n)
                yield f"part {n}\n"

        return Response(parts(), content_type="text/plain")

    answer = app.test_client().get("/stream", buffered=False)
    parts = answer.response
    next(iter(parts))
    assert len(made) < 5
    assert len(answer.get_data()) > 500


def test_files_are_left_to_the_server(line_of, tmp_path):
    """What is sent as a file isn't looked at."""
    file = tmp_path / "x.txt"
    file.write_text("password=x")
    line, answer = line_of(view=lambda: send_file(file))
    assert answer.data == b"password=x"
    assert "password=x" not in str(line)


@pytest.mark.parametrize(
    ("status", "there"), [(200, False), (399, False), (400, True), (500, True)]
)
def test_bodies_of_failures_alone(line_of, status, there):
    """`HARDENING_LOGS_BODIES_FROM` leaves out what is below it."""
    settings = {"LOGS_BODIES_FROM": 400}
    line, _ = line_of(
        json=ORDER, settings=settings, view=lambda: (request.get_json(), status)
    )
    assert ("request_body" in line, "response_body" in line) == (there, there)


def test_headers_by_name(line_of):
    """Those that are named, in both directions; what is a secret is masked all the same."""
    settings = {"LOGS_HEADERS": ("X-Tenant", "authorization", "content-type", "Set-Cookie")}

    def view():
        return Response(
            "x", headers=[("Set-Cookie", "sid=1"), ("Set-Cookie", "b=2"), ("X-A", "1")]
        )

    headers = {"X-Tenant": "blue", "Authorization": "Bearer abcdef123", "X-Other": "1"}
    line, _ = line_of(data=b"x", headers=headers, view=view, settings=settings)
    assert line["request_headers"] == {"x-tenant": "blue", "authorization": "***"}
    assert line["response_headers"] == {
        "set-cookie": "***",
        "content-type": "text/html; charset=utf-8",
    }


def test_all_headers(line_of):
    """`*` stands for all of them."""
    line, _ = line_of(
        settings={"LOGS_HEADERS": ("*",)}, headers={"X-Api-Key": "k", "X-B": "b@c.example"}
    )
    assert line["request_headers"]["x-api-key"] == line["request_headers"]["x-b"] == "***"
    assert line["response_headers"]["x-request-id"] == line["request_id"]


def test_the_query(line_of):
    """It is shown without its secrets, encoded ones as well."""
    path = "/echo?page=2&token=abc&mail=bob%40example.com&q=a+b"
    line, _ = line_of(path=path, settings={"LOGS_QUERY": True})
    assert line["query"] == "page=2&token=***&mail=***&q=a+b"


def test_secrets_in_the_path(client, read_lines):
    """A path is text from outside like any other."""
    client.get("/users/bob@example.com/4111111111111111").get_data()
    (line,) = read_lines("request.finished")
    assert line["path"] == "/users/***/***"
    assert line["message"] == "GET /users/***/*** 404"


def test_secrets_in_the_user_agent(client, read_lines):
    """And so is what a client calls itself."""
    client.get("/ok", headers={"User-Agent": "x token=abc"}).get_data()
    (line,) = read_lines()
    assert line["user_agent"] == "x token=***"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"LOGS_HEADERS": ("a b",)}, "no header name"),
        ({"LOGS_BODIES": ("requests",)}, "must be one of 'request', 'response'"),
        ({"LOGS_BODY_LIMIT": 0}, "must be 1 to 65536"),
        ({"LOGS_BODIES_FROM": -1}, "must not be negative"),
    ],
)
def test_wrong_settings_fail_at_start(make_app, settings, problem):
    """The key and the fix are named."""
    with pytest.raises(ValueError, match=problem):
        make_app(**settings)
