"""The public names as a user's type checker sees them; checked, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from httpx import Client
from requests import Session

import celery_hooks
from flask_hardening import (
    AppError,
    Category,
    Hardening,
    correlated,
    correlation_id,
    propagate,
    request_id,
)
from flask_hardening.testing import capture_logs, fresh_process

if TYPE_CHECKING:
    from celery import Celery


class OutOfStockError(AppError):
    """The shelf is empty."""

    status, code, category = 409, "out_of_stock", Category.CONFLICT


def app_factory() -> Flask:
    """Use the extension both ways."""
    app = Flask(__name__)
    Hardening(app)
    Hardening().init_app(app)
    return app


def raise_it() -> None:
    """Raise with everything an error can hold."""
    raise OutOfStockError(
        "Only 2 left.", details={"sku": "A-17"}, headers={"X": "y"}, retry_after=1.5
    )


def ids() -> tuple[str | None, str | None]:
    """Read the ids, and run a block under one."""
    with correlated("abc") as found:
        print(found.upper())  # noqa: T201
    return correlation_id(), request_id()


def clients() -> tuple[Session, Client]:
    """Get the same kind of client back."""
    return propagate(Session()), propagate(Client())


def hooks(celery_app: Celery, app: Flask) -> None:
    """Install with a Flask app's configuration, or none."""
    celery_hooks.install(celery_app, app.config)
    celery_hooks.install(celery_app)
    celery_hooks.uninstall(celery_app)


def tests() -> list[dict[str, object]]:
    """Use the helpers for tests."""
    with fresh_process(), capture_logs() as lines:
        return list(lines)
