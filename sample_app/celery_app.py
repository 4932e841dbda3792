"""The Celery app: run `celery -A sample_app.celery_app worker`; the API publishes through it."""

from __future__ import annotations

from celery import Celery

import celery_hooks
from sample_app import settings

celery_app = Celery(
    "sample_app",
    broker=settings.redis_url(),
    backend=settings.redis_url(),
    include=["sample_app.tasks"],
)
celery_app.conf.update(
    task_default_queue=settings.queue(),
    task_acks_late=True,  # each task may be repeated, so none needs to be lost
    broker_connection_retry_on_startup=True,
    result_expires=3600,
)

celery_hooks.install(celery_app, settings.hardening("worker"))  # this is all it takes
