"""The outputs that the suites write to, and a way to see all that came out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def redactor():
    """What a process has that set nothing up."""
    from flask_hardening.core import redaction  # noqa: PLC0415 - see the line above

    return redaction.active()


@pytest.fixture
def outputs(set_up_logs, tmp_path, capfdbinary) -> Callable[[], tuple[bytes, bytes]]:
    """
    Send each line to a file as JSON and to stdout in the console's form.

    The function it gives returns the bytes of both since its last call.
    """
    file = tmp_path / "file"
    set_up_logs(format="console", file=str(file), level="TRACE")

    def take() -> tuple[bytes, bytes]:
        written = file.read_bytes()
        os.truncate(file, 0)
        return written, capfdbinary.readouterr().out

    return take
