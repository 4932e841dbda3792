"""Where lines go: streams by their descriptor, and one file that is only appended to."""

from __future__ import annotations

import os
import stat
import sys

import pytest
from loguru import logger

from flask_hardening import ConfigError
from flask_hardening.core import process, shield
from flask_hardening.core.channel import Channel
from flask_hardening.core.logs.outputs import _Lines


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_is_written_past_python(set_up_logs, capfd, monkeypatch, name):
    """A line goes to the descriptor at once, whatever `sys.stdout` is by then."""
    set_up_logs(outputs=(name,))
    monkeypatch.setattr(sys, name, None)
    logger.info("straight")
    captured = capfd.readouterr()
    assert "straight" in getattr(captured, "out" if name == "stdout" else "err")


def test_both_streams(set_up_logs, capfd):
    """Every output gets every line."""
    set_up_logs(outputs=("stdout", "stderr"))
    logger.info("x")
    out, err = capfd.readouterr()
    assert out == err != ""


def test_a_file_gets_json_behind_what_it_holds(set_up_logs, parse_lines, tmp_path, capfd):
    """The file is appended to, in JSON also where the stream shows the console form."""
    path = tmp_path / "app.log"
    path.write_text('{"message": "earlier"}\n')
    set_up_logs(development=True, file=str(path))
    logger.info("later")
    assert [line["message"] for line in parse_lines(path.read_text())] == [
        "earlier",
        "later",
    ]
    assert not capfd.readouterr().out.startswith("{")


def test_a_new_file_is_not_for_everyone(set_up_logs, tmp_path):
    """Strangers on the machine can't read a log file that we made."""
    path = tmp_path / "app.log"
    set_up_logs(file=str(path))
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_no_outputs_at_all(set_up_logs, capfd):
    """`()` and no file write nothing, and break nothing."""
    set_up_logs(outputs=())
    logger.info("x")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", ["missing/app.log", "."])
def test_a_file_that_cannot_be_opened_fails_at_start(set_up_logs, tmp_path, path):
    """The message names the setting, the path and what to do."""
    with pytest.raises(ConfigError, match="HARDENING_LOGS_FILE") as caught:
        set_up_logs(file=str(tmp_path / path))
    assert str(tmp_path) in str(caught.value)
    assert "Create its folder" in str(caught.value)
    assert process.get("logs") is None


def test_a_reader_that_has_gone_is_counted(capfd):
    """A line to a closed pipe is lost, counted, and said once on stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    output = _Lines("pipe", Channel(writing, owned=True))
    output.write(b"x\n")
    output.write(b"x\n")
    os.close(writing)
    assert shield.dropped == {("log", "pipe", "Broken pipe"): 2}
    assert capfd.readouterr().err.count("telemetry.dropped") == 1
    shield.dropped.clear()


def test_a_tap_that_raises(set_up_logs, read_lines):
    """Who listens to the records and fails costs neither the line nor the other listeners."""
    pipeline = set_up_logs().pipeline
    seen = []

    def fail(line):
        raise ValueError(line)

    pipeline.tap(fail)
    pipeline.tap(seen.append)
    logger.info("x")
    assert [line["message"] for line in seen + read_lines()] == ["x", "x"]
    assert shield.dropped.pop(("log", "tap", "ValueError")) == 1


def test_a_short_write_is_finished(monkeypatch, tmp_path):
    """A descriptor that takes a line in pieces gets all of it."""
    taken = []

    def write(_, data):
        taken.append(bytes(data[:3]))
        return len(taken[-1])

    monkeypatch.setattr(os, "write", write)
    path = tmp_path / "log"
    with path.open("wb") as file:
        _Lines("slow", Channel(file.fileno(), owned=True)).write(b"a whole line\n")
    assert b"".join(taken) == b"a whole line\n"
