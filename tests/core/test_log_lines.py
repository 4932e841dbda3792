"""One line per record: valid JSON whatever is in it, and a console form nobody can forge."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import re
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from flask_hardening import correlated
from flask_hardening.core import logs
from flask_hardening.core.logs.encoding import to_console, to_json

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.timezone.utc)


class Raises:
    """Fails at whatever is asked of it."""

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


CYCLE: dict = {}
CYCLE["self"] = CYCLE
DEEP: list = []
for _ in range(3000):
    DEEP = [DEEP]

HOSTILE = {
    "nan": math.nan,
    "infinity": [math.inf, -math.inf],
    "surrogate": "a\ud800b",
    "surrogate key": {"a\ud800b": 1},
    "cycle": CYCLE,
    "tuple key": {("a", 1): 2},
    "number keys": {1: 2, None: 3, 1.5: 4},
    "raises": Raises(),
    "raising key": {Raises(): 1},
    "huge": 10**400,
    "very huge": 10**10_000,
    "bytes": b"\xff\x00",
    "deep": DEEP,
    "long": "x" * 100_000,
    "wide": dict.fromkeys(map(str, range(10_000)), 1),
    "control": "\x00\x1b[31m\r\n\u2028",
    "set": {1},
    "decimal": decimal.Decimal("1.5"),
    "uuid": uuid.UUID(int=1),
    "time": NOW,
    "class": Raises,
    "generator": (n for n in range(3)),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", ["json", "console"])
def test_any_value_gives_one_line(set_up_logs, capfd, parse_lines, name, form):
    """Whatever is bound or given as `extra`, one whole line comes out, with the message."""
    set_up_logs(format=form)
    logger.bind(value=HOSTILE[name]).info("it happened")
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    assert "it happened" in out
    if form == "json":
        (line,) = parse_lines(out)
        assert line["message"] == "it happened"
        assert len(out) < 60_000


def test_the_schema_of_a_line(set_up_logs, read_lines):
    """A line has these fields, flat, in this order, the caller's own behind."""
    set_up_logs()
    with correlated("abc"):
        logger.bind(invoice=7).warning("late")
    (line,) = read_lines()
    assert list(line) == [
        "timestamp",
        "level",
        "message",
        "logger",
        "service",
        "environment",
        "correlation_id",
        "invoice",
        "caller",
    ]
    assert RFC_3339.fullmatch(line.pop("timestamp"))
    assert line.pop("caller").startswith("test_the_schema_of_a_line:")
    assert line == {
        "level": "WARNING",
        "message": "late",
        "logger": __name__,
        "service": "shop",
        "environment": "test",
        "correlation_id": "abc",
        "invoice": 7,
    }


def test_an_event_of_ours_leaves_out_what_is_not_known(set_up_logs, read_lines):
    """`emit` writes event and fields; None says nothing and is left out."""
    set_up_logs()
    logs.emit("INFO", "thing.done", "done", "shop.things", {"a": 1, "b": None})
    (line,) = read_lines()
    assert line.pop("timestamp")
    assert line == {
        "level": "INFO",
        "message": "done",
        "event": "thing.done",
        "logger": "shop.things",
        "service": "shop",
        "environment": "test",
        "a": 1,
    }


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


def _refuse(constant):
    raise AssertionError(constant)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.dictionaries(st.text().filter(lambda name: name != "exception_stack"), JSON_LIKE))
def test_to_json_is_always_one_line_of_json(fields):
    """Any record is one line of RFC 8259 JSON, and one of the console's."""
    line = {"timestamp": NOW, "level": "INFO", "message": "x", "logger": "x"}
    data = to_json(fields | line)
    assert data.count(b"\n") == 1
    assert json.loads(data, parse_constant=_refuse)["message"] == "x"
    assert to_console(fields | line, colour=False).count(b"\n") == 1


def test_no_key_comes_twice():
    """The number 1 and the text "1" are one key in JSON, and it stands there once."""
    data = to_json({"timestamp": NOW, "level": "INFO", "value": {1: "a", "1": "b"}})
    assert data.count(b'"1":') == 1


def test_a_record_of_nothing_but_trouble():
    """Even a record whose own fields can't be read is a line that says so."""
    line = {"level": Raises(), "timestamp": None, Raises(): 1, "correlation_id": "c-1"}
    found = json.loads(to_json(line))
    assert found["message"] == "This record could not be encoded."
    assert found["correlation_id"] == "c-1"
    assert RFC_3339.fullmatch(found["timestamp"])


@pytest.mark.parametrize(
    "text",
    ["a\nERROR forged", "a\r\nb", "a\x1b[2Jb", "a\x85b", "a\u2028b", "a\x00b", "\x9b1m"],
)
def test_no_text_forges_a_console_line(set_up_logs, capfd, text):
    """Control characters in messages, names and fields are shown, not obeyed."""
    set_up_logs(development=True)
    logger.bind(**{text: text}).info("{}", text)
    logs.emit("INFO", "x.y", text, text, {"field": text})
    out = capfd.readouterr().out
    assert len(out.splitlines()) == 2
    assert out.isprintable() or set(filter(lambda c: not c.isprintable(), out)) == {"\n"}


def test_no_exception_forges_a_console_line(set_up_logs, capfd):
    """A traceback spans several lines, each set in; its text can't look like a line of ours."""
    set_up_logs(development=True)
    try:
        raise ValueError("x\n03:04:05.678 ERROR    shop  forged \x1b[31m")
    except ValueError:
        logger.exception("failed")
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > 3
    assert [line[:1].isspace() for line in lines] == [False] + [True] * (len(lines) - 1)
    assert "\x1b" not in "".join(lines)


def test_the_console_form(set_up_logs, capfd):
    """Time, level, name, message, fields and the id, without colour where nobody looks."""
    set_up_logs(development=True)
    with correlated("abc"):
        logs.emit("INFO", "thing.done", "it is done", "shop", {"a": 1})
    out = capfd.readouterr().out
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO     thing\.done  it is done  a=1  \[abc\]\n", out
    )


def test_a_terminal_gets_colour():
    """A person who looks gets colours; they end where they should."""
    line = {"timestamp": NOW, "level": "ERROR", "message": "x", "logger": "shop"}
    text = to_console(line, colour=True).decode()
    assert "\x1b[31mERROR" in text
    assert text.count("\x1b[0m") == text.count("\x1b[") / 2
