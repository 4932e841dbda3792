"""Secrets in running text: found by their looks and by the names before them, and nothing else."""

from __future__ import annotations

import pytest

from flask_hardening.core.redaction import active

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
BY_LOOKS = [
    ("card 4111 1111 1111 1111.", "card ***."),
    ("4111-1111-1111-1111", "***"),
    ("378282246310005", "***"),
    ("order 12345678 4111111111111111 1st", "order 12345678 *** 1st"),
    ("pay DE89 3704 0044 0532 0130 00 NOW", "pay *** NOW"),
    ("GB82WEST12345698765432", "***"),
    ("ssn was 078-05-1120", "ssn was ***"),
    ("call +49 170 1234567 now", "call *** now"),
    ("call (555) 234-5678 or 555-234-5678", "call *** or ***"),
    ("call 555.234.5678.", "call ***."),
    ("by bob.smith+x@mail.example.co.uk.", "by ***."),
    ("postgres://app:pa55@db/shop", "postgres://***@db/shop"),
    ("redis://:p@ss/w0rd@cache:6379/0", "redis://***@cache:6379/0"),
    ("https://ghp@example.com/x", "https://***@example.com/x"),
    ("Bearer mF_9.B5f-4.1JqM sent", "Bearer *** sent"),
    ("got basic dXNlcjpwYXNz", "got basic ***"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end", "jwt *** end"),
    ("cut eyJhbGciOiJIUzI1NiJ9.eyJz", "cut ***"),
    (KEY, "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"),
    ("-----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----***"),
    ("ghp_" + "a1B2c3D4e5F6g7H8i9", "***"),
    ("id AKIAIOSFODNN7EXAMPLE x", "id *** x"),
]
BY_NAMES = [
    ("password=hunter2", "password=***"),
    ("password = hunter2, user = bob", "password = ***, user = bob"),
    ('{"a": 1, "password": "hun\\"ter", "b": 2}', '{"a": 1, "password": "***", "b": 2}'),
    ('{\\"password\\": \\"hunter2\\"}', '{\\"password\\": \\"***\\"}'),
    ('{"password": "hunt', '{"password": "***'),
    ("{'secret': {'deep': ['x']}, 'b': 2}", "{'secret': ***, 'b': 2}"),
    ("User(name='bob', password='x y')", "User(name='bob', password='***')"),
    ("token=SecretStr('abc') next", "token=*** next"),
    ("GET /x?access_token=abc&page=2", "GET /x?access_token=***&page=2"),
    ("/cb?code=4/0AX4XfWh&state=xyz", "/cb?code=***&state=xyz"),
    ("user%5Bpassword%5D=abc&x=1", "user%5Bpassword%5D=***&x=1"),
    ("mail=bob%40example.com&x=1", "mail=***&x=1"),
    ("q=token%3Dabc123&x=1", "q=***&x=1"),
    ("Authorization: Digest a=b, c=d\nHost: x", "Authorization: ***\nHost: x"),
    ("-H 'Cookie: a=b; c=d' url", "-H 'Cookie: ***' url"),
    ("run --password hunter2 --verbose", "run --password *** --verbose"),
    ("['run', '--token', 'abc']", "['run', '--token', '***']"),
    ("[('password', 'x'), ('page', '2')]", "[('password', '***'), ('page', '2')]"),
    ("<x:password a='1'>hunter</x:password>", "<x:password a='1'>***</x:password>"),
    ("[SQL: INSERT] [parameters: ('bob', 'x')]", "[SQL: INSERT] [parameters: ***]"),
    ("Failing row contains (1, bob, x).", "Failing row contains ***."),
    ("Key (api_key)=(abc) exists", "Key (api_key)=*** exists"),
    (':password=>"x"', ':password=>"***"'),
    ("API key: abc123", "API key: ***"),
    ('{"contrase\\u00f1a": "hunter2", "n": 1', '{"contraseña": "***", "n": 1'),
    ('{"p\\u0061ssword":"hunter2"}', '{"password":"***"}'),
    ("q=token\\u003dabcSECRET", "q=token=***"),
    ("<password><![CDATA[hunter2]]></password>", "<password><![CDATA[***]]></password>"),
    ("password=9 pin=7", "password=*** pin=***"),
    (
        "DE89 3704 0044 0532 0130 00 GB82 WEST 1234 5698 7654 32",
        "*** ***",
    ),
    ('Authorization: Digest username="a", response="bbbb"', "Authorization: ***"),
    ("phone: 0170 1234567", "phone: ***"),
]


@pytest.mark.parametrize(("text", "shown"), BY_LOOKS + BY_NAMES)
def test_a_secret_in_a_text_is_masked(text, shown):
    """Nothing of it is left, and what stands round it is."""
    assert active().scrub(text) == shown


@pytest.mark.parametrize(("text", "_"), BY_LOOKS + BY_NAMES)
def test_masking_twice_is_masking_once(text, _):
    """A line that went through the redactor goes through it unchanged."""
    once = active().scrub(text)
    assert active().scrub(once) == once


def test_what_is_cut_shows_no_half_of_a_secret():
    """A secret at the place where a text is cut is left out with it."""
    for before in range(90, 110):
        shown = active().scrub("x" * before + " 4111 1111 1111 1111 " + "y" * 500, 110)
        assert "41" not in shown


def test_texts_that_are_looked_at_together_stay_apart():
    """A name in one text says nothing of the next, and none is lost."""
    given = ["password=", "plain", "bob@example.com", "", "\0", "token=x"]
    shown = ["password=", "plain", "***", "", "\0", "token=***"]
    assert active().clean(given) == shown


def test_a_text_that_is_a_little_too_long():
    """Its beginning is kept, as that of a longer one is."""
    text = "Connection refused by billing.internal " * 6  # 234 characters
    assert active().scrub(text, 200) == f"{text[:200]}<34 more>"
    data = active().clean({"text": "a" * 8_192 + "b" * 34})
    assert data == {"text": "a" * 8_192 + "<34 more>"}
