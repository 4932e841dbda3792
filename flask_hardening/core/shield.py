"""The wall between telemetry and its host: what fails here is counted and said once, never raised."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import orjson

from flask_hardening.core import channel

if TYPE_CHECKING:
    from collections.abc import Callable

Loss = tuple[str, str, str]

dropped: Counter[Loss] = Counter()
_said: set[Loss] = set()
_pending: deque[Loss] = deque()
_lock = threading.Lock()
_KINDS = 100  # reasons may come from outside
_STDERR = 2


def shielded(signal: str, output: str, call: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    """
    Call telemetry and let nothing of its failure reach the host.

    Args:
        signal: What would be lost: `log`, `metric`, `trace`, `header`.
        output: Where it was going: the name of a part or an output.
        call: The telemetry.
        *args: Its arguments.

    Returns:
        What *call* returned, or None if it failed.
    """
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001 - this is what a shield is for
        drop(signal, output, type(error).__name__)
        return None


def drop(signal: str, output: str, reason: str) -> None:
    """
    Count one loss, and say it on stderr the first time it happens.

    It is said past all outputs of ours: one of them may be what failed. Nobody waits for
    the lock: who holds it counts for all, so a signal handler or a finalizer that comes in
    between can lose something too.
    """
    _pending.append((signal, output, reason))
    while _pending and _lock.acquire(blocking=False):
        try:
            first = _count()
        finally:
            _release()
        for loss in first:
            _say(loss)


def _count() -> list[Loss]:
    first = []
    while _pending:
        loss = _pending.popleft()
        if loss not in dropped and len(dropped) >= _KINDS:
            loss = (loss[0], "other", "other")
        dropped[loss] += 1
        if loss not in _said:
            _said.add(loss)
            first.append(loss)
    return first


def _release() -> None:
    if _lock.locked():  # a fork in between has renewed it
        _lock.release()


def loss_line(message: str, loss: Loss, **more: int) -> bytes:
    """Return the line that tells of a loss."""
    signal, output, reason = loss
    line = {
        "timestamp": datetime.now(timezone.utc),
        "level": "WARNING",
        "message": message,
        "event": "telemetry.dropped",
        "logger": __name__,
        "signal": signal,
        "output": output,
        "reason": reason,
        **more,
    }
    return orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _say(loss: Loss) -> None:
    try:
        told = loss_line("Telemetry was lost; more of this kind is only counted.", loss)
        stderr = channel.standard(_STDERR)
        stderr.look()
        stderr.write(told)
    except (OSError, ValueError, TypeError):
        return


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a lock held by another thread at fork stays held
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
