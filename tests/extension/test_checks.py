"""Mistakes in the set-up that fail nowhere are said once, at the first request or at start."""

from __future__ import annotations

import logging.config

import pytest
from flask import Flask

from flask_hardening import ConfigError, Hardening
from flask_hardening.core.errors import HardeningError

OWN_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["null"]},
}


def _serve(app):
    for _ in range(2):
        app.test_client().get("/ok").get_data()


def test_a_right_set_up_is_not_mentioned(make_app, read_lines):
    """An app without mistakes has its request lines alone."""
    _serve(make_app())
    assert {line["event"] for line in read_lines()} == {"request.finished"}


def test_logging_that_was_configured_afterwards(make_app, read_lines):
    """When `dictConfig` has thrown our handler out, one WARNING says what to do."""
    app = make_app()
    logging.config.dictConfig(OWN_LOGGING)
    _serve(app)
    (line,) = read_lines("setup.suspicious")
    assert line["level"] == "WARNING"
    assert "before Hardening(app)" in line["message"]


@pytest.mark.parametrize("setting", ["LOGS_STDLIB", "LOGS_ENABLED"])
def test_logging_that_was_not_asked_for(make_app, capfd, setting):
    """An app that keeps its own `logging` is told nothing."""
    app = make_app(**{setting: False})
    logging.config.dictConfig(OWN_LOGGING)
    _serve(app)
    out, err = capfd.readouterr()
    assert "setup.suspicious" not in out + err
    assert "has replaced" not in out + err


@pytest.mark.parametrize(("then", "now"), [(False, True), (True, False)])
def test_debug_mode_that_changed_afterwards(make_app, capfd, then, now):
    """`app.run(debug=True)` comes too late for the environment; one WARNING says so."""
    app = make_app(debug=then, LOGS_FORMAT="json")
    app.debug = now
    _serve(app)
    out = capfd.readouterr().out
    assert out.count("setup.suspicious") == 1
    assert ("switched on" if now else "switched off") in out


def test_debug_mode_beside_a_chosen_environment(make_app, read_lines):
    """Who has named the environment has decided."""
    app = make_app(ENVIRONMENT="staging")
    app.debug = True
    _serve(app)
    assert read_lines("setup.suspicious") == []


@pytest.mark.parametrize(
    "variable", ["HARDENING_LOGS_LEVEL", "HARDENING_LOGS_LEVELS__celery"]
)
def test_a_variable_without_flask_in_front(make_app, read_lines, monkeypatch, variable):
    """A setting in the environment that nobody reads is named with its right name."""
    monkeypatch.setenv(variable, "DEBUG")
    make_app()
    (line,) = read_lines()
    assert (line["event"], line["level"]) == ("setup.suspicious", "WARNING")
    assert f"{variable} is not read" in line["message"]
    assert f"FLASK_{variable}" in line["message"]


def test_variables_that_are_read_or_not_ours(make_app, read_lines, monkeypatch):
    """Nothing is said of a setting that counts all the same, or of another's variable."""
    monkeypatch.setenv("HARDENING_LOGS_LEVEL", "DEBUG")
    monkeypatch.setenv("HARDENING_SERVICE", "x")
    monkeypatch.setenv("FLASK_HARDENING_SERVICE", "x")
    monkeypatch.setenv("HARDENING_OF_THE_KERNEL", "on")
    make_app(LOGS_LEVEL="INFO")
    assert read_lines() == []


def test_hardening_after_the_first_request():
    """An app that has served already is left as it is, and the error says what to do."""
    app = Flask("late")
    app.test_client().get("/")
    before = app.wsgi_app
    with pytest.raises(HardeningError, match="before its first request"):
        Hardening(app)
    assert app.wsgi_app == before
    assert "hardening" not in app.extensions


def test_development_is_written_in_small_letters(make_app):
    """`Development` would be an environment like any other; it is refused."""
    with pytest.raises(ConfigError, match="in small letters"):
        make_app(ENVIRONMENT="Development")
