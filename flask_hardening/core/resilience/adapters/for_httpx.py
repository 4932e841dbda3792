"""`protect` for clients of httpx: each hop of each request is guarded, at its transport."""

from __future__ import annotations

import inspect
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, cast

import anyio
import httpx

from flask_hardening.core.propagation import propagate
from flask_hardening.core.resilience import deadline
from flask_hardening.core.resilience.adapters import http
from flask_hardening.core.resilience.adapters.http import Attempt, Call
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.errors import (
    REJECTIONS,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    StatusError,
)
from flask_hardening.core.resilience.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from flask_hardening.core.resilience.options import Options, Profile

    Wait = dict[str, float | None]

_PARTS = ("connect", "read", "write", "pool")
_GRACE = 0.05  # seconds: time-outs, which say what was waited for, are to come first
_OWN_SOCKET = (b"HTTP/1.0", b"HTTP/1.1")  # later ones carry others' requests as well


class _Refusal:
    """What who handles the errors of httpx may read of each: its client sets the request."""

    _request: httpx.Request | None = None


class HttpxCircuitOpenError(_Refusal, CircuitOpenError, httpx.ConnectError):
    """The host's breaker is open: nothing was sent."""


class HttpxBulkheadFullError(_Refusal, BulkheadFullError, httpx.ConnectError):
    """As many requests are under way as may be: nothing was sent."""


class HttpxDeadlineExceededError(_Refusal, DeadlineExceededError, httpx.TimeoutException):
    """The time for this piece of work is used up."""


_ERRORS: dict[type[Exception], type[Exception]] = {
    CircuitOpenError: HttpxCircuitOpenError,
    BulkheadFullError: HttpxBulkheadFullError,
    DeadlineExceededError: HttpxDeadlineExceededError,
}


def protect(
    client: httpx.Client | httpx.AsyncClient,
    name: str,
    profile: Profile,
    options: Mapping[str, Any],
) -> None:
    """
    Guard what a client sends, through its transport and those that are mounted.

    The guard ends where the body begins: one that is cut off is not asked for again. Still
    the deadline ends it, if it is in force where the body is read; over HTTP/2, and of
    headers that a client without `async` waits for, it bounds each wait by itself.
    """
    propagate(client)
    # nobody has chosen what is there by default, and the target has time-outs of its own
    chosen = inspect.signature(httpx.Client.__init__).parameters["timeout"].default
    if client.timeout == chosen:
        client.timeout = httpx.Timeout(None)
    caller = Caller(name, profile, options, errors=_ERRORS)
    found: dict[str, None] = {}
    held: Any = client  # its transports can be had in no other way
    kind: Any = _AsyncTransport if isinstance(client, httpx.AsyncClient) else _Transport

    def guarded(transport: Any) -> Any:  # noqa: ANN401
        found[_without_retries(transport)] = None
        return kind(transport, caller)

    held._transport = guarded(held._transport)  # noqa: SLF001
    for pattern, transport in held._mounts.items():  # noqa: SLF001
        held._mounts[pattern] = transport and guarded(transport)  # noqa: SLF001
    if stacked := ", ".join(filter(None, found)):
        http.warn_of_stacked(name, stacked)


def _without_retries(transport: Any) -> str:  # noqa: ANN401
    """Switch a transport's own retries off; returns what they were, if there were any."""
    pool = getattr(transport, "_pool", None)
    retries = getattr(pool, "_retries", None)
    if pool is None or not isinstance(retries, int) or retries <= 0:
        return ""
    pool._retries = 0  # noqa: SLF001
    return f"retries={retries}"


class _Guard:
    """
    What both kinds of transports have in common.

    Args:
        inner: The transport that sends.
        caller: Makes the calls.
    """

    def __init__(self, inner: Any, caller: Caller) -> None:  # noqa: ANN401
        self._inner, self._caller = inner, caller

    def _begin(self, request: httpx.Request) -> tuple[Call, bool]:
        again = http.may_repeat(
            request.method,
            request.headers,
            replayable=isinstance(request.stream, httpx.ByteStream),
        )
        return Call(request.method, str(request.url)), again

    @contextmanager
    def _attempt(self, call: Call, request: httpx.Request) -> Iterator[Attempt]:
        """Prepare a request for one attempt, and judge how it ends; the answer is read later."""
        given = request.extensions
        wait = _wait(given.get("timeout") or {}, self._caller.options)
        bounded = {part: deadline.bounded(wait[part]) for part in _PARTS}
        request.extensions = {**given, "timeout": bounded}
        http.stamp(request.headers, str(request.url))
        attempt = Attempt(self._caller.name, call)
        try:
            with attempt:
                yield attempt
        except Exception as error:  # noqa: BLE001 - it goes on
            raise _instead(attempt, error, wait) or error  # noqa: B904
        finally:
            request.extensions = given  # a redirect takes them over
        if attempt.late:
            raise cast("Exception", _instead(attempt, None, wait))


class _Transport(_Guard, httpx.BaseTransport):
    """A transport that guards each request which the one it wraps sends."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call, again = self._begin(request)
        response: Any
        try:
            response = self._caller.call(call.key, again, self._send_once, call, request)
        except (StatusError, *REJECTIONS) as error:
            response = call.answer(error)
        response.stream = _Body(response.stream, response)
        return response  # type: ignore[no-any-return]

    def _send_once(self, call: Call, request: httpx.Request) -> httpx.Response:
        call.drop()
        with self._attempt(call, request):
            response: httpx.Response = self._inner.handle_request(request)
        return call.accept(response)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object, **more: Any) -> None:  # noqa: ANN401
        self._inner.__exit__(*error, **more)

    def close(self) -> None:
        self._inner.close()


class _AsyncTransport(_Guard, httpx.AsyncBaseTransport):
    """The same, awaited."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call, again = self._begin(request)
        once = self._send_once
        try:
            response = await self._caller.call_async(call.key, again, once, call, request)
        except (StatusError, *REJECTIONS) as error:
            response = call.answer(error)
        response.stream = _AsyncBody(response.stream)
        return response  # type: ignore[no-any-return]

    async def _send_once(self, call: Call, request: httpx.Request) -> httpx.Response:
        await call.adrop()
        response: httpx.Response | None = None
        with self._attempt(call, request) as attempt:
            left = deadline.remaining()
            with anyio.move_on_after(left and left + _GRACE) as scope:
                response = await self._inner.handle_async_request(request)
            attempt.late = scope.cancelled_caught
        assert response is not None  # noqa: S101 - it has raised else
        return call.accept(response)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object, **more: Any) -> None:  # noqa: ANN401
        await self._inner.__aexit__(*error, **more)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx.SyncByteStream):
    """A body that ends with the deadline, if not by itself before."""

    def __init__(self, stream: Any, response: httpx.Response) -> None:  # noqa: ANN401
        self._stream, self._extensions = stream, response.extensions

    def __iter__(self) -> Iterator[bytes]:
        current = deadline.current()
        if current is None:
            yield from self._stream
            return
        with Watch(current.at) as watch:
            self._show(watch)
            try:
                for part in self._stream:
                    deadline.check()
                    yield part
            except (httpx.TransportError, DeadlineExceededError) as error:
                if watch.fired or deadline.is_past():
                    raise deadline.exceeded(HttpxDeadlineExceededError) from error
                raise
        if watch.fired:  # cut off, even if it looks whole
            raise deadline.exceeded(HttpxDeadlineExceededError)

    def _show(self, watch: Watch) -> None:
        network = self._extensions.get("network_stream")
        if network is None or self._extensions.get("http_version") not in _OWN_SOCKET:
            return
        with suppress(Exception):  # a transport of another kind, or a socket closed by now
            watch.over(network.get_extra_info("socket").fileno())

    def close(self) -> None:
        self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    """The same, awaited."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if deadline.current() is None:
            async for part in self._stream:
                yield part
            return
        parts = aiter(self._stream)
        while True:
            part = None
            with anyio.move_on_after(deadline.remaining()) as scope:
                part = await anext(parts, None)
            if scope.cancelled_caught or (part is not None and deadline.is_past()):
                raise deadline.exceeded(HttpxDeadlineExceededError)
            if part is None:
                return
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _wait(given: Mapping[str, float | None], options: Options) -> Wait:
    """Return the time-outs of a request without a deadline: those it has, and those it lacks."""
    wait: Wait = dict.fromkeys(_PARTS, options.timeout)
    wait["connect"] = options.connect_timeout
    return wait | {part: seconds for part, seconds in given.items() if seconds is not None}


def _instead(attempt: Attempt, error: Exception | None, wait: Wait) -> Exception | None:
    late = HttpxDeadlineExceededError
    other: Exception | None
    if isinstance(error, httpx.PoolTimeout):  # it says nothing of the target anyway
        other = deadline.exceeded(late) if deadline.is_past() else None
    else:
        timeout = wait["connect" if isinstance(error, httpx.ConnectTimeout) else "read"]
        other = attempt.instead(error, timeout, late=late, slow=httpx.ReadTimeout)
    if other is not None:
        other.__cause__ = error  # here, since who raises it is not to hold it as well
    return other
