"""What `celery -A worker_app worker` loads."""

from __future__ import annotations

import os

from jobs import build

app = build(os.environ["JOBS_BROKER"], os.environ["JOBS_BACKEND"], os.environ["JOBS_QUEUE"])
