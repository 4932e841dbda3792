"""What may be seen of a value or a text: one redactor per process, used by all that logs, traces or stores."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, cast

import regex

from flask_hardening.core import process, settings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.redaction.bounds import LENGTH, bounded
from flask_hardening.core.redaction.keys import Names
from flask_hardening.core.redaction.rules import MASK, Rules
from flask_hardening.core.redaction.text import Scrubber
from flask_hardening.core.redaction.values import copied, fields_copied, own_copied

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MASK", "MESSAGE", "Redactor", "active", "set_up", "text_of"]

ROOM = "redaction"
MESSAGE = 65_536  # characters of a log message
_PSEUDONYM = "hmac:"
_DIGITS = 16
_HASHED = 65_536
_NUMBERS = {"card", "iban", "ssn", "phone"}
_SCHEME = re.compile(r"(?:bearer|basic|token) +", re.IGNORECASE)
_IS_PSEUDONYM = re.compile(r"hmac:[0-9a-f]{16}").fullmatch
# a telephone, card or account number under its name
_LIKE_A_NUMBER = re.compile(
    r"[+(]?[0-9][0-9 ().+/-]{6,}|[A-Za-z]{2}[0-9]{2}[A-Za-z0-9 -]{11,}"
).fullmatch
_NOT_ALNUM = re.compile(r"[\W_]+")


class Redactor:
    """
    Copies values and texts without their secrets.

    It never raises, never changes what it is given, and its work is bounded in depth,
    width and length. A value that it fails on is hidden as a whole.

    Args:
        config: What is secret here.

    Raises:
        ConfigError: Pseudonyms are asked for without a key.
    """

    def __init__(self, config: settings.Redaction) -> None:
        self._key = config.hmac_key.encode() if config.hmac_key else None
        if config.replacement == "hmac" and self._key is None:
            raise ConfigError(
                "HARDENING_REDACTION_REPLACEMENT = 'hmac' needs a key: set "
                "HARDENING_REDACTION_HMAC_KEY to at least 16 random characters."
            )
        skipped = config.allow_patterns
        names = Names(
            config.keys,
            config.allow_keys,
            allow_only=config.mode == "allow",
            phones="phone" not in skipped,
        )
        replace = _mask if config.replacement == "mask" else self._pseudonym_of
        more = {kind: regex.compile(pattern) for kind, pattern in config.patterns.items()}
        self._scrubber = Scrubber(names, replace, skipped, more)
        self._rules = Rules(names, self._scrubber, replace, cards="card" not in skipped)

    def clean(self, value: object) -> Any:  # noqa: ANN401
        """Return a copy of a value that JSON can hold."""
        try:
            return copied(self._rules, value)
        except Exception:  # noqa: BLE001 - what can't be looked at isn't shown
            return MASK

    def clean_fields(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a copy of named values; a name alone may make its value a secret."""
        try:
            return fields_copied(self._rules, fields)
        except Exception:  # noqa: BLE001 - see above
            return {"fields": MASK}

    def clean_own(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of an event's fields, whose names are the house's own, without None."""
        try:
            return own_copied(self._rules, fields)
        except Exception:  # noqa: BLE001 - see above
            return dict.fromkeys(fields, MASK)

    def scrub(self, text: str, length: int = LENGTH) -> str:
        """Return a text with its secrets replaced, cut where it has more than *length*."""
        try:
            return bounded(self._scrubber.scrub, text, length)
        except Exception:  # noqa: BLE001 - see above
            return MASK

    def pseudonym(self, secret: str) -> str:
        """
        Return what stands for a secret: the same for the same one, under the same key.

        HMAC-SHA-256 (RFC 2104), of which 64 bits are kept. Without a key, the mask.
        """
        if self._key is None:
            return MASK
        data = secret[:_HASHED].encode("utf-8", "backslashreplace")
        return _PSEUDONYM + hmac.new(self._key, data, hashlib.sha256).hexdigest()[:_DIGITS]

    @property
    def has_key(self) -> bool:
        """Whether it can make pseudonyms."""
        return self._key is not None

    def close(self) -> None:
        """Let go of nothing: nothing is held."""

    def _pseudonym_of(self, kind: str, secret: str) -> str:
        """Return the pseudonym of a secret however it is spelt."""
        if _IS_PSEUDONYM(secret):
            return secret
        if kind in _NUMBERS or _LIKE_A_NUMBER(secret):
            secret = _NOT_ALNUM.sub("", secret).upper().removeprefix("00")
        elif kind == "email":
            secret = secret.lower()
        return self.pseudonym(_SCHEME.sub("", secret.strip(), count=1))


def _mask(_: str, __: str) -> str:
    return MASK


@functools.cache
def _default() -> Redactor:
    return Redactor(settings.Redaction())


def active() -> Redactor:
    """Return the process's redactor; before anybody has set one up, one by default."""
    return cast("Redactor | None", process.get(ROOM)) or _default()


def text_of(error: BaseException, length: int) -> str | None:
    """Return `str(error)` without secrets, cut; None where its `__str__` fails."""
    try:
        return active().scrub(str(error), length)
    except Exception:  # noqa: BLE001 - it may be of any class
        return None


def set_up(config: settings.Redaction, owner: str) -> Redactor:
    """
    Set up the process's redactor, or join the one that stands.

    Raises:
        ConfigError: It stands with other settings, or these can't be.
    """
    return process.own(ROOM, config, owner, lambda: Redactor(config))
