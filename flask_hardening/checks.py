"""What is looked at once, at the first request: mistakes in the set-up that fail nowhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask_hardening.core import logs, settings
from flask_hardening.core.logs.intake import StdlibIntake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from flask_hardening.record import Record, State

_DEVELOPMENT = "development"


def init_app(app: Flask, state: State) -> None:
    """Look at the app's set-up when its first request comes."""

    def look(_: Record) -> None:
        # a new list: another thread may be walking through the old one
        state.begins = [begin for begin in state.begins if begin is not look]
        for message in (*_logging_replaced(state), *_debug_came_late(app, state)):
            logs.emit("WARNING", "setup.suspicious", message, __name__, {})

    state.begins.append(look)


def _logging_replaced(state: State) -> Iterator[str]:
    config = state.configuration.section(settings.Logs)
    taken_in = any(isinstance(handler, StdlibIntake) for handler in logging.root.handlers)
    if config.enabled and config.stdlib and not taken_in:
        yield (
            "Something has replaced the handlers of Python's logging after "
            "Hardening(app), so lines of libraries and of app.logger are not taken in. "
            "Call logging.config.dictConfig before Hardening(app), or remove the call."
        )


def _debug_came_late(app: Flask, state: State) -> Iterator[str]:
    chosen = state.configuration.section(settings.General).environment
    if not chosen and app.debug != state.development:
        now, then = (
            ("on", state.origin.fields["environment"])
            if app.debug
            else ("off", _DEVELOPMENT)
        )
        yield (
            f"Debug mode was switched {now} after Hardening(app) had read it: the "
            f"environment stays {then!r}. Start with `flask run --debug`, set app.debug "
            "before Hardening(app), or set HARDENING_ENVIRONMENT."
        )
