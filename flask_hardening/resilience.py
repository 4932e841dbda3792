"""Calls to the outside that survive a slow or dead dependency, and a deadline for each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.deadline import bind_for_request, deadline, from_header
from flask_hardening.core.resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.guard import guard
from flask_hardening.core.resilience.protection import protect
from flask_hardening.record import state_of

if TYPE_CHECKING:
    from flask import Flask

    from flask_hardening.core.resilience.transactions import transaction
    from flask_hardening.core.settings import Resilience
    from flask_hardening.record import Record

__all__ = [
    "BulkheadFullError",
    "CircuitOpenError",
    "DeadlineExceededError",
    "deadline",
    "guard",
    "protect",
    "transaction",
]

_HEADER = "HTTP_X_REQUEST_TIMEOUT_MS"
_LONGEST = 86_400.0


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name != "transaction":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # here alone: it needs SQLAlchemy, which not everybody has
    from flask_hardening.core.resilience.transactions import transaction  # noqa: PLC0415

    globals()[name] = transaction
    return transaction


def init_app(app: Flask, config: Resilience) -> None:
    """
    Wire the part.

    Raises:
        ConfigError: An option of a target is unknown or impossible, or the process's
            targets stand with other settings.
    """
    targets.set_up(config, owner=f"app {app.name!r}")
    if config.deadline is None and not config.trust_deadline:
        return
    state = state_of(app)

    def begin(record: Record) -> None:
        given = None
        if config.trust_deadline:
            given = from_header(record.environ.get(_HEADER), config.deadline or _LONGEST)
        bind_for_request(given or config.deadline)

    def end(_: Record) -> None:
        bind_for_request(None)

    state.begins.append(begin)
    state.ends.append(end)
