"""What comes from outside before there is a request: ids and settings, of any kind."""

from __future__ import annotations

import dataclasses
import json
import string

from campaign import search
from hypothesis import example, given
from hypothesis import strategies as st

from flask_hardening.core.config import Configuration, key_of
from flask_hardening.core.correlation import correlated, new_id, valid
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.settings import SECTIONS

_ALLOWED = set(string.ascii_letters + string.digits + "._-")
_KEYS = [
    key_of(section, field.name)
    for section, cls in SECTIONS.items()
    for field in dataclasses.fields(cls)
]
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text() | st.integers(), inner, max_size=3),
        st.frozensets(st.text(), max_size=3),
    ),
    max_leaves=8,
)


@search(200)
@given(st.one_of(st.text(), st.text("aZ09._-\n \r\0é٣", max_size=140), _ANY))
@example("a\n")
@example("a" * 128)
@example("a" * 129)
@example("٣")
def test_only_a_plain_id_is_valid(value):
    """1 to 128 of `A-Za-z0-9._-`, as they are; all else is None."""
    plain = isinstance(value, str) and 1 <= len(value) <= 128 and set(value) <= _ALLOWED
    assert valid(value) == (value if plain else None)
    with correlated(value) as kept:
        assert valid(kept) == kept
        assert kept == value or not plain


def test_ids_of_ours_are_valid_and_all_different():
    """128 random bits each."""
    made = [new_id() for _ in range(1000)]
    assert all(map(valid, made))
    assert len(set(made)) == 1000


def _read(config, environ):
    """Read settings: either they are refused, or all of them can be shown."""
    try:
        configuration = Configuration(config, environ)
    except ConfigError:
        return
    for setting in configuration.settings():
        assert isinstance(setting.shown(), str)


@search(200)
@given(st.dictionaries(st.sampled_from(_KEYS), _ANY, max_size=3))
def test_any_value_under_a_known_key(config):
    """Right or refused; nothing but ConfigError comes out."""
    _read(config, {})


@search(100)
@given(
    st.dictionaries(
        st.one_of(
            st.text().map("HARDENING_".__add__),
            _ANY.filter(
                lambda key: type(key).__hash__ is not None and not isinstance(key, tuple)
            ),
        ),
        _ANY,
        max_size=3,
    )
)
def test_any_key(config):
    """Unknown keys, and keys that are no text."""
    _read(config, {})


_NAMES = st.builds(
    lambda key, path: "__".join(["FLASK_" + key, *path]),
    st.sampled_from(_KEYS) | st.text("ABC_").map("HARDENING_".__add__),
    st.lists(st.text("aB_-1", max_size=3), max_size=3),
)
_JSON = st.one_of(
    st.text(),
    st.sampled_from(
        ["[", "NaN", "1e999", "-Infinity", "[" * 5000, '{"a":' * 5000, "9" * 5000]
    ),
    _ANY.map(lambda value: json.dumps(value, default=str, skipkeys=True)),
)


@search(200)
@given(
    st.dictionaries(_NAMES | st.sampled_from(_KEYS), _JSON, max_size=4),
    st.dictionaries(st.sampled_from(_KEYS), _ANY, max_size=2),
)
@example({"FLASK_HARDENING_LOGS_LEVELS": "[" * 5000}, {})
@example({"FLASK_HARDENING_LOGS_LEVELS": "9" * 5000}, {})
@example({"FLASK_HARDENING_TIMINGS_SLOW": "9" * 400}, {})
@example({"FLASK_HARDENING_LOGS_LEVELS__a": "x", "FLASK_HARDENING_LOGS_LEVELS": "1"}, {})
def test_any_environment(environ, config):
    """Variables with any text, and paths into what is no dict."""
    _read(config, environ)


class Hostile:
    """Fails at whatever is asked of it."""

    def __repr__(self):
        raise RuntimeError

    __str__ = __eq__ = __bool__ = __len__ = __iter__ = __repr__
    __hash__ = None


@search(60)
@given(st.sampled_from(_KEYS), st.sampled_from([Hostile(), [Hostile()], {"a": Hostile()}]))
def test_a_hostile_value(key, value):
    """A value whose own methods raise is refused like any other."""
    _read({key: value}, {})
