"""Both ids are in the headers of every response, whatever became of the request."""

from __future__ import annotations

import io

import flask
import pytest
from flask import Response, abort, redirect, request, send_file
from werkzeug.wsgi import FileWrapper

CORRELATION, REQUEST = "X-Correlation-ID", "X-Request-ID"


def _refuse_early():
    if request.path == "/early":
        return "not you", 401
    return None


def _routes(app):
    app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a", b"b"])))
    app.add_url_rule("/empty", "empty", lambda: ("", 204))
    app.add_url_rule("/slash/", "slash", lambda: "x")
    app.add_url_rule("/away", "away", lambda: redirect("/ok"))
    app.add_url_rule("/answer", "answer", lambda: abort(Response("mine", 418)))
    app.add_url_rule("/early", "early", lambda: "never")
    app.add_url_rule("/tuple", "tuple", lambda: ("x", 200, [("X-Own", "1")]))

    @app.route("/file")
    def file():
        return send_file(io.BytesIO(b"contents"), download_name="a.txt")

    @app.route("/both")
    def both():
        return "x", 200, {"x-correlation-id": "mine", "x-request-id": "mine"}

    @app.route("/exit")
    def teardown_fails():
        flask.after_this_request(lambda _: 1 / 0)
        return "x"


CASES = [
    ("GET", "/ok", 200),
    ("HEAD", "/ok", 200),
    ("OPTIONS", "/ok", 200),
    ("POST", "/ok", 405),
    ("GET", "/nowhere", 404),
    ("HEAD", "/nowhere", 404),
    ("GET", "/boom", 500),
    ("GET", "/exit", 500),
    ("GET", "/early", 401),
    ("GET", "/stream", 200),
    ("GET", "/file", 200),
    ("GET", "/empty", 204),
    ("GET", "/slash", 308),
    ("GET", "/away", 302),
    ("GET", "/answer", 418),
    ("GET", "/both", 200),
    ("GET", "/tuple", 200),
]


def _assert_ids(response, kept="abc-1"):
    assert response.headers.getlist(CORRELATION) == [kept]
    (request_id,) = response.headers.getlist(REQUEST)
    assert request_id not in {kept, "mine", ""}


@pytest.mark.parametrize(("method", "path", "status"), CASES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_response_has_both_ids_once(make_app, method, path, status, when):
    """Each kind of response has each header once, also where hooks ran before ours."""
    if when == "before":
        app = make_app(before=lambda app: app.before_request(_refuse_early))
    else:
        app = make_app()
        app.before_request(_refuse_early)
    _routes(app)
    response = app.test_client().open(path, method=method, headers={CORRELATION: "abc-1"})
    assert response.status_code == status
    _assert_ids(response)
    assert response.data is not None


def test_bad_host_has_both_ids(make_app):
    """A request for a host that isn't trusted is refused with the ids to quote."""
    app = make_app()
    refused = "TRUSTED_HOSTS" in app.config  # Flask 3.0 doesn't know the setting
    app.config["TRUSTED_HOSTS"] = ["shop.example"]
    response = app.test_client().get(
        "/ok", headers={"Host": "evil.example", CORRELATION: "abc-1"}
    )
    assert response.status_code == (400 if refused else 200)
    _assert_ids(response)


def test_errors_part_off_keeps_the_ids(make_app):
    """The ids don't depend on the part that answers errors."""
    client = make_app(ERRORS_ENABLED=False).test_client()
    for path in ("/boom", "/nowhere"):
        _assert_ids(client.get(path, headers={CORRELATION: "abc-1"}))


def test_request_ids_differ_and_are_never_taken_from_the_client(client):
    """Each request gets a request id of its own, even if the client sends one."""
    seen = {
        client.get("/ok", headers={REQUEST: "mine"}).headers[REQUEST] for _ in range(20)
    }
    assert len(seen) == 20
    assert "mine" not in seen


def test_the_request_shows_the_ids_to_views(app, client):
    """A view and other extensions read from `request.headers` what the response tells."""

    @app.route("/headers")
    def headers():
        return {"c": request.headers[CORRELATION], "r": request.headers[REQUEST]}

    response = client.get("/headers", headers={REQUEST: "mine", CORRELATION: "a b"})
    expected = {"c": response.headers[CORRELATION], "r": response.headers[REQUEST]}
    assert response.json == expected


def test_header_names_are_settings(make_app):
    """Both headers can have names of the app's own, inbound and outbound."""
    app = make_app(CORRELATION_HEADER="X-Trail", CORRELATION_REQUEST_HEADER="X-Call")
    response = app.test_client().get("/ok", headers={"X-Trail": "abc"})
    assert response.headers["X-Trail"] == "abc"
    assert response.headers["X-Call"]
    assert CORRELATION not in response.headers
    assert REQUEST not in response.headers


def test_send_file_keeps_the_servers_file_wrapper(app, client):
    """What `wsgi.file_wrapper` made reaches the server as it is, so that it can `sendfile`."""

    @app.route("/file")
    def file():
        return send_file(io.BytesIO(b"contents"), download_name="a.txt")

    environ = client.get("/ok").request.environ | {
        "PATH_INFO": "/file",
        "wsgi.file_wrapper": FileWrapper,
    }
    heads = []
    body = app.wsgi_app(environ, lambda status, headers: heads.append(dict(headers)))
    assert isinstance(body, FileWrapper)
    assert b"".join(body) == b"contents"
    body.close()
    assert heads[0][CORRELATION]
    assert heads[0][REQUEST]
