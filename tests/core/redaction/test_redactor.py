"""The redactor's settings: names and patterns of one's own, what is let through, pseudonyms."""

from __future__ import annotations

import re
import time

import pytest

from flask_hardening.core import redaction
from flask_hardening.core.config import Configuration
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.redaction import MASK, Redactor
from flask_hardening.core.settings import Redaction

KEY = "k" * 16


def test_names_of_ones_own():
    """A plain name is that name alone, `*` stands for any text, spelling doesn't matter."""
    clean = Redactor(Redaction(keys=("member", "*_ref", "Tax-*"))).clean
    shown = clean(
        {"Member": "a", "memberCount": 1, "bookRef": "b", "ref": "c", "taxOffice": "d"}
    )
    assert shown == {
        "Member": MASK,
        "memberCount": 1,
        "bookRef": MASK,
        "ref": "c",
        "taxOffice": MASK,
    }


def test_names_that_are_let_through():
    """Their values are shown, in data and in texts; what looks like a secret still isn't."""
    redactor = Redactor(Redaction(allow_keys=("session_id", "*token")))
    given = {
        "sessionId": "s1",
        "api_token": "t1",
        "password": "p",
        "my_token": "a@b.example",
    }
    shown = {"sessionId": "s1", "api_token": "t1", "password": MASK, "my_token": MASK}
    assert redactor.clean(given) == shown
    assert redactor.scrub("token=abc password=x") == "token=abc password=***"


def test_patterns_of_ones_own():
    """They hide what they match, wherever it stands."""
    redactor = Redactor(Redaction(patterns={"employee": "EMP-[0-9]{4}"}))
    assert redactor.scrub("for EMP-1234!") == "for ***!"
    assert redactor.clean({"a": ["EMP-1234"]}) == {"a": [MASK]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("private_key", "-----BEGIN PRIVATE KEY-----\nMIIE"),
        ("url", "redis://:x1@cache/0"),
        ("authorization", "Bearer mF_9.B5f-4.1JqM"),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJz"),
        ("vendor_token", "ghp_a1B2c3D4e5F6g7H8i9"),
        ("email", "bob@example.com"),
        ("card", "4111 1111 1111 1111"),
        ("iban", "GB82WEST12345698765432"),
        ("ssn", "078-05-1120"),
        ("phone", "+49 170 1234567"),
    ],
)
def test_patterns_that_are_let_through(name, text):
    """Each of the built-in ones can be, without the others."""
    assert Redactor(Redaction(allow_patterns=(name,))).scrub(text) == text
    assert Redactor(Redaction()).scrub(text) != text


def test_phones_and_cards_that_are_let_through():
    """Names and whole numbers follow what is let through."""
    given = {"phone": "0170 1234567", "number": 4111111111111111}
    assert Redactor(Redaction()).clean(given) == {"phone": MASK, "number": MASK}
    let_through = Redaction(allow_patterns=("phone", "card"))
    assert Redactor(let_through).clean(given) == given


def test_allowed_names_alone():
    """In allow mode a value is shown if its own name is allowed; structure stays."""
    redactor = Redactor(Redaction(mode="allow", allow_keys=("id", "status")))
    given = {
        "id": 7,
        "status": ["paid", "a@b.example"],
        "name": "Ada",
        "count": 3,
        "done": True,
        "inner": {"id": 8, "note": "x"},
        "list": [{"id": 9}, "x", 4],
    }
    assert redactor.clean(given) == {
        "id": 7,
        "status": ["paid", MASK],
        "name": MASK,
        "count": MASK,
        "done": True,
        "inner": {"id": 8, "note": MASK},
        "list": [{"id": 9}, MASK, MASK],
    }


def test_pseudonyms():
    """The same secret has the same pseudonym, however it is spelt and wherever it stands."""
    redactor = Redactor(Redaction(replacement="hmac", hmac_key=KEY))
    spaced = redactor.scrub("4111 1111 1111 1111")
    assert re.fullmatch("hmac:[0-9a-f]{16}", spaced)
    assert redactor.scrub("4111-1111-1111-1111") == spaced
    mail = redactor.clean({"by": "Bob@Example.com"})["by"]
    assert redactor.scrub("from bob@example.com") == f"from {mail}"
    token = redactor.clean({"token": "abcdef123456"})["token"]
    assert redactor.clean({"Authorization": "Bearer abcdef123456"}) == {
        "Authorization": token
    }
    assert redactor.clean({"token": "other"})["token"] != token
    other = Redactor(Redaction(replacement="hmac", hmac_key="K" * 16))
    assert other.clean({"token": "abcdef123456"})["token"] != token


def test_numbers_have_one_pseudonym_however_they_are_spelt():
    """Telephone, account and card numbers, under a name and in a text."""
    redactor = Redactor(Redaction(replacement="hmac", hmac_key=KEY))
    for spellings in (
        ("+49 170 1234567", "+491701234567", "0049 170 1234567"),
        ("DE89370400440532013000", "de89 3704 0044 0532 0130 00"),
        ("4111 1111 1111 1111", "4111111111111111"),
    ):
        shown = {redactor.clean({"iban": s})["iban"] for s in spellings}
        shown.add(redactor.scrub(f"see {spellings[0]}").removeprefix("see "))
        assert len(shown) == 1


def test_a_pseudonym_has_no_pseudonym():
    """What went through once goes through again unchanged."""
    redactor = Redactor(Redaction(replacement="hmac", hmac_key=KEY))
    once = redactor.clean({"token": "abc", "text": "password=x https://u:p@h"})
    assert redactor.clean(once) == once


def test_pseudonyms_need_a_key():
    """Without one the process doesn't start, and the message names both settings."""
    with pytest.raises(ConfigError, match="HARDENING_REDACTION_HMAC_KEY"):
        Redactor(Redaction(replacement="hmac"))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "is no regular expression"),
        ("x*", "matches where there is nothing"),
    ],
)
def test_a_pattern_that_can_not_be(pattern, reason):
    """It is refused at start, by its name."""
    with pytest.raises(ConfigError, match=reason) as caught:
        Configuration({"HARDENING_REDACTION_PATTERNS": {"mine": pattern}}, {})
    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize("pattern", ["(a|a)*b", "(a+)+$", "(?:x|xx)+y", "a.*a.*a.*a.*a.*b"])
def test_a_pattern_that_takes_for_ever(pattern):
    """It is given up after a moment, and what it was looking at is hidden as a whole."""
    redactor = Redactor(Redaction(patterns={"mine": pattern}))
    given = "a" * 4000 + "x" * 4000
    began = time.monotonic()
    shown = redactor.scrub(given)
    assert time.monotonic() - began < 5
    assert shown in (MASK, given)
    assert redactor.scrub("innocent") == "innocent"


def test_a_process_has_one_redactor():
    """An equal second app joins, one that differs is refused without a key in the message."""
    redaction.set_up(Redaction(hmac_key="first-secret-of-many"), "app 'a'")
    redaction.set_up(Redaction(hmac_key="first-secret-of-many"), "app 'b'")
    with pytest.raises(ConfigError, match="HARDENING_REDACTION_HMAC_KEY") as caught:
        redaction.set_up(Redaction(hmac_key="other-secret-of-many"), "app 'c'")
    assert "secret-of" not in str(caught.value)


def test_what_fails_is_hidden():
    """If the redactor itself fails, the value is hidden as a whole."""
    redactor = Redactor(Redaction())
    redactor._rules.scrubber = redactor._scrubber = None
    assert redactor.clean({"a": "b"}) in (MASK, "<dict>")
    assert redactor.scrub("a text") == MASK
