"""What an app itself logs during a request: under its ids, once, to every sink."""

from __future__ import annotations

import logging

import pytest
from flask import Flask, current_app
from loguru import logger

from flask_hardening import Hardening


@pytest.fixture
def log_from_view(make_app):
    """Run *log* in a view of an app with these settings."""

    def run(log, name="shop", **settings):
        app = make_app(name, **settings)
        app.add_url_rule("/log", "log", lambda: log() or "x")
        app.test_client().get("/log", headers={"X-Correlation-ID": "abc"}).get_data()
        return app

    return run


@pytest.mark.parametrize(
    ("log", "name"),
    [
        (lambda: logger.info("said"), __name__),
        (lambda: logging.getLogger("a.library").warning("said"), "a.library"),
        (lambda: current_app.logger.info("said"), "shop"),
    ],
    ids=["loguru", "logging", "app.logger"],
)
def test_lines_of_a_request_carry_its_ids(log_from_view, read_lines, log, name):
    """Whichever way a line is logged, it is there once, with the ids of the request."""
    log_from_view(log)
    said, finished = read_lines()
    assert (said["message"], said["logger"]) == ("said", name)
    assert said["correlation_id"] == "abc"
    assert said["request_id"] == finished["request_id"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_flasks_own_handler_is_not_doubled(capfd, when):
    """`app.logger` writes one line, also if the app used it before it was hardened."""
    app = Flask(f"own_handler_{when}")
    if when == "before":
        app.logger.warning("early")
    Hardening(app)
    capfd.readouterr()
    with app.app_context():
        app.logger.warning("once")
    out, err = capfd.readouterr()
    assert out.count("once") == 1
    assert err == ""


def test_without_taking_in_logging_flasks_handler_stays(capfd, monkeypatch):
    """With `HARDENING_LOGS_STDLIB = False` the app's own lines go where Flask sends them."""
    app = Flask("flasks_handler")
    app.config["HARDENING_LOGS_STDLIB"] = False
    with monkeypatch.context() as alone:  # Flask adds none where pytest has its own
        alone.setattr(logging.root, "handlers", [])
        Hardening(app)
        app.logger.warning("kept")
    out, err = capfd.readouterr()
    assert out == ""
    assert "WARNING in test_app_logging: kept" in err


@pytest.mark.parametrize(("debug", "shown"), [(True, True), (False, False)])
def test_the_app_logger_says_debug_in_development_only(log_from_view, capfd, debug, shown):
    """Flask's own logger follows the level of the house."""
    log_from_view(lambda: current_app.logger.debug("detail"), debug=debug)
    assert ("detail" in capfd.readouterr().out) is shown


def test_request_lines_can_go_through_loguru(make_app, read_lines):
    """With `via = loguru` sinks of the app's own see the request lines, and ours once."""
    heard = []
    sink = logger.add(lambda message: heard.append(message.record), level="INFO")
    client = make_app(LOGS_REQUEST_VIA="loguru").test_client()
    client.get("/{x}<red>").get_data()
    logger.remove(sink)
    (record,) = heard
    assert record["message"] == "GET /{x}<red> 404"
    assert record["extra"]["event"] == "request.finished"
    assert record["extra"]["status"] == 404
    assert record["name"] == "flask_hardening.logs"
    (line,) = read_lines()
    assert (line["event"], line["logger"]) == ("request.finished", "flask_hardening.logs")
    assert line["message"] == record["message"]


def test_direct_request_lines_do_not_reach_other_sinks(client, read_lines):
    """By default the request line goes straight to the outputs."""
    heard = []
    sink = logger.add(heard.append, level=0)
    client.get("/ok").get_data()
    logger.remove(sink)
    assert heard == []
    assert len(read_lines()) == 1


def test_the_part_switched_off_leaves_logging_alone(make_app, capfd):
    """Without the part there are no lines of ours and no handler; an error goes to loguru."""
    before = logging.root.level, list(logging.root.handlers)
    heard = []
    sink = logger.add(
        lambda message: heard.append(message.record["extra"]["event"]), level=0
    )
    client = make_app(LOGS_ENABLED=False).test_client()
    client.get("/ok").get_data()
    client.get("/boom").get_data()
    logger.remove(sink)
    assert (logging.root.level, list(logging.root.handlers)) == before
    assert capfd.readouterr().out == ""
    assert heard == ["request.failed"]


def test_development_writes_for_people(make_app, capfd):
    """In debug mode stdout has the console form; a file has JSON all the same."""
    make_app(debug=True).test_client().get("/ok").get_data()
    out = capfd.readouterr().out
    assert "request.finished  GET /ok 200" in out
    assert not out.startswith("{")


def test_a_sink_that_fails_breaks_no_request(make_app):
    """A sink of the app's own that raises is loguru's to report, not the client's."""
    sink = logger.add(lambda _: 1 / 0, level=0, catch=True)
    client = make_app(LOGS_REQUEST_VIA="loguru").test_client()
    assert client.get("/ok").data == b"fine"
    logger.remove(sink)
