"""Any exception becomes the one error response, and is logged once with all that is known."""

from __future__ import annotations

import functools
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app, got_request_exception, request
from werkzeug.exceptions import HTTPException

from flask_hardening import http_errors
from flask_hardening.core import logs
from flask_hardening.core.errors import (
    AppError,
    AuthenticationError,
    AuthorizationError,
    Category,
    ConflictError,
    DeadlineError,
    DependencyError,
    NotFoundError,
    RateLimitError,
    UnavailableError,
    ValidationError,
)
from flask_hardening.core.recognition import INTERNAL, VALIDATION, Verdict, classify
from flask_hardening.error_response import Shape, crash_response, render
from flask_hardening.record import Record, record_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response as BaseResponse

    from flask_hardening.core.settings import Errors
    from flask_hardening.record import Answer, State

    Handler = Callable[[Any], Any]

__all__ = [
    "AppError",
    "AuthenticationError",
    "AuthorizationError",
    "Category",
    "ConflictError",
    "DeadlineError",
    "DependencyError",
    "NotFoundError",
    "RateLimitError",
    "UnavailableError",
    "ValidationError",
]

_SERVER_ERROR = 500


def init_app(app: Flask, config: Errors) -> None:
    """Wire the part."""
    state = state_of(app)
    shape = Shape(config.format == "problem", config.html, state.development)
    handle = functools.partial(_handle, shape)
    # not `Exception`: Flask then neither signals nor propagates what nobody expected
    _register(app, HTTPException, handle)
    _register(app, AppError, handle)
    for cls in _loaded_validation_errors():
        _register(app, cls, handle)
    state.begins.append(_late_registration(app, state, handle))
    got_request_exception.connect(_log_unexpected, sender=app, weak=False)
    if type(app).log_exception is Flask.log_exception:
        # its line would be a second one for the same exception
        app.log_exception = lambda *_: None  # type: ignore[method-assign]
    state.answer_crash = functools.partial(_answer_crash, app, shape)


def _register(app: Flask, cls: type[Exception], handle: Handler) -> None:
    """Register our handler, unless the app has one of its own for this very class."""
    if cls not in app.error_handler_spec[None][None]:
        app.register_error_handler(cls, handle)


def _loaded_validation_errors() -> list[type[Exception]]:
    found = []
    for name in VALIDATION:
        module, _, cls = name.rpartition(".")
        loaded = getattr(sys.modules.get(module), cls, None)
        if loaded is not None:
            found.append(loaded)
    return found


def _late_registration(
    app: Flask, state: State, handle: Handler
) -> Callable[[Record], None]:
    """Return an observer that registers, before the first request, what came after us."""

    def register(_: Record) -> None:
        # a new list: another thread may be walking through the old one
        state.begins = [begin for begin in state.begins if begin is not register]
        # Flask takes no handler after its first request; one that came past us was first
        with suppress(AssertionError):
            for cls in _loaded_validation_errors():
                _register(app, cls, handle)
            _watch_own_handlers(app, handle)

    return register


def _watch_own_handlers(app: Flask, ours: Handler) -> None:
    """
    Let no handler of the app's own hide a bug from the log.

    Flask tells nobody of an exception for which it finds a handler.
    """
    for cls, handler in list(app.error_handler_spec[None][None].items()):
        watched = handler is ours or isinstance(handler, _Watched)
        if not watched and not issubclass(cls, HTTPException):
            app.register_error_handler(cls, _Watched(app, handler))


class _Watched:
    """An error handler of the app's own, and a line for what it answers with a 5xx."""

    def __init__(self, app: Flask, handler: Handler) -> None:
        self._app = app
        self._handler = handler

    def __call__(self, error: Exception) -> BaseResponse:
        """Answer as the app's handler does."""
        response = self._app.make_response(self._app.ensure_sync(self._handler)(error))
        if response.status_code >= _SERVER_ERROR:
            record = _record()
            verdict = classify(error) or INTERNAL
            _log(record, error, replace(verdict, status=response.status_code))
        return response


def _handle(shape: Shape, error: Exception) -> Any:  # noqa: ANN401
    if isinstance(error, HTTPException) and (
        error.response is not None or error.code is None
    ):
        return error  # abort(Response) and redirects are answers, not errors
    try:
        return _respond(shape, error)
    except Exception as failure:  # noqa: BLE001 - the client must get an answer all the same
        record = _record()
        record.verdict, record.error = INTERNAL, failure
        _log(record, failure, INTERNAL)
        status, headers, body = crash_response(shape, record, INTERNAL, failure)
        return Response(body, status, headers)


def _respond(shape: Shape, error: Exception) -> BaseResponse:
    record = _record()
    verdict, cause = _judge(error)
    record.verdict, record.error = verdict, cause
    if verdict.status >= _SERVER_ERROR:
        _log(record, cause, verdict)
    base = error.get_response() if isinstance(error, HTTPException) else Response()
    return render(shape, record, verdict, cause, base)


def _record() -> Record:
    environ = request.environ
    record = record_of(environ)
    if record is None:  # a context that no request hook has run in
        record = Record(environ, state_of(current_app).identify(environ))
    record.note_route()
    return record


def _judge(error: Exception) -> tuple[Verdict, Exception]:
    """Return what an exception means, and the one that was raised in the first place."""
    if not isinstance(error, HTTPException):
        return classify(error) or INTERNAL, error
    original = getattr(error, "original_exception", None)
    if original is not None:
        return classify(original) or INTERNAL, original
    return http_errors.verdict_of(error), error


def _log_unexpected(app: Flask, exception: Exception, **_: Any) -> None:  # noqa: ARG001, ANN401
    record = _record()
    record.error = exception
    verdict = classify(exception) or INTERNAL
    # what is the client's to mend quotes its input: a taken value, an invalid one; the
    # request's line tells the rest
    if verdict.status >= _SERVER_ERROR:
        _log(record, exception, verdict)


def _log(record: Record, error: Exception, verdict: Verdict) -> None:
    if record.logged is error:
        return
    record.logged = error
    fields = {
        "method": record.environ.get("REQUEST_METHOD"),
        "route": record.route,
        "path": record.path,
        "endpoint": record.endpoint,
        "status": verdict.status,
        "error_category": verdict.category.value,
        "error_code": verdict.code,
    }
    message = f"{fields['method']} {fields['path']} failed: {type(error).__name__}"
    logs.emit("ERROR", "request.failed", message, __name__, fields, error)


def _answer_crash(
    app: Flask, shape: Shape, record: Record, error: Exception
) -> Answer | None:
    """
    Answer for an app whose error handling let an exception out, or let it pass.

    With `TESTING` or `PROPAGATE_EXCEPTIONS` it passes, as Flask means it to. In debug mode
    it passes to a browser, for the debugger's page; an API client gets the error response.
    """
    verdict = classify(error) or INTERNAL
    _log(record, error, verdict)
    propagate = app.config["PROPAGATE_EXCEPTIONS"]
    if propagate or (propagate is None and app.testing):
        return None
    browser = "text/html" in record.environ.get("HTTP_ACCEPT", "")
    if propagate is None and app.debug and browser:
        return None
    record.verdict = verdict
    return crash_response(shape, record, verdict, error)
