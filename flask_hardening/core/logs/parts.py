"""Records too long for one write to a pipe: taken apart, and put together again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMON = (
    "timestamp",
    "level",
    "event",
    "logger",
    "service",
    "correlation_id",
    "request_id",
    "task_id",
)
_KEYS = ["record", "part", "parts", "data"]
_TEXT = 128  # characters that a common field takes at most
_MOST = 999_999
_ID = 16
_OPEN_RECORDS = 1000
_OPEN_BYTES = 64 * 1024 * 1024


def split(line: bytes, limit: int) -> list[bytes]:
    """
    Return a line as pieces of at most *limit* bytes that are lines themselves.

    Args:
        line: A record as JSON, or in the console form.
        limit: At least 1024.
    """
    return _split_json(line, limit) if line.startswith(b"{") else _split_text(line, limit)


def _split_json(line: bytes, limit: int) -> list[bytes]:
    text = line.rstrip(b"\n")
    envelope = _envelope(text)
    frame = {**envelope, "part": _MOST, "parts": _MOST, "data": ""}
    room = limit - len(orjson.dumps(frame)) - 1
    pieces = list(_pieces(text, room))
    option = orjson.OPT_APPEND_NEWLINE
    return [
        orjson.dumps(
            {**envelope, "part": n, "parts": len(pieces), "data": piece.decode()},
            option=option,
        )
        for n, piece in enumerate(pieces, 1)
    ]


def _envelope(text: bytes) -> dict[str, Any]:
    record = orjson.loads(text)
    common = {name: record[name][:_TEXT] for name in _COMMON if _is_text(record.get(name))}
    if len(orjson.dumps(common)) > len(_COMMON) * _TEXT // 2:
        common = {name: common[name] for name in ("timestamp", "level") if name in common}
    return {**common, "record": os.urandom(_ID // 2).hex()}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _pieces(text: bytes, room: int) -> Iterator[bytes]:
    """Cut JSON between characters; each piece fits into *room* as a JSON string."""
    start = 0
    while start < len(text):
        end = min(start + room, len(text))
        # JSON has no raw control characters, so these two alone grow
        while (over := _grown(text[start:end]) - room) > 0:
            end -= (over + 1) // 2
        while end < len(text) and text[end] & 0xC0 == 0x80:  # noqa: PLR2004 - inside UTF-8
            end -= 1
        yield text[start:end]
        start = end


def _grown(piece: bytes) -> int:
    return len(piece) + piece.count(b'"') + piece.count(b"\\")


def _split_text(text: bytes, limit: int) -> list[bytes]:
    """Break a traceback between its lines; cut a line that is too long by itself."""
    pieces: list[bytes] = []
    for line in text.splitlines(keepends=True):
        part = line if len(line) <= limit else _cut(line, limit)
        if pieces and len(pieces[-1]) + len(part) <= limit:
            pieces[-1] += part
        else:
            pieces.append(part)
    return pieces


def _cut(line: bytes, limit: int) -> bytes:
    note = f" <{len(line)} bytes in all>\n".encode()
    return line[: limit - len(note)].decode("utf-8", "ignore").encode() + note


@dataclass
class _Open:
    parts: int
    raw: dict[int, bytes] = field(default_factory=dict)
    data: dict[int, str] = field(default_factory=dict)
    size: int = 0

    def missing(self) -> list[int]:
        return [n for n in range(1, self.parts + 1) if n not in self.data]


class Joiner:
    """
    Puts records together whose parts come in any order, among other lines.

    It keeps a thousand unfinished records and 64 MiB at most: then the oldest is given up.

    Attributes:
        incomplete: A sentence for each record that was given up.
    """

    def __init__(self, most: int = _OPEN_RECORDS, most_bytes: int = _OPEN_BYTES) -> None:
        self.incomplete: list[str] = []
        self._most = most
        self._most_bytes = most_bytes
        self._open: dict[str, _Open] = {}
        self._size = 0

    def feed(self, line: bytes) -> Iterator[bytes]:
        """Take one line; yields the lines that are to be printed now."""
        part = _parse(line)
        if part is None:
            yield line
            return
        record = part["record"]
        known = self._open.setdefault(record, _Open(part["parts"]))
        number = part["part"]
        if known.parts != part["parts"] or number in known.data:
            yield line
            return
        known.raw[number], known.data[number] = line, part["data"]
        known.size += len(line)
        self._size += len(line)
        if len(known.data) == known.parts:
            yield from self._finished(record)
        while len(self._open) > self._most or self._size > self._most_bytes:
            yield from self._give_up(next(iter(self._open)))

    def end(self) -> Iterator[bytes]:
        """Yield the parts of all records that never became whole."""
        for record in list(self._open):
            yield from self._give_up(record)

    def _finished(self, record: str) -> Iterator[bytes]:
        known = self._close(record)
        text = "".join(known.data[n] for n in range(1, known.parts + 1)).encode()
        try:
            orjson.loads(text)
        except ValueError:
            self.incomplete.append(f"record {record}: its parts make no JSON")
            yield from known.raw.values()
        else:
            yield text + b"\n"

    def _give_up(self, record: str) -> Iterator[bytes]:
        known = self._close(record)
        numbers = known.missing()
        shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")  # noqa: PLR2004
        self.incomplete.append(
            f"record {record}: {len(numbers)} of {known.parts} parts missing ({shown})"
        )
        yield from known.raw.values()

    def _close(self, record: str) -> _Open:
        known = self._open.pop(record)
        self._size -= known.size
        return known


def _parse(line: bytes) -> dict[str, Any] | None:
    if b'"part":' not in line or not line.startswith(b"{"):
        return None
    try:
        found = orjson.loads(line)
    except ValueError:
        return None
    return found if _is_part(found) else None


def _is_part(found: dict[str, Any]) -> bool:
    if list(found)[-4:] != _KEYS:
        return False
    record, part, parts, data = (found[key] for key in _KEYS)
    return (
        _is_text(record)
        and len(record) == _ID
        and type(part) is int
        and type(parts) is int
        and 1 <= part <= parts <= _MOST
        and _is_text(data)
    )
