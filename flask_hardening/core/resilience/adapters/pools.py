"""Connections of urllib3 that say on which socket they wait, so that it can be cut off in time."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_hardening.core.resilience.watch import Watch

_MARK = "_hardening_watches"
_watch: ContextVar[Watch | None] = ContextVar("hardening_urllib3_watch", default=None)


@contextmanager
def watched_by(watch: Watch | None) -> Iterator[None]:
    """Have the connections that a block uses watched; with None, none of them."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def watch_over(adapter: Any) -> None:  # noqa: ANN401
    """
    Let an adapter of `requests` make connections that can be watched.

    Those that it has are closed once nobody uses them. One that makes its connections in a
    way of its own stays as it is.
    """
    if hasattr(adapter, "poolmanager"):
        _prepare(adapter.poolmanager)
    make = getattr(adapter, "proxy_manager_for", None)
    if make is None or hasattr(make, _MARK):
        return

    def proxy_manager_for(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return _prepare(make(*args, **kwargs))

    setattr(proxy_manager_for, _MARK, True)
    adapter.proxy_manager_for = proxy_manager_for


def _prepare(manager: Any) -> Any:  # noqa: ANN401
    standing = manager.pool_classes_by_scheme
    watched = {scheme: _watched(pool) for scheme, pool in standing.items()}
    if watched != standing:
        manager.pool_classes_by_scheme = watched
        manager.clear()
    return manager


@cache
def _watched(pool: type[Any]) -> type[Any]:
    """Return a kind of pool whose connections can be watched."""
    connection = pool.ConnectionCls
    if issubclass(connection, _Watched):
        return pool
    watched = type(connection.__name__, (_Watched, connection), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})


class _Watched:
    """What such a connection adds to one of urllib3's, of whatever kind."""

    _watched: Watch | None = None

    def _new_conn(self) -> Any:  # noqa: ANN401 - a socket, or what stands for one
        made = super()._new_conn()  # type: ignore[misc]
        self._tell(made)  # handshakes may be slow too
        return made

    def putrequest(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self._tell(getattr(self, "sock", None))  # none yet, unless it is used again
        return super().putrequest(*args, **kwargs)  # type: ignore[misc]

    def _tell(self, connection: Any) -> None:  # noqa: ANN401
        watch = _watch.get()
        if watch is not None and connection is not None and watch is not self._watched:
            self._watched = watch
            with suppress(OSError):  # there is no descriptor left for a copy
                watch.over(connection.fileno())
