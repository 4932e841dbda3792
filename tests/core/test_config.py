"""Settings: read from the app and the environment, checked at start, shown with their source."""

from __future__ import annotations

import dataclasses
import math

import pytest

from flask_hardening.core import settings
from flask_hardening.core.config import Configuration, environment, key_of
from flask_hardening.core.errors import ConfigError


def _refused(config, environ=None):
    with pytest.raises(ConfigError) as caught:
        Configuration(config, environ or {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("HARDENING_LOGS_LEVLE", "HARDENING_LOGS_LEVEL"),
        ("HARDENING_LOG_FORMAT", "HARDENING_LOGS_FORMAT"),
        ("HARDENING_CORRELATION_HEADERS", "HARDENING_CORRELATION_HEADER"),
        ("HARDENING_SERVICE_NAME", "HARDENING_SERVICE"),
        ("HARDENING_logs_level", "HARDENING_LOGS_LEVEL"),
        ("HARDENING_CORRELATION_ENABLED", "HARDENING_CORRELATION_HEADER"),
        ("HARDENING_", None),
        ("HARDENING_ZZZZZZ", None),
    ],
)
def test_an_unknown_key_fails_with_the_nearest(key, nearest):
    """The message has the key, the nearest valid one, and what to do."""
    text = _refused({key: 1})
    assert text.startswith(f"{key} is not a setting.")
    assert "rename the key or remove it" in text
    if nearest:
        assert f"The nearest one is {nearest}:" in text


WRONG = [
    ("HARDENING_SERVICE", 7, "must be text"),
    ("HARDENING_LOGS_ENABLED", "yes", "must be true or false"),
    ("HARDENING_LOGS_ENABLED", 1, "must be true or false"),
    ("HARDENING_LOGS_LEVEL", "LOUD", "must be one of 'TRACE', 'DEBUG'"),
    ("HARDENING_LOGS_LEVEL", 10, "must be one of"),
    ("HARDENING_LOGS_LEVELS", ["a"], "must be a dict"),
    ("HARDENING_LOGS_LEVELS", {"a": "LOUD"}, "has 'a': 'LOUD', which must be one of"),
    ("HARDENING_LOGS_LEVELS", {1: "INFO"}, "has the key 1, which must be text"),
    ("HARDENING_LOGS_OUTPUTS", "stdout", "must be a list"),
    (
        "HARDENING_LOGS_OUTPUTS",
        ("printer",),
        "has the entry 'printer', which must be one of",
    ),
    ("HARDENING_REDACTION_HMAC_KEY", "short", "must have at least 16 characters"),
    ("HARDENING_LOGS_FILE", True, "must be text"),
    ("HARDENING_CORRELATION_INBOUND", "distrust", "must be one of 'trust'"),
    ("HARDENING_CORRELATION_HEADER", "X Id", "must be a header name"),
    ("HARDENING_CORRELATION_HEADER", "", "must be a header name"),
    ("HARDENING_CORRELATION_HEADER", "X-Id\r\nY: z", "must be a header name"),
    ("HARDENING_CORRELATION_HEADER", "X_Id", "must be a header name"),
    ("HARDENING_CORRELATION_PROPAGATE_TO", "host", "must be a list"),
    (
        "HARDENING_CORRELATION_PROPAGATE_TO",
        ["http://host"],
        "has 'http://host'; each entry",
    ),
    ("HARDENING_CORRELATION_PROPAGATE_TO", ["a.*.b"], "has 'a.*.b'; each entry"),
    ("HARDENING_CORRELATION_PROPAGATE_TO", ["*a"], "has '*a'; each entry"),
    ("HARDENING_CORRELATION_PROPAGATE_TO", [" host"], "each entry is a host name"),
    ("HARDENING_CORRELATION_PROPAGATE_TO", ["u@host"], "each entry is a host name"),
    ("HARDENING_CORRELATION_PROPAGATE_TO", [""], "each entry is a host name"),
    ("HARDENING_TIMINGS_SLOW", "fast", "must be a number"),
    ("HARDENING_TIMINGS_SLOW", True, "must be a number"),
    ("HARDENING_TIMINGS_SLOW", -1, "must not be negative"),
    ("HARDENING_TIMINGS_SLOW", math.nan, "must be a finite number"),
    ("HARDENING_TIMINGS_SLOW", math.inf, "must be a finite number"),
    ("HARDENING_TIMINGS_SLOW_ROUTES", {"/a": -1}, "must not be negative (see /a)"),
    ("HARDENING_TASKS_PUBLISH_TIMEOUT", 0, "must be above 0"),
    ("HARDENING_ERRORS_FORMAT", "xml", "must be one of 'json', 'problem'"),
    ("HARDENING_ERRORS_HTML", None, "must be true or false"),
]


@pytest.mark.parametrize(("key", "value", "wrong"), WRONG)
def test_a_wrong_value_fails_with_the_key_and_the_fix(key, value, wrong):
    """The message has the key, the value and what it must be."""
    text = _refused({key: value})
    assert text.startswith(f"{key} = ")
    assert wrong in text


def test_all_problems_are_told_at_once():
    """Whoever fixes a configuration sees everything that is wrong with it."""
    text = _refused(
        {"HARDENING_X": 1, "HARDENING_SERVICE": 1, "HARDENING_TIMINGS_SLOW": -1}
    )
    assert len(text.splitlines()) == 3


def test_a_secret_is_not_told():
    """A wrong secret is named without its value."""
    text = _refused({"HARDENING_REDACTION_HMAC_KEY": "hunter2"})
    assert "hunter2" not in text
    assert "'***'" in text


def test_a_value_whose_repr_fails_is_named():
    """Even a hostile value leads to the key."""

    class Mute:
        def __repr__(self):
            raise RuntimeError

    assert "HARDENING_SERVICE = <Mute>" in _refused({"HARDENING_SERVICE": Mute()})


def test_a_long_value_is_cut():
    """The message stays readable."""
    assert len(_refused({"HARDENING_LOGS_LEVEL": "x" * 5000})) < 400


def test_what_counts_for_what():
    """Case of choices, whole numbers for seconds, lists for tuples, None where it may be."""
    configuration = Configuration(
        {
            "HARDENING_LOGS_LEVEL": "info",
            "HARDENING_LOGS_OUTPUTS": ["STDERR"],
            "HARDENING_LOGS_FILE": None,
            "HARDENING_TIMINGS_SLOW": 2,
            "HARDENING_TIMINGS_SERVER_TIMING": None,
            "OTHER": object(),
            7: object(),
        },
        {},
    )
    logs = configuration.section(settings.Logs)
    assert (logs.level, logs.outputs, logs.file) == ("INFO", ("stderr",), None)
    slow = configuration.section(settings.Timings).slow
    assert (slow, type(slow)) == (2.0, float)


def test_the_environment_wins():
    """An operator's variable counts more than the app's own setting."""
    configuration = Configuration(
        {"HARDENING_SERVICE": "app", "HARDENING_LOGS_LEVEL": "INFO"},
        {"FLASK_HARDENING_SERVICE": "operator", "HARDENING_LOGS_LEVEL": "DEBUG"},
    )
    assert configuration.section(settings.General).service == "operator"
    assert configuration.section(settings.Logs).level == "INFO"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("1.5", 1.5),
        ('["a", "b"]', ["a", "b"]),
        ('{"a": 1}', {"a": 1}),
        ("null", None),
        ('"7"', "7"),
        ("plain text", "plain text"),
        ("", ""),
    ],
)
def test_variables_are_json_where_they_parse(text, value):
    """As Flask's `from_prefixed_env` reads them."""
    assert environment({"FLASK_HARDENING_X": text}, {}) == {"HARDENING_X": value}


def test_two_underscores_reach_into_a_dict():
    """Single entries can be set, beside a whole dict in another variable."""
    variables = {
        "FLASK_HARDENING_LOGS_LEVELS": '{"a": "INFO"}',
        "FLASK_HARDENING_LOGS_LEVELS__b": "DEBUG",
        "FLASK_HARDENING_DEEP__a__b": "1",
    }
    assert environment(variables, {}) == {
        "HARDENING_LOGS_LEVELS": {"a": "INFO", "b": "DEBUG"},
        "HARDENING_DEEP": {"a": {"b": 1}},
    }


def test_two_underscores_add_to_the_apps_own_dict():
    """A single entry from the environment leaves the app's others in force, and its dict as is."""
    own = {"/a": 1.0, "/b": 2.0}
    configuration = Configuration(
        {"HARDENING_TIMINGS_SLOW_ROUTES": own},
        {"FLASK_HARDENING_TIMINGS_SLOW_ROUTES__/b": "5"},
    )
    routes = configuration.section(settings.Timings).slow_routes
    assert routes == {"/a": 1.0, "/b": 5.0}
    assert own == {"/a": 1.0, "/b": 2.0}


def test_a_wrong_variable_fails_with_its_key():
    """What is wrong in the environment is told as what is wrong in the app."""
    assert "HARDENING_LOGS_LEVLE" in _refused({}, {"FLASK_HARDENING_LOGS_LEVLE": "x"})
    text = _refused({}, {"FLASK_HARDENING_SERVICE": "7"})
    assert "HARDENING_SERVICE = 7 must be text" in text
    assert "double quotes" in text


def test_the_source_of_each_setting():
    """Each setting tells its value, where it came from, and what it is for."""
    configuration = Configuration(
        {"HARDENING_ERRORS_HTML": True, "HARDENING_REDACTION_HMAC_KEY": "x" * 16},
        {"FLASK_HARDENING_SERVICE": "shop"},
    )
    found = {setting.key: setting for setting in configuration.settings()}
    assert found["HARDENING_SERVICE"].source == "FLASK_HARDENING_SERVICE"
    assert found["HARDENING_ERRORS_HTML"].source == "app.config"
    assert found["HARDENING_LOGS_LEVEL"].source == "default"
    assert "***" in found["HARDENING_REDACTION_HMAC_KEY"].shown()
    assert "xxx" not in found["HARDENING_REDACTION_HMAC_KEY"].shown()
    assert all(setting.doc for setting in found.values())


@pytest.mark.parametrize("name", settings.SECTIONS)
def test_every_section_stands_on_its_defaults(name):
    """Each default passes its own check, is frozen, and is not shared between apps."""
    cls = settings.SECTIONS[name]
    config = {key_of(name, f.name): getattr(cls(), f.name) for f in dataclasses.fields(cls)}
    assert Configuration(config, {}).section(cls) == cls()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, None)
    assert settings.Logs().levels is not settings.Logs().levels
