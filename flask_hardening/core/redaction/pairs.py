"""Names and values in running text: `password=x`, `"token": "y"`, `--secret z`, `<pin>1</pin>`."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from flask_hardening.core.redaction.keys import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Span = tuple[int, int]
    Judge = Callable[[str], Standing]

_LONGEST_NAME = 80
_NAME_WORDS = 4
_QUOTES = "\"'`"
_NOT_NAME = re.compile(r"[^\w.%$\[\] -]")
# not that of a time, a URL, or a name in C++
_COLON = re.compile(r":(?!:|//)(?<!::)(?:(?![0-9])|(?<![0-9]:))")
_GAP = re.compile(r"[=>~]?[ \t]*(?:[bBuUrRfF]{1,2}(?=[\"']))?")
_QUOTE = re.compile(r"(\\*)([\"'`])")
_OPENING = {"{": "}", "[": "]", "(": ")", "<": ">"}
_PHONE = re.compile(r"[\d ()+./-]*")
_CALL = re.compile(r"[A-Za-z_][\w.]*(?=[(])")
# a comma or bracket belongs to a value when another name doesn't follow
_WORD = re.compile(
    r"(?:[^\s&\"'<>,;)\]}\0]|[,;)\]}](?![\s,;)\]}\"'\0]|$|[\w.-]+\s?[=:]))*+"
)
_REST_OF_LINE = re.compile(r"[^\r\n\"'\0]*")
_WHOLE_LINES = ("authorization", "cookie", "cookies")
_SAYS_NOTHING = frozenset(
    "none null nil true false yes no on off ok valid invalid missing required expired"
    " revoked empty unset set unknown failed failure success succeeded accepted rejected"
    " denied closed close open opened created started ended deleted rotated refreshed"
    " issued verified mismatch not is was has are were the a an must should cannot may for"
    " from of in to and or changed updated undefined optional hidden redacted masked"
    " filtered basic bearer digest negotiate length too at this that it please enter your"
    " if as by with when str string int bool optional[str] field reset ignored disabled"
    " enabled present absent default str|none <redacted> [filtered] [redacted]".split()
)
# a sign without which the form isn't there, the form, and the group of its name; the value
# is in its last group
_FORMS = (
    (
        "--",
        re.compile(
            r"--([A-Za-z][\w-]{0,80})(?:[\"'],[ ]*[\"']|[ \t]+(?!-))"
            r"(?:\"([^\"\0]*)|'([^'\0]*)|([^\s\"'\0]+))"
        ),
        1,
    ),
    (
        "',",
        re.compile(r"[(\[]b?'([^'\0\n]{1,80})', ?b?[\"']((?:\\.|[^\"'\\\0])*+)"),
        1,
    ),
    (
        '",',
        re.compile(
            r"[(\[]\"([^\"\0\n]{1,80})\", ?[\"']((?:\\.|[^\"\\\0])*+)(?=\"[)\]]|$|\0)"
        ),
        1,
    ),
    ("</", re.compile(r"<(?:[\w.-]+:)?([\w.-]{1,80})(?:\s[^<>\0]*)?>([^<\0]+)"), 1),
)
_ROWS = ("[parameters: ", "Failing row contains ")
_ROW = re.compile(r"\[parameters: (?=[(\[])|Failing row contains (?=\()")


def may_hold_pairs(text: str) -> bool:
    """Tell whether it is worth looking."""
    return ":" in text or "=" in text or "," in text or "--" in text or "</" in text


def find_pairs(text: str, judge: Judge) -> Iterator[Span]:
    """
    Yield start and end of each value that its name gives away.

    Args:
        text: Any text: a message, a query, broken JSON, a traceback.
        judge: Tells what a name says of its value.
    """
    if "=" in text or ":" in text:
        yield from _separated(text, judge)
    for sign, form, name in _FORMS:
        if sign in text:
            for found in form.finditer(text):
                value = found.lastindex or 0
                if hides(judge(found[name]), found[value]):
                    yield found.span(value)
    if _ROWS[0] in text or _ROWS[1] in text:
        # what a statement was given, without names
        for found in _ROW.finditer(text):
            yield found.end(), _closing(text, found.end())


def _separated(text: str, judge: Judge) -> Iterator[Span]:
    done = 0
    for at in _positions(text):
        name = _name_before(text, at) if at >= done else ""
        if not name:
            continue
        standing = judge(name)
        if name == "code" and "state=" in text:  # OAuth's answer (RFC 6749, 4.1.2)
            standing = Standing.SECRET
        if standing is Standing.OPEN:
            continue
        start, end, quoted = _value_behind(text, at + 1, name, standing)
        value = text[start:end]
        if hides(standing, value) and (quoted or not _says_nothing(value)):
            yield start, end
            done = end


def _positions(text: str) -> list[int]:
    """Return where separators are; looking for one character is faster than for two."""
    found = [colon.start() for colon in _COLON.finditer(text)] if ":" in text else []
    at = text.find("=")
    while at >= 0:
        found.append(at)
        at = text.find("=", at + 1)
    found.sort()
    return found


def _name_before(text: str, at: int) -> str:
    """Return the name that ends before a separator: its last few words."""
    left = text[max(0, at - _LONGEST_NAME) : at].rstrip(" \t")
    bare = left.rstrip("\"'`\\)]}>")
    name = _NOT_NAME.split(bare)[-1]
    if " " not in name:
        return name
    return " ".join(name.split()[-_NAME_WORDS:])


def _value_behind(
    text: str, at: int, name: str, standing: Standing
) -> tuple[int, int, bool]:
    """Return start and end of a value, and whether it stands in quotes or brackets."""
    start = _end(_GAP, text, at)
    if standing is Standing.PHONE:
        start = _end(_QUOTE, text, start)
        return start, _end(_PHONE, text, start), True
    quote = _QUOTE.match(text, start)
    if quote:
        inside = quote.end()
        return inside, _end_of_quoted(text, inside, len(quote[1]), quote[2]), True
    if text[start : start + 1] in _OPENING:
        return start, _closing(text, start), True
    if name.lower().endswith(_WHOLE_LINES):
        return start, _end(_REST_OF_LINE, text, start), False
    call = _CALL.match(text, start)
    if call:
        return start, _closing(text, call.end()), True
    return start, _end(_WORD, text, start), False


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


def _closing(text: str, start: int) -> int:
    """Return the end of a bracketed value, quotes and nesting considered."""
    awaited: list[str] = []
    position = start
    while position < len(text):
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
    return min(position, len(text))


def hides(standing: Standing, value: str) -> bool:
    """Tell whether a text under such a name is to be masked."""
    if standing is Standing.OPEN or not value or (value[0] == "*" and not value.strip("*")):
        return False
    if standing is Standing.SECRET:
        return True
    if standing is Standing.COUNTED:
        return not _is_number(value)
    return sum(map(str.isdigit, value)) >= _PHONE_DIGITS


def _says_nothing(value: str) -> bool:
    return value.strip(" .!?,;").lower() in _SAYS_NOTHING


_PHONE_DIGITS = 5


def _is_number(value: str) -> bool:
    return len(value) < 10 and value.replace(".", "", 1).isdecimal()  # noqa: PLR2004
