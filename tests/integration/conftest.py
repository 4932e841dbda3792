"""Real servers and real workers, each started once per session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

import servers  # noqa: E402 - found by the line above
from recordings import POOLS, record  # noqa: E402

CELLS = [(broker, pool) for broker in ("redis", "rabbitmq") for pool in POOLS]


@pytest.fixture(scope="session")
def redis_url():
    """A Redis of this session's own, without a database in its URL."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url():
    """A RabbitMQ of this session's own."""
    with servers.rabbitmq() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_url():
    """A PostgreSQL of this session's own."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session", params=CELLS, ids="-".join)
def recording(request, tmp_path_factory, redis_url):
    """
    What one worker wrote while all scenarios were played to it.

    Those on Redis log arguments, those on RabbitMQ have the default.
    """
    broker, pool = request.param
    backend = redis_url + "/1"
    arguments = broker == "redis"
    url = redis_url + "/0" if arguments else request.getfixturevalue("rabbitmq_url")
    folder = tmp_path_factory.mktemp(f"{broker}-{pool}")
    return record(url, backend, pool, folder, arguments=arguments)
