"""Ids by themselves: made, checked, bound to a block; and which hosts may see them."""

from __future__ import annotations

import os
import random
import threading

import pytest

from flask_hardening import correlated, correlation_id, request_id
from flask_hardening.core import correlation
from flask_hardening.core.correlation import AllowList, Origin, Unit, new_id, new_ids, valid


def test_new_ids_are_valid_and_differ():
    """A new id passes its own check and is never made twice."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(valid(one) == one for one in ids)


@pytest.mark.parametrize("value", ["", "a b", "a\n", "x" * 129, None, 5, b"abc", ["abc"]])
def test_what_is_no_id(value):
    """Anything but text of 1 to 128 allowed characters is no id."""
    assert valid(value) is None


def test_correlated_binds_and_gives_back():
    """A block runs under one id, nested blocks under theirs, and the outer one returns."""
    assert correlation_id() is None
    with correlated("outer") as outer:
        with correlated() as inner:
            assert correlation_id() == inner != outer == "outer"
        assert correlation_id() == "outer"
        assert request_id() is None
    assert correlation_id() is None


def test_correlated_replaces_an_invalid_id():
    """A consumer can hand over whatever it got; the block runs under a valid id."""
    with correlated("a b\n") as found:
        assert valid(found) == found


def test_correlated_cleans_after_an_error():
    """An exception takes the id with it."""
    with pytest.raises(ZeroDivisionError), correlated("abc"):
        _ = 1 / 0
    assert correlation_id() is None


def test_a_token_can_be_spent_twice_and_anywhere():
    """Resetting twice or in another thread changes nothing and raises nothing."""
    token = correlation.bind(Unit("abc"))
    thread = threading.Thread(target=correlation.reset, args=(token,))
    thread.start()
    thread.join()
    assert correlation_id() == "abc"
    correlation.reset(token)
    correlation.reset(token)
    assert correlation_id() is None


def test_outgoing_carries_the_id_to_allowed_hosts_alone():
    """`outgoing` is empty outside a unit of work, for strangers and in plain scripts."""
    origin = Origin("shop", "test", "X-Trail", AllowList(("friend",)))
    assert correlation.outgoing("http://friend/") == {}
    token = correlation.bind(Unit("abc", origin=origin))
    try:
        assert correlation.outgoing("http://friend/") == {"X-Trail": "abc"}
        assert correlation.outgoing("http://stranger/") == {}
    finally:
        correlation.reset(token)
    with correlated("abc"):
        assert correlation.outgoing("http://friend/") == {}


ALLOWED = [
    ("friend", "http://friend/path"),
    ("friend", "https://friend:8443/"),
    ("friend", "http://FRIEND/"),
    ("FRIEND", "http://friend/"),
    ("friend", "http://friend./"),
    ("friend.", "http://friend/"),
    ("friend", "http://user:password@friend/"),
    ("friend:8000", "http://friend:8000/"),
    ("friend:80", "http://friend/"),
    ("friend:443", "https://friend/"),
    ("*.example.com", "http://a.example.com/"),
    ("*.example.com", "http://a.b.EXAMPLE.com:81/"),
    ("*.example.com:81", "http://a.example.com:81/"),
    ("*", "http://anyone/"),
    ("10.0.0.1", "http://10.0.0.1:9/"),
    ("::1", "http://[::1]/"),
    ("[::1]", "http://[::1]:9/"),
    ("[::1]:8000", "http://[::1]:8000/"),
]
REFUSED = [
    ("friend", "http://stranger/"),
    ("friend", "http://friend@stranger/"),
    ("friend", "http://friend:80@stranger/"),
    ("friend", "http://stranger/@friend"),
    ("friend", "http://stranger?@friend"),
    ("friend", "http://stranger#@friend"),
    # clients disagree on where the host of this one begins
    ("friend", "http://stranger\\@friend/"),
    ("friend", "http://friend.stranger/"),
    ("friend", "http://notfriend/"),
    ("friend", "//"),
    ("friend", "friend"),
    ("friend", "http://[broken/"),
    ("friend", "http://friend:port/"),
    ("friend", ""),
    ("friend:8000", "http://friend/"),
    ("friend:8000", "http://friend:8001/"),
    ("*.example.com", "http://example.com/"),
    ("*.example.com", "http://badexample.com/"),
    ("*.example.com", "http://a.example.com.evil/"),
    ("*.example.com:81", "http://a.example.com/"),
    ("[::1]:8000", "http://[::1]:8001/"),
    ("::1", "http://[::2]/"),
]


@pytest.mark.parametrize(("pattern", "url"), ALLOWED)
def test_allowed(pattern, url):
    """The pattern lets a call to this address carry the id."""
    assert AllowList((pattern,)).allows(url)


@pytest.mark.parametrize(("pattern", "url"), REFUSED)
def test_refused(pattern, url):
    """The pattern doesn't let a call to this address carry the id."""
    assert not AllowList(("other", pattern)).allows(url)


def test_nobody_is_allowed_by_default():
    """An empty list allows no host."""
    assert not AllowList().allows("http://friend/")


def test_a_child_makes_ids_of_its_own():
    """After a fork parent and children go on with different ids, whoever seeded what."""
    random.seed(1)
    made = set()
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, " ".join([new_id(), *new_ids()]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            made |= set(pipe.read().split())
    random.seed(1)
    made |= {new_id(), *new_ids()}
    assert len(made) == 12
    assert all(map(valid, made))
