"""`Hardening` itself: several apps, one object, and what fails at start."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_hardening import ConfigError, Hardening
from flask_hardening.core.errors import HardeningError

HEADER = "X-Correlation-ID"


def _app(name, **settings):
    app = Flask(name)
    app.config.update({f"HARDENING_{key}": value for key, value in settings.items()})
    app.add_url_rule("/ok", "ok", lambda: "fine")
    return app


def test_one_object_serves_several_apps(read_lines):
    """The object keeps nothing of an app: each has settings and name of its own."""
    hardening = Hardening()
    one = _app("one", CORRELATION_HEADER="X-One", CORRELATION_INBOUND="ignore")
    two = _app("two", ERRORS_FORMAT="problem", ENVIRONMENT="staging")
    hardening.init_app(one)
    hardening.init_app(two)
    first = one.test_client().get("/nowhere", headers={"X-One": "abc", HEADER: "abc"})
    second = two.test_client().get("/nowhere", headers={"X-One": "abc", HEADER: "def"})
    assert first.headers["X-One"] != "abc"
    assert HEADER not in first.headers
    assert first.json["statusCode"] == 404
    assert second.headers[HEADER] == "def"
    assert second.json["status"] == 404
    lines = read_lines()
    assert [line["service"] for line in lines] == ["one", "two"]
    assert [line["environment"] for line in lines] == ["production", "staging"]
    assert not any("app" in name for name in vars(hardening))


def test_two_apps_that_log_alike_join(read_lines):
    """Two apps with equal log settings write each line once, to the same outputs."""
    for name in ("one", "two"):
        app = _app(name, LOGS_LEVEL="INFO")
        Hardening(app)
        app.test_client().get("/ok").get_data()
    assert [line["service"] for line in read_lines()] == ["one", "two"]


def test_two_apps_that_log_differently_fail_at_start():
    """The message names the setting, both values, both apps and a way out."""
    Hardening(_app("one", LOGS_LEVEL="INFO"))
    with pytest.raises(ConfigError) as caught:
        Hardening(_app("two", LOGS_LEVEL="DEBUG", LOGS_FORMAT="console"))
    text = str(caught.value)
    assert "HARDENING_LOGS_LEVEL is 'INFO' for app 'one' and 'DEBUG' for app 'two'" in text
    assert (
        "HARDENING_LOGS_FORMAT is 'json' for app 'one' and 'console' for app 'two'" in text
    )
    assert "same values" in text


def test_hardening_an_app_twice_fails():
    """The second time is a mistake, and says so."""
    app = _app("shop")
    hardening = Hardening(app)
    for again in (lambda: hardening.init_app(app), lambda: Hardening(app)):
        with pytest.raises(HardeningError, match="'shop' has been hardened already"):
            again()


def test_a_wrong_setting_fails_at_start():
    """An unknown key stops the app from starting, with the nearest name and the fix."""
    with pytest.raises(ConfigError) as caught:
        Hardening(_app("shop", LOGS_LEVLE="INFO"))
    assert "HARDENING_LOGS_LEVLE" in str(caught.value)
    assert "HARDENING_LOGS_LEVEL" in str(caught.value)


def test_hmac_without_a_key_fails_at_start():
    """Settings that need each other say so."""
    with pytest.raises(ConfigError, match="HARDENING_REDACTION_HMAC_KEY"):
        Hardening(_app("shop", LOGS_CLIENT_ADDRESS="hmac"))


def test_an_app_that_failed_is_not_hardened():
    """After a failure the app isn't taken for a hardened one, and can be, once it is right."""
    app = _app("shop", LOGS_CLIENT_ADDRESS="hmac")
    with pytest.raises(ConfigError):
        Hardening(app)
    assert "hardening" not in app.extensions
    app.config["HARDENING_REDACTION_HMAC_KEY"] = "x" * 16
    Hardening(app)
    assert app.test_client().get("/ok", headers={HEADER: "abc"}).headers[HEADER] == "abc"


def test_the_environment_wins_over_the_app(monkeypatch):
    """An operator changes a setting without a release."""
    monkeypatch.setenv("FLASK_HARDENING_ERRORS_FORMAT", "problem")
    app = _app("shop", ERRORS_FORMAT="json")
    Hardening(app)
    assert app.test_client().get("/nowhere").mimetype == "application/problem+json"


def test_the_factory_pattern():
    """`Hardening()` with a later `init_app` does what `Hardening(app)` does."""
    app = _app("shop")
    Hardening().init_app(app)
    assert app.test_client().get("/ok").headers[HEADER]


def test_later_changes_of_the_configuration_count_for_nothing(make_app):
    """Settings are read once, at start."""
    app = make_app()
    app.config["HARDENING_ERRORS_FORMAT"] = "problem"
    assert app.test_client().get("/nowhere").mimetype == "application/json"


def test_one_app_inside_another(read_lines):
    """A hardened app mounted in another keeps its id; each has its own line and request id."""
    outer, inner = _app("outer"), _app("inner")
    mounted = outer.wsgi_app
    Hardening(inner)

    def dispatch(environ, start_response):
        if environ["PATH_INFO"].startswith("/inner"):
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/inner")
            return inner.wsgi_app(environ, start_response)
        return mounted(environ, start_response)

    outer.wsgi_app = dispatch
    Hardening(outer)
    response = outer.test_client().get("/inner/ok", headers={HEADER: "abc"})
    assert response.data == b"fine"
    assert response.headers.getlist(HEADER) == ["abc"]
    lines = read_lines()
    assert sorted(line["service"] for line in lines) == ["inner", "outer"]
    assert {line["correlation_id"] for line in lines} == {"abc"}
    assert len({line["request_id"] for line in lines}) == 2
