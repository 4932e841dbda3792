"""A small invoicing system, hardened for production: `create_app` is the part to copy."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flask import Flask

from flask_hardening import Hardening
from sample_app import db, settings

if TYPE_CHECKING:
    from collections.abc import Mapping

hardening = Hardening()


def create_app(
    service: str | None = None, config: Mapping[str, Any] | None = None
) -> Flask:
    """
    Make one of the system's three services.

    Args:
        service: `api`, `auth` or `business`; unset takes `SAMPLE_SERVICE`, else `api`, so
            that `gunicorn 'sample_app:create_app()'` runs any of them.
        config: Settings that win over those of `sample_app.settings`.
    """
    name = service or os.environ.get("SAMPLE_SERVICE", "api")
    if name not in settings.SERVICES:
        raise ValueError(f"{name!r} is none of {', '.join(settings.SERVICES)}.")

    app = Flask(__name__)
    app.config.from_mapping(settings.flask_config(name))
    app.config.from_mapping(config)

    hardening.init_app(app)  # this is all it takes
    db.init_app(app)

    app.register_blueprint(import_module(f"sample_app.{name}").blueprint)
    app.add_url_rule("/", "index", lambda: {"service": name})
    return app
