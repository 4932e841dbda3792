"""`protect` over both clients of httpx, against real servers: what reaches them, and what comes back."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
import time
from contextlib import closing, contextmanager
from contextvars import copy_context
from pathlib import Path

import httpx
import pytest

from flask_hardening.core.resilience import retry, targets
from flask_hardening.core.resilience.adapters.for_httpx import (
    HttpxBulkheadFullError,
    HttpxCircuitOpenError,
    HttpxDeadlineExceededError,
)
from flask_hardening.core.resilience.deadline import HEADER, deadline
from flask_hardening.core.resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.protection import protect

sys.path.insert(0, str(Path(__file__).parent))
from scripted import (
    cut,
    drip_body,
    drip_endless,
    drip_framing,
    drip_headers,
    silent,
    status,
    unreachable,
)

pytestmark = pytest.mark.usefixtures("alone")
SENT = HEADER.lower()
QUICKLY = {"trust_env": False, "verify": False, "follow_redirects": True}
SOON = 1.5  # seconds; the servers go on for much longer


class Sync:
    """A protected client."""

    def __init__(self, options, **given):
        self.client = httpx.Client(**QUICKLY, **given)
        protect(self.client, **options)

    def request(self, method, url, **kwargs):
        """Send a request, and read the answer."""
        return self.client.request(method, url, **kwargs)

    def stream(self, url, length):
        """Return what `length` parts of the answer are."""
        with self.client.stream("GET", url) as response:
            parts = response.iter_raw()
            return response.status_code, [next(parts) for _ in range(length)]

    @staticmethod
    def body(*parts):
        """Return a body that can be read once."""
        return iter(parts)

    def close(self):
        """Close it."""
        self.client.close()


class Async(Sync):
    """A protected client whose answers are awaited."""

    def __init__(self, options, **given):
        self.client = httpx.AsyncClient(**QUICKLY, **given)
        protect(self.client, **options)
        self.runner = asyncio.Runner()

    def request(self, method, url, **kwargs):
        """Send a request, and read the answer."""

        async def send():
            return await self.client.request(method, url, **kwargs)

        return self.run(send())

    def stream(self, url, length):
        """Return what `length` parts of the answer are."""

        async def read():
            async with self.client.stream("GET", url) as response:
                parts = response.aiter_raw()
                return response.status_code, [await anext(parts) for _ in range(length)]

        return self.run(read())

    def run(self, coroutine):
        """Run it with what this context knows."""
        return self.runner.run(coroutine, context=copy_context())

    @staticmethod
    async def body(*parts):
        """Return a body that can be read once."""
        for part in parts:
            yield part

    def close(self):
        """Close it, and the loop."""
        self.run(self.client.aclose())
        self.runner.close()


TRANSPORTS = {Sync: httpx.HTTPTransport, Async: httpx.AsyncHTTPTransport}


@pytest.fixture(params=[Sync, Async])
def kind(request):
    """Return one of the two kinds of clients."""
    return request.param


@pytest.fixture
def make(kind):
    """Make protected clients."""
    made = []

    def client(given=None, **options):
        made.append(kind(options, **(given or {})))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def client(make):
    """Return a protected client."""
    return make()


def failed(url):
    """Return how many failures a host's breaker has counted."""
    return targets.active().target("http").breaker(url.split("/")[2]).snapshot().failures


class TestAttempts:
    """What is sent again, and what is not."""

    def test_a_passing_failure_is_got_over(self, client, server):
        """Two answers of 503 and then a 200 are a 200."""
        server.answers = [status(503), status(503), status(200, b"at last")]
        assert client.request("GET", server.url).text == "at last"
        assert len(server.seen) == 3

    def test_the_last_answer_comes_back(self, client, server):
        """When attempts are used up, the answer is returned as without a guard."""
        server.answers = [status(503, b"1"), status(502, b"2"), status(500, b"3")]
        response = client.request("GET", server.url)
        assert (response.status_code, response.text) == (500, "3")
        assert response.elapsed.total_seconds() > 0
        with pytest.raises(httpx.HTTPStatusError, match="500"):
            response.raise_for_status()

    def test_an_answer_that_would_stay_the_same(self, client, server):
        """Other statuses are returned at once, and count as success."""
        server.answers = [status(404)]
        assert client.request("GET", server.url).status_code == 404
        assert (len(server.seen), failed(server.url)) == (1, 0)

    def test_busy_is_not_ill(self, client, server):
        """A server that refuses for now is asked again, and its breaker counts no failure."""
        server.answers = [status(429)]
        assert client.request("GET", server.url).status_code == 200
        assert (len(server.seen), failed(server.url)) == (2, 0)

    @pytest.mark.parametrize("answer", [status(503), cut])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
    def test_methods_that_may_be_repeated(self, client, server, method, answer):
        """What is as good done twice as once is sent again, its body too."""
        server.answers = [answer]
        body = b"body" if method == "PUT" else b""
        response = client.request(method, server.url, content=body)
        assert response.status_code == 200
        assert [seen.body for seen in server.seen] == [body] * 2

    def test_a_method_that_may_not_be_repeated(self, client, server):
        """A failing answer to it is returned, and a lost connection raised, after one attempt."""
        server.answers = [status(503), cut]
        assert client.request("POST", server.url, json={}).status_code == 503
        with pytest.raises(httpx.RemoteProtocolError):
            client.request("POST", server.url, json={})
        assert (len(server.seen), failed(server.url)) == (2, 2)

    def test_a_key_makes_it_repeatable(self, client, server):
        """With an `Idempotency-Key` the server knows a POST that it has seen before."""
        server.answers = [status(503), cut]
        headers = {"idempotency-key": "1"}
        response = client.request("POST", server.url, content=b"x", headers=headers)
        assert response.status_code == 200
        assert [seen.body for seen in server.seen] == [b"x"] * 3

    @pytest.mark.parametrize("answer", [status(503), cut])
    def test_a_stream_is_sent_once(self, client, server, answer):
        """A body that is used up when it is sent is not sent again, whatever the method."""
        server.answers = [answer]
        body = client.body(b"a", b"b")
        try:
            assert client.request("PUT", server.url, content=body).status_code == 503
        except httpx.RemoteProtocolError:
            assert answer is cut
        assert [seen.body for seen in server.seen] == [b"ab"]

    def test_a_stream_that_was_not_begun(self, client, nowhere):
        """Where nobody was reached, nothing of a body is used up: it is tried again."""
        with pytest.raises(httpx.ConnectError):
            client.request("POST", nowhere, content=client.body(b"a"))
        assert failed(nowhere) == 3

    def test_a_stream_of_the_answers(self, client, server):
        """An answer is returned before its body is read, and can be read raw."""
        server.answers = [status(503), drip_body]
        assert client.stream(server.url, 2) == (200, [b"x", b"x"])

    def test_nothing_leaks(self, make, server):
        """Answers that nobody gets are closed: the pool has place for one connection only."""
        client = make({"limits": httpx.Limits(max_connections=1), "timeout": 5})
        server.answers = [status(503, b"x" * 100_000)] * 2
        assert client.request("GET", server.url).status_code == 200
        assert client.request("GET", server.url).status_code == 200
        assert len(server.seen) == 4

    def test_retry_after_is_waited_for(self, make, server, monkeypatch):
        """A server says when it can be asked again, and is not asked sooner."""
        client = make(wait_initial=0)
        server.answers = [status(503, Retry_After="0.2")]
        started = time.monotonic()
        with monkeypatch.context() as patched:
            patched.setattr(retry, "_without_waits", 0)
            assert client.request("GET", server.url).status_code == 200
        assert time.monotonic() - started >= 0.2

    def test_a_long_retry_after_ends_it(self, client, server):
        """Nobody waits an hour: the answer is returned."""
        server.answers = [status(429, Retry_After="3600")]
        assert client.request("GET", server.url).status_code == 429
        assert len(server.seen) == 1

    def test_its_own_retries_are_off(self, kind, make, nowhere, set_up_logs, read_lines):
        """The transport's retries would multiply with ours: they are off, and it is said."""
        set_up_logs()
        client = make(
            {"transport": TRANSPORTS[kind](retries=4)}, name="billing", attempts=1
        )
        started = time.monotonic()
        with pytest.raises(httpx.ConnectError):
            client.request("GET", nowhere)
        assert time.monotonic() - started < 1  # it would have waited for 3.5 seconds
        lines = [x for x in read_lines() if x["event"] == "config.stacked_retries"]
        assert [(x["target"], x["found"]) for x in lines] == [("billing", "retries=4")]

    def test_twice_is_once(self, client, server):
        """Protecting a client again changes nothing."""
        protect(client.client)
        server.answers = [status(503)] * 9
        client.request("GET", server.url)
        assert len(server.seen) == 3

    def test_mounted_transports(self, kind, make, server):
        """Transports for some hosts are guarded as well; to have none there is possible."""
        mounts = {"http://127.0.0.1": TRANSPORTS[kind](), "all://localhost": None}
        client = make({"mounts": mounts})
        server.answers = [status(503)]
        assert client.request("GET", server.url).status_code == 200
        server.answers = [status(503)]
        url = server.url.replace("127.0.0.1", "localhost")
        assert client.request("GET", url).status_code == 200
        assert len(server.seen) == 4


class TestBreakers:
    """Each host has one."""

    def test_a_dead_host_and_a_living_one(self, client, server, nowhere):
        """After five refused connections nobody tries; another host is still asked."""
        for _ in range(2):  # of three attempts each; the sixth is refused
            with pytest.raises(httpx.ConnectError):
                client.request("POST", nowhere, content=b"never sent, so sent again")
        with pytest.raises(httpx.ConnectError) as caught:
            client.request("GET", nowhere)
        assert isinstance(caught.value, HttpxCircuitOpenError)
        assert caught.value.request.url == nowhere
        assert client.request("GET", server.url).status_code == 200

    def test_an_answer_is_no_refusal(self, client, server):
        """A call whose attempts the breaker ends returns the answer that it has got."""
        server.answers = [status(503)] * 9
        for _ in range(2):
            response = client.request("GET", server.url)
            assert (response.status_code, response.text) == (503, "ok")
        with pytest.raises(HttpxCircuitOpenError):
            client.request("GET", server.url)
        assert len(server.seen) == 5

    def test_a_full_bulkhead(self, kind, make, server):
        """More requests than may be under way are refused, as the client's own error."""
        first, second = make(limit=1), make(limit=1)
        server.answers = [silent]
        thread = threading.Thread(target=_swallow, args=(first, server.url, 0.4))
        thread.start()
        _until(lambda: server.seen)
        with pytest.raises(httpx.ConnectError) as caught:
            second.request("GET", server.url)
        assert isinstance(caught.value, HttpxBulkheadFullError)
        thread.join()


class TestTime:
    """Time-outs, and deadlines."""

    @pytest.mark.parametrize("given", [{"timeout": None}, {}])
    def test_a_missing_time_out_is_set(self, make, server, given):
        """Where there is none, or the library's default, the target's own holds."""
        client = make(given, timeout=0.2, attempts=1)
        server.answers = [silent]
        with pytest.raises(httpx.ReadTimeout):
            client.request("GET", server.url)
        assert failed(server.url) == 1

    def test_ones_own_time_out_is_kept(self, make, server):
        """Who says how long to wait waits so long."""
        client = make({"timeout": 4}, timeout=0.01, attempts=1)
        server.answers = [_after(0.2)]
        assert client.request("GET", server.url).status_code == 200

    def test_the_callers_time_outs_stay_his(self, client, server):
        """What the deadline takes away is not taken from the request itself."""
        with deadline(1):
            response = client.request("GET", server.url, timeout=7)
        assert response.request.extensions["timeout"]["read"] == 7

    @pytest.mark.parametrize("answer", [silent, drip_body, drip_endless, drip_framing])
    def test_a_deadline_ends_it(self, client, server, answer):
        """However a server keeps a client waiting, the deadline ends it, and is not its fault."""
        server.answers = [answer]
        with _at_most(SOON), deadline(0.3):
            with pytest.raises(httpx.TimeoutException) as caught:
                client.request("GET", server.url)
            assert isinstance(caught.value, HttpxDeadlineExceededError)
        assert caught.value.seconds == 0.3
        assert caught.value.request.url == server.url
        assert failed(server.url) == 0
        assert len(server.seen) == 1
        assert client.request("GET", server.url).status_code == 200

    def test_connecting(self, client):
        """The deadline ends it there too."""
        ended = pytest.raises(HttpxDeadlineExceededError)
        with unreachable() as url, _at_most(SOON), deadline(0.3), ended:
            client.request("GET", url)
        assert failed(url) == 0

    def test_dripping_headers(self, server):
        """A client that awaits is not kept waiting by them either."""
        server.answers = [drip_headers]
        ended = pytest.raises(HttpxDeadlineExceededError)
        with closing(Async({})) as client, _at_most(SOON), deadline(0.3), ended:
            client.request("GET", server.url)

    def test_who_had_time_enough_is_to_blame(self, client, server):
        """Where each request has a deadline, a server that hangs is found out all the same."""
        server.answers = [silent]
        with deadline(0.3), pytest.raises(httpx.ReadTimeout):
            client.request("GET", server.url, timeout=0.5)
        assert failed(server.url) == 1

    def test_a_full_pool_at_the_deadline(self, server):
        """Who has waited for a connection of his own pool has asked nobody."""
        server.answers = [silent]

        async def two(get):
            first = asyncio.create_task(get(server.url, timeout=0.4))
            while not server.seen:  # noqa: ASYNC110 - it is another thread's
                await asyncio.sleep(0.01)
            with deadline(0.1), pytest.raises(HttpxDeadlineExceededError) as caught:
                await get(server.url, timeout=0.2)
            assert isinstance(caught.value.__cause__, httpx.PoolTimeout)
            with pytest.raises(httpx.ReadTimeout):
                await first

        one = httpx.Limits(max_connections=1)
        with closing(Async({"attempts": 1}, limits=one)) as client, _at_most(SOON):
            client.run(two(client.client.get))
        assert failed(server.url) == 1

    def test_a_cancelled_call_is_cancelled(self, server):
        """Who cancels from outside gets his own cancellation, with a deadline or without."""
        server.answers = [silent, silent]

        async def cancelled(get):
            async with asyncio.timeout(0.1):
                await get(server.url)

        with closing(Async({})) as client:
            for seconds in (5, None):
                with pytest.raises(TimeoutError) as caught, _perhaps(seconds):
                    client.run(cancelled(client.client.get))
                assert type(caught.value) is TimeoutError
        assert failed(server.url) == 0

    def test_after_the_deadline_nothing_is_sent(self, client, server):
        """A call that would begin too late is not made."""
        with deadline(0.01):
            time.sleep(0.02)
            with pytest.raises(HttpxDeadlineExceededError):
                client.request("GET", server.url)
        assert not server.seen

    def test_what_comes_in_time_comes_whole(self, client, server):
        """A deadline costs no part of an answer."""
        server.answers = [status(200, b"x" * 100_000)]
        with deadline(5):
            assert len(client.request("GET", server.url).content) == 100_000

    def test_transports_without_a_network(self):
        """Those that tests put in place are guarded too."""
        answers = [httpx.Response(503), httpx.Response(200, text="ok")]
        transport = httpx.MockTransport(lambda _: answers.pop(0))
        with protect(httpx.Client(transport=transport)) as client, deadline(5):
            assert client.get("http://example.com").text == "ok"

    def test_a_body_without_a_network(self):
        """The deadline is looked at between its parts."""
        read = []

        class Slow(httpx.SyncByteStream):
            def __iter__(self):
                for _ in range(100):
                    time.sleep(0.02)
                    read.append(1)
                    yield b"x"

        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Slow()))
        ended = pytest.raises(HttpxDeadlineExceededError)
        with protect(httpx.Client(transport=transport)) as client, deadline(0.1), ended:
            client.get("http://example.com")
        assert len(read) < 50


@pytest.mark.usefixtures("unit")
class TestPassingOn:
    """What a service is told of the time that is left."""

    def test_the_allowed_host_is_told(self, client, server):
        """It gets the milliseconds, anew for each attempt."""
        server.answers = [_after(0.1, 503)]
        with deadline(5):
            client.request("GET", server.url)
        first, second = (int(seen.headers[SENT]) for seen in server.seen)
        assert 4000 < second <= first - 100 < 5000

    def test_a_stranger_is_not(self, client, other):
        """A host that isn't on the list learns nothing, not even what the caller has set."""
        with deadline(5):
            client.request("GET", other.url, headers={HEADER: "7"})
        assert SENT not in other.seen[0].headers

    def test_nor_one_that_a_redirect_leads_to(self, client, server, other):
        """The header is taken off at the hop that leaves the list."""
        server.answers = [status(302, Location=other.url)]
        with deadline(5):
            assert client.request("GET", server.url).status_code == 200
        assert SENT in server.seen[0].headers
        assert SENT not in other.seen[0].headers

    def test_without_a_deadline_nothing_is_told(self, client, server):
        """There is nothing to tell; the id goes all the same."""
        client.request("GET", server.url, headers={HEADER: "7"})
        assert SENT not in server.seen[0].headers
        assert server.seen[0].headers["x-correlation-id"] == "abc"

    def test_each_attempt_is_counted(self, client, server, unit, nowhere):
        """The unit's line tells of attempts, failed ones too, and not of refused calls."""
        server.answers = [_after(0.1, 503)]
        client.request("GET", server.url)
        assert unit.spent.external_calls == 2
        assert unit.spent.external_seconds >= 0.1
        for _ in range(4):
            with pytest.raises(httpx.ConnectError):
                client.request("GET", nowhere)
        assert unit.spent.external_calls == 2 + 5


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (
            HttpxCircuitOpenError("a", 2.0, "open", "E: x"),
            (CircuitOpenError, httpx.ConnectError),
        ),
        (HttpxBulkheadFullError("a", 3), (BulkheadFullError, httpx.ConnectError)),
        (
            HttpxDeadlineExceededError(0.5),
            (DeadlineExceededError, httpx.TimeoutException),
        ),
    ],
)
def test_errors_are_pickled(error, bases):
    """They are ours and the library's, and stay what they are."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert all(isinstance(copy, base) for base in bases)
    assert (copy.args, str(copy)) == (error.args, str(bases[0](*error.args)))
    assert vars(copy) == vars(error)
    with pytest.raises(RuntimeError, match="has not been set"):
        _ = copy.request


def _after(seconds, code=200):
    """Answer after some time."""

    def answer(server, connection, seen) -> bool:
        server.over.wait(seconds)
        return status(code)(server, connection, seen)

    return answer


@contextmanager
def _perhaps(seconds):
    """Set a deadline, or none."""
    if seconds is None:
        yield
    else:
        with deadline(seconds):
            yield


class _at_most:  # noqa: N801 - it reads as a function
    """Fail a block that takes longer."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.started = time.monotonic()

    def __exit__(self, *_):
        assert time.monotonic() - self.started < self.seconds


def _until(true):
    """Wait for what happens in another thread."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def _swallow(client, url, timeout):
    try:
        client.request("GET", url, timeout=timeout)
    except httpx.HTTPError:
        return
