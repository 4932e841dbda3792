"""What the demo shows on the terminal, in at most 100 columns."""

from __future__ import annotations

import os
import sys
import textwrap

WIDTH = 100
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def paint(text: str, *styles: str) -> str:
    """Return the text in colour, if a person with a colour terminal is looking."""
    if not styles or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    codes = ";".join(_CODES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def say(text: str = "", *styles: str) -> None:
    """Print one line, now."""
    print(paint(text, *styles), flush=True)


def heading(text: str) -> None:
    """Print a heading with room above it."""
    say()
    say(text, "bold")
    say("─" * len(text), "dim")


def paragraph(text: str) -> None:
    """Print running text."""
    say(textwrap.fill(text, WIDTH - 10))


def cut(text: str, width: int) -> str:
    """Return the text in exactly *width* columns."""
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def mark(good: bool) -> str:  # noqa: FBT001 - it is all there is to say
    """Return a tick or a cross."""
    return paint("✓", "green") if good else paint("✗", "red", "bold")


def status(code: int) -> str:
    """Return an HTTP status in the colour of its kind."""
    kind = "green" if code < 400 else "yellow" if code < 500 else "red"  # noqa: PLR2004
    return paint(str(code), kind)


def milliseconds(value: float | None) -> str:
    """Return a duration, right-aligned in 9 columns."""
    return " " * 9 if value is None else f"{value:6.0f} ms"
