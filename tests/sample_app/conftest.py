"""The three services in this process, on SQLite and on PostgreSQL, with tasks run in place."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from werkzeug.serving import make_server

from sample_app import create_app, db, provider, settings
from sample_app.celery_app import celery_app
from sample_app.models import Base

INTEGRATION = str(Path(__file__).parents[1] / "integration")
if INTEGRATION not in sys.path:
    sys.path.insert(0, INTEGRATION)

import servers  # noqa: E402 - found by the line above


@pytest.fixture(scope="session")
def redis_url():
    """A Redis of this session's own, without a database in its URL."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_url():
    """A PostgreSQL of this session's own."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path, monkeypatch):
    """An empty database; its URL."""
    if request.param == "sqlite":
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/sample.db")
    else:
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgresql_url"))
    Base.metadata.drop_all(db.engine())
    db.create_tables()
    yield settings.database_url()
    db.engine().dispose()


@pytest.fixture
def eager():
    """Tasks run where they are published."""
    before = celery_app.conf.task_always_eager
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = before


@contextmanager
def serving(app):
    """Serve an app over real HTTP; yields its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture
def app(request, _fresh_process, database, eager, monkeypatch):
    """
    The API, with the two services it calls; pytest-flask makes `client` of it.

    That plugin asks for it before all else, so it asks for a fresh process itself.
    """
    # a service's last line may come when its caller has its answer, and the test is over
    monkeypatch.setenv("FLASK_HARDENING_LOGS_OUTPUTS", "[]")
    with ExitStack() as running:
        for name in ("auth", "business"):
            url = running.enter_context(serving(create_app(name)))
            monkeypatch.setenv(f"SAMPLE_{name.upper()}_URL", url)
        url = running.enter_context(serving(provider.create_app()))
        monkeypatch.setenv("SAMPLE_PAYMENTS_URL", url)
        cache = request.getfixturevalue("redis_url")
        monkeypatch.setenv("REDIS_URL", cache)
        with redis.Redis.from_url(cache) as emptied:
            emptied.flushdb()
        yield create_app()


class Api:
    """A client that is signed in and owns a business."""

    def __init__(self, client):
        self._client = client
        user = {"email": "ada@example.org", "password": "correct horse"}
        self.user = client.post("/users", json=user)
        self.token = client.post("/tokens", json=user).json["token"]
        self.business = self.post("/businesses", {"name": "Engines"}).json["id"]

    @property
    def headers(self):
        """The headers of somebody who is signed in."""
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path, **headers):
        """GET a path."""
        return self._client.get(path, headers={**self.headers, **headers})

    def post(self, path, body=None, **headers):
        """POST JSON to a path."""
        return self._client.post(path, json=body, headers={**self.headers, **headers})

    def invoice(self, **changes):
        """Write an invoice."""
        body = {
            "business_id": self.business,
            "number": "A-1",
            "customer": "grace@example.org",
            "amount_cents": 12000,
            **changes,
        }
        return self.post("/invoices", body)


@pytest.fixture
def api(client):
    """A client that is signed in and owns a business."""
    return Api(client)
