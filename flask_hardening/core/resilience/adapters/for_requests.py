"""`protect` for sessions of `requests`: each hop of each request is guarded, at its adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import requests
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout, Timeout
from urllib3.util import Retry
from urllib3.util import Timeout as Timeouts

from flask_hardening.core.propagation import propagate
from flask_hardening.core.resilience import deadline
from flask_hardening.core.resilience.adapters import http, pools
from flask_hardening.core.resilience.adapters.http import Attempt, Call
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.errors import (
    REJECTIONS,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    StatusError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_hardening.core.resilience.options import Options, Profile
    from flask_hardening.core.resilience.watch import Watch

_MARK = "_hardening_guards"


class _Refusal:
    """What who handles the errors of `requests` may read of each."""

    request: Any = None
    response: Any = None


class RequestsCircuitOpenError(_Refusal, CircuitOpenError, RequestsConnectionError):
    """The host's breaker is open: nothing was sent."""


class RequestsBulkheadFullError(_Refusal, BulkheadFullError, RequestsConnectionError):
    """As many requests are under way as may be: nothing was sent."""


class RequestsDeadlineExceededError(_Refusal, DeadlineExceededError, Timeout):
    """The time for this piece of work is used up."""


_ERRORS: dict[type[Exception], type[Exception]] = {
    CircuitOpenError: RequestsCircuitOpenError,
    BulkheadFullError: RequestsBulkheadFullError,
    DeadlineExceededError: RequestsDeadlineExceededError,
}


def protect(
    session: requests.Session, name: str, profile: Profile, options: Mapping[str, Any]
) -> None:
    """
    Guard what a session sends.

    Adapters that are mounted later are not guarded. Without `stream=True` a body is read
    within the attempt, and one that is cut off is asked for again; with it the guard ends
    where the body begins. The deadline does not bound looking up a host's name, nor each of
    its addresses by itself.
    """
    propagate(session)
    caller = Caller(name, profile, options, errors=_ERRORS)
    recipe = name, profile, dict(options)
    found = []
    for prefix, adapter in list(session.adapters.items()):
        # a session that was pickled has forgotten that it is protected
        if not hasattr(adapter, _MARK):
            found.append(_without_retries(adapter))
            session.mount(prefix, cast("Any", _Adapter(adapter, caller, recipe)))
    if stacked := ", ".join(dict.fromkeys(filter(None, found))):
        http.warn_of_stacked(name, stacked)


def _without_retries(adapter: Any) -> str:  # noqa: ANN401
    """Switch an adapter's own retries off; returns what they were, if there were any."""
    innermost = _innermost(adapter)
    retries = getattr(innermost, "max_retries", None)
    # None leaves it to the other numbers, which only count as far as this one goes
    if not isinstance(retries, Retry) or not (retries.total is None or retries.total > 0):
        return ""
    innermost.max_retries = Retry(0, read=False)
    return repr(retries)


def _innermost(adapter: Any) -> Any:  # noqa: ANN401
    while "_inner" in getattr(adapter, "__dict__", ()):
        adapter = vars(adapter)["_inner"]
    return adapter


class _Adapter:
    """
    A transport adapter that guards each request which the one it wraps sends.

    Args:
        inner: That one.
        caller: Makes the calls.
        recipe: What makes another caller of the kind, where this is unpickled.
    """

    def __init__(
        self,
        inner: Any,  # noqa: ANN401
        caller: Caller,
        recipe: tuple[str, Profile, dict[str, Any]],
    ) -> None:
        self._inner, self._caller, self._recipe = inner, caller, recipe
        setattr(self, _MARK, True)
        pools.watch_over(_innermost(inner))

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (self._inner, self._recipe)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - as `requests` has it
        timeout: Any = None,  # noqa: ANN401
        verify: Any = True,  # noqa: ANN401, FBT002
        cert: Any = None,  # noqa: ANN401
        proxies: Any = None,  # noqa: ANN401
    ) -> requests.Response:
        call, body = Call(request.method, request.url), request.body
        replayable = body is None or isinstance(body, (bytes, str))
        again = http.may_repeat(request.method, request.headers, replayable=replayable)
        sending = {"stream": stream, "verify": verify, "cert": cert, "proxies": proxies}
        arguments = call, request, timeout, sending
        response: Any
        try:
            response = self._caller.call(call.key, again, self._send_once, *arguments)
        except (StatusError, *REJECTIONS) as error:
            vars(error)["request"] = request
            response = call.answer(error)
        response.connection = self  # what answers a challenge sends through it
        return response  # type: ignore[no-any-return]

    def _send_once(
        self,
        call: Call,
        request: requests.PreparedRequest,
        timeout: Any,  # noqa: ANN401
        sending: dict[str, Any],
    ) -> requests.Response:
        call.drop()
        wait = _wait(timeout, self._caller.options)
        sending = sending | {"timeout": wait.bounded()}
        http.stamp(request.headers, request.url)
        attempt = Attempt(self._caller.name, call)
        try:
            with attempt:
                response = self._exchange(attempt.watch, request, sending)
        except Exception as error:  # noqa: BLE001 - it goes on
            raise _instead(attempt, error, wait, request) or error  # noqa: B904
        if attempt.late:
            response.close()  # cut off, even if it looks whole
            raise cast("Exception", _instead(attempt, None, wait, request))
        return call.accept(response)

    def _exchange(
        self,
        watch: Watch | None,
        request: requests.PreparedRequest,
        sending: dict[str, Any],
    ) -> requests.Response:
        """Send, and read the body if it is wanted at once."""
        with pools.watched_by(watch):
            response: requests.Response = self._inner.send(request, **sending)
            try:
                if not sending["stream"]:
                    _ = response.content
            except BaseException:
                response.close()
                raise
            return response


def _instead(
    attempt: Attempt,
    error: Exception | None,
    wait: _Wait,
    request: requests.PreparedRequest,
) -> Exception | None:
    connecting = isinstance(error, requests.exceptions.ConnectTimeout)
    other = attempt.instead(
        error,
        wait.connect if connecting else wait.read,
        late=RequestsDeadlineExceededError,
        slow=ReadTimeout,
    )
    if other is not None:
        other.__cause__ = error  # here, since who raises it is not to hold it as well
        vars(other)["request"] = request
    return other


def _revived(inner: Any, recipe: tuple[str, Profile, dict[str, Any]]) -> _Adapter:  # noqa: ANN401
    return _Adapter(inner, Caller(*recipe, errors=_ERRORS), recipe)


class _Wait(NamedTuple):
    """
    How long a request may take, without a deadline.

    Attributes:
        connect: Seconds to connect.
        read: Seconds to wait for each part of the answer.
        given: A time-out that is not made of these two.
    """

    connect: float | None
    read: float | None
    given: Any = None

    def bounded(self) -> Any:  # noqa: ANN401 - whatever adapters take
        """Return the time-out for an attempt that begins now."""
        if self.given is None:
            return deadline.bounded(self.connect), deadline.bounded(self.read)
        if isinstance(self.given, Timeouts) and deadline.current() is not None:
            clone = self.given.clone()
            clone.total = deadline.bounded(_number(clone.total))
            return clone
        return self.given


def _wait(timeout: Any, options: Options) -> _Wait:  # noqa: ANN401
    if isinstance(timeout, Timeouts):
        total = _number(timeout.total)
        read = total if total is not None else _number(timeout.read_timeout)
        return _Wait(_number(timeout.connect_timeout), read, timeout)
    is_pair = isinstance(timeout, tuple) and len(timeout) == 2  # noqa: PLR2004
    connect, read = timeout if is_pair else (timeout, timeout)
    if not all(part is None or isinstance(part, (int, float)) for part in (connect, read)):
        return _Wait(None, None, timeout)  # `requests` is to say what is wrong with it
    return _Wait(
        options.connect_timeout if connect is None else connect,
        options.timeout if read is None else read,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
