"""Which names stand for secrets, and which only look like it."""

from __future__ import annotations

import pytest

from flask_hardening.core.redaction.keys import Names, Standing

SECRETS = [
    "password",
    "PASSWORD",
    "userPassword",
    "user_password",
    "new-password",
    "passwd",
    "pwd",
    "passphrase",
    "pin",
    "secret",
    "clientSecret",
    "token",
    "accessToken",
    "refresh_token",
    "X-CSRF-Token",
    "jwt",
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "X-Api-Key",
    "apiKey",
    "apikey",
    "API_KEY",
    "private_key",
    "secretKey",
    "credentials",
    "sessionId",
    "session_id",
    "sid",
    "cardNumber",
    "card_number",
    "cvv",
    "iban",
    "ssn",
    "otp",
    "signature",
    "dsn",
    "db.password",
    "HTTP_AUTHORIZATION",
]
INNOCENT = [
    "tokenizer",
    "token_bucket_size",
    "session_count",
    "postcode",
    "passenger",
    "compass",
    "pinned",
    "author",
    "authored_by",
    "keyboard",
    "key",
    "primary_key",
    "secretary",
    "cookie_policy",
    "shopping",
    "design",
    "sidebar",
    "passed",
    "",
    "名前",
    "_",
]


@pytest.mark.parametrize("key", SECRETS)
def test_secret_names(key):
    """A key whose last words name a secret is one, however it is spelt."""
    assert Names().standing(key) in (Standing.SECRET, Standing.WEAK)


@pytest.mark.parametrize("key", INNOCENT)
def test_innocent_names(key):
    """A key that only contains such a word isn't."""
    assert Names().standing(key) is Standing.OPEN
