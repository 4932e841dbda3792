"""Where the parts of the system find each other, read from the environment when asked."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SERVICES = ("api", "auth", "business")
_UNTIL_RESTART = secrets.token_hex()


def database_url() -> str:
    """Return `DATABASE_URL` for SQLAlchemy; the default is one SQLite file for all."""
    given = os.environ.get("DATABASE_URL")
    if not given:
        return f"sqlite:///{Path('var').absolute()}/sample.db"
    scheme, colon, rest = given.partition(":")
    if scheme in {"postgres", "postgresql"}:  # the driver is psycopg 3
        scheme = "postgresql+psycopg"
    return scheme + colon + rest


def redis_url() -> str:
    """Return the address of the broker, which keeps the results as well."""
    return os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"


def queue() -> str:
    """Return the name of the worker's queue."""
    return os.environ.get("SAMPLE_QUEUE") or "sample"


def auth_url() -> str:
    """Return the address of the auth service."""
    return os.environ.get("SAMPLE_AUTH_URL") or "http://127.0.0.1:8001"


def business_url() -> str:
    """Return the address of the business service."""
    return os.environ.get("SAMPLE_BUSINESS_URL") or "http://127.0.0.1:8002"


def payments_url() -> str:
    """Return the address of the payment provider, who is somebody else."""
    return os.environ.get("SAMPLE_PAYMENTS_URL") or "http://127.0.0.1:8003"


def hardening(service: str) -> dict[str, Any]:
    """Return what the Flask apps and the Celery app have in common."""
    return {
        "HARDENING_SERVICE": service,
        # id and deadline go to these two, and to nobody else
        "HARDENING_CORRELATION_PROPAGATE_TO": (
            urlsplit(auth_url()).netloc,
            urlsplit(business_url()).netloc,
        ),
        "HARDENING_RESILIENCE_DEADLINE": 10.0,  # seconds that a request may take
        "HARDENING_RESILIENCE_TRUST_DEADLINE": service in {"auth", "business"},
    }


def flask_config(service: str) -> dict[str, Any]:
    """Return the configuration of one service."""
    return hardening(service) | {
        # without one, tokens are good until the auth service restarts
        "SECRET_KEY": os.environ.get("SECRET_KEY") or _UNTIL_RESTART,
        "MAX_CONTENT_LENGTH": 64 * 1024,
    }
