"""The processes' log files, read as they grow."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sample_app.demo.system import PROCESSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sample_app.demo.system import System

_POLL = 0.1
Line = dict[str, Any]


class Logbook:
    """
    All lines that the four processes have written so far.

    Attributes:
        broken: Lines that are not JSON objects, as (process, line).
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._lines: list[Line] = []
        self.broken: list[tuple[str, str]] = []

    def read(self) -> list[Line]:
        """Return every whole line, in the order of time."""
        self._lines, self.broken = [], []
        for process in PROCESSES:
            text = self._system.log_of(process).read_text("utf-8", "replace")
            # what stands behind the last line end is still being written
            for raw in text.split("\n")[:-1]:
                self._take(process, raw)
        self._lines.sort(key=lambda line: line["_time"])
        return self._lines

    def _take(self, process: str, raw: str) -> None:
        try:
            line = json.loads(raw)
            stamp = datetime.fromisoformat(line["timestamp"])
        except (ValueError, TypeError, KeyError):
            self.broken.append((process, raw))
        else:
            self._lines.append({**line, "_process": process, "_time": stamp})

    def of(self, correlation_id: str) -> list[Line]:
        """Return the lines of one id."""
        return [
            line for line in self.read() if line.get("correlation_id") == correlation_id
        ]

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until something can be read from the logs; False if it never can."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._system.crew.check()
            time.sleep(_POLL)
        return True
