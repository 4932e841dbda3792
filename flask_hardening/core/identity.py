"""Who does the work of an app, by its settings: the same for a Flask app and a Celery app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_hardening.core import settings
from flask_hardening.core.correlation import AllowList, Origin

if TYPE_CHECKING:
    from flask_hardening.core.config import Configuration


def origin_of(configuration: Configuration, name: str, *, debug: bool) -> Origin:
    """
    Return who does an app's work.

    Args:
        configuration: Its settings.
        name: The service's name where nobody set one.
        debug: Whether it runs in development where nobody said so.
    """
    general = configuration.section(settings.General)
    correlation = configuration.section(settings.Correlation)
    timings = configuration.section(settings.Timings)
    return Origin(
        general.service or name,
        general.environment or ("development" if debug else "production"),
        correlation.header,
        AllowList(correlation.propagate_to),
        slow_db=timings.slow_db if timings.enabled else 0.0,
        slow_external=timings.slow_external if timings.enabled else 0.0,
    )
