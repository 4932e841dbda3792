"""gunicorn's own lines: in our form, without the query, and not beside a line that says the same."""

from __future__ import annotations

import logging
import sys

import pytest

from flask_hardening import gunicorn


def _raised(error):
    try:
        raise error
    except BaseException:
        return sys.exc_info()


def _say(message, *args, error=None):
    info = _raised(error) if error else None
    record = logging.LogRecord("gunicorn.error", 40, __file__, 1, message, args, info)
    gunicorn._MasterHandler().emit(record)


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("Error handling request %s", ("/x?token=hunter2",)),
        ("Error handling request %s %s", ("GET", "/x?token=hunter2")),
    ],
)
def test_the_query_of_a_failed_request_is_not_told(make_app, read_lines, message, args):
    """A query may hold a secret, and gunicorn quotes it whole."""
    make_app()
    _say(message, *args, error=ValueError("x"))
    (line,) = read_lines()
    assert line["message"].endswith("/x")
    assert "hunter2" not in str(line)
    assert line["exception_type"] == "builtins.ValueError"


def test_an_aborted_request_is_told_once(make_app, read_lines):
    """Our `request.aborted` line has the ids; gunicorn's for the same exit is left out."""
    make_app()
    _say("Error handling request %s", "/x", error=SystemExit(1))
    assert read_lines() == []


def test_an_aborted_request_of_an_app_without_logs(capfd):
    """Where no app has set up lines of ours, gunicorn's is all there is."""
    _say("Error handling request %s", "/x?token=hunter2", error=SystemExit(1))
    out = capfd.readouterr().out
    assert "Error handling request /x" in out
    assert "hunter2" not in out


def test_other_lines_stay_as_they_are(make_app, read_lines):
    """A question mark elsewhere is no query."""
    make_app()
    _say("Worker %s?", "a?b", error=SystemExit(1))
    assert read_lines()[0]["message"] == "Worker a?b?"
