"""The WSGI middleware: one record per request, from the first byte to the last."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, cast

from flask import request

from flask_hardening.core import correlation
from flask_hardening.core.shield import drop, shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextvars import Token
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask

    from flask_hardening.core.config import Configuration
    from flask_hardening.core.recognition import Verdict

    Headers = list[tuple[str, str]]
    Head = Callable[["Record"], Iterable[tuple[str, str]]]
    Observer = Callable[["Record"], None]
    Answer = tuple[str, Headers, bytes]

KEY = "hardening.record"
_TOKEN = "hardening.token"  # noqa: S105 - the name of an environ entry
EXTENSION = "hardening"
UNMATCHED = "<unmatched>"
_SUCCESS = 400
_MILLION = 1_000_000


class Record:
    """
    What is known of one request; observers get it once, after the last byte.

    Attributes:
        environ: The WSGI environment.
        unit: The ids it runs under.
        route: The URL rule that matched, `<unmatched>` if none did.
        endpoint: The view that rule leads to, or None.
        declared: Its `Content-Length`, or None.
        status: HTTP status; None if no response was begun.
        sent: Bytes of the body that the server has taken.
        verdict: What its error means to the client, if it had one.
        error: The exception behind it, if there was one.
        logged: The exception that has had its line.
        aborted: Why it ended before its last byte: `client_disconnected`,
            `worker_exit`, `stream_error`; None if it didn't.
        duration: Milliseconds from the first byte to the last.
    """

    __slots__ = (
        "_started",
        "aborted",
        "declared",
        "duration",
        "endpoint",
        "environ",
        "error",
        "logged",
        "route",
        "sent",
        "status",
        "unit",
        "verdict",
    )

    def __init__(self, environ: WSGIEnvironment, unit: correlation.Unit) -> None:
        self.environ = environ
        self.unit = unit
        self.route = UNMATCHED
        self.endpoint: str | None = None
        self.status: int | None = None
        self.declared: int | None = None
        self.sent = 0
        self.verdict: Verdict | None = None
        self.error: BaseException | None = None
        self.logged: BaseException | None = None
        self.aborted: str | None = None
        self.duration: float | None = None
        self._started = perf_counter_ns()

    @property
    def elapsed(self) -> float:
        """Milliseconds since the first byte."""
        return (perf_counter_ns() - self._started) / _MILLION

    @property
    def path(self) -> str:
        """The path as the app sees it, without the query."""
        environ = self.environ
        path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        # WSGI hands over bytes dressed as latin-1 (PEP 3333)
        return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")

    def note_route(self) -> None:
        """
        Remember what the request was routed to.

        Flask takes its request out of the environment when the context ends, so this is
        asked while there is one.
        """
        matched = getattr(self.environ.get("werkzeug.request"), "url_rule", None)
        if matched is not None:
            self.route, self.endpoint = matched.rule, matched.endpoint

    @property
    def succeeded(self) -> bool:
        """Whether it was answered in full, with a status below 400."""
        return self.aborted is None and self.status is not None and self.status < _SUCCESS


class State:
    """
    What one app has of the house, in `app.extensions["hardening"]`.

    Attributes:
        configuration: Its settings.
        origin: Who it is, for log lines and outgoing calls.
        development: Whether clients may see stack traces.
        identify: Makes the unit of work of a request.
        heads: Give each response's headers, in place of the app's own of those names.
        head_names: Those names, in lower case.
        begins: Observers of a request's first byte.
        ends: Observers of its last byte.
        answer_crash: Answers for an app whose own error handling failed.
    """

    def __init__(
        self,
        configuration: Configuration,
        origin: correlation.Origin,
        *,
        development: bool,
    ) -> None:
        self.configuration = configuration
        self.origin = origin
        self.development = development
        self.identify: Callable[[WSGIEnvironment], correlation.Unit] = _anonymous
        self.heads: list[Head] = []
        self.head_names: set[str] = {"content-length"}
        self.begins: list[Observer] = []
        self.ends: list[Observer] = []
        self.answer_crash: Callable[[Record, Exception], Answer | None] = _no_answer

    def add_head(self, names: Iterable[str], head: Head) -> None:
        """Let *head* give the headers of these names."""
        self.heads.append(head)
        self.head_names.update(name.lower() for name in names)


def state_of(app: Flask) -> State:
    """Return what an app has of the house."""
    return cast("State", app.extensions[EXTENSION])


def record_of(environ: WSGIEnvironment) -> Record | None:
    """Return the record of a request."""
    return environ.get(KEY)


def init_app(app: Flask, state: State) -> None:
    """Put the middleware round an app, and a pair of hooks for ways that go past it."""
    lifecycle = Lifecycle(app.wsgi_app, state)

    def enter() -> None:
        environ = request.environ
        record = environ.get(KEY)
        if record is None:
            environ[KEY] = record = lifecycle.begin(environ)
            environ[_TOKEN] = correlation.bind(record.unit)
        record.note_route()

    def leave(_: BaseException | None) -> None:
        # a context can be torn down twice; the token is there once
        token = request.environ.pop(_TOKEN, None)
        if token is not None:
            correlation.reset(token)

    app.before_request(enter)
    app.teardown_request(leave)
    app.wsgi_app = lifecycle  # type: ignore[method-assign]


def _anonymous(_: WSGIEnvironment) -> correlation.Unit:
    return correlation.Unit(correlation.new_id())


def _no_answer(_: Record, __: Exception) -> Answer | None:
    return None


class Lifecycle:
    """The middleware itself, to be outermost round `app.wsgi_app`."""

    def __init__(self, wsgi: WSGIApplication, state: State) -> None:
        self._wsgi = wsgi
        self._state = state

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        record = self.begin(environ)
        environ[KEY] = record
        token = correlation.bind(record.unit)
        try:
            for begin in self._state.begins:
                try:
                    begin(record)
                except Exception as error:  # noqa: BLE001 - see core.shield
                    drop("request", "begin", type(error).__name__)
            start = self._start(record, start_response)
            return self._body(record, self._run(record, environ, start))
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
            correlation.reset(token)

    def begin(self, environ: WSGIEnvironment) -> Record:
        """Make the record of a request."""
        return Record(environ, self._state.identify(environ))

    def _run(
        self, record: Record, environ: WSGIEnvironment, start: StartResponse
    ) -> Iterable[bytes]:
        try:
            return self._wsgi(environ, start)
        except Exception as error:
            record.error = record.error or error
            answer = shielded("error", "response", self._state.answer_crash, record, error)
            if answer is None:
                raise
            status, headers, body = answer
            start(status, headers)
            return [body]

    def _start(self, record: Record, start_response: StartResponse) -> StartResponse:
        state = self._state

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:  # noqa: ANN401
            record.status = int(status[:3])
            record.note_route()
            headers = _merged(state, record, headers)
            if exc_info is not None:
                return start_response(status, headers, exc_info)
            return start_response(status, headers)

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
        token = correlation.bind(record.unit)
        try:
            self.end(record)
        finally:
            correlation.reset(token)

    def end(self, record: Record) -> None:
        """Finish a record and hand it to the observers, once."""
        if record.duration is not None:
            return
        record.duration = record.elapsed
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

    __slots__ = ("_close", "_lifecycle", "_next", "_record")

    def __init__(self, lifecycle: Lifecycle, record: Record, body: Iterable[bytes]) -> None:
        self._lifecycle = lifecycle
        self._record = record
        self._next = iter(body).__next__
        self._close: Callable[[], None] | None = getattr(body, "close", None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        record = self._record
        token = correlation.bind(record.unit)
        try:
            part = self._next()
        except StopIteration:
            self._lifecycle.end(record)
            raise
        except Exception as error:
            record.error = record.error or error
            self._abort("stream_error")
            raise
        except BaseException as error:
            record.error = record.error or error
            self._abort("worker_exit")
            raise
        finally:
            correlation.reset(token)
        record.sent += len(part)
        return part

    def close(self) -> None:
        """Close the app's body; one that isn't exhausted was cut off."""
        token: Token[correlation.Unit | None] = correlation.bind(self._record.unit)
        try:
            if self._close is not None:
                self._close()
        finally:
            record = self._record
            if record.duration is None and record.sent != record.declared:
                self._abort("client_disconnected")
            self._lifecycle.end(record)
            correlation.reset(token)

    def _abort(self, why: str) -> None:
        self._record.aborted = why
        self._lifecycle.end(self._record)
