"""What one Celery app has of the house, and what takes it all back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flask_hardening.core.config import Configuration
from flask_hardening.core.identity import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery import Celery
    from celery.utils.dispatch import Signal


class Installation:
    """
    What one Celery app has of the house.

    Attributes:
        app: The Celery app.
        configuration: Its settings.
        origin: Who it is, for log lines and outgoing calls.
        development: Whether it runs in development.
    """

    def __init__(self, app: Celery, config: Mapping[str, Any]) -> None:
        self.app = app
        self.configuration = Configuration(config, os.environ)
        name, debug = app.main or "celery", bool(config.get("DEBUG"))
        self.origin = origin_of(self.configuration, name, debug=debug)
        self.development = self.origin.development
        self._undo: list[Callable[[], Any]] = []

    def connect(self, signal: Signal, receiver: Callable[..., Any]) -> None:
        """Connect a receiver for as long as the hooks are installed."""
        uid = f"celery_hooks.{id(self.app)}.{receiver.__qualname__}"
        signal.connect(receiver, weak=False, dispatch_uid=uid)
        self.undo_with(lambda: signal.disconnect(dispatch_uid=uid))

    def undo_with(self, undo: Callable[[], Any]) -> None:
        """Remember what takes a change back."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Take all changes back, the last one first."""
        while self._undo:
            self._undo.pop()()
