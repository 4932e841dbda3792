"""Log outputs without any framework, and what came out of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from flask_hardening.core import logs, settings, shield

if TYPE_CHECKING:
    from collections.abc import Iterator


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _parse(text: str) -> list[dict]:
    *lines, rest = text.split("\n")  # JSON may hold what `splitlines` splits at
    assert rest == ""
    return [json.loads(line, parse_constant=_refuse) for line in lines]


@pytest.fixture
def parse_lines():
    """Parse lines of JSON as strictly as RFC 8259 wants it."""
    return _parse


@pytest.fixture
def set_up_logs():
    """Set up the process's logs from settings, in production unless told otherwise."""

    def set_up(*, development: bool = False, **values) -> logs.Logs:
        plan = logs.Plan.of(settings.Logs(**values), development=development)
        return logs.set_up(plan, {"service": "shop", "environment": "test"}, "a test")

    return set_up


@pytest.fixture
def read_lines(capfd):
    """Return the lines written to stdout since the last call, each parsed."""
    return lambda: _parse(capfd.readouterr().out)


@pytest.fixture(autouse=True)
def _nothing_lost() -> Iterator[None]:
    """Fail a test that loses telemetry without expecting it."""
    yield
    assert not shield.dropped
