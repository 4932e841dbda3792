"""What one Celery app has of the house, and what takes it all back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flask_hardening.core import settings
from flask_hardening.core.config import Configuration
from flask_hardening.core.correlation import AllowList, Origin

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
        general = self.configuration.section(settings.General)
        correlated = self.configuration.section(settings.Correlation)
        timings = self.configuration.section(settings.Timings)
        environment = general.environment or (
            "development" if config.get("DEBUG") else "production"
        )
        self.development = environment == "development"
        self.origin = Origin(
            general.service or app.main or "celery",
            environment,
            correlated.header,
            AllowList(correlated.propagate_to),
            slow_db=timings.slow_db if timings.enabled else 0.0,
            slow_external=timings.slow_external if timings.enabled else 0.0,
        )
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
