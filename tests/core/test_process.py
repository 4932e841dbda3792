"""What is one per process: the first sets it up, an equal second joins, a differing one fails."""

from __future__ import annotations

import dataclasses

import pytest
from loguru import logger

from flask_hardening import ConfigError
from flask_hardening.core import process
from flask_hardening.testing import fresh_process


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration of nothing."""

    level: str = "INFO"
    file: str | None = None


class Resource:
    """Something that can be closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        """Count it."""
        self.closed += 1


def test_an_equal_second_joins():
    """The same settings lead to the same resource, made once."""
    first = process.own("room", Config(), "a", Resource)
    assert process.own("room", Config(), "b", pytest.fail) is first
    assert process.get("room") is first


def test_a_differing_second_fails_and_names_both():
    """The message names the setting, both values and both owners, and no equal setting."""
    process.own("room", Config(level="INFO"), "app 'a'", Resource)
    with pytest.raises(ConfigError) as caught:
        process.own("room", Config(level="DEBUG"), "app 'b'", Resource)
    text = str(caught.value)
    assert "HARDENING_ROOM_LEVEL is 'INFO' for app 'a' and 'DEBUG' for app 'b'" in text
    assert "FILE" not in text
    assert "fresh_process" in text


def test_the_last_owner_closes():
    """A resource lives as long as anyone owns it, and is closed once."""
    resource = process.own("room", Config(), "a", Resource)
    process.own("room", Config(), "b", Resource)
    process.release("room", "stranger")
    process.release("room", "a")
    assert (resource.closed, process.get("room")) == (0, resource)
    process.release("room", "b")
    process.release("room", "b")
    assert (resource.closed, process.get("room")) == (1, None)


def test_a_resource_that_cannot_be_made_leaves_nothing():
    """After a failure another can be made."""
    with pytest.raises(ZeroDivisionError):
        process.own("room", Config(), "a", lambda: 1 / 0)
    assert isinstance(process.own("room", Config(level="X"), "a", Resource), Resource)


def test_a_fresh_process_shares_nothing():
    """Inside, everything is set up anew and closed at the end; outside, all is as before."""
    outside = process.own("room", Config(), "a", Resource)
    with fresh_process():
        assert process.get("room") is None
        inside = process.own("room", Config(level="DEBUG"), "b", Resource)
    assert inside.closed == 1
    assert process.get("room") is outside
    assert outside.closed == 0


def test_closing_leaves_no_sink_behind(set_up_logs, read_lines):
    """Logs that were closed write no more, and a later set-up writes once."""
    before = set(logger._core.handlers)
    set_up_logs()
    process.close_all()
    assert set(logger._core.handlers) == before - {0}
    logger.info("x")
    assert read_lines() == []
    set_up_logs(level="DEBUG")
    logger.info("y")
    assert [line["message"] for line in read_lines()] == ["y"]
