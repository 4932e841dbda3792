"""Where the ids can be seen while a request runs, and that nothing of them stays behind."""

from __future__ import annotations

import contextvars
import threading

import pytest
from flask import Response, request, stream_with_context

from flask_hardening import correlated, correlation_id, request_id

HEADER = "X-Correlation-ID"
ID = {HEADER: "abc"}


def _thread(context, seen):
    thread = threading.Thread(
        target=context.run, args=(lambda: seen.append(correlation_id()),)
    )
    thread.start()
    thread.join()


def test_views_see_both_ids(app, client):
    """`correlation_id()` and `request_id()` are those of the response's headers."""
    app.add_url_rule("/ids", "ids", lambda: [correlation_id(), request_id()])
    response = client.get("/ids", headers=ID)
    assert response.json == ["abc", response.headers["X-Request-ID"]]


def test_async_views_see_the_id(app, client):
    """An async view runs under its request's id."""

    @app.route("/async")
    async def view():
        return correlation_id()

    assert client.get("/async", headers=ID).text == "abc"


def test_threads_with_a_copied_context_see_the_id(app, client):
    """`copy_context().run` takes the id along; a bare thread has none."""

    @app.route("/thread")
    def view():
        seen = []
        _thread(contextvars.copy_context(), seen)
        _thread(contextvars.Context(), seen)
        return seen

    assert client.get("/thread", headers=ID).json == ["abc", None]


@pytest.mark.parametrize("wrap", [iter, stream_with_context])
def test_streams_see_the_id_at_every_step(app, client, wrap):
    """The generator and its clean-up run under the id, though the view has returned."""
    closed = []

    @app.route("/stream")
    def view():
        def body():
            try:
                yield str(correlation_id())
                yield str(correlation_id())
            finally:
                closed.append(correlation_id())

        return Response(wrap(body()))

    assert client.get("/stream", headers=ID).text == "abcabc"
    assert closed == ["abc"]
    assert correlation_id() is None


def test_a_stream_closed_early_leaves_nothing(app, client):
    """Closing a stream halfway runs its clean-up under the id and then forgets it."""
    closed = []

    @app.route("/stream")
    def view():
        def body():
            try:
                yield b"a"
                yield b"b"
            finally:
                closed.append(correlation_id())

        return Response(body())

    response = client.get("/stream", headers=ID)
    assert next(response.response) == b"a"
    assert correlation_id() is None
    response.close()
    assert closed == ["abc"]
    assert correlation_id() is None


def test_two_interleaved_streams_keep_their_ids(app, client):
    """A worker that serves two streams in turn shows each its own id."""

    @app.route("/stream")
    def view():
        return Response(str(correlation_id()) for _ in range(3))

    first = client.get("/stream", headers={HEADER: "one"}).response
    second = client.get("/stream", headers={HEADER: "two"}).response
    steps = [next(iterator) for _ in range(3) for iterator in (first, second)]
    assert steps == [b"one", b"two"] * 3


@pytest.mark.parametrize("path", ["/ok", "/boom", "/nowhere"])
def test_the_context_is_clean_afterwards(client, path):
    """After any response the caller's context is as it was."""
    client.get(path, headers=ID).get_data()
    assert correlation_id() is None
    assert request_id() is None


def test_an_outer_unit_is_given_back(client):
    """A request made in-process inside another unit of work leaves that one in place."""
    with correlated("outer"):
        client.get("/ok", headers=ID).get_data()
        assert correlation_id() == "outer"


def test_a_crash_that_propagates_leaves_nothing(make_app):
    """An exception that goes up to the caller takes the id with it."""
    client = make_app(testing=True).test_client()
    with pytest.raises(RuntimeError):
        client.get("/boom", headers=ID)
    assert correlation_id() is None


@pytest.mark.parametrize("path", ["/ok", "/boom", "/stream"])
def test_with_client_leaves_nothing(app, path):
    """`with client:` keeps Flask's context open, not the ids."""

    @app.route("/stream")
    def view():
        return Response(stream_with_context(iter([b"a"])))

    with app.test_client() as client:
        client.get(path, headers=ID).get_data()
        assert correlation_id() is None
        assert request.headers[HEADER] == "abc"
        client.get(path, headers=ID).get_data()
    assert correlation_id() is None


def test_a_context_without_the_middleware_binds_and_cleans(app):
    """`test_request_context` runs under the inbound id once the request hooks have run."""
    with app.test_request_context("/ok", headers=ID):
        app.preprocess_request()
        assert correlation_id() == "abc"
        assert request.headers["X-Request-ID"] == request_id()
    assert correlation_id() is None


def test_full_dispatch_without_the_middleware_binds_and_cleans(app):
    """`full_dispatch_request` alone gives views the id, and an error its response."""
    app.add_url_rule("/ids", "ids", lambda: str(correlation_id()))
    with app.test_request_context("/ids", headers=ID):
        assert app.full_dispatch_request().get_data() == b"abc"
    with app.test_request_context("/nowhere", headers=ID):
        assert app.full_dispatch_request().json["correlationId"] == "abc"
    assert correlation_id() is None
