"""A request's line shows no secret, wherever in the request and its answer one stands."""

from __future__ import annotations

import json
import random
import string
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from flask import Response, request
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "core/redaction/adversarial"))

import planted
from campaign import search
from planted import BARE, QUOTED, made, seen

LIMIT = 600
NAMES = planted.names()
LOOKING = planted.looks()
BARE_VALUES = made(planted.plain_value)
VALUES = made(planted.any_value)
_PATHS = made(
    lambda rng: planted.LOOKS[rng.choice(("vendor", "jwt", "card", "email"))](rng)
)


def _echo(path: str = "") -> Response:
    """Answer with what was sent, in its own form."""
    return Response(request.get_data(), content_type=request.content_type or "text/plain")


def _fail(path: str = "") -> Response:
    """Fail with what was sent."""
    raise RuntimeError(request.get_data(as_text=True), path, request.args.to_dict())


@pytest.fixture
def shown(make_app, capfdbinary):
    """Return what sends a request to the app that shows all it may, and the bytes of its lines."""
    app = make_app(
        LOGS_QUERY=True,
        LOGS_HEADERS=("*",),
        LOGS_BODIES=("request", "response"),
        LOGS_BODY_LIMIT=LIMIT,
        LOGS_LEVEL="DEBUG",
    )
    for rule, view in (("echo", _echo), ("fail", _fail)):
        app.add_url_rule(f"/{rule}", rule, view, methods=["POST"])
        app.add_url_rule(f"/{rule}/<path:path>", f"{rule}_path", view, methods=["POST"])
    client = app.test_client()

    def send(path: str, **given) -> bytes:
        client.post(path, **given).get_data()
        return capfdbinary.readouterr().out

    return send


@search(40)
@given(_PATHS, st.sampled_from(["/echo/", "/fail/", "/nowhere/"]))
def test_secrets_in_paths(shown, secret, prefix):
    """In a path that is routed, one that fails and one that isn't there."""
    out = shown(f"{prefix}{quote(secret.text, safe='')}/x")
    assert b"request.finished" in out
    assert not seen([secret], out)


@search(40)
@given(NAMES, VALUES, LOOKING, st.sampled_from(["/echo", "/fail"]))
def test_secrets_in_queries(shown, name, secret, other, path):
    """Behind names, and by their looks."""
    query = urlencode({"page": 2, name: secret.text, "note": other.text})
    assert not seen([secret, other], shown(f"{path}?{query}"))


def _header(text: str) -> str:
    """Return a text if a header can have it."""
    return text if text.isascii() and text.isprintable() else "-"


@search(40)
@given(made(planted.plain_value), made(planted.plain_value), LOOKING)
def test_secrets_in_headers(shown, secret, other, third):
    """In those that are made for them, in cookies, and in any other."""
    headers = {
        "Authorization": f"Bearer {secret.text}",
        "X-Api-Key": other.text,
        "Cookie": f'theme="dark"; session={secret.text}; x="{other.text}"',
        "X-Note": _header(third.text),
        "Referer": f"https://example.com/?token={secret.text}&note={quote(third.text)}",
        "User-Agent": f"tester/1 (api_key={other.text})",
    }
    out = shown("/echo", headers=headers)
    assert b"request_headers" in out
    assert not seen([secret, other, third], out)


_BODIES = {
    "application/json": lambda n, s, t: json.dumps({"a": [{n: s}, t], "page": 2}),
    "application/vnd.x+json": lambda n, s, t: json.dumps([t, json.dumps({n: s})]),
    "application/x-www-form-urlencoded": lambda n, s, t: urlencode(
        {"page": 2, n: s, "t": t}
    ),
    "text/plain": lambda n, s, t: f"{QUOTED['json'](n, s)}\n{t}",
    "text/csv; charset=utf-16": lambda n, s, t: f'page,{QUOTED["f-string"](n, s)}\n"{t}"',
    "application/xml": QUOTED["xml"],
}


@search(30)
@given(NAMES, VALUES, LOOKING, st.sampled_from(["/echo", "/fail"]))
@pytest.mark.parametrize("content_type", list(_BODIES)[:-1])
def test_secrets_in_bodies(shown, content_type, name, secret, other, path):
    """In JSON, forms and texts, and in exceptions that tell of them."""
    body = _BODIES[content_type](name, secret.text, other.text)
    data = body.encode("utf-16" if content_type.endswith("utf-16") else "utf-8")
    out = shown(path, data=data, content_type=content_type)
    assert not seen([secret, other], out)


@search(40)
@given(NAMES, VALUES, LOOKING, st.integers(1, 60), st.sampled_from(sorted(_BODIES)[:5]))
def test_secrets_in_bodies_that_are_broken(shown, name, secret, other, cut, content_type):
    """In bodies that end too early, and in those that aren't what they say they are."""
    body = f'{{"note": "{other.text}"}} {QUOTED["json"](name, secret.text)}'
    out = shown("/echo", data=body.encode()[:-cut], content_type=content_type)
    assert not seen([secret, other], out)


def _long_token(rng: random.Random) -> str:
    """Return a JWT of a size that is usual."""
    parts = [rng.choices(string.ascii_letters, k=size) for size in (30, 800, 340)]
    return "eyJ" + ".".join("".join(part) for part in parts)


@search(100)
@given(
    LOOKING,
    planted.SEEDS,
    st.integers(0, LIMIT + 400),
    st.sampled_from([20, 200, 500, 900]),
    st.sampled_from(["application/json", "text/plain"]),
)
def test_secrets_where_a_body_is_cut(shown, secret, seed, before, long, content_type):
    """What is left of a body that is too long ends with no half of a secret."""
    token = _long_token(random.Random(seed))[:long]
    filled = ("lorem ipsum " * 100)[:before]
    data = {"access_token": token, "text": f"{filled} {secret.text}", "rest": "z" * LIMIT}
    out = shown("/echo", data=json.dumps(data).encode(), content_type=content_type)
    assert not seen([secret], out)


@search(30)
@given(NAMES, BARE_VALUES, LOOKING)
def test_secrets_in_bodies_nobody_has_read(shown, name, secret, other):
    """Where nothing is there and nobody reads, the path and the query are told all the same."""
    query = urlencode({name: secret.text})
    out = shown(f"/nowhere?{query}", data=BARE["equals"](name, secret.text) + other.text)
    assert b" 404" in out
    assert not seen([secret, other], out)
