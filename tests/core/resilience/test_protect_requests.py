"""`protect` over sessions of `requests`, against real servers: what reaches them, and what comes back."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth

from flask_hardening.core.resilience import retry, targets
from flask_hardening.core.resilience.adapters import for_requests
from flask_hardening.core.resilience.adapters.for_requests import (
    RequestsBulkheadFullError,
    RequestsCircuitOpenError,
    RequestsDeadlineExceededError,
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
    half,
    silent,
    status,
    unreachable,
)

pytestmark = pytest.mark.usefixtures("alone")
SENT = HEADER.lower()
SOON = 1.5  # seconds; the servers go on for much longer


@pytest.fixture
def make():
    """Make protected sessions."""
    made = []

    def session(adapter=None, **options):
        made.append(requests.Session())
        made[-1].trust_env = False
        if adapter is not None:
            made[-1].mount("http://", adapter)
        return protect(made[-1], **options)

    yield session
    for one in made:
        one.close()


@pytest.fixture
def session(make):
    """Return a protected session."""
    return make()


def breaker(url, name="http"):
    """Return a host's breaker."""
    return targets.active().target(name).breaker(url.split("/")[2])


def failed(url):
    """Return how many failures a host's breaker has counted."""
    return breaker(url).snapshot().failures


class TestAttempts:
    """What is sent again, and what is not."""

    def test_a_passing_failure_is_got_over(self, session, server):
        """Two answers of 503 and then a 200 are a 200."""
        server.answers = [status(503), status(503), status(200, b"at last")]
        assert session.get(server.url).text == "at last"
        assert len(server.seen) == 3

    def test_the_last_answer_comes_back(self, session, server):
        """When attempts are used up, the answer is returned as without a guard."""
        server.answers = [status(503, b"1"), status(502, b"2"), status(500, b"3")]
        response = session.get(server.url)
        assert (response.status_code, response.text) == (500, "3")
        with pytest.raises(requests.HTTPError, match="500"):
            response.raise_for_status()

    @pytest.mark.parametrize("code", [400, 404, 501])
    def test_an_answer_that_would_stay_the_same(self, session, server, code):
        """Other statuses are returned at once, and count as success."""
        server.answers = [status(code)]
        assert session.get(server.url).status_code == code
        assert len(server.seen) == 1
        assert failed(server.url) == 0

    @pytest.mark.parametrize("code", [408, 425, 429])
    def test_busy_is_not_ill(self, session, server, code):
        """A server that refuses for now is asked again, and its breaker counts no failure."""
        server.answers = [status(code)]
        assert session.get(server.url).status_code == 200
        assert failed(server.url) == 0

    @pytest.mark.parametrize("answer", [status(503), cut])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
    def test_methods_that_may_be_repeated(self, session, server, method, answer):
        """What is as good done twice as once is sent again, its body too."""
        server.answers = [answer]
        body = b"body" if method == "PUT" else None
        assert session.request(method, server.url, data=body).status_code == 200
        assert [seen.body for seen in server.seen] == [body or b""] * 2

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_a_method_that_may_not_be_repeated(self, session, server, method):
        """A failing answer to it is returned, and a lost connection raised, after one attempt."""
        server.answers = [status(503), cut]
        assert session.request(method, server.url, json={}).status_code == 503
        with pytest.raises(requests.ConnectionError):
            session.request(method, server.url, json={})
        assert server.methods() == [method] * 2
        assert failed(server.url) == 2

    def test_a_key_makes_it_repeatable(self, session, server):
        """With an `Idempotency-Key` the server knows a POST that it has seen before."""
        server.answers = [status(503), cut]
        response = session.post(server.url, data="x", headers={"idempotency-key": "1"})
        assert response.status_code == 200
        assert [seen.body for seen in server.seen] == [b"x"] * 3

    @pytest.mark.parametrize("answer", [status(503), cut])
    def test_a_stream_is_sent_once(self, session, server, answer):
        """A body that is used up when it is sent is not sent again, whatever the method."""
        server.answers = [answer]
        headers = {"Idempotency-Key": "1"}
        try:
            response = session.put(server.url, data=iter([b"a", b"b"]), headers=headers)
            assert response.status_code == 503
        except requests.ConnectionError:
            assert answer is cut
        assert [seen.body for seen in server.seen] == [b"ab"]

    def test_a_body_that_is_cut_off(self, session, server):
        """An answer that ends too early is asked for again, and what was read is dropped."""
        server.answers = [half, status(200, b"whole")]
        assert session.get(server.url).content == b"whole"
        assert failed(server.url) == 1

    def test_a_stream_of_the_answers(self, session, server):
        """With `stream=True` the body is the caller's to read: nothing is repeated for it."""
        server.answers = [status(503), half]
        with session.get(server.url, stream=True) as response:
            assert response.status_code == 200
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                _ = response.content
        assert len(server.seen) == 2

    def test_nothing_leaks(self, make, server):
        """Answers that nobody gets give their connection back, or close it."""
        gc.collect()  # what urllib3 has failed at is in cycles, with its connections
        _until(lambda: not server.open)
        session = make(attempts=3)
        server.answers = [status(503)] * 2
        session.get(server.url)
        assert server.connections == 1
        server.answers = [status(503), _if_alone]
        with session.get(server.url, stream=True) as response:
            assert response.status_code == 200
        assert len(server.seen) == 5

    def test_retry_after_is_waited_for(self, make, server, monkeypatch):
        """A server says when it can be asked again, and is not asked sooner."""
        session = make(wait_initial=0)
        server.answers = [status(503, Retry_After="0.2")]
        started = time.monotonic()
        with monkeypatch.context() as patched:
            patched.setattr(retry, "_without_waits", 0)
            assert session.get(server.url).status_code == 200
        assert time.monotonic() - started >= 0.2

    def test_a_long_retry_after_ends_it(self, session, server):
        """Nobody waits an hour: the answer is returned."""
        server.answers = [status(429, Retry_After="3600")]
        assert session.get(server.url).status_code == 429
        assert len(server.seen) == 1

    def test_its_own_retries_are_off(self, make, server, set_up_logs, read_lines):
        """The adapter's retries would multiply with ours: they are switched off, and it is said."""
        set_up_logs()
        retries = urllib3.Retry(4, status_forcelist=[503], allowed_methods=None)
        session = make(HTTPAdapter(max_retries=retries), attempts=2, name="billing")
        server.answers = [status(503)] * 9
        assert session.get(server.url).status_code == 503
        assert len(server.seen) == 2
        lines = [x for x in read_lines() if x["event"] == "config.stacked_retries"]
        assert [(x["level"], x["target"]) for x in lines] == [("WARNING", "billing")]
        assert "total=4" in lines[0]["found"]

    def test_without_retries_nothing_is_said(self, make, set_up_logs, read_lines):
        """Adapters as they come make no retries worth a line."""
        set_up_logs()
        make()
        assert not [x for x in read_lines() if x["event"] == "config.stacked_retries"]

    def test_twice_is_once(self, session, server):
        """Protecting a session again changes nothing."""
        protect(session)
        server.answers = [status(503)] * 9
        session.get(server.url)
        assert len(server.seen) == 3
        assert breaker(server.url).snapshot().calls == 3


class TestBreakers:
    """Each host has one."""

    def test_a_dead_host_and_a_living_one(self, session, server, nowhere):
        """After five refused connections nobody tries; another host is still asked."""
        for _ in range(2):  # of three attempts each; the sixth is refused
            with pytest.raises(requests.ConnectionError):
                session.post(nowhere, data="never sent, so sent again")
        with pytest.raises(requests.ConnectionError) as caught:
            session.get(nowhere)
        assert isinstance(caught.value, RequestsCircuitOpenError)
        assert caught.value.request.url == nowhere
        assert caught.value.last_failure.startswith("requests.exceptions.ConnectionError")
        assert session.get(server.url).status_code == 200

    def test_an_answer_is_no_refusal(self, session, server):
        """A call whose attempts the breaker ends returns the answer that it has got."""
        server.answers = [status(503)] * 9
        for _ in range(2):
            assert session.get(server.url).status_code == 503
        assert len(server.seen) == 5
        with pytest.raises(RequestsCircuitOpenError):
            session.get(server.url)

    def test_an_open_breaker_lets_nothing_through(self, session, server):
        """The server sees nothing of what is refused."""
        server.answers = [status(503)] * 5
        for _ in range(5):
            assert session.post(server.url).status_code == 503
        with pytest.raises(RequestsCircuitOpenError):
            session.get(server.url)
        assert len(server.seen) == 5

    @pytest.mark.parametrize(
        ("url", "key"),
        [
            ("http://Example.COM/x?y", "example.com:80"),
            ("https://user:secret@example.com/", "example.com:443"),
            ("http://[::1]:8000/", "[::1]:8000"),
            ("http://[::1/", ""),
        ],
    )
    def test_what_a_breaker_belongs_to(self, url, key):
        """It is the host, without regard to case, with its port, and nothing else."""
        assert for_requests.Call("GET", url).key == key

    def test_a_full_bulkhead(self, make, server):
        """More requests than may be under way are refused, as the client's own error."""
        session = make(limit=1)
        server.answers = [silent]
        thread = threading.Thread(target=_swallow, args=(session, server.url, 0.5))
        thread.start()
        _until(lambda: server.seen)
        with pytest.raises(requests.ConnectionError) as caught:
            session.get(server.url)
        assert isinstance(caught.value, RequestsBulkheadFullError)
        thread.join()


class TestTime:
    """Time-outs, and deadlines."""

    def test_a_missing_time_out_is_set(self, make, server):
        """Without one a silent server would be waited for for ever."""
        session = make(timeout=0.2, attempts=1)
        server.answers = [silent] * 2
        for timeout in (None, (1, None)):
            with pytest.raises(requests.ReadTimeout):
                session.get(server.url, timeout=timeout)
        assert failed(server.url) == 2

    @pytest.mark.parametrize("timeout", [5, (5, 5), urllib3.Timeout(5)])
    def test_ones_own_time_out_is_kept(self, make, server, timeout):
        """Who says how long to wait waits so long."""
        session = make(timeout=0.01, attempts=1)
        server.answers = [_after(0.2)]
        assert session.get(server.url, timeout=timeout).status_code == 200

    @pytest.mark.parametrize(
        ("answer", "timeout"),
        [
            (silent, None),
            (drip_body, None),
            (drip_endless, None),
            (drip_framing, None),
            (drip_headers, None),
            (silent, urllib3.Timeout(read=9)),
            (silent, (None, 9)),
        ],
    )
    def test_a_deadline_ends_it(self, session, server, answer, timeout):
        """However a server keeps a client waiting, the deadline ends it, and is not its fault."""
        server.answers = [answer]
        with _at_most(SOON), deadline(0.3):
            with pytest.raises(requests.Timeout) as caught:
                session.get(server.url, timeout=timeout)
            assert isinstance(caught.value, RequestsDeadlineExceededError)
        assert caught.value.seconds == 0.3
        assert caught.value.request.url == server.url
        assert failed(server.url) == 0
        assert len(server.seen) == 1
        assert session.get(server.url).status_code == 200  # nothing stays cut off

    @pytest.mark.parametrize("timeout", [None, urllib3.Timeout(9)])
    def test_connecting(self, session, timeout):
        """The deadline ends it there too."""
        ended = pytest.raises(RequestsDeadlineExceededError)
        with unreachable() as url, _at_most(SOON), deadline(0.3), ended as caught:
            session.get(url, timeout=timeout)
        assert isinstance(caught.value.__cause__, requests.ConnectTimeout)
        assert failed(url) == 0

    def test_a_connection_that_is_used_again(self, session, server):
        """The deadline ends it there too."""
        session.get(server.url)
        server.answers = [drip_headers]
        with _at_most(SOON), deadline(0.3), pytest.raises(RequestsDeadlineExceededError):
            session.get(server.url)
        assert server.connections == 1

    def test_through_a_proxy(self, session, server):
        """The deadline ends it there too."""
        server.answers = [drip_headers]
        proxies = {"http": server.url}
        with _at_most(SOON), deadline(0.3), pytest.raises(RequestsDeadlineExceededError):
            session.get("http://example.invalid/", proxies=proxies)
        assert server.seen[0].path == "http://example.invalid/"

    @pytest.mark.parametrize("answer", [silent, drip_body])
    def test_who_had_time_enough_is_to_blame(self, session, server, answer):
        """Where each request has a deadline, a server that hangs is found out all the same."""
        server.answers = [answer]
        with deadline(0.3), pytest.raises(requests.ReadTimeout) as caught:
            session.get(server.url, timeout=0.5)
        assert caught.value.request.url == server.url
        assert failed(server.url) == 1

    def test_a_stream_outlives_the_deadline(self, session, server):
        """With `stream=True` the guard ends where the body begins."""
        server.answers = [drip_body]
        with deadline(0.2):
            response = session.get(server.url, stream=True)
        with response:
            time.sleep(0.3)
            assert next(response.iter_content(1)) == b"x"

    def test_after_the_deadline_nothing_is_sent(self, session, server):
        """A call that would begin too late is not made."""
        with deadline(0.01):
            time.sleep(0.02)
            with pytest.raises(RequestsDeadlineExceededError):
                session.get(server.url)
        assert not server.seen

    def test_a_guard_within_the_deadline_costs_no_answer(self, session, server):
        """What comes in time comes whole."""
        with deadline(5):
            server.answers = [status(200, b"x" * 100_000)]
            assert len(session.get(server.url).content) == 100_000


@pytest.mark.usefixtures("unit")
class TestPassingOn:
    """What a service is told of the time that is left."""

    def test_the_allowed_host_is_told(self, session, server):
        """It gets the milliseconds, anew for each attempt."""
        server.answers = [_after(0.1, 503)]
        with deadline(5):
            session.get(server.url)
        first, second = (int(seen.headers[SENT]) for seen in server.seen)
        assert 4000 < second <= first - 100 < 5000

    def test_a_stranger_is_not(self, session, other):
        """A host that isn't on the list learns nothing, not even what the caller has set."""
        with deadline(5):
            session.get(other.url, headers={HEADER: "7"})
        assert SENT not in other.seen[0].headers

    def test_nor_one_that_a_redirect_leads_to(self, session, server, other):
        """The header is taken off at the hop that leaves the list."""
        server.answers = [status(302, Location=other.url)]
        with deadline(5):
            assert session.get(server.url).status_code == 200
        assert SENT in server.seen[0].headers
        assert SENT not in other.seen[0].headers

    def test_without_a_deadline_nothing_is_told(self, session, server):
        """There is nothing to tell."""
        session.get(server.url, headers={HEADER: "7"})
        assert SENT not in server.seen[0].headers

    def test_the_id_goes_too(self, session, server):
        """A protected session propagates."""
        session.get(server.url)
        assert server.seen[0].headers["x-correlation-id"] == "abc"

    def test_each_attempt_is_counted(self, session, server, unit, nowhere):
        """The unit's line tells of attempts, failed ones too, and not of refused calls."""
        server.answers = [_after(0.1, 503)]
        session.get(server.url)
        assert unit.spent.external_calls == 2
        assert unit.spent.external_seconds >= 0.1
        for _ in range(4):
            with pytest.raises(requests.ConnectionError):
                session.get(nowhere)
        assert unit.spent.external_calls == 2 + 5


class TestPickling:
    """What is sent to other processes."""

    @pytest.mark.parametrize(
        ("error", "bases"),
        [
            (
                RequestsCircuitOpenError("a", 2.0, "open", "E: x"),
                (CircuitOpenError, requests.ConnectionError),
            ),
            (
                RequestsBulkheadFullError("a", 3),
                (BulkheadFullError, requests.ConnectionError),
            ),
            (
                RequestsDeadlineExceededError(0.5),
                (DeadlineExceededError, requests.Timeout),
            ),
        ],
    )
    def test_errors(self, error, bases):
        """They are ours and the library's, and stay what they are."""
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert all(isinstance(copy, base) for base in bases)
        assert (copy.args, str(copy)) == (error.args, str(bases[0](*error.args)))
        assert {k: getattr(copy, k) for k in vars(error)} == vars(error)
        assert copy.request is copy.response is None

    def test_a_session(self, make, server):
        """It stays protected, and protecting it again changes nothing."""
        session = pickle.loads(pickle.dumps(make(attempts=2)))
        with protect(session, attempts=2):
            server.answers = [status(503)] * 9
            assert session.get(server.url).status_code == 503
            assert len(server.seen) == 2
            server.answers = [drip_headers]
            with _at_most(SOON), deadline(0.3), pytest.raises(DeadlineExceededError):
                session.get(server.url)


def test_what_answers_a_challenge_is_guarded(session, server):
    """`requests` sends the second request of a digest through what the first came from."""
    challenge = {"WWW_Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    server.answers = [status(401, **challenge), status(503), status(200)]
    response = session.get(server.url, auth=HTTPDigestAuth("u", "p"))
    assert response.status_code == 200
    assert len(server.seen) == 3


def _after(seconds, code=200):
    """Answer after some time."""

    def answer(server, connection, seen) -> bool:
        server.over.wait(seconds)
        return status(code)(server, connection, seen)

    return answer


def _if_alone(server, connection, seen) -> bool:
    """Answer once this is the only connection, or else with a failure."""
    end = time.monotonic() + 5
    while len(server.open) > 1 and time.monotonic() < end:
        time.sleep(0.005)
    return status(200 if len(server.open) == 1 else 418)(server, connection, seen)


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


def _swallow(session, url, timeout):
    try:
        session.get(url, timeout=timeout)
    except requests.RequestException:
        return
