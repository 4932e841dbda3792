"""What libraries log through Python's `logging`, taken in as lines like all others."""

from __future__ import annotations

import logging

import pytest

from flask_hardening.core import process
from flask_hardening.core.logs.intake import StdlibIntake

library = logging.getLogger("a.library")


@pytest.fixture(autouse=True)
def _plain_logger():
    """Give the library's logger back as it was."""
    yield
    library.setLevel(logging.NOTSET)
    library.filters.clear()


def _ours():
    (handler,) = [h for h in logging.root.handlers if isinstance(h, StdlibIntake)]
    return handler


def test_a_record_becomes_a_line(set_up_logs, read_lines):
    """Level, name, message and `extra`, with secrets masked."""
    set_up_logs()
    library.warning(
        "%s of %d", "one", 2, extra={"table": "t", "password": "p", "event": "a.b"}
    )
    (line,) = read_lines()
    assert line["level"] == "WARNING"
    assert line["logger"] == "a.library"
    assert line["message"] == "one of 2"
    assert (line["table"], line["password"], line["event"]) == ("t", "***", "a.b")
    assert line["service"] == "shop"


@pytest.mark.parametrize("arguments", [("x",), (), (1, 2)])
def test_arguments_that_do_not_fit_lose_no_line(
    set_up_logs, read_lines, monkeypatch, arguments
):
    """A call with the wrong arguments is one line with its raw message."""
    set_up_logs()
    with monkeypatch.context() as alone:  # pytest's own handlers would raise
        alone.setattr(logging.root, "handlers", [_ours()])
        library.warning("%d %s %s", *arguments)
    assert [line["message"] for line in read_lines()] == ["%d %s %s"]


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (7, "TRACE"),
        (10, "DEBUG"),
        (15, "DEBUG"),
        (25, "SUCCESS"),
        (35, "WARNING"),
        (60, "CRITICAL"),
    ],
)
def test_levels_of_other_numbers(set_up_logs, read_lines, number, level):
    """A custom level is written as the nearest one below it."""
    set_up_logs(level="TRACE", levels={"a.library": "TRACE"})
    library.setLevel(1)
    library.log(number, "x")
    assert [line["level"] for line in read_lines()] == [level]


@pytest.mark.parametrize("given", [True, False])
def test_exc_info(set_up_logs, read_lines, given):
    """The exception being handled is told; `exc_info` without one is no error."""
    set_up_logs()
    if given:
        try:
            raise LookupError("x")
        except LookupError:
            library.exception("failed")
    else:
        library.error("failed", exc_info=True)
    (line,) = read_lines()
    assert ("exception_stack" in line) is given
    assert line.get("exception_type") == ("builtins.LookupError" if given else None)


def test_extra_with_names_that_are_no_text(set_up_logs, read_lines):
    """A name that isn't text becomes text."""
    set_up_logs()
    library.warning("x", extra={1: "a"})
    (line,) = read_lines()
    assert line["1"] == "a"


def test_debug_of_libraries_stays_out_unless_named(set_up_logs, capfd):
    """DEBUG in development is for the app; a library's own is asked for by its name."""
    set_up_logs(development=True)
    library.debug("quiet")
    process.close_all()
    set_up_logs(development=True, levels={"a.library": "DEBUG"})
    library.debug("loud")
    out = capfd.readouterr().out
    assert "loud" in out
    assert "quiet" not in out


def test_filters_on_our_handler_count(set_up_logs, read_lines):
    """A filter that an operator puts on the root's handler is asked."""
    set_up_logs()
    _ours().addFilter(lambda record: "keep" in record.getMessage())
    library.warning("keep")
    library.warning("drop")
    assert [line["message"] for line in read_lines()] == ["keep"]


def test_switched_off_it_is_left_alone(set_up_logs, capfd):
    """With `HARDENING_LOGS_STDLIB = False` nothing of `logging` is touched."""
    before = logging.root.level, list(logging.root.handlers)
    set_up_logs(stdlib=False)
    library.error("x")
    assert (logging.root.level, list(logging.root.handlers)) == before
    assert capfd.readouterr().out == ""


def test_closing_gives_logging_back(set_up_logs):
    """Levels and handlers are what they were once the process's logs are closed."""
    library.setLevel(logging.ERROR)
    before = logging.root.level, list(logging.root.handlers), library.level
    set_up_logs(level="DEBUG", levels={"a.library": "DEBUG"})
    assert library.level == logging.DEBUG
    process.close_all()
    assert (logging.root.level, list(logging.root.handlers), library.level) == before
