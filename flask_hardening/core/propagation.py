"""`propagate`: HTTP clients that carry the id to allowed hosts, and to no others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from flask_hardening.core import correlation

if TYPE_CHECKING:
    from collections.abc import MutableMapping

T = TypeVar("T")
_MARK = "_hardening_propagates"


def propagate(client: T) -> T:
    """
    Make an HTTP client carry the correlation id.

    Each call asks `HARDENING_CORRELATION_PROPAGATE_TO`, each hop of a redirect anew. Call
    it after mounting adapters of your own; calling it twice changes nothing.

    Args:
        client: A `requests.Session`, `httpx.Client` or `httpx.AsyncClient`.

    Returns:
        The same object.

    Raises:
        TypeError: It is none of these.
    """
    for module, name, prepare in _SUPPORTED:
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(client, getattr(loaded, name)):
            if not getattr(client, _MARK, False):
                prepare(client)
                setattr(client, _MARK, True)
            return client
    names = ", ".join(f"{module}.{name}" for module, name, _ in _SUPPORTED)
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    raise TypeError(f"propagate() takes one of {names}; got a {kind}.")


def stamp(headers: MutableMapping[str, Any], url: str) -> None:
    """
    Put the headers for a call to *url* in place, and take away what must not go there.

    A redirected request arrives with the headers of the hop before, so our own id is
    removed where the new host is not allowed to see it.
    """
    allowed = correlation.outgoing(url)
    if allowed:
        for name, value in allowed.items():
            headers.setdefault(name, value)
        return
    unit = correlation.current()
    if unit and unit.origin and headers.get(unit.origin.header) == unit.correlation_id:
        del headers[unit.origin.header]


def _requests_session(session: Any) -> None:  # noqa: ANN401
    for prefix, adapter in list(session.adapters.items()):
        session.mount(prefix, _Adapter(adapter))


class _Adapter:
    """
    A transport adapter that stamps each request before the one it wraps sends it.

    The adapter is where `requests` lets others in, and the only place it passes for every
    hop of a redirect.
    """

    def __init__(self, inner: Any) -> None:  # noqa: ANN401
        self._inner = inner

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        stamp(request.headers, request.url)
        return self._inner.send(request, *args, **kwargs)

    def close(self) -> None:
        self._inner.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name == "_inner":  # unpickling asks before anything is set
            raise AttributeError(name)
        return getattr(self._inner, name)


def _httpx_client(client: Any) -> None:  # noqa: ANN401
    def hook(request: Any) -> None:  # noqa: ANN401
        stamp(request.headers, str(request.url))

    _add_hook(client, hook)


def _httpx_async_client(client: Any) -> None:  # noqa: ANN401
    async def hook(request: Any) -> None:  # noqa: ANN401
        stamp(request.headers, str(request.url))

    _add_hook(client, hook)


def _add_hook(client: Any, hook: Any) -> None:  # noqa: ANN401
    hooks = client.event_hooks
    client.event_hooks = {**hooks, "request": [*hooks.get("request", ()), hook]}


_SUPPORTED = (
    ("requests", "Session", _requests_session),
    ("httpx", "Client", _httpx_client),
    ("httpx", "AsyncClient", _httpx_async_client),
)
