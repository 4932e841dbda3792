"""What every test starts from: a process in which nothing has been set up."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from loguru import logger as loguru_logger

from flask_hardening.core import shield
from flask_hardening.testing import fresh_process

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Undo what a test does to the process: environment, `logging`, loguru, log outputs."""
    environ = dict(os.environ)
    for name in environ:
        if name.startswith(("FLASK_HARDENING_", "FLASK_DEBUG")):
            del os.environ[name]
    root_level, root_handlers = logging.root.level, list(logging.root.handlers)
    sinks = set(loguru_logger._core.handlers)
    shield.dropped.clear()
    shield._said.clear()
    with fresh_process():
        yield
    for sink in set(loguru_logger._core.handlers) - sinks:
        loguru_logger.remove(sink)
    logging.root.handlers[:] = root_handlers
    logging.root.setLevel(root_level)
    os.environ.clear()
    os.environ.update(environ)
