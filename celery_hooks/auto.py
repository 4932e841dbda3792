"""
For Celery's `imports` setting: importing this installs the hooks, set by the environment.

`imports = ["celery_hooks.auto"]` in a Celery configuration does in a worker what
`celery_hooks.install(app)` does, with the settings of `FLASK_HARDENING_*`.
"""

from __future__ import annotations

from celery import current_app

from celery_hooks.hooks import install

install(current_app)
