"""What one redactor goes by: its names, its patterns, and what stands in a secret's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_hardening.core.redaction.bounds import bounded, to_text
from flask_hardening.core.redaction.keys import Standing

if TYPE_CHECKING:
    from flask_hardening.core.redaction.keys import Names
    from flask_hardening.core.redaction.text import Replace, Scrubber

MASK = "***"
_NAME = 128
_SHAPE = 4096
_SEEN = 4096


class Rules:
    """
    The rules, and what was found out by them before.

    Args:
        names: What names say of their values.
        scrubber: Replaces secrets in texts.
        replace: Gets kind and secret, returns what stands in its place.
        cards: Whole numbers that are a payment card's are secrets.

    Attributes:
        seen: Names as they may be shown, and what they say.
    """

    def __init__(
        self, names: Names, scrubber: Scrubber, replace: Replace, *, cards: bool
    ) -> None:
        self.names = names
        self.scrubber = scrubber
        self.replace = replace
        self.cards = cards
        self.seen: dict[str, tuple[str, Standing]] = {}
        self._shapes: dict[tuple[Any, ...], bool] = {}

    def name(self, key: object) -> tuple[str, Standing]:
        """Return a name as it may be shown, and what it says of its value."""
        text = key if type(key) is str else to_text(key)
        found = self.seen.get(text)
        if found is None:
            shown = bounded(self.scrubber.scrub, text, _NAME)
            found = shown, self.names.standing_of_field(text)
            if len(text) <= _NAME:
                _remember(self.seen, text, found)
        return found

    def is_open(self, names: tuple[Any, ...]) -> bool:
        """
        Tell whether all of an object's names can be shown, and say nothing of their values.

        Objects of one kind have the same names, and most kinds come again and again.
        """
        found = self._shapes.get(names)
        if found is None:
            if not all(type(name) is str for name in names):
                return False
            found = all(self.name(name) == (name, Standing.OPEN) for name in names)
            if sum(map(len, names)) <= _SHAPE:
                _remember(self._shapes, names, found)
        return found


def _remember(seen: dict[Any, Any], key: object, found: object) -> None:
    if len(seen) >= _SEEN:  # they come from outside
        seen.clear()
    seen[key] = found
