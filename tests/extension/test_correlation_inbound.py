"""Which inbound ids are kept, and what the setting for them says."""

from __future__ import annotations

import re

import pytest

from flask_hardening import ConfigError

HEADER = "X-Correlation-ID"
NEW = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("value", ["a", "A.b_c-9", "x" * 128, "0", "..."])
def test_valid_id_is_kept(client, value):
    """1 to 128 of `A-Za-z0-9._-` go through unchanged."""
    assert client.get("/ok", headers={HEADER: value}).headers[HEADER] == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "a b",
        " a",
        "a\n",
        "a\r\nSet-Cookie: x",
        "x" * 129,
        "€",
        "ä",
        "\x1b[31m",
        "a\x00",
        "a,b",
        "٣",
    ],
)
def test_other_id_is_replaced_and_never_reflected(client, value):
    """Anything else counts as no id: a new one is made, and no byte of it comes back."""
    # straight into the environment, as the client library would refuse some of them
    environ = {"HTTP_X_CORRELATION_ID": value}
    response = client.get("/ok", environ_overrides=environ)
    assert NEW.fullmatch(response.headers[HEADER])


def test_missing_id_is_made(client):
    """Without an inbound id each request gets a new one."""
    first, second = (client.get("/ok").headers[HEADER] for _ in range(2))
    assert NEW.fullmatch(first)
    assert NEW.fullmatch(second)
    assert first != second


def test_ignore_always_makes_a_new_id(make_app):
    """`ignore` is for services at the edge: no inbound id counts."""
    client = make_app(CORRELATION_INBOUND="ignore").test_client()
    assert NEW.fullmatch(client.get("/ok", headers={HEADER: "abc"}).headers[HEADER])


@pytest.mark.parametrize("value", [None, "a b"])
def test_require_refuses_without_a_valid_id(make_app, value):
    """`require` answers 400, names the header, and has an id to quote all the same."""
    client = make_app(CORRELATION_INBOUND="require").test_client()
    response = client.get("/ok", headers={HEADER: value} if value else {})
    assert response.status_code == 400
    assert HEADER in response.json["message"]
    assert response.json["correlationId"] == response.headers[HEADER]
    assert NEW.fullmatch(response.headers[HEADER])


def test_require_accepts_a_valid_id(make_app):
    """`require` lets requests with an id through, and keeps it."""
    client = make_app(CORRELATION_INBOUND="require").test_client()
    response = client.get("/ok", headers={HEADER: "abc"})
    assert (response.status_code, response.headers[HEADER]) == (200, "abc")


def test_one_header_for_both_ids_fails_at_start(make_app):
    """Two ids can't share a header; the message names both settings."""
    with pytest.raises(ConfigError) as caught:
        make_app(CORRELATION_HEADER="X-Id", CORRELATION_REQUEST_HEADER="x-id")
    assert "HARDENING_CORRELATION_HEADER" in str(caught.value)
    assert "HARDENING_CORRELATION_REQUEST_HEADER" in str(caught.value)
