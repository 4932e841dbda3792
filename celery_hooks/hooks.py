"""Installing and removing the hooks: every connect has its disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_hooks import correlation, logs, losses, publishing, worker
from celery_hooks.installation import Installation
from flask_hardening.core import process, redaction, settings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery

_installed: dict[int, Installation] = {}


def install(app: Celery, config: Mapping[str, Any] | None = None) -> None:
    """
    Install the hooks on a Celery app: in its workers, and where it publishes.

    Installing twice with equal settings changes nothing.

    Args:
        app: The Celery app.
        config: A mapping with `HARDENING_*` keys, such as a Flask app's `config`;
            `FLASK_HARDENING_*` variables win over it.

    Raises:
        ConfigError: A setting is unknown or impossible, or the hooks are installed on
            this app with other settings.
    """
    app = _itself(app)
    new = Installation(app, config or {})
    standing = _installed.get(id(app))
    if standing is not None:
        _refuse_difference(standing, new)
        return
    owner = f"Celery app {app.main!r}"
    redaction.set_up(new.configuration.section(settings.Redaction), owner)
    new.undo_with(lambda: process.release(redaction.ROOM, owner))
    resilience = new.configuration.section(settings.Resilience)
    if resilience.enabled:
        targets.set_up(resilience, owner)
        new.undo_with(lambda: process.release(targets.ROOM, owner))
    correlation.install(new)
    publishing.install(new)
    worker.install(new)
    logs.install(new)
    losses.install(new)
    _installed[id(app)] = new


def uninstall(app: Celery) -> None:
    """Remove the hooks from a Celery app and leave nothing behind; twice is once."""
    standing = _installed.pop(id(_itself(app)), None)
    if standing is not None:
        standing.undo()


def _itself(app: Celery) -> Celery:
    """Return the app behind `current_app`, which is only a proxy for it."""
    get = getattr(app, "_get_current_object", None)
    return get() if get is not None else app


def _refuse_difference(standing: Installation, new: Installation) -> None:
    differing = [
        f"{old.key} is {old.shown()} there and {now.shown()} here"
        for old, now in zip(
            standing.configuration.settings(), new.configuration.settings(), strict=True
        )
        if old.value != now.value
    ]
    if differing:
        raise ConfigError(
            f"The hooks are installed on the Celery app {new.app.main!r} with other "
            f"settings: {'; '.join(differing)}. Install once, or call "
            "celery_hooks.uninstall(app) first."
        )
