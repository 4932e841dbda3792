"""Celery's side of the house: ids, logs and safe publishing for workers and publishers."""

from __future__ import annotations

from celery_hooks.hooks import install, uninstall

__all__ = ["install", "uninstall"]
