"""The factory: one function makes each of the services, hardened."""

from __future__ import annotations

import pytest

from flask_hardening import propagate
from sample_app import clients, create_app, settings


@pytest.mark.parametrize("service", settings.SERVICES)
def test_makes_each_service(service):
    """Each service answers on `/` with its name, and with both ids."""
    answer = create_app(service).test_client().get("/")
    assert answer.json == {"service": service}
    assert answer.headers["X-Correlation-ID"]
    assert answer.headers["X-Request-ID"]


def test_takes_the_role_from_the_environment(monkeypatch):
    """`gunicorn 'sample_app:create_app()'` runs the service that SAMPLE_SERVICE names."""
    monkeypatch.setenv("SAMPLE_SERVICE", "business")
    assert create_app().test_client().get("/").json == {"service": "business"}
    assert create_app("auth").test_client().get("/").json == {"service": "auth"}


def test_refuses_an_unknown_role():
    """A misspelt service stops the start and is told which ones there are."""
    with pytest.raises(ValueError, match="'busyness' is none of api, auth, business"):
        create_app("busyness")


def test_settings_of_the_caller_win():
    """A test or a deployment can change any setting."""
    answer = (
        create_app(config={"HARDENING_CORRELATION_HEADER": "X-Trace"})
        .test_client()
        .get("/")
    )
    assert answer.headers["X-Trace"]


def test_ids_go_to_the_own_services_only(monkeypatch):
    """The allow-list has the two services, by host and port, and nobody else."""
    monkeypatch.setenv("SAMPLE_AUTH_URL", "http://auth.internal:9000")
    monkeypatch.setenv("SAMPLE_BUSINESS_URL", "http://business.internal")
    allowed = create_app().config["HARDENING_CORRELATION_PROPAGATE_TO"]
    assert allowed == ("auth.internal:9000", "business.internal")
    for session in (clients.auth_http, clients.business_http):
        assert propagate(session) is session


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_database_urls_are_read_as_people_write_them(monkeypatch, given, read):
    """`postgres://` and `postgresql://` mean the driver that is installed."""
    monkeypatch.setenv("DATABASE_URL", given)
    assert settings.database_url() == read


def test_init_db_creates_the_tables(tmp_path, monkeypatch):
    """`flask init-db` makes an empty database usable, folders included; twice is once."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/var/new.db")
    app = create_app("business")
    for _ in range(2):
        result = app.test_cli_runner().invoke(args=["init-db"])
        assert result.exit_code == 0, result.output
    answer = app.test_client().get("/businesses/1")
    assert answer.json["code"] == "business_not_found"
