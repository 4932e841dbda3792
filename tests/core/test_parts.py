"""Long records: each part is a line that fits a pipe's write, and together they are the record."""

from __future__ import annotations

import json
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_hardening.core.logs.parts import Joiner, split

LIMIT = 4096


def record(text, **more):
    """Return one line of JSON."""
    fields = {"timestamp": "2026-01-02T03:04:05Z", "level": "INFO", "logger": "shop"}
    return orjson.dumps({**fields, **more, "text": text}, option=orjson.OPT_APPEND_NEWLINE)


def joined(lines, **bounds):
    """Return what comes out of joining, and what is said about it."""
    joiner = Joiner(**bounds)
    out = [found for line in lines for found in joiner.feed(line)]
    return out + list(joiner.end()), joiner.incomplete


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.text(st.sampled_from('ab"\\é€😀\n\x00\x7f'), min_size=1, max_size=99),
    st.integers(2000, 9000),
)
def test_any_text_comes_together_again(piece, length):
    """Whatever has to be escaped: parts fit, are JSON, and give the very bytes back."""
    line = record((piece * length)[:length], correlation_id="c-1")
    parts = split(line, LIMIT)
    for number, part in enumerate(parts, 1):
        assert len(part) <= LIMIT
        assert part.count(b"\n") == 1
        found = json.loads(part)
        assert (found["part"], found["parts"]) == (number, len(parts))
        assert (found["level"], found["correlation_id"]) == ("INFO", "c-1")
    assert joined(parts) == ([line], [])


def test_parts_are_well_filled():
    """A record of quotes takes twice its length, not a part per few bytes."""
    assert len(split(record("x" * 70_000), LIMIT)) < 20
    assert len(split(record('"' * 9_000), LIMIT)) < 12


def test_long_common_fields_leave_room():
    """Fields of any length and any script still leave room for data."""
    line = record(
        "x" * 9000, correlation_id="\x00" * 500, service="€" * 500, event="e" * 500
    )
    parts = split(line, LIMIT)
    assert max(map(len, parts)) <= LIMIT
    assert joined(parts)[0] == [line]


def test_parts_in_any_order_among_other_lines():
    """Records of several writers are told apart; what is no part passes unchanged."""
    lines = [record(c * 20_000) for c in "abc"]
    others = [b"not JSON\n", b"\xff\xfe\n", b'{"part":1,"data":"mine"}\n', b"no end"]
    mixed = [part for line in lines for part in split(line, LIMIT)] + others
    random.Random(3).shuffle(mixed)
    out, incomplete = joined(mixed)
    assert sorted(out) == sorted(lines + others)
    assert incomplete == []


def test_what_is_missing_is_named():
    """A record that lacks a part comes as its parts, and the gap has its number."""
    parts = split(record("x" * 20_000), LIMIT)
    out, (sentence,) = joined(parts[:1] + parts[2:])
    assert out == parts[:1] + parts[2:]
    assert f"1 of {len(parts)} parts missing (2)" in sentence


def test_a_line_that_came_twice():
    """A log that was shipped twice doesn't spoil the record."""
    line = record("x" * 9000)
    first, *rest = split(line, LIMIT)
    out, incomplete = joined([first, first, *rest])
    assert out == [first, line]
    assert incomplete == []


@pytest.mark.parametrize("bounds", [{"most": 3}, {"most_bytes": 20_000}])
def test_memory_is_bounded(bounds):
    """The oldest unfinished record is given up when there are too many, or they are too big."""
    starts = [split(record(str(n) + "x" * 5000), LIMIT)[0] for n in range(50)]
    joiner = Joiner(**bounds)
    out = [line for start in starts for line in joiner.feed(start)]
    assert out == starts[: len(out)]
    assert len(out) > 40
    assert len(joiner.incomplete) == len(out)


def test_a_long_console_line_is_cut():
    """The console form is for reading: its lines stay lines, and say how long they were."""
    first, *rest = split("é".encode() * 5000 + b"\n  in f\n" + b"  in g\n" * 900, LIMIT)
    assert first.decode().startswith("é")
    assert first.endswith(b"in all>\n") or b"in all>\n  in f" in first
    for piece in (first, *rest):
        assert len(piece) <= LIMIT
        assert piece.endswith(b"\n")
