"""Whether a text under a name that stands for secrets is one: most are, some say by their form that they aren't."""

from __future__ import annotations

import re

from flask_hardening.core.redaction.keys import Standing

# what a form, a query or a program has in a secret's place
# (no digits: words that people have thought of have none)
_PLACEHOLDER = re.compile(
    r"\?|\$\d+|:[a-z_]+|%\([A-Za-z_]+\)s|%s|\$\{?\{? ?[A-Za-z_.]+ ?\}?\}?|\{[A-Za-z_]*\}"
    r"|<[A-Za-z_]+>|\[[A-Za-z_]+\]|\*+|\.+|-+"
)
_SENTENCE = re.compile(
    r"[A-Z][a-z']*(?: (?:[A-Za-z]?[a-z'\"()/-]+|\d{1,4}|[A-Z]{2,5}),?){2,}[.!]"
)
_SIGNS = frozenset("?$:%{<[*.-/")
_LONGEST_WORD = 24
_PATH = re.compile(r"(?:/[a-z_.-]+){2,}/?|/[a-z]+")
_VERSION = re.compile(r"[v^~<>= ]*\d+(?:\.\d+){1,3}(?:[-+.][\w.]+)?")
_NUMBER = re.compile(r"[\d.,:%/]{1,10}[smhd%]?|(?:\d+[dhms]){1,4}")
_LETTERS = re.compile(r"[^\W\d_]{1,20}")
_PHONE = re.compile(r"[+(]?\d[\d ()./+-]*(?:(?:x|ext\.?) ?\d+)?")
# `start`, `java-jwt:4.4.0`, `1.4.2`, `2024-05-01`: words and small numbers, kept apart
_LABEL = re.compile(r"(?:[A-Za-z_]+|\d{1,4})(?:[:/.+-]+(?:[A-Za-z_]+|\d{1,4}))*[:/.,;-]*")
_SHORTEST_PHONE = 7
_NO_SECRET = 2  # digits
_WORDS = frozenset(
    "none null nil true false yes no on off ok valid invalid missing required expired"
    " revoked empty unset set unknown failed failure success succeeded accepted rejected"
    " denied closed close open opened created started ended deleted rotated refreshed"
    " issued verified mismatch not is was has are were the a an must should cannot may for"
    " from of in to and or changed updated undefined optional hidden redacted masked"
    " filtered basic bearer digest negotiate length too at this that it please enter your"
    " if as by with when str string int bool object field reset ignored disabled enabled"
    " present absent default http oauth2 jwt read write admin include omit same-origin"
    " session signature secret header option options attempt attempts found left incorrect"
    " wrong declined expires visa mastercard amex ending high low number text"
    " mindestens falsch ungültig incorrecta incorrecto invalide incorrecte минимум неверный"
    " 至少 错误 optional[str] str|none <redacted> [filtered] [redacted]".split()
)


def hides(standing: Standing, value: str) -> bool:
    """
    Tell whether a text under a name of such a standing is to be masked.

    Args:
        standing: What the name says.
        value: The text as a whole, without quotes.
    """
    if standing is Standing.OPEN or not value:
        return False
    if standing is Standing.PHONE:
        digits = sum(map(str.isdigit, value))
        return digits >= _SHORTEST_PHONE and _PHONE.fullmatch(value) is not None
    if (value[0] in _SIGNS or value[-1] in ".!") and _has_form(value):
        return False
    if standing is Standing.SECRET or len(value) > _LONGEST_WORD:
        return True
    return _is_weak_secret(standing, value)


def _has_form(value: str) -> bool:
    forms = _PLACEHOLDER, _PATH, _SENTENCE
    return any(form.fullmatch(value) for form in forms)


def _is_weak_secret(standing: Standing, value: str) -> bool:
    if says_nothing(value) or _VERSION.fullmatch(value):
        return False
    if value.isdecimal() and len(value) <= _NO_SECRET:
        return False
    counted = standing is Standing.COUNTED
    return not (counted and (_NUMBER.fullmatch(value) or _LETTERS.fullmatch(value)))


def says_nothing(value: str) -> bool:
    """Tell whether a text is a word that stands where a secret might: `expired`, `str`."""
    return value.strip(" .!?,;()'\"").lower() in _WORDS


def is_label(value: str) -> bool:
    """Tell whether a text is a word, a version, a date, or several of them in one."""
    return _LABEL.fullmatch(value) is not None
