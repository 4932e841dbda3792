"""`propagate` against real servers: the id goes to allowed hosts, and nowhere else."""

from __future__ import annotations

import asyncio
import pickle
import threading

import httpx
import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from flask_hardening import correlated, propagate
from flask_hardening.core import correlation
from flask_hardening.core.correlation import AllowList, Origin, Unit

HEADER = "X-Correlation-ID"


class Server:
    """Remembers the ids it was sent, by path; `/to?<url>` redirects."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self.address = f"127.0.0.1:{self._server.port}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @Request.application
    def _serve(self, request):
        self.seen.append((request.path, request.headers.get(HEADER)))
        if request.path == "/to":
            return Response("", 302, {"Location": request.query_string.decode()})
        return Response("ok")

    def close(self) -> None:
        """Stop, and wait for it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def servers():
    """Run two servers: one that the tests allow, and a stranger."""
    both = Server(), Server()
    yield both
    for server in both:
        server.close()


@pytest.fixture
def friend(servers):
    """Return the server on the allow-list."""
    servers[0].seen.clear()
    return servers[0]


@pytest.fixture
def stranger(servers):
    """Return the server that isn't."""
    servers[1].seen.clear()
    return servers[1]


@pytest.fixture
def unit(friend):
    """Run a test in a unit of work that may tell its id to the friend alone."""
    origin = Origin("shop", "test", HEADER, AllowList((friend.address,)))
    token = correlation.bind(Unit("abc", origin=origin))
    yield
    correlation.reset(token)


def _requests(prepare=propagate):
    session = requests.Session()
    session.trust_env = False
    session = prepare(session)

    def get(url, headers=None):
        with session:
            return session.get(url, headers=headers, timeout=10)

    return get


def _httpx(prepare=propagate):
    def get(url, headers=None):
        with prepare(httpx.Client(follow_redirects=True, trust_env=False)) as client:
            return client.get(url, headers=headers)

    return get


def _httpx_async(prepare=propagate):
    async def send(url, headers):
        client = prepare(httpx.AsyncClient(follow_redirects=True, trust_env=False))
        async with client:
            return await client.get(url, headers=headers)

    return lambda url, headers=None: asyncio.run(send(url, headers))


@pytest.fixture(params=[_requests, _httpx, _httpx_async])
def make_get(request):
    """Make a function that gets a URL with one of the supported clients."""
    return request.param


@pytest.fixture
def get(make_get):
    """Get a URL with one of the supported clients."""
    return make_get()


@pytest.mark.usefixtures("unit")
class TestInAUnit:
    """What calls carry while a unit of work is bound."""

    def test_the_allowed_host_gets_the_id(self, get, friend):
        """The id of the unit is sent to a host on the list."""
        assert get(friend.url + "/a").status_code == 200
        assert friend.seen == [("/a", "abc")]

    def test_a_stranger_gets_nothing(self, get, stranger):
        """A host that isn't on the list never sees the id."""
        get(stranger.url + "/a")
        assert stranger.seen == [("/a", None)]

    def test_a_redirect_to_a_stranger_carries_nothing(self, get, friend, stranger):
        """The id is taken off at the hop that leaves the list."""
        get(f"{friend.url}/to?{stranger.url}/a")
        assert friend.seen == [("/to", "abc")]
        assert stranger.seen == [("/a", None)]

    def test_a_redirect_back_carries_it_again(self, get, friend, stranger):
        """Each hop is asked anew."""
        get(f"{stranger.url}/to?{friend.url}/a")
        assert stranger.seen == [("/to", None)]
        assert friend.seen == [("/a", "abc")]

    def test_a_header_of_the_callers_own_survives(self, get, friend):
        """Who sets the header by hand decides."""
        get(friend.url, headers={HEADER: "own"})
        assert friend.seen == [("/", "own")]

    def test_a_header_of_the_callers_own_reaches_strangers(self, make_get, stranger):
        """An id that isn't ours isn't ours to take away."""
        make_get()(stranger.url, headers={HEADER: "own"})
        assert stranger.seen == [("/", "own")]

    def test_twice_is_once(self, make_get, friend):
        """Preparing a client a second time changes nothing."""
        get = make_get(lambda client: propagate(propagate(client)))
        get(friend.url)
        assert friend.seen == [("/", "abc")]

    def test_hooks_of_the_clients_own_still_run(self, friend):
        """A request hook that the client already had is kept."""
        calls = []
        client = httpx.Client(event_hooks={"request": [calls.append]}, trust_env=False)
        with propagate(client):
            client.get(friend.url)
        assert len(calls) == 1
        assert friend.seen == [("/", "abc")]

    def test_a_session_can_be_pickled(self, friend):
        """A prepared `requests` session survives pickling, and still propagates."""
        session = pickle.loads(pickle.dumps(propagate(requests.Session())))
        session.trust_env = False
        with session:
            session.get(friend.url, timeout=10)
        assert friend.seen == [("/", "abc")]


def test_nothing_outside_a_unit(get, friend):
    """Without a unit of work there is no id to send."""
    get(friend.url)
    assert friend.seen == [("/", None)]


def test_nothing_from_a_plain_script(get, friend):
    """A block that no app stands behind has no allow-list, so it tells nobody."""
    with correlated("abc"):
        get(friend.url)
    assert friend.seen == [("/", None)]


@pytest.mark.parametrize("client", [object(), requests, requests.get, None])
def test_what_is_no_client_is_refused(client):
    """Anything else is a TypeError that names what is supported."""
    with pytest.raises(TypeError, match=r"requests\.Session.*httpx\.AsyncClient"):
        propagate(client)


def test_the_same_object_comes_back():
    """`propagate` returns what it was given, so that it can stand in an assignment."""
    with requests.Session() as session:
        assert propagate(session) is session
