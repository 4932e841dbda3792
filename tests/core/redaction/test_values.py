"""What may be seen of a value: secrets masked, everything bounded, nothing changed."""

from __future__ import annotations

import dataclasses
import enum
import time

import pytest

from flask_hardening.core.redaction import MASK, active

clean, clean_fields = (
    lambda value: active().clean(value),
    lambda fields: active().clean_fields(fields),
)


def test_secrets_are_masked_at_any_depth():
    """In dicts, lists, tuples and dataclasses, whatever the secret's own type is."""

    @dataclasses.dataclass
    class Login:
        user: str
        password: str

    given = {
        "user": "x",
        "accessToken": "a1b2",
        "inner": [{"headers": {"Authorization": "b", "Accept": "*"}}],
        "pair": ({"pin": 1234},),
        "login": Login("x", "c"),
        "secret": {"nested": ["d"]},
        "token": None,
    }
    assert clean(given) == {
        "user": "x",
        "accessToken": MASK,
        "inner": [{"headers": {"Authorization": MASK, "Accept": "*"}}],
        "pair": [{"pin": MASK}],
        "login": {"user": "x", "password": MASK},
        "secret": MASK,
        "token": None,
    }


@pytest.mark.parametrize("value", [0, 7, "7", "99", 1.5])
def test_small_numbers_are_secrets_too(value):
    """A PIN is one, however short."""
    assert clean({"pin": value, "count": value}) == {"pin": MASK, "count": value}


def test_a_name_beside_its_value():
    """In pairs, in commands, and in objects that hold both."""
    given = {
        "headers": [("Host", "x"), ("Authorization", "Bearer abc123")],
        "argv": ["run", "--token", "abc123", "--verbose"],
        "form": [{"name": "password", "value": "x1"}, {"name": "page", "value": "2"}],
    }
    assert clean(given) == {
        "headers": [["Host", "x"], ["Authorization", MASK]],
        "argv": ["run", "--token", MASK, "--verbose"],
        "form": [{"name": "password", "value": MASK}, {"name": "page", "value": "2"}],
    }


def test_the_callers_objects_are_not_changed():
    """Masking happens in a copy."""
    inner = {"password": "a"}
    given = {"inner": [inner]}
    clean_fields(given)
    assert given == {"inner": [{"password": "a"}]}
    assert given["inner"][0] is inner


class Colour(enum.Enum):
    """An enumeration for the case below."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (7, 7),
        ("x", "x"),
        (b"abc\xff", "abc\\xff"),
        (bytearray(b"abc"), "abc"),
        ({1: 2, None: 3, ("a", 1): 4}, {"1": 2, "None": 3, "('a', 1)": 4}),
        ({3}, [3]),
        (Colour.RED, "red"),
        (range, "<class 'range'>"),
        (type("UserId", (int,), {})(7), 7),
        (2**63, "0x8000000000000000"),
        (10**10_000, "<huge int>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_becomes_of_other_types(value, expected):
    """Everything becomes something that JSON can hold."""
    assert clean(value) == expected


def test_a_hostile_object_becomes_its_class():
    """An object whose every method fails costs nothing but its own value."""

    class Hostile(dict):
        def items(self):
            raise RuntimeError

        def __len__(self):
            raise RuntimeError

        def __str__(self):
            raise RuntimeError

    assert clean({"a": Hostile(), "b": 1}) == {"a": "<Hostile>", "b": 1}


def test_sizes_are_bounded():
    """Long text, long lists and wide dicts are cut, and say by how much."""
    assert clean("x" * 10_000) == "x" * 8192 + "<1808 more>"
    assert clean(list(range(150)))[-2:] == [99, "<50 more>"]
    assert clean({str(n): n for n in range(150)})["…"] == "<50 more>"


def test_depth_is_bounded():
    """A cycle and a value nested without end are cut."""
    cycle: list = []
    cycle.append(cycle)
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    for value in (cycle, nested):
        assert str(clean(value)).count("[") <= 9


def test_a_value_that_fans_out_is_bounded():
    """A small object that refers to itself a hundred times takes no time to speak of."""
    fan: list = []
    fan.extend([fan] * 100)
    began = time.monotonic()
    text = str(clean({"fan": fan}))
    assert time.monotonic() - began < 5
    assert len(text) < 1_000_000


def test_field_names_that_are_no_text():
    """A name of another type neither fails nor loses the others."""
    assert clean_fields({1: "a", "b": 2}) == {"1": "a", "b": 2}
