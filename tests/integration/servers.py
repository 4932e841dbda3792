"""Real Redis, RabbitMQ and PostgreSQL: each a child process on a free port in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
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
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb = program("initdb", "postgresql", *map(str, binaries))
    server = program("postgres", "postgresql", *map(str, binaries))
    user = _postgres_user()
    with _folder() as folder:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        data, port = folder / "data", free_port()
        create = [initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        create += ["--locale=C.UTF-8", "--no-sync"]
        made = subprocess.run(
            create, capture_output=True, text=True, cwd="/", check=False, **user
        )
        assert made.returncode == 0, made.stderr
        command = [server, "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
        command += ["-k", str(folder), "-F"]
        child = Service(command, folder, cwd="/", **user)
        try:
            child.wait_for(lambda: answers(port), "PostgreSQL to listen")
            _wait_for_queries(child, port, binaries)
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            child.stop(signal.SIGINT)


def _postgres_user():
    """Return what `Popen` needs to leave root, whom PostgreSQL refuses to serve."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _wait_for_queries(child, port, binaries):
    check = [program("pg_isready", "postgresql", *map(str, binaries))]
    check += ["-q", "-h", "127.0.0.1", "-p", str(port)]
    child.wait_for(
        lambda: subprocess.run(check, check=False).returncode == 0, "PostgreSQL to be ready"
    )
