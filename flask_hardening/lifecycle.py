"""The WSGI middleware: one record per request, from the first byte to the last."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, cast

from flask import request

from flask_hardening.core import correlation
from flask_hardening.core.correlation import bind, unbind
from flask_hardening.core.shield import drop, shielded
from flask_hardening.core.told import mark_told
from flask_hardening.record import KEY, Record, State, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask

    from flask_hardening.record import Headers

_bound: ContextVar[Token[correlation.Unit | None] | None] = ContextVar(
    "hardening_bound", default=None
)


def init_app(app: Flask, state: State) -> None:
    """Put the middleware round an app, and a pair of hooks for ways that go past it."""
    lifecycle = Lifecycle(app.wsgi_app, state)

    def enter() -> None:
        unit = correlation.current()
        if unit is not None and unit.request_id:
            return  # the middleware's, as nearly always
        environ = request.environ
        environ[KEY] = record = lifecycle.begin(environ)
        _bound.set(bind(record.unit))

    def leave(error: BaseException | None) -> None:
        if error is not None:
            record = record_of(request.environ)
            if record is not None:
                record.note_route()
        # a context can be torn down twice; the token is there once
        token = _bound.get()
        if token is not None:
            _bound.set(None)
            correlation.reset(token)

    app.before_request(enter)
    app.teardown_request(leave)
    app.wsgi_app = lifecycle  # type: ignore[method-assign]


class Lifecycle:
    """The middleware itself, to be outermost round `app.wsgi_app`."""

    def __init__(self, wsgi: WSGIApplication, state: State) -> None:
        self._wsgi = wsgi
        self._state = state

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        state = self._state
        environ[KEY] = record = Record(environ, state.identify(environ))
        token = bind(record.unit)
        try:
            for begin in state.begins:
                try:
                    begin(record)
                except Exception as error:  # noqa: BLE001 - see core.shield
                    drop("request", "begin", type(error).__name__)
            start = self._start(record, start_response)
            try:
                body = self._wsgi(environ, start)
            except Exception as error:  # noqa: BLE001 - it is raised again without an answer
                body = self._answer_crash(record, start, error)
            return self._body(record, body)
        except Exception as error:
            record.error = record.error or error
            record.status = record.status or 500
            self.end(record)
            raise
        except BaseException as error:
            record.error = error
            record.aborted = "worker_exit"
            self.end(record)
            raise
        finally:
            unbind(token)

    def begin(self, environ: WSGIEnvironment) -> Record:
        """Make the record of a request."""
        return Record(environ, self._state.identify(environ))

    def _answer_crash(
        self, record: Record, start: StartResponse, error: Exception
    ) -> Iterable[bytes]:
        record.error = record.error or error
        answer = shielded("error", "response", self._state.answer_crash, record, error)
        if answer is None:
            raise error
        status, headers, body = answer
        start(status, headers)
        return [body]

    def _start(self, record: Record, start_response: StartResponse) -> StartResponse:
        state = self._state

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:  # noqa: ANN401
            record.status = int(status[:3])
            matched = getattr(record.environ.get("werkzeug.request"), "url_rule", None)
            if matched is not None:
                record.route, record.endpoint = matched.rule, matched.endpoint
            record.headers = headers = _merged(state, record, headers)
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return cast("StartResponse", start)

    def _body(self, record: Record, body: Iterable[bytes]) -> Iterable[bytes]:
        if body == ():
            self.end(record)
            return body
        wrapper = record.environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            return self._file(record, body)
        return _Body(self, record, body)

    def _file(self, record: Record, body: Iterable[bytes]) -> Iterable[bytes]:
        """
        Return the server's own file wrapper, so that it can send the file by `sendfile`.

        Its `close` is the only end of the request that can be seen.
        """
        close = getattr(body, "close", None)

        def close_and_end() -> None:
            try:
                if close is not None:
                    close()
            finally:
                record.sent = record.declared or 0
                self._end_bound(record)

        try:
            body.close = close_and_end  # type: ignore[attr-defined]
        except AttributeError:
            self.end(record)
        return body

    def _end_bound(self, record: Record) -> None:
        token = bind(record.unit)
        try:
            self.end(record)
        finally:
            unbind(token)

    def end(self, record: Record) -> None:
        """Finish a record and hand it to the observers, once."""
        if record.duration is not None:
            return
        record.duration = record.elapsed
        if record.error is not None:
            mark_told(record.error)
        # they hold each other: what is left to the garbage collector costs every request
        record.environ.pop(KEY, None)
        for observe in self._state.ends:
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - see core.shield
                drop("request", "end", type(error).__name__)


def _merged(state: State, record: Record, headers: Headers) -> Headers:
    """Return the app's headers with ours in place, and note how long the body will be."""
    names = state.head_names
    merged: Headers = []
    for pair in headers:
        name = pair[0].lower()
        if name in names:
            if name != "content-length":
                continue
            record.declared = int(pair[1]) if pair[1].isdecimal() else None
        merged.append(pair)
    for head in state.heads:
        try:
            merged += head(record)
        except Exception as error:  # noqa: BLE001 - see core.shield
            drop("header", "response", type(error).__name__)
    return merged


class _Body:
    """
    A response body that runs under its request's ids and tells when it ends.

    The server asks for each part after `__call__` has returned, so the ids are bound round
    each step.
    """

    __slots__ = ("_body", "_lifecycle", "_record")

    def __init__(self, lifecycle: Lifecycle, record: Record, body: Iterable[bytes]) -> None:
        self._lifecycle = lifecycle
        self._record = record
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        record = self._record
        token = bind(record.unit)
        bound = True
        try:
            for part in self._body:
                record.sent += len(part)
                if record.given is not None:
                    record.given.add(part)
                unbind(token)
                bound = False
                yield part
                token, bound = bind(record.unit), True
            self._lifecycle.end(record)
        except GeneratorExit:
            raise  # `close` tells how it ended
        except Exception as error:
            self._abort("stream_error", error)
            raise
        except BaseException as error:
            self._abort("worker_exit", error)
            raise
        finally:
            if bound:
                unbind(token)

    def close(self) -> None:
        """Close the app's body; one that isn't exhausted was cut off."""
        record = self._record
        token = bind(record.unit)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if record.duration is None:
                if record.sent != record.declared:
                    record.aborted = "client_disconnected"
                self._lifecycle.end(record)
            unbind(token)

    def _abort(self, why: str, error: BaseException) -> None:
        record = self._record
        record.error = record.error or error
        record.aborted = why
        self._lifecycle.end(record)
