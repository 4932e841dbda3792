"""Names and values in running text: `password=x`, `"token": "y"`, `--secret z`, `<pin>1</pin>`."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from flask_hardening.core.redaction.forms import FORMS, ONLY_PLACEHOLDERS, ROW, ROW_SIGNS
from flask_hardening.core.redaction.keys import Standing
from flask_hardening.core.redaction.verdicts import hides, is_label, says_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Span = tuple[int, int]
    Judge = Callable[[str], Standing]

_LONGEST_NAME = 80
_NAME_WORDS = 4
_QUOTES = "\"'`"
_NOT_NAME = re.compile(r"[^\w.%$\[\]+ -]")
# not that of a time, a URL, or a name in C++
_COLON = re.compile(r":(?!:|//)(?<!::)(?:(?![0-9])|(?<![0-9]:))")
# the same between two digits, where the first ends a name: `password1:2b`
_COLON_BEHIND_NUMBER = re.compile(r"[^\W\d]\d{1,3}:(?=\d)")
_COMPARES = "=!<>~"
_GAP = re.compile(r">?[ \t]*(?:\r?\n[ \t]+(?=[\"'{\[]))?(?:[bBuUrRfFnN]{1,2}(?=[\"']))?")
_QUOTE = re.compile(r"(\\*)([\"'`])")
_THREE_QUOTES = re.compile(r"(\"\"\"|\'\'\')((?:(?!\1)[^\0])*+)")
_OPENING = {"{": "}", "[": "]", "(": ")", "<": ">"}
_PHONE = re.compile(r"[\d ()+./-]*")
_CALL = re.compile(r"[A-Za-z_][\w.]*(?=[(])")
_LONGEST_CALL = 256
_DOTTED = re.compile(r"[a-z_]\w*(?:\.[a-z_]\w*)+")
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
    if any(map(text.__contains__, ROW_SIGNS)):
        yield from _rows(text, judge)


def _rows(text: str, judge: Judge) -> Iterator[Span]:
    done = 0
    for found in ROW.finditer(text):
        if found.end() < done:
            continue
        columns = found[1]
        named = columns is not None
        if not named or any(judge(c) is not Standing.OPEN for c in columns.split(",")):
            done = _closing(text, found.end())
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
    if ":" in text:
        found += [colon.start() for colon in _COLON.finditer(text)]
        found += [colon.end() - 1 for colon in _COLON_BEHIND_NUMBER.finditer(text)]
    at = text.find("=")
    while at >= 0:
        if text[at + 1 : at + 2] != "=" and text[at - 1 : at] not in _COMPARES:
            found.append(at)
        at = text.find("=", at + 1)
    found.sort()
    return found


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
    for form, group in ((_THREE_QUOTES, 2), (_BLOCK, 1)):
        found = form.match(text, start)
        if found:
            return found.span(group)
    quote = _QUOTE.match(text, start)
    if quote:
        inside = quote.end()
        return inside, _end_of_quoted(text, inside, len(quote[1]), quote[2])
    if text[start : start + 1] in _OPENING:
        return start, _closing(text, start)
    return None


def _unquoted(text: str, at: int, start: int, name: str, standing: Standing) -> Span | None:
    """
    Return start and end of a value that ends where a word ends.

    It may be a word of a sentence, an expression in a program, or part of a longer name.
    """
    spaced = start > at + 1
    call = _CALL.match(text, start)
    if call:
        end = _closing(text, call.end(), call.end() + _LONGEST_CALL)
        whole = text[end - 1 : end] == ")"
        in_code = spaced and text[at] == "=" and not set(text[start:end]) & set(_QUOTES)
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


def _end_of_quoted(text: str, start: int, depth: int, quote: str) -> int:
    """
    Return where a quoted value ends; one that is cut off ends with its text.

    In JSON inside of JSON the quotes stand behind backslashes, and those inside of a value
    behind more of them.
    """
    inside = _INSIDE[quote] if depth == 0 else _inside_escaped(min(depth, _DEEPEST), quote)
    found = inside.match(text, start)
    return found.end() if found else start


_DEEPEST = 15
_INSIDE = {q: re.compile(rf"(?:[^{q}\\\0]++|\\[^\0])*+\\?") for q in _QUOTES}


@functools.cache
def _inside_escaped(depth: int, quote: str) -> re.Pattern[str]:
    end = rf"(?<!\\)\\{{0,{depth}}}{quote}"
    return re.compile(rf"(?:(?!{end})[^\0])*+")


def _closing(text: str, start: int, most: int | None = None) -> int:
    """Return the end of a bracketed value, quotes and nesting considered."""
    awaited: list[str] = []
    position = start
    last = len(text) if most is None else min(len(text), most)
    while position < last:
        if not awaited and position > start:
            break
        character = text[position]
        if character == "\0":
            break
        if character in _OPENING:
            awaited.append(_OPENING[character])
        elif awaited and character == awaited[-1]:
            awaited.pop()
            if not awaited:
                return position + 1
        elif character in "\"'":
            position = _end_of_quoted(text, position + 1, 0, character)
        position += 1
    return min(position, last)
