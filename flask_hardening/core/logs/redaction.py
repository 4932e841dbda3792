"""What may be seen of a value: a bounded, JSON-ready copy with the values of secret keys masked."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

MASK = "***"
_DEPTH = 8
_WIDTH = 100
_ITEMS = 5000  # in all: a list that holds itself a hundred times has 100 ** 8
_LENGTH = 8192
_INT_BITS = 63

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET = re.compile(
    r"(?:^|_)(?:"
    r"pass(?:word|wd|phrase|code)?|pwd|pin|secret|token|jwt|credentials?|cookies?"
    r"|auth|authorization|session|session_?id|sid|csrf|xsrf|signature|otp|totp"
    r"|(?:api|private|access|secret|encryption|signing|hmac|master)_?key"
    r"|card_?(?:number|no)|cvv|cvc|iban|ssn|dsn"
    r")$"
)


@functools.lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """
    Tell whether a key names a secret, by its last words.

    `accessToken`, `X-Api-Key` and `user_password` do; `token_bucket_size` and
    `session_count` don't.
    """
    words = "_".join(_WORDS.findall(key[:256])).lower()
    return _SECRET.search(words) is not None


def clean(value: object) -> Any:  # noqa: ANN401
    """
    Return a copy of *value* that JSON can hold, bounded and with secrets masked.

    It never raises and never changes *value*.
    """
    return _clean(value, _DEPTH, [_ITEMS])


def _clean(value: object, depth: int, left: list[int]) -> Any:  # noqa: ANN401
    kind = type(value)
    if kind is str:
        return value if len(value) <= _LENGTH else _cut(value)  # type: ignore[arg-type]
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if value.bit_length() <= _INT_BITS else _text(value)  # type: ignore[attr-defined]
    try:
        return _clean_container(value, depth, left)
    except Exception:  # noqa: BLE001 - a hostile object must not cost the log line
        return f"<{kind.__name__}>"


def clean_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return named values as `clean` would, those under secret names masked."""
    left = [_ITEMS]
    return {
        (name := _name(key)): MASK
        if is_secret(name) and value is not None
        else _clean(value, _DEPTH, left)
        for key, value in fields.items()
    }


def _name(key: object) -> str:
    return key if type(key) is str else _text(key)


def _clean_container(value: object, depth: int, left: list[int]) -> Any:  # noqa: ANN401
    if depth <= 0 or left[0] <= 0:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return _clean_mapping(value, depth, left)
    if isinstance(value, (list, tuple, set, frozenset)):
        left[0] -= min(len(value), _WIDTH)
        items = [_clean(item, depth - 1, left) for item in islice(value, _WIDTH)]
        if len(value) > _WIDTH:
            items.append(f"<{len(value) - _WIDTH} more>")
        return items
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return _clean_mapping(named, depth, left)
    if isinstance(value, (enum.Enum, int)):  # a subclass of int is a number all the same
        plain = value.value if isinstance(value, enum.Enum) else int(value)
        return _clean(plain, depth - 1, left)
    return _cut(_text(value))


def _clean_mapping(value: Mapping[Any, Any], depth: int, left: list[int]) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    left[0] -= min(len(value), _WIDTH)
    for key, item in islice(value.items(), _WIDTH):
        name = _name(key)
        secret = is_secret(name) and item is not None
        copy[name] = MASK if secret else _clean(item, depth - 1, left)
    if len(value) > _WIDTH:
        copy["…"] = f"<{len(value) - _WIDTH} more>"
    return copy


def _text(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[:_LENGTH]).decode("utf-8", "backslashreplace")
    if isinstance(value, int) and value.bit_length() > _INT_BITS:
        return hex(value) if value.bit_length() <= _LENGTH else "<huge int>"
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}<{len(text) - _LENGTH} more>"
