"""How much of a text is looked at and kept, and how anything becomes text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = 8192  # characters of a text that are kept
MARGIN = 256  # looked at behind them and left out: half a secret isn't recognised
INT_BITS = 63  # JSON numbers that every reader can hold


def to_text(value: object) -> str:
    """Return what a value looks like in text; may raise what its own methods raise."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[: LENGTH + MARGIN]).decode("utf-8", "backslashreplace")
    if isinstance(value, int) and value.bit_length() > INT_BITS:
        return hex(value) if value.bit_length() <= LENGTH else "<huge int>"
    return str(value)


def kept(text: str, length: int, more: int) -> str:
    """
    Return what is kept of a text that was cut `MARGIN` behind *length* and then scrubbed.

    At its end there may be the beginning of a secret, if it was longer than that.

    Args:
        text: It.
        length: Characters that are kept at most.
        more: How many more there were at first.
    """
    whole = len(text) if more <= MARGIN else max(0, len(text) - MARGIN)
    return text[: min(length, whole)]


def bounded(scrub: Callable[[str], str], text: str, length: int) -> str:
    """Return *text* scrubbed, cut where it has more than *length*, and by how much."""
    if len(text) <= length:
        return scrub(text)
    more = len(text) - length
    return f"{kept(scrub(text[: length + MARGIN]), length, more)}<{more} more>"
