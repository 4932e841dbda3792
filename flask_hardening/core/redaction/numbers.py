"""Numbers that say by themselves what they are: cards, bank accounts, social security, telephones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# issuers' first digits and the lengths of their numbers (ISO/IEC 7812-1)
_ISSUERS = (
    (re.compile(r"4"), (16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|220[0-4]"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|3[689]"), (14, 16)),
    (re.compile(r"6011|64[4-9]|65|60|508"), (16, 19)),
    (re.compile(r"35(?:2[89]|[3-8])|9792"), (16,)),
    (re.compile(r"62"), (16, 17, 18, 19)),
    (re.compile(r"5018|5020|5038|5893|6304|6759|676[1-3]"), (16, 18, 19)),
)
SHORTEST_CARD, _LONGEST_CARD = 14, 19
# in one piece, or in groups as cards have them printed, with one sign between them
_CARD_FORM = re.compile(
    r"\d+|\d{4}([ +-])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ +-])\d{6}\2\d{4,5}"
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_SSN = re.compile(r"(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}")
_NORTH_AMERICAN = re.compile(
    r"(?:1[ -])?\([2-9]\d\d\) ?[2-9]\d\d[ -]\d{4}|(?:1-)?[2-9]\d\d-[2-9]\d\d-\d{4}"
    r"|[2-9]\d\d\.[2-9]\d\d\.\d{4}"
)
_SSN_DIGITS, _NA_DIGITS = 9, (10, 11)

# digits as 0 and what groups them as a blank, so that a run of both is found by its first
# byte; numbers that are cut by anything else are none
_SHAPES = bytes(
    0x30 if chr(c).isdecimal() else 0x20 if chr(c) in " ()+-." else 0x78 for c in range(128)
) + bytes([0x78] * 128)
_RUN = re.compile(rb"0[0 ]{6,}0")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_NINE = 9
# countries 1 and 7 have one length, others at least nine digits with their own
_E164 = re.compile(
    r"\+(?<![\w)]\+)\(?(1[ (.-]{0,2}[2-9]\d\d[) .-]{0,2}\d{3}[ .-]?\d{4}"
    r"|7[ (-]{0,2}\d{3}[) -]{0,2}\d{3}[ -]?\d{2}[ -]?\d{2}"
    r"|[2-689]\d(?:[ ().-]{0,2}\d){7,13})(?![0-9])"
)
_BETWEEN = re.compile(r"[ +-]")
_GROUP = re.compile(r"[0-9]+")
_MOST_GROUPS = 6
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ +-]?[A-Z0-9]){11,40}+")
# the registry of ISO 13616: how long a country's account numbers are
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FO FI GL NL FK",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK MN",
        21: "HR LV LI CH",
        22: "BH BG CR DE GE GB IE ME RS VA",
        23: "IL GI IQ AE TL SO",
        24: "AD CZ MD PK RO SA ES SE SK TN VG",
        25: "PT ST LY",
        26: "IS TR",
        27: "BI FR GR IT MC MR SM DJ",
        28: "AL AZ BY CY DO GT HU LB PL SV NI",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}

Number = tuple[str, int, int]


def numbers(text: str) -> Iterator[Number]:
    """Yield kind, start and end of each number in *text* that is a person's."""
    # a byte for each character: what has no ASCII form is no digit either
    shape = text.encode("ascii", "replace").translate(_SHAPES)
    for run in _RUN.finditer(shape):
        if run[0].count(b"0") >= _NINE:
            yield from _in_run(text, *run.span())


def _in_run(text: str, start: int, end: int) -> Iterator[Number]:
    """Look at each few neighbouring groups of digits: numbers may stand side by side."""
    groups = [found.span() for found in _GROUP.finditer(text, start, end)]
    if text[end : end + 1].isalnum():
        groups.pop()
    before = text[start - 1 : start]
    first = 1 if before.isalnum() or before == "_" else 0
    if _DATE.match(text, start):
        first = 3
    while first < len(groups):
        begin = groups[first][0]
        if text[begin - 1 : begin] == "." and text[begin - 2 : begin - 1].isdigit():
            first += 1  # decimals
            continue
        kind, last = _longest(text, groups, first, begin)
        if not kind and text[begin - 1 : begin] == "(":
            begin -= 1
            kind, last = _longest(text, groups, first, begin)
        if kind:
            yield kind, begin, groups[last][1]
        first = last + 1


def _longest(
    text: str, groups: list[tuple[int, int]], first: int, begin: int
) -> tuple[str | None, int]:
    """Return the kind of the longest number that begins with a group, and its last group."""
    found: str | None = None
    at = first
    count = 0
    for last in range(first, min(len(groups), first + _MOST_GROUPS)):
        start, stop = groups[last]
        count += stop - start
        if count > _LONGEST_CARD:
            break
        kind = _kind_of(text[begin:stop], count) if count >= _NINE else None
        if kind:
            found, at = kind, last
    return found, at


def _kind_of(piece: str, count: int) -> str | None:
    if count >= SHORTEST_CARD:
        card = _CARD_FORM.fullmatch(piece) and is_card("".join(_GROUP.findall(piece)))
        return "card" if card else None
    if count == _SSN_DIGITS:
        return "ssn" if _SSN.fullmatch(piece) else None
    return "phone" if count in _NA_DIGITS and _NORTH_AMERICAN.fullmatch(piece) else None


def phones(text: str) -> Iterator[Number]:
    """Yield the telephone numbers with a `+` in *text* (ITU-T E.164)."""
    for found in _E164.finditer(text):
        yield "phone", *found.span()


def is_card(digits: str) -> bool:
    """Tell whether digits are a payment card's: issuer, length and Luhn's check."""
    size = len(digits)
    if not SHORTEST_CARD <= size <= _LONGEST_CARD:
        return False
    known = any(size in sizes and first.match(digits) for first, sizes in _ISSUERS)
    return known and _luhn(digits)


def _luhn(digits: str) -> bool:
    odd = sum(map(int, digits[-1::-2]))
    even = sum(map(_DOUBLED.__getitem__, map(int, digits[-2::-2])))
    return (odd + even) % 10 == 0


def ibans(text: str) -> Iterator[Number]:
    """Yield the account numbers in *text* (ISO 13616) whose check digits are right."""
    found = _IBAN.search(text)
    while found:
        start = found.start()
        length = _iban_length(found[0])
        if length:
            yield "iban", start, start + length
        found = _IBAN.search(text, start + (length or 1))


def _iban_length(run: str) -> int:
    """Return how much of *run*, from its beginning, is an account number; 0 for none."""
    length = _IBAN_LENGTHS.get(run[:2], 0)
    plain = _BETWEEN.sub("", run)[:length]
    if not length or len(plain) < length:
        return 0
    moved = plain[4:] + plain[:4]
    right = int("".join(str(int(c, 36)) for c in moved)) % 97 == 1
    return _position(run, length) if right else 0


def _position(run: str, count: int) -> int:
    for index, character in enumerate(run):
        count -= character not in " +-"
        if count == 0:
            return index + 1
    return len(run)
