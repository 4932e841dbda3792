"""Where a value in quotes or brackets ends, in text of any language."""

from __future__ import annotations

import functools
import re

OPENING = {"{": "}", "[": "]", "(": ")", "<": ">"}
QUOTES = "\"'`"
_DEEPEST = 15
# a quote written twice is one of the value's in SQL and CSV; one behind any number of
# backslashes may be one, too: an even number is what `repr` makes of JSON's single one
_INSIDE = {
    q: re.compile(rf"(?:[^{q}\\\0]++(?:{q}{q})*+|\\++(?:{in_sql}[^\0]))*+\\?")
    for q, in_sql in (('"', ""), ("'", "''|"), ("`", ""))
}


def end_of_quoted(text: str, start: int, depth: int, quote: str) -> int:
    """
    Return where a quoted value ends; one that is cut off ends with its text.

    In JSON inside of JSON the quotes stand behind backslashes, and those inside of a value
    behind more of them.
    """
    inside = _INSIDE[quote] if depth == 0 else _inside_escaped(min(depth, _DEEPEST), quote)
    found = inside.match(text, start)
    return found.end() if found else start


@functools.cache
def _inside_escaped(depth: int, quote: str) -> re.Pattern[str]:
    end = rf"(?<!\\)\\{{0,{depth}}}{quote}"
    return re.compile(rf"(?:(?!{end})[^\0])*+")


def closing(text: str, start: int, most: int | None = None) -> int:
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
        if character in OPENING:
            awaited.append(OPENING[character])
        elif awaited and character == awaited[-1]:
            awaited.pop()
            if not awaited:
                return position + 1
        elif character in "\"'":
            position = end_of_quoted(text, position + 1, 0, character)
        position += 1
    return min(position, last)
