"""The extension: reads an app's settings, wires its parts in order."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from flask_hardening import checks, lifecycle, record
from flask_hardening.core import logs, process, redaction, settings
from flask_hardening.core.config import Configuration
from flask_hardening.core.errors import HardeningError
from flask_hardening.core.identity import origin_of

if TYPE_CHECKING:
    from flask import Flask

# The order is a contract: observers and header writers run in it, so the request's line
# comes last and knows what all others found.
PARTS: tuple[tuple[str, type], ...] = (
    ("correlation", settings.Correlation),
    ("errors", settings.Errors),
    ("timings", settings.Timings),
    ("resilience", settings.Resilience),
    ("logs", settings.Logs),
)


class Hardening:
    """
    Give a Flask app what it needs in production.

    `Hardening(app)` and `Hardening()` with a later `init_app(app)` do the same. One object
    can serve several apps; it keeps nothing of them.

    Args:
        app: The app, if it is there already.

    Raises:
        ConfigError: A `HARDENING_*` setting is unknown or impossible; the text names each
            and the fix.
        HardeningError: The app has been initialised before, or has served a request.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """
        Harden *app* by its settings as they are now; later changes count for nothing.

        Raises:
            ConfigError: See the class.
            HardeningError: See the class.
        """
        if record.EXTENSION in app.extensions:
            raise HardeningError(
                f"The app {app.name!r} has been hardened already. Call init_app once "
                "per app, or drop the second Hardening(app)."
            )
        configuration = Configuration(app.config, os.environ)
        state = _state(app, configuration)
        owner = f"app {app.name!r}"
        redaction.set_up(configuration.section(settings.Redaction), owner)
        app.extensions[record.EXTENSION] = state
        try:
            _wrap(app, state)
            for name, section in PARTS:
                config: Any = configuration.section(section)
                if getattr(config, "enabled", True):
                    part = importlib.import_module(f"flask_hardening.{name}")
                    part.init_app(app, config)
            checks.init_app(app, state)
        except BaseException:
            del app.extensions[record.EXTENSION]
            process.release(redaction.ROOM, owner)
            raise
        for message in configuration.ignored:
            logs.emit("WARNING", "setup.suspicious", message, __name__, {})


def _wrap(app: Flask, state: record.State) -> None:
    try:
        lifecycle.init_app(app, state)
    except AssertionError as error:  # Flask's, for every set-up method
        raise HardeningError(
            f"The app {app.name!r} has served a request already. Call Hardening(app) where "
            "the app is made, before its first request."
        ) from error


def _state(app: Flask, configuration: Configuration) -> record.State:
    origin = origin_of(configuration, app.name, debug=app.debug)
    return record.State(configuration, origin, development=origin.development)
