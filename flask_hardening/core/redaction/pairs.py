"""Names and values in running text: `password=x`, `"token": "y"`, `--secret z`, `<pin>1</pin>`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask_hardening.core.redaction.enclosed import OPENING, QUOTES, closing, end_of_quoted
from flask_hardening.core.redaction.forms import (
    FORMS,
    ONLY_PLACEHOLDERS,
    OPERATOR,
    ROW,
    ROW_SIGNS,
)
from flask_hardening.core.redaction.keys import Standing
from flask_hardening.core.redaction.verdicts import hides, is_label, says_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Span = tuple[int, int]
    Judge = Callable[[str], Standing]

_LONGEST_NAME = 80
_NAME_WORDS = 4
_NOT_NAME = re.compile(r"[^\w.%$\[\]+ -]")
# between two digits a colon is that of a time, unless the first ends a name: `password1:2b`
_NUMBERED = re.compile(r"[^\W\d]\d{1,3}:")
_OPERATORS = "=>"
_COMPARES = "=!<>~"
_GAP = re.compile(r">?[ \t]*(?:\r?\n[ \t]+(?=[\"'{\[]))?(?:[bBuUrRfFnN]{1,2}(?=[\"']))?")
_QUOTE = re.compile(r"(\\*)([\"'`])")
_THREEQUOTES = re.compile(r"(\"\"\"|\'\'\')((?:(?!\1)[^\0])*+)")
_PHONE = re.compile(r"[\d ()+./-]*")
_CALL = re.compile(r"[A-Za-z_][\w.]*(?=[(])")
_LONGEST_CALL = 256
_DOTTED = re.compile(r"[a-z_]+(?:\.[a-z_]+|\.[A-Z_]+)+")
# a comma or bracket belongs to a value when another name doesn't follow
_WORD = re.compile(
    r"(?:[^\s&\"'<>,;)\]}\0]|[,;)\]}](?![\s,;)\]}\"'\0]|$|[\w.-]+\s?[=:]))*+"
)
_PLACEHOLDER = re.compile(
    r"%\([A-Za-z_]+\)s|\$\d+\b|\$\{?\{? ?[A-Za-z_.]+ ?\}?\}?(?![\w$])|<[A-Za-z_]+>|</"
)
_BLOCK = re.compile(r"[|>][+-]?\d?[ \t]*\n((?:[ \t]+[^\n\0]*(?:\n|$|(?=\0)))+)")  # YAML's
_COUNT = re.compile(r"\d{1,2} [^\W\d_]")
_GOES_ON = re.compile(r"[^\W\d_]+,? [^\W_]")
_SENTENCES = re.compile(r"\[([\"'])[A-Z][^\"']*(?: [^\"']+){2}[.!]\1\]")
_REST_OF_LINE = {
    "": re.compile(r"[^\r\n\0]*"),
    "'": re.compile(r"[^\r\n'\0]*"),
    '"': re.compile(r"[^\r\n\"\0]*"),
}
_WHOLE_LINES = ("authorization", "cookie")
_CODE = 8  # characters that an authorization code has at least


def may_hold_pairs(text: str) -> bool:
    """Tell whether it is worth looking."""
    return (
        ":" in text
        or "=" in text
        or "," in text
        or "--" in text
        or "</" in text
        or "'" in text
    )


def find_pairs(text: str, judge: Judge) -> Iterator[Span]:
    """
    Yield start and end of each value that its name gives away.

    Args:
        text: Any text: a message, a query, broken JSON, a traceback.
        judge: Tells what a name says of its value.
    """
    if "=" in text or ":" in text:
        yield from _separated(text, judge)
    for sign, form in FORMS:
        if sign in text:
            for found in form.finditer(text):
                place = found.lastindex or 0
                name, value = found[1], found[place]
                if hides(judge(name), value) and not _is_no_value(name, value):
                    yield found.span(place)
    if "'" in text:
        yield from _in_sql(text, judge)
    if any(map(text.__contains__, ROW_SIGNS)):
        yield from _rows(text, judge)


def _in_sql(text: str, judge: Judge) -> Iterator[Span]:
    """Yield values in `password LIKE 'x y'`, `token IN ('x', 'y')`, and `the password 'x'`."""
    at = text.find("'")
    while at >= 0:
        left = text[max(0, at - _LONGEST_NAME) : at]
        bare = left.rstrip("(Nn") if left[-1:] in "(Nn" else left
        span = None
        if bare[-1:].isspace() or bare[-1:] in _OPERATORS:
            span = _compared(text, at, bare.rstrip(), judge)
        if span is not None:
            yield span
        at = text.find("'", span[1] if span else at + 1)


def _compared(text: str, at: int, left: str, judge: Judge) -> Span | None:
    operator = OPERATOR.search(left)
    before = left[: operator.start()] if operator else left
    name = _NOT_NAME.split(before.rstrip(' "'))[-1].rpartition(" ")[2]
    standing = judge(name) if name else Standing.OPEN
    if standing is Standing.OPEN:
        return None
    if operator and operator[0].strip().upper().endswith("IN"):
        return at, closing(text, at - 1)
    end = end_of_quoted(text, at + 1, 0, "'")
    value = text[at + 1 : end]
    ended = text[end : end + 1] == "'"
    prose = not operator and (not ended or any(map(str.isspace, value)))
    hidden = hides(standing, value) and not _is_no_value(name, value)
    return (at + 1, end) if hidden and not prose else None


def _rows(text: str, judge: Judge) -> Iterator[Span]:
    done = 0
    for found in ROW.finditer(text):
        if found.end() < done:
            continue
        columns = found[1]
        named = columns is not None
        if not named or any(judge(c) is not Standing.OPEN for c in columns.split(",")):
            done = closing(text, found.end())
            if not ONLY_PLACEHOLDERS.fullmatch(text, found.end(), done):
                yield found.end(), done


def _separated(text: str, judge: Judge) -> Iterator[Span]:
    done = 0
    for at in _positions(text):
        name = _name_before(text, at) if at >= done else ""
        if not name:
            continue
        standing = judge(name)
        if name == "code" and "state=" in text:  # OAuth's answer (RFC 6749, 4.1.2)
            word = _WORD.match(text, at + 1)
            standing = Standing.WEAK if word and len(word[0]) >= _CODE else standing
        elif name.endswith("input_value"):  # pydantic's: what was wrong may be a password
            standing = Standing.SECRET
        if standing is Standing.OPEN:
            continue
        span = _value_behind(text, at, name, standing)
        if span is not None and hides(standing, text[slice(*span)]):
            yield span
            done = span[1]


def _positions(text: str) -> list[int]:
    """Return where separators are; looking for one character is faster than for two."""
    found: list[int] = []
    at = text.find(":")
    while at >= 0:
        if _separates(text, at):
            found.append(at)
        at = text.find(":", at + 1)
    at = text.find("=")
    while at >= 0:
        if text[at + 1 : at + 2] != "=" and text[at - 1 : at] not in _COMPARES:
            found.append(at)
        at = text.find("=", at + 1)
    found.sort()
    return found


def _separates(text: str, at: int) -> bool:
    """Tell a name's colon from that of a time, a URL, or a name in C++."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if ":" in (before, after) or text.startswith("//", at + 1):
        return False
    if before.isdecimal() and after.isdecimal():
        return _NUMBERED.search(text, max(0, at - 4), at + 1) is not None
    return True


def _name_before(text: str, at: int) -> str:
    """Return the name that ends before a separator: its last few words."""
    left = text[max(0, at - _LONGEST_NAME) : at].rstrip(" \t")
    bare = left.rstrip("\"'`\\)]}")
    name = _NOT_NAME.split(bare)[-1]
    if " " not in name:
        return name
    return " ".join(name.split()[-_NAME_WORDS:])


def _value_behind(text: str, at: int, name: str, standing: Standing) -> Span | None:
    """Return start and end of a value, or None where there is none."""
    start = _end(_GAP, text, at + 1)
    if standing is Standing.PHONE:
        start = _end(_QUOTE, text, start)
        return start, _end(_PHONE, text, start)
    if _PLACEHOLDER.match(text, start):
        return None
    enclosed = _enclosed(text, start)
    if enclosed is not None:
        sentences = text[enclosed[0] : enclosed[0] + 1] == "[" and _SENTENCES.fullmatch(
            text, *enclosed
        )
        return None if sentences else enclosed
    if name.lower().endswith(_WHOLE_LINES) and text[at] == ":":
        before = text[: text.rfind(name, 0, at)][-1:]
        return start, _end(_REST_OF_LINE.get(before, _REST_OF_LINE[""]), text, start)
    return _unquoted(text, at, start, name, standing)


def _enclosed(text: str, start: int) -> Span | None:
    """Return start and end of a value in quotes, brackets, or a block of its own."""
    for form, group in ((_THREEQUOTES, 2), (_BLOCK, 1)):
        found = form.match(text, start)
        if found:
            return found.span(group)
    quote = _QUOTE.match(text, start)
    if quote:
        inside = quote.end()
        return inside, end_of_quoted(text, inside, len(quote[1]), quote[2])
    if text[start : start + 1] in OPENING:
        return start, closing(text, start)
    return None


def _unquoted(text: str, at: int, start: int, name: str, standing: Standing) -> Span | None:
    """
    Return start and end of a value that ends where a word ends.

    It may be a word of a sentence, an expression in a program, or part of a longer name.
    """
    spaced = start > at + 1
    call = _CALL.match(text, start)
    if call:
        end = closing(text, call.end(), call.end() + _LONGEST_CALL)
        whole = text[end - 1 : end] == ")"
        in_code = spaced and text[at] == "=" and not set(text[start:end]) & set(QUOTES)
        return None if in_code and whole else (start, end)
    end = _end(_WORD, text, start)
    value = text[start:end]
    if _is_no_value(name, value) or (spaced and _COUNT.match(text, start)):
        return None
    if spaced and text[at] == "=" and _DOTTED.fullmatch(value):
        return None
    if standing is Standing.SECRET or text[at] == "=":
        return start, end
    # `auth: ldap is disabled`, and `session:start` or `com.auth0:java-jwt`
    innocent = _GOES_ON.match(text, start) if spaced else is_label(value)
    return None if innocent else (start, end)


def _is_no_value(name: str, value: str) -> bool:
    """Tell a word from a secret: `expired`, or a name again, as `--token TOKEN` has it."""
    bare = value.strip(" .!?,;()[]{}<>\"'").lower()
    return not bare or says_nothing(value) or name.lower().endswith(bare)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
