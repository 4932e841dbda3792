"""Each line is one valid JSON object, whatever a record holds."""

from __future__ import annotations

import datetime as dt
import json
import logging
import math

from campaign import search
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from flask_hardening import correlated
from flask_hardening.core import logs

_TEXTS = st.text() | st.text('\n\r\t\0\x1b\x85\u2028"\\{}<>\ud800') | st.just("é" * 3000)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    _TEXTS,
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
)
_KEYS = _TEXTS | st.integers() | st.none() | st.floats() | st.tuples(st.integers(), _TEXTS)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(_KEYS, inner, max_size=4),
        st.frozensets(st.integers() | st.text(), max_size=3),
    ),
    max_leaves=10,
)
_OURS = ["timestamp", "level", "message", "event", "logger", "service", "exception_stack"]
_FIELDS = st.dictionaries(_TEXTS | st.sampled_from(_OURS), _VALUES, max_size=5)


def _refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def _once(pairs):
    assert len(pairs) == len({key for key, _ in pairs}), "a key stands there twice"
    return dict(pairs)


def _parse(data: bytes) -> list[dict]:
    """Parse lines as strictly as RFC 8259 and 7493 want it."""
    *lines, rest = data.decode("utf-8").split("\n")
    assert rest == ""
    parsed = [json.loads(x, parse_constant=_refuse, object_pairs_hook=_once) for x in lines]
    for line in parsed:
        assert dt.datetime.fromisoformat(line["timestamp"]).tzinfo is not None
        assert {"level", "message", "logger"} <= line.keys()
        assert all(math.isfinite(v) for v in line.values() if isinstance(v, float))
    return parsed


@search(120)
@given(_FIELDS, _TEXTS)
def test_any_record_is_one_line(outputs, fields, text):
    """Fields, messages and texts of any kind; the console's line is one line, too."""
    # a name that is no text can be given in a dict only
    extra = {k: v for k, v in fields.items() if k not in {"message", "asctime", "name"}}
    logger.bind(**fields).info("{}", text)
    logging.getLogger("shop").warning("%s", text, extra=extra)
    logs.emit("INFO", "thing.done", text, "shop", {"a": 1})
    json_bytes, console_bytes = outputs()
    assert len(_parse(json_bytes)) == 3
    assert console_bytes.count(b"\n") == 3
    console_bytes.decode()


@search(80)
@given(_FIELDS, _TEXTS, _VALUES)
def test_any_failure_is_one_line(outputs, fields, text, argument):
    """Exceptions with any arguments, notes and causes."""
    error = ValueError(text, argument)
    error.__cause__ = KeyError(argument)
    error.add_note(text)
    logs.emit("ERROR", "thing.failed", text, "shop", {}, error)
    logger.bind(**fields).opt(exception=error).error("failed")
    json_bytes, _ = outputs()
    assert [line["level"] for line in _parse(json_bytes)] == ["ERROR", "ERROR"]


@search(60)
@given(_TEXTS)
def test_any_id_is_one_line(outputs, text):
    """An id from outside is kept if it is one, and replaced if not."""
    with correlated(text) as kept:
        logger.info("x")
    (line,) = _parse(outputs()[0])
    assert line["correlation_id"] == kept
