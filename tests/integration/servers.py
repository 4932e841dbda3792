"""Real Redis, RabbitMQ and PostgreSQL: each a child process on a free port in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from processes import Service, answers, free_port

_RABBIT = """\
listeners.tcp.local = 127.0.0.1:{port}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = warning
log.file = false
"""


def program(name, package, *folders):
    """Return the path of a server's program; without it the tests fail and say why."""
    path = os.pathsep.join((*folders, os.environ.get("PATH", "")))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(
            f"The program {name} is missing. Install the package {package} "
            f"(apt-get install {package}), or run `make test`, which does.",
            pytrace=False,
        )
    return found


@contextmanager
def _folder():
    # short: PostgreSQL's socket path has at most 107 characters
    folder = Path(tempfile.mkdtemp(prefix="fh-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis():
    """Run a Redis; yields its URL without a database."""
    with redis_process() as (url, _):
        yield url


@contextmanager
def redis_process(port=None):
    """Run a Redis on a certain port; yields its URL and its process id."""
    with _folder() as folder:
        port = port or free_port()
        command = [program("redis-server", "redis-server"), "--bind", "127.0.0.1"]
        command += ["--port", str(port), "--save", "", "--appendonly", "no"]
        child = Service([*command, "--dir", str(folder)], folder)
        try:
            child.wait_for(lambda: answers(port), "Redis to listen")
            yield f"redis://127.0.0.1:{port}", child.pid
        finally:
            child.stop()


@contextmanager
def rabbitmq():
    """Run a RabbitMQ with an Erlang name service of its own; yields its URL."""
    # Debian's own start script changes the user and the place of the logs
    server = program("rabbitmq-server", "rabbitmq-server", "/usr/lib/rabbitmq/bin")
    control = program("rabbitmqctl", "rabbitmq-server", "/usr/lib/rabbitmq/bin")
    names = program("epmd", "rabbitmq-server")
    with _folder() as folder:
        port, env = _rabbit_environment(folder)
        child = Service([server], folder, env)

        def up():
            if not answers(port):
                return False
            check = [
                control,
                "-n",
                env["RABBITMQ_NODENAME"],
                "await_startup",
                "--timeout",
                "30",
            ]
            return (
                subprocess.run(check, env=env, capture_output=True, check=False).returncode
                == 0
            )

        try:
            child.wait_for(up, "RabbitMQ to listen", 90)
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
        finally:
            child.stop()
            # it is a daemon, and outlives the broker that started it
            kill = [names, "-port", env["ERL_EPMD_PORT"], "-kill"]
            subprocess.run(kill, capture_output=True, check=False, timeout=30)


def _rabbit_environment(folder):
    port = free_port()
    (folder / "enabled_plugins").write_text("[].")
    (folder / "rabbitmq.conf").write_text(_RABBIT.format(port=port))
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    return port, {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": f"t{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
    }


@contextmanager
def postgresql():
    """Run a PostgreSQL; yields the URL of its database as SQLAlchemy reads it."""
    with postgresql_process() as server:
        yield server.url


@contextmanager
def postgresql_process(*options):
    """Run a PostgreSQL that can be stopped, frozen and started again; yields it."""
    with _folder() as folder:
        server = PostgreSQL(folder, options)
        try:
            server.start()
            yield server
        finally:
            server.thaw()
            server.stop()


class PostgreSQL:
    """
    A server with its data in a folder, always on the same port.

    Args:
        folder: It.
        options: More for its command line.
    """

    def __init__(self, folder, options=()):
        self.folder, self.port, self.child = folder, free_port(), None
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self._binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self._command = [self._program("postgres"), "-D", str(folder / "data")]
        self._command += ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
        self._command += options
        self._user = _postgres_user()
        if self._user:
            shutil.chown(folder, "postgres", "postgres")
        create = [self._program("initdb"), "-D", str(folder / "data"), "-U", "postgres"]
        create += ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = subprocess.run(
            create, capture_output=True, text=True, cwd="/", check=False, **self._user
        )
        assert made.returncode == 0, made.stderr

    def _program(self, name):
        return program(name, "postgresql", *map(str, self._binaries))

    def start(self):
        """Start it, and wait until it answers."""
        self.child = Service(self._command, self.folder, cwd="/", **self._user)
        check = [self._program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]

        def ready():
            return subprocess.run(check, check=False).returncode == 0

        self.child.wait_for(lambda: answers(self.port), "PostgreSQL to listen")
        self.child.wait_for(ready, "PostgreSQL to be ready")

    def stop(self):
        """Stop it, if it runs, and its connections with it."""
        if self.child is not None:
            self.child.stop(signal.SIGINT)

    def freeze(self):
        """Let none of its processes do anything, while its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, what):
        if self.child is None or self.child.process.poll() is not None:
            return
        # each connection's process has a session of its own
        listed = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text()
        for pid in (self.child.pid, *map(int, listed.split())):
            with suppress(ProcessLookupError):
                os.kill(pid, what)


def _postgres_user():
    """Return what `Popen` needs to leave root, whom PostgreSQL refuses to serve."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}
