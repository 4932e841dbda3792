"""A protected Redis client against a server that does what a test tells it to."""

from __future__ import annotations

import math
import pickle
import socket
import threading
import time
from contextlib import contextmanager, nullcontext

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError
from redis.retry import Retry

from flask_hardening.core import correlation
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import classes, targets
from flask_hardening.core.resilience.adapters import for_redis, redis_commands
from flask_hardening.core.resilience.adapters.for_redis import RedisCircuitOpenError
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.deadline import deadline
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.core.resilience.protection import protect
from flask_hardening.testing import capture_logs

pytestmark = pytest.mark.usefixtures("alone")
HANG = 20.0  # seconds; a bound against hangs alone


class Server:
    """
    Speaks Redis's protocol, and notes what it is asked.

    Attributes:
        asked: The commands, without those of a connection's beginning.
        greeted: The commands of that.
        answers: What to do with each of them, in turn: bytes, `cut`, `silent`, or `deaf`:
            answer, and read no more.
        mute: Commands that get no answer, of a connection's beginning too.
        over: Set at the end.
    """

    def __init__(self):
        self.asked = []
        self.greeted = []
        self.answers = []
        self.mute = set()
        self.over = threading.Event()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = []
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            while command := self._read(stream):
                answer = self._answer(command)
                if answer == "cut":
                    return
                if answer == "silent":
                    continue
                try:
                    connection.sendall(b"+OK\r\n" if answer == "deaf" else answer)
                except OSError:
                    return
                if answer == "deaf":
                    self.over.wait(HANG)

    def _answer(self, command):
        if command[0] in self.mute:
            return "silent"
        if command[0] in (b"CLIENT", b"HELLO", b"SELECT"):
            self.greeted.append(command)
            return b"+OK\r\n"
        if command[0] == b"PING":
            return b"+PONG\r\n"
        self.asked.append(command)
        return self.answers.pop(0) if self.answers else b"$1\r\nv\r\n"

    @staticmethod
    def _read(stream):
        try:
            head = stream.readline()
            if not head:
                return None
            parts = []
            for _ in range(int(head[1:])):
                size = int(stream.readline()[1:])
                parts.append(stream.read(size + 2)[:-2])
        except (OSError, ValueError):
            return None
        return [parts[0].upper(), *parts[1:]]

    def close(self):
        """Stop listening, and cut all off."""
        self.over.set()
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@pytest.fixture
def server():
    """A server of the test's own."""
    running = Server()
    yield running
    running.close()


@contextmanager
def protected(port, options=None, **kwargs):
    """A protected client."""
    kwargs = {"protocol": 2, **kwargs}
    with redis.Redis("127.0.0.1", port, **kwargs) as client:
        yield protect(client, name="cache", **(options or {}))


def target():
    """Return the target of the tests."""
    return targets.active().target("cache")


def test_a_read_that_was_cut_off_is_made_again(server):
    """A GET does no harm twice."""
    server.answers = ["cut"]
    with protected(server.port) as client:
        assert client.get("k") == b"v"
    assert [command[0] for command in server.asked] == [b"GET", b"GET"]


def test_a_change_that_was_cut_off_is_not(server):
    """An INCR may have been carried out: its caller gets the library's own error, once."""
    server.answers = ["cut"]
    with protected(server.port) as client, pytest.raises(redis.ConnectionError):
        client.incr("k")
    assert [command[0] for command in server.asked] == [b"INCRBY"]


@pytest.mark.parametrize(
    ("command", "again"),
    [
        (("GET", "k"), True),
        (("get", "k"), True),
        ((b"GET", "k"), True),
        (("SET", "k", "v"), True),
        (("SET", "NX", "NX"), True),
        (("SET", "k", "v", "EX", 5), True),
        (("SET", "k", "v", "NX"), False),
        (("SET", "k", "v", b"get"), False),
        (("EXPIRE", "k", 5), True),
        (("EXPIRE", "k", 5, "NX"), False),
        (("MEMORY USAGE", "k"), True),
        (("XREAD", "STREAMS", "s", 0), True),
        (("XREAD", "BLOCK", 5, "STREAMS", "s", 0), False),
        *(((name, "k"), False) for name in "INCR DEL LPUSH RPOP GETDEL EVAL SPOP".split()),
        (("PUBLISH", "c", "v"), False),
        (("NEW.COMMAND", "k"), False),
        ((7, "k"), False),
    ],
)
def test_which_commands_are_made_again(command, again):
    """Those alone that change neither data nor answer the second time."""
    assert redis_commands.may_repeat(command) is again


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (("GET", "k"), 0.0),
        (("BLPOP", "k", 5), 6.0),
        (("BLMOVE", "a", "b", "LEFT", "LEFT", "0.5"), 1.5),
        (("BZMPOP", 2.0, 1, "k", "MIN"), 3.0),
        (("WAIT", 1, 500), 1.5),
        (("XREAD", b"BLOCK", b"250", b"STREAMS", "s", "$"), 1.25),
        (("XREAD", "STREAMS", "s", 0), 0.0),
        (("BRPOP", "k", 0), math.inf),
        (("BLPOP", "k", "soon"), math.inf),
        (("BLPOP",), math.inf),
        (("SUBSCRIBE", "c"), math.inf),
    ],
)
def test_how_long_a_command_waits_for_others(command, seconds):
    """As long as it says, and a little longer; 0 is for ever."""
    assert redis_commands.patience(command) == seconds


def test_what_was_never_sent_is_made_again():
    """An INCR that found nobody to listen has done nothing."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with protected(port, {"attempts": 3, "consecutive": 3}) as client:
        with pytest.raises(redis.ConnectionError) as caught:
            client.incr("k")
        assert "3 attempts" in str(caught.value.__notes__)
        assert classes.kind_of(caught.value) is classes.Kind.NEVER_SENT
        with pytest.raises(redis.ConnectionError, match="open") as caught:
            client.get("k")
    assert type(caught.value) is for_redis.RedisCircuitOpenError


def test_a_silent_server_has_a_limit(server):
    """Where nobody set a time-out there is one, and the library's ten retries are gone."""
    server.answers = ["silent"] * 9
    began = time.monotonic()
    with protected(server.port, {"timeout": 0.1}) as client:
        with pytest.raises(redis.TimeoutError):
            client.get("k")
        assert len(server.asked) == 2
        assert time.monotonic() - began < HANG
        server.answers = []
        assert client.get("k") == b"v"


def test_a_server_that_stops_in_the_middle(server):
    """Half an answer has a limit as well, whatever the library's own is."""
    server.answers = [b"$99\r\nv"]
    began = time.monotonic()
    with protected(server.port, {"timeout": 0.1}, socket_timeout=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.incr("k")
        assert time.monotonic() - began < 4.0
        assert client.get("k") == b"v"


@pytest.mark.parametrize("seconds", [None, 0.2])
def test_a_server_that_reads_no_more(server, seconds):
    """To send has a limit too: the time-out, or the deadline before it."""
    server.answers = ["deaf"]
    timeout = 0.2 if seconds is None else HANG
    with protected(server.port, {"timeout": timeout}) as client:
        assert client.set("k", "v")
        began = time.monotonic()
        with (
            pytest.raises(redis.TimeoutError),
            deadline(seconds) if seconds else nullcontext(),
        ):
            client.rpush("k", b"x" * 30_000_000)
        assert time.monotonic() - began < 4.0


@pytest.mark.parametrize("single", [False, True])
def test_a_client_that_was_used_before(server, single):
    """What it has made before is as well guarded: its connections wait no longer than others."""
    client = redis.Redis(
        port=server.port, protocol=2, db=1, single_connection_client=single
    )
    assert client.get("k") == b"v"
    protect(client, name="cache", connect_timeout=0.1, attempts=2, consecutive=2)
    assert client.get("k") == b"v"
    server.answers, server.mute = ["cut"], {b"SELECT"}
    with pytest.raises(redis.ConnectionError):
        client.incr("k")
    began = time.monotonic()
    with pytest.raises(redis.RedisError) as caught:
        client.incr("k")
    assert time.monotonic() - began < 4.0
    assert isinstance(caught.value, (redis.TimeoutError, for_redis.RedisCircuitOpenError))
    client.close()


def test_a_deadline_that_passes_before_the_hand_shake(server, monkeypatch):
    """A connection that was never greeted is not used: it would be of another database."""
    connect = redis.Connection._connect

    def slowly(connection):
        made = connect(connection)
        time.sleep(0.15)
        return made

    with protected(server.port, db=3) as client:
        monkeypatch.setattr(redis.Connection, "_connect", slowly)
        with deadline(0.1), pytest.raises(for_redis.RedisDeadlineExceededError):
            client.get("k")
        monkeypatch.undo()
        assert [b"SELECT", b"3"] not in server.greeted
        assert client.get("k") == b"v"
    assert [b"SELECT", b"3"] in server.greeted


def test_a_health_check_that_fails(server):
    """It comes before the command: that has not been sent, and is."""
    options = {"timeout": 0.1}
    with protected(server.port, options, health_check_interval=0.01) as client:
        assert client.get("k") == b"v"
        time.sleep(0.05)
        server.mute, server.answers = {b"PING"}, [b":1\r\n"]
        hear = threading.Timer(0.05, server.mute.clear)
        hear.start()
        assert client.incr("k") == 1
        hear.join()
    assert [command[0] for command in server.asked] == [b"GET", b"INCRBY"]


def test_a_server_that_greets_nobody():
    """A hand-shake without an answer ends as well, and nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        options = {"connect_timeout": 0.1, "attempts": 2, "consecutive": 2}
        client = protect(redis.Redis(port=mute.getsockname()[1]), name="cache", **options)
        with pytest.raises(redis.RedisError) as caught:
            client.incr("k")
        client.close()
    assert classes.kind_of(caught.value) is classes.Kind.NEVER_SENT


def test_own_time_outs_are_kept(server):
    """A client's own says how long it waits."""
    server.answers = ["silent"]
    began = time.monotonic()
    patient = protected(server.port, {"timeout": HANG}, socket_timeout=0.1)
    with patient as client, pytest.raises(redis.TimeoutError):
        client.incr("k")
    assert time.monotonic() - began < HANG


def test_a_deadline_ends_a_call(server):
    """It shortens the wait; of a target that had little time nothing is thought."""
    server.answers = [b"$1\r\nv\r\n", *["silent"] * 9]
    with protected(server.port, {"timeout": HANG}) as client:
        assert client.get("k") == b"v"
        began = time.monotonic()
        with pytest.raises(redis.TimeoutError) as caught, deadline(0.2):
            client.get("k")
        assert time.monotonic() - began < HANG / 2
        assert type(caught.value) is for_redis.RedisDeadlineExceededError
        assert target().breaker().snapshot().failures == 0


def test_half_an_answer_at_the_deadline(server):
    """A server that stops in the middle of an answer holds nobody up for longer."""
    server.answers = [b"$99\r\nv"]
    with protected(server.port, {"timeout": HANG}) as client:
        began = time.monotonic()
        with pytest.raises(redis.TimeoutError), deadline(0.2):
            client.get("k")
        assert time.monotonic() - began < 4.0
        assert client.get("k") == b"v"


def test_what_waits_for_others_has_its_own_time(server):
    """A BLPOP may take longer than an answer, is not made again, and is never slow."""
    server.answers = ["silent"]
    options = {"timeout": 0.05, "slow_call": 0.01, "minimum_calls": 1}
    done = threading.Timer(0.3, lambda: server._open[-1].sendall(b"*-1\r\n"))
    with protected(server.port, options) as client:
        done.start()
        assert client.blpop("k", timeout=5) is None
    assert target().breaker().snapshot().slow == 0
    done.join()


def test_who_waits_for_others_does_not_wait_for_ever(server):
    """A server that has stopped is found out a little after the time has passed."""
    server.answers = ["silent"]
    began = time.monotonic()
    with protected(server.port, {"timeout": 0.1}) as client:
        with pytest.raises(redis.TimeoutError):
            client.blpop("k", timeout=0.1)
        assert 1.0 < time.monotonic() - began < HANG / 2
        assert len(server.asked) == 1


def test_who_waits_for_others_until_the_deadline(server):
    """That nobody came by then says nothing of the target."""
    server.answers = ["silent"] * 2
    with protected(server.port, {"timeout": 0.1}) as client:
        with deadline(0.3), pytest.raises(for_redis.RedisDeadlineExceededError):
            client.blpop("k", timeout=HANG)
        waiting = client.pipeline(transaction=False).blpop("k", timeout=HANG)
        with deadline(0.3), pytest.raises(for_redis.RedisDeadlineExceededError):
            waiting.execute()
    assert target().breaker().snapshot().failures == 0


@pytest.mark.parametrize("kind", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_a_pool_that_is_exhausted(server, kind):
    """It is our own: the error is the library's for that, and the target's breaker is as it was."""
    own = {"timeout": 0.05} if kind is redis.BlockingConnectionPool else {}
    pool = kind(port=server.port, protocol=2, max_connections=1, **own)
    with redis.Redis.from_pool(pool) as client:
        protect(client, name="cache")
        assert client.get("k") == b"v"
        pipe = client.pipeline()
        pipe.watch("k")
        with pytest.raises(MaxConnectionsError):
            client.get("k")
        pipe.reset()
        assert client.get("k") == b"v"
    assert target().breaker().snapshot().failures == 0


def test_what_is_asked_after_watch(server):
    """It is guarded, and not made again: what it watches over is lost with the connection."""
    server.answers = [b"+OK\r\n", "cut"]
    with protected(server.port, {"attempts": 2, "consecutive": 2}) as client:
        with client.pipeline() as pipe, correlation.correlated():
            pipe.watch("k")
            with pytest.raises(redis.RedisError):
                pipe.get("k")
            assert correlation.current().spent.external_calls == 2
        assert [command[0] for command in server.asked] == [b"WATCH", b"GET"]
        server.answers = ["cut", "cut"]
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                client.incr("k")
        with (
            client.pipeline() as pipe,
            pytest.raises(for_redis.RedisCircuitOpenError),
        ):
            pipe.watch("k")


def test_a_pipeline_that_is_given_up(server):
    """To take a `WATCH` back has a limit, and no error: nothing depends on it."""
    server.answers = [b"+OK\r\n", "silent"]
    began = time.monotonic()
    with protected(server.port, {"timeout": 0.1}) as client:
        with client.pipeline() as pipe:
            pipe.watch("k")
        assert time.monotonic() - began < 4.0
        assert server.asked[1:] == [[b"UNWATCH"]]
        assert client.get("k") == b"v"


def test_pipelines(server):
    """One of reads is made again as a whole, one with a change is not."""
    server.answers = ["cut"]
    with protected(server.port) as client:
        assert client.pipeline(transaction=False).get("a").get("b").execute() == [b"v"] * 2
        assert [command[0] for command in server.asked] == [b"GET"] * 3
        server.answers = ["cut"]
        pipe = client.pipeline(transaction=False).get("a").incr("b")
        with pytest.raises(redis.ConnectionError):
            pipe.execute()
    assert [command[0] for command in server.asked[3:]] in ([b"GET"], [b"GET", b"INCRBY"])
    assert target().breaker().snapshot().failures == 2


def test_the_time_is_counted(server):
    """Each attempt counts for the unit of work that waits for it."""
    server.answers = ["cut"]
    with protected(server.port) as client, correlation.correlated():
        client.get("k")
        spent = correlation.current().spent
    assert spent.external_calls == 2
    assert spent.external_seconds > 0


def test_retries_of_its_own_are_told(server, set_up_logs):
    """They would multiply with ours; what somebody has chosen is said louder."""
    set_up_logs(level="DEBUG", outputs=())
    with capture_logs() as lines:
        with protected(server.port, retry=Retry(NoBackoff(), 7)):
            pass
        with redis.Redis("127.0.0.1", server.port) as client:
            protect(client, name="another")
    told = [(r["level"], r["target"]) for r in lines]
    has_retries = redis.Redis().get_retry() is not None  # newer releases do
    assert told == [("WARNING", "cache"), *([("INFO", "another")] if has_retries else [])]


@pytest.mark.parametrize(
    "error",
    [
        for_redis.RedisCircuitOpenError("cache", 1.5, "open", "it was gone"),
        for_redis.RedisBulkheadFullError("cache", 3),
        for_redis.RedisDeadlineExceededError(2.0),
    ],
)
def test_errors_survive_the_way_from_a_worker(error):
    """They are pickled whole, and are the library's own as well."""
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
    assert isinstance(error, redis.RedisError)
    assert repr(error) == f"{type(error).__name__}{error.args!r}".replace(",)", ")")


def test_twice_is_once(server):
    """Protecting again changes nothing, and under another name is refused."""
    with protected(server.port) as client:
        before = client.execute_command
        assert protect(client, name="cache") is client
        assert client.execute_command == before
        with pytest.raises(ConfigError, match="'cache'"):
            protect(client, name="other")


def test_a_rejection_keeps_its_cause():
    """Who sees a client's own error in place of ours can still see what that came from."""
    cause = ValueError("the first reason")

    def refuse():
        raise CircuitOpenError("cache") from cause

    caller = Caller("cache", "redis", errors={CircuitOpenError: RedisCircuitOpenError})
    with pytest.raises(RedisCircuitOpenError) as caught:
        caller.call("", True, refuse)
    assert caught.value.__cause__ is cause
