"""What `celery -A beat_app beat` loads: a tick, five times a second."""

from __future__ import annotations

from worker_app import app

app.conf.beat_schedule = {"tick": {"task": "bare", "schedule": 0.2, "args": ("tick",)}}
