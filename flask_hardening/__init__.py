"""The public names of the house, each loaded when it is first asked for (PEP 562)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask_hardening.core.correlation import correlated, correlation_id, request_id
    from flask_hardening.core.errors import AppError, Category, ConfigError
    from flask_hardening.core.propagation import propagate
    from flask_hardening.extension import Hardening

__all__ = [
    "AppError",
    "Category",
    "ConfigError",
    "Hardening",
    "correlated",
    "correlation_id",
    "propagate",
    "request_id",
]

_ROOMS = {
    "AppError": "core.errors",
    "Category": "core.errors",
    "ConfigError": "core.errors",
    "Hardening": "extension",
    "correlated": "core.correlation",
    "correlation_id": "core.correlation",
    "propagate": "core.propagation",
    "request_id": "core.correlation",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
