"""The helpers for users' tests, and telemetry that fails beside a request that doesn't."""

from __future__ import annotations

import pytest
from flask import Flask
from loguru import logger

from flask_hardening import Hardening
from flask_hardening.core import shield
from flask_hardening.record import state_of
from flask_hardening.testing import capture_logs, fresh_process


def test_capture_logs_has_the_block_and_nothing_else(client, capfd):
    """Records of the block come as dicts, in order; the outputs get them as well."""
    logger.info("before")
    with capture_logs() as lines:
        logger.bind(password="p").info("during")
        client.get("/ok").get_data()
    logger.info("after")
    assert [line["message"] for line in lines] == ["during", "GET /ok 200"]
    assert lines[0]["password"] == "***"
    assert capfd.readouterr().out.count("\n") == 4


def test_capture_logs_without_logs_says_what_to_do(make_app):
    """Without log outputs there is nothing to capture, and the message says why."""
    make_app(LOGS_ENABLED=False)
    with pytest.raises(RuntimeError, match="HARDENING_LOGS_ENABLED"), capture_logs():
        pass


def test_apps_of_different_settings_in_fresh_processes(capfd):
    """Wrapped one by one, apps that could not share a process can share a test run."""
    for level in ("INFO", "ERROR"):
        with fresh_process():
            app = Flask("shop")
            app.config["HARDENING_LOGS_LEVEL"] = level
            Hardening(app)
            app.test_client().get("/nowhere").get_data()
    assert capfd.readouterr().out.count("request.finished") == 1


@pytest.mark.parametrize("hook", ["begins", "ends", "heads"])
def test_telemetry_that_fails_breaks_no_request(app, client, capfd, hook):
    """A failing observer is counted each time and said once; the others still run."""

    def fail(_):
        raise LookupError

    getattr(state_of(app), hook).insert(0, fail)
    for _ in range(3):
        response = client.get("/ok")
        assert (response.status_code, response.data) == (200, b"fine")
    assert list(shield.dropped.values()) == [3]
    out, err = capfd.readouterr()
    assert out.count("request.finished") == 3
    assert err.count("telemetry.dropped") == 1
    shield.dropped.clear()


def test_headers_survive_another_parts_failure(app, client):
    """When one part's header can't be made, the ids are there all the same."""

    def fail(_):
        raise LookupError

    state_of(app).heads.append(fail)
    response = client.get("/ok")
    assert response.headers["X-Correlation-ID"]
    assert response.headers["X-Response-Time"]
    shield.dropped.clear()
