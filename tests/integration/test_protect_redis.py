"""A protected client of a real Redis that is killed, restarted, frozen, and cut off from it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest
import redis
import servers
from processes import free_port, poll

from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.adapters.for_redis import RedisDeadlineExceededError
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.protection import protect
from flask_hardening.testing import fresh_process

HANG = 15.0  # seconds; a bound against hangs alone
OPEN_FOR = 0.5


@pytest.fixture(autouse=True)
def _fresh():
    with fresh_process():
        yield


def client_of(url, **options):
    """Return a protected client with a breaker that soon tries again."""
    options = {"open_for": OPEN_FOR, "jitter": 0.0, **options}
    return protect(redis.Redis.from_url(url), name="cache", **options)


def test_killed_and_restarted():
    """While it is gone calls fail at once as its own do; it is found again when it is back."""
    port = free_port()
    with servers.redis_process(port) as (url, _):
        client = client_of(url)
        assert client.set("k", "v")
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(redis.ConnectionError):
            client.get("k")
    assert time.monotonic() - began < HANG
    assert targets.active().target("cache").breaker().snapshot().rejected > 30
    with servers.redis_process(port) as (url, _):
        back = time.monotonic()

        def answers():
            try:
                return client.ping()
            except redis.ConnectionError:
                return False

        poll(answers, "the breaker to close")
        # the open time doubles each time it finds nobody
        assert time.monotonic() - back < HANG
        assert targets.active().target("cache").breaker().closed
        client.close()


def test_frozen():
    """A call ends at its deadline, and when it thaws each gets its own answer."""
    with servers.redis_process() as (url, pid):
        client = client_of(url, timeout=HANG)
        client.mset({"a": "1", "b": "2"})
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(RedisDeadlineExceededError), deadline(0.3):
                client.get("a")
            with pytest.raises(redis.TimeoutError), deadline(0.3):
                client.pipeline().get("a").get("b").execute()
            assert time.monotonic() - began < HANG / 2
        finally:
            os.kill(pid, signal.SIGCONT)
        assert [client.get("b"), client.get("a")] == [b"2", b"1"]
        client.close()


def test_a_change_whose_answer_was_lost():
    """It has been carried out once, and is not made again."""
    with (
        servers.redis_process() as (url, _),
        socket.create_server(("127.0.0.1", 0)) as door,
    ):
        port = int(url.rpartition(":")[2])
        lost = threading.Event()
        threading.Thread(target=deaf_to, args=(door, port, b"INCRBY", lost)).start()
        client = client_of(f"redis://127.0.0.1:{door.getsockname()[1]}")
        with pytest.raises(redis.ConnectionError):
            client.incr("counter")
        assert lost.is_set()
        client.close()
        with redis.Redis(port=port) as direct:
            assert direct.get("counter") == b"1"


def deaf_to(door, port, word, lost):
    """Let everything through, until a server has answered a command: then cut both off."""
    inside, _ = door.accept()
    with inside, socket.create_connection(("127.0.0.1", port)) as outside:
        while said := inside.recv(65536):
            outside.sendall(said)
            answer = outside.recv(65536)
            if word in said:
                lost.set()
                return
            inside.sendall(answer)


def test_everything_else_works_as_before():
    """Locks, scripts, optimistic transactions, blocking reads, one connection alone."""
    with servers.redis_process() as (url, _):
        client = client_of(url, timeout=0.2)
        with client.lock("door", timeout=5):
            assert client.get("door")
        assert client.register_script("return ARGV[1]")(args=["x"]) == b"x"
        client.set("stock", 3)

        def take(pipe):
            left = int(pipe.get("stock"))
            pipe.multi()
            pipe.set("stock", left - 1)

        client.transaction(take, "stock")
        assert client.get("stock") == b"2"
        assert client.pipeline().incr("stock").incr("stock").execute() == [3, 4]
        assert client.blpop("nothing", timeout=1) is None
        client.rpush("list", "first")
        assert client.blpop("list", timeout=1) == (b"list", b"first")
        assert client.xread({"stream": "$"}, block=500) in ([], {}, None)
        client.close()
        single = redis.Redis.from_url(
            url, single_connection_client=True, decode_responses=True
        )
        protect(single, name="single")
        assert single.set("k", "ä")
        assert single.get("k") == "ä"
        single.close()


def test_a_read_that_waits_longer_than_the_time_out():
    """Neither that nor the library's own ends it, and for the breaker it is not slow."""
    with servers.redis_process() as (url, _):
        client = client_of(url, timeout=0.2, slow_call=0.1, minimum_calls=1)
        assert client.blpop("nothing", timeout=6) is None  # newer releases give up after 5
        late = threading.Timer(
            1.0, lambda: redis.Redis.from_url(url).rpush("list", "first")
        )
        late.start()
        assert client.pipeline(transaction=False).blpop("list", timeout=5).execute() == [
            (b"list", b"first")
        ]
        late.join()
        assert targets.active().target("cache").breaker().snapshot().slow == 0
        client.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_clients_of_every_make(protocol):
    """Others on the same pool, pools of one's own, and those that decode, work as before."""
    with servers.redis_process() as (url, _):
        options = {"decode_responses": True, "protocol": protocol}
        for kind in (redis.ConnectionPool, redis.BlockingConnectionPool):
            client = redis.Redis.from_pool(kind.from_url(url, db=1, **options))
            protect(client, name="cache", timeout=0.5)
            client.set("k", "ä")
            with client.client() as alone:
                assert alone.get("k") == "ä"
            raw = client.pipeline(transaction=False).get("k").dump("k").dump("k").execute()
            assert raw[0] == "ä"
            assert raw[1] == raw[2] == client.dump("k")
            assert client.info("server")["redis_version"]
            assert [*client.scan_iter("k*")] == ["k"]
            client.close()


def test_scripts_in_a_pipeline():
    """They are loaded within its own call: that is one, also where one alone may be under way."""
    with servers.redis_process() as (url, _):
        client = client_of(url, limit=1)
        script = client.register_script("return redis.call('INCR', KEYS[1])")
        pipe = client.pipeline()
        script(keys=["k"], client=pipe)
        script(keys=["k"], client=pipe)
        assert pipe.execute() == [1, 2]
        with client.pipeline() as pipe:
            pipe.watch("k")
            assert pipe.get("k") == b"2"
            pipe.multi()
            pipe.incr("k")
            client.set("k", "7")
            with pytest.raises(redis.WatchError):
                pipe.execute()
        assert client.get("k") == b"7"
        client.close()


def test_a_subscription():
    """It waits as long as it likes: longer than an answer may take."""
    with servers.redis_process() as (url, _):
        client = client_of(url, timeout=0.1)
        with client.pubsub() as subscription:
            subscription.subscribe("news")
            told = threading.Timer(0.5, client.publish, ("news", "late"))
            told.start()
            heard = subscription.listen()
            assert next(heard)["type"] == "subscribe"
            assert next(heard)["data"] == b"late"
            told.join()
        client.close()


def test_frozen_without_a_deadline():
    """A time-out of ours ends each wait; once it has thawed, it is soon found well again."""
    with servers.redis_process() as (url, pid):
        client = client_of(url, timeout=0.2)
        client.mset({"a": "1", "b": "2"})
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for _ in range(20):
                with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
                    client.get("a")
            assert time.monotonic() - began < HANG / 2
        finally:
            os.kill(pid, signal.SIGCONT)

        def answers():
            try:
                return client.get("b") == b"2"
            except redis.RedisError:
                return False

        poll(answers, "the breaker to close")
        assert [client.get("a"), client.get("b")] == [b"1", b"2"]
        client.close()


def test_a_wrong_password():
    """It is an answer: nobody knocks twice, and the breaker thinks nothing of it."""
    with servers.redis_process() as (url, _), redis.Redis.from_url(url) as admin:
        admin.config_set("requirepass", "right")
        admin.execute_command("AUTH", "right")
        admin.config_resetstat()
        client = client_of(url.replace("//", "//:wrong@"))
        with pytest.raises(redis.AuthenticationError):
            client.get("k")
        assert admin.info("stats")["total_connections_received"] == 1
        assert targets.active().target("cache").breaker().snapshot().failures == 0
        client.close()
