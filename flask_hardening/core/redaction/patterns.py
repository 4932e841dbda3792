"""What a secret looks like where no name gives it away: one finder per kind."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from flask_hardening.core.redaction.numbers import ibans, numbers, phones

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Found = tuple[str, int, int]

# stands between texts that are looked at together: nothing reaches across it
BORDER = "\0"


def find(text: str) -> list[Found]:
    """
    Return kind, start and end of whatever looks like a secret.

    What can't be there isn't looked for: a look for one character costs nothing beside a
    regular expression.

    Args:
        text: It, and `BORDER` between texts.
    """
    found: list[Found] = []
    if "@" in text:
        if "://" in text:
            found += _credentials_in_urls(text)
        found += _emails(text, {end for _, _, end in found})
    shape = text.encode("utf-8", "replace").translate(_SHAPES, b" ()+-.")
    if _NINE_DIGITS in shape:
        found += numbers(text)
    if "+" in text:
        found += phones(text)
    if len(text) >= _SHORT:
        if _IBAN_SHAPE(shape):
            found += ibans(text)
        found += _tokens(text)
    return found


def _tokens(text: str) -> list[Found]:
    found: list[Found] = []
    lowered = text.lower()
    if any(map(lowered.__contains__, _AUTHORIZES)):
        found += _authorizations(text)
    if "eyJ" in text:
        found += _json_web_tokens(text)
    if "PRIVATE KEY" in text:
        found += _private_keys(text)
    found += _vendor_tokens(text)
    return found


# the shortest of what comes behind it: `Bearer` and six characters
_SHORT = 13
# digits as 0, capitals as A, all else as it is; numbers without what they are grouped by
_SHAPES = bytes(
    48 if chr(c).isdecimal() else 65 if 65 <= c <= 90 else c  # noqa: PLR2004
    for c in range(128)
) + bytes(range(128, 256))
_NINE_DIGITS = b"000000000"  # a number of a person has no fewer, but for a `+` in front
_IBAN_SHAPE = re.compile(rb"AA00[0A]{11}").search


def _private_keys(text: str) -> Iterator[Found]:
    """PEM (RFC 7468); one that is cut off ends with its text."""
    for found in _PEM.finditer(text):
        yield "private_key", *found.span(1)


_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----((?:(?!-----END )[^\0])*+)"
)


def _credentials_in_urls(text: str) -> Iterator[Found]:
    """`user:password@` and `token@` (RFC 3986, section 3.2.1)."""
    for found in _USERINFO.finditer(text):
        user, colon, password = found[1].partition(":")
        # `git@`, and what others have masked before
        if password.strip("*") if colon else user not in _NO_USERS:
            yield "url", *found.span(1)


# a password may hold the '/' and '@' that it should encode; a port and a path are none
_USERINFO = re.compile(
    r"://([^\s/?#@:\"'<>\0]{0,128}+:(?!\d{1,5}[/?#])[^\s\"'<>\0]{0,256}(?=@)"
    r"|[^\s/?#@:\"'<>\0]{1,256}+(?=@))"
)


_NO_USERS = "git", "hg", "svn", "***"


def _authorizations(text: str) -> Iterator[Found]:
    """`Bearer` and `Basic` credentials (RFC 6750 and 7617), and other schemes with a token."""
    for found in _SCHEME.finditer(text):
        if _AUTHORIZES[found[1].lower()](found[2]):
            yield "authorization", *found.span(2)


def _is_user_and_password(value: str) -> bool:
    bare = value.rstrip("=")
    try:
        return b":" in base64.b64decode(bare[: len(bare) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return False


def _is_no_word(value: str) -> bool:
    return value.strip("._-/~+").lower() not in _BEHIND_BEARER


def _is_mixed(value: str) -> bool:
    digits = sum(map(str.isdigit, value))
    return len(value) >= _MIXED and 0 < digits < len(value) and "/" not in value


_MIXED = 16
_AUTHORIZES: dict[str, Callable[[str], bool]] = {
    "bearer": _is_no_word,
    "basic": _is_user_and_password,
    "token": _is_mixed,
    "apikey": _is_mixed,
}
_SCHEME = re.compile(
    r"(?<![A-Za-z0-9])(bearer|basic|token|apikey)[ :=+]{1,3}([A-Za-z0-9._~+/-]{6,}+"
    r"(?:={1,2}(?![\w=]|[\"']\w)|(?!=)))",
    re.IGNORECASE,
)
_BEHIND_BEARER = frozenset(
    "token tokens authentication authorization authorisation scheme schemes header headers"
    " credential credentials format realm error errors required missing invalid expired"
    " expected method methods support security access prefix request requests".split()
)


def _json_web_tokens(text: str) -> Iterator[Found]:
    """JWS and JWE (RFC 7515, 7516): they begin with `{"` in base64, also when cut off."""
    for found in _JWT.finditer(text):
        yield "jwt", *found.span()


_JWT = re.compile(r"(?<![A-Za-z0-9])eyJ[\w+/-]{10,}+(?:\.[\w+/=-]*+){0,4}+")


def _vendor_tokens(text: str) -> Iterator[Found]:
    """Tokens that begin with a sign of who gave them out: GitHub, Slack, Stripe, AWS."""
    shape = text.encode("ascii", "replace").translate(_TOKEN_SHAPES)
    start = shape.find(_LONG)
    while start >= 0:
        end = shape.find(b" ", start)
        end = end if end >= 0 else len(text)
        # most that is as long is an id, in one piece, and says so by how it begins
        if text[start:end].isalnum():
            found = _VENDOR.match(text, start)
            if found:
                yield "vendor_token", *found.span()
        else:
            for found in _VENDOR.finditer(text, start, end):
                yield "vendor_token", *found.span()
        start = shape.find(_LONG, end)


# what a token can consist of, and texts that have enough of it in one piece
_TOKEN_SHAPES = bytes(
    0x61 if chr(c).isalnum() or chr(c) in "_-." else 0x20 for c in range(128)
) + bytes([0x20] * 128)
_LONG = b"a" * 18
_VENDOR = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+|dckr_pat_[\w-]{16,}+"
    r"|[srp]k_(?:live|test)_[A-Za-z0-9]{12,}+|whsec_[A-Za-z0-9+/=]{16,}+|npm_[A-Za-z0-9]{30,}+"
    r"|xox[a-z]-[A-Za-z0-9-]{14,}+|xapp-[A-Za-z0-9-]{14,}+|sk-(?:proj|ant)-[\w-]{16,}+"
    r"|pypi-Ag[\w-]{16,}+|A[KS]IA[A-Z0-9]{14,}+|AIza[\w-]{20,}+|ya29\.[\w-]{14,}+"
    r"|hvs\.[\w-]{14,}+|SG\.[\w-]{14,}+(?:\.[\w-]+)?|dop_v1_[a-f0-9]{16,}+"
    r"|shp(?:at|ss)_[a-fA-F0-9]{16,}+)"
)


def _emails(text: str, others: set[int]) -> Iterator[Found]:
    """
    Addresses with a domain (RFC 5321); not the names of workers and repositories.

    Args:
        text: It.
        others: Where an `@` stands that is a URL's.
    """
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1) if at not in others else None
        if domain:
            local = _NO_LOCAL.split(text[max(0, at - _LONGEST_LOCAL) : at])[-1]
            if local and not _NO_PERSON.fullmatch(local):
                yield "email", at - len(local), domain.end()
        at = text.find("@", at + 1)


_LONGEST_LOCAL = 64
_NO_LOCAL = re.compile(r"[\s\"'<>()\[\]{},;:=|\\/&?*\0]")
_DOMAIN = re.compile(
    # letters of other scripts stand in JSON as escapes
    r"(?![0-9]x\.|[0-9]+\.[0-9])(?:(?:[^\W_]|\\+u[0-9a-f]{4})(?:[\w-]|\\+u[0-9a-f]{4}){0,62}\.)"
    r"{1,8}(?!(?:internal|local|localdomain|lan|svc)\b)"
    r"(?:xn--[a-z0-9-]{2,59}|(?:[^\W\d_]|\\+u[0-9a-f]{4}){2,24})(?![\w@-]|\.[^\W_])",
    re.IGNORECASE,
)
_NO_PERSON = re.compile(r"git|(?:celery|worker|beat)(?:[-_]?\d+)?|gen\d+|rabbit")
