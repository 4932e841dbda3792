"""The wall between telemetry and its host: what fails here is counted and said once, never raised."""

from __future__ import annotations

import os
import threading
from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

Loss = tuple[str, str, str]

dropped: Counter[Loss] = Counter()
_said: set[Loss] = set()
_lock = threading.Lock()
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

    It is said past all outputs of ours: one of them may be what failed.
    """
    loss = (signal, output, reason)
    with _lock:
        dropped[loss] += 1
        first = loss not in _said
        _said.add(loss)
    if first:
        _say(loss)


def _say(loss: Loss) -> None:
    signal, output, reason = loss
    line = {
        "timestamp": datetime.now(timezone.utc),
        "level": "WARNING",
        "message": "Telemetry was lost; more of this kind is only counted.",
        "event": "telemetry.dropped",
        "logger": __name__,
        "signal": signal,
        "output": output,
        "reason": reason,
    }
    try:
        os.write(_STDERR, orjson.dumps(line, option=orjson.OPT_UTC_Z) + b"\n")
    except (OSError, ValueError):
        return


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a lock held by another thread at fork stays held
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
