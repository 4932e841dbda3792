"""Texts with their secrets replaced: all that finds them, and one pass that puts a mask in place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from flask_hardening.core.redaction.pairs import find_pairs, may_hold_pairs
from flask_hardening.core.redaction.patterns import BORDER, find

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import regex

    from flask_hardening.core.redaction.keys import Names
    from flask_hardening.core.redaction.patterns import Found

    Replace = Callable[[str, str], str]

_SHORTEST = 4
_NUL_SHOWN = "\u2400"
_PAIR = "pair"
# letters and signs that JSON may hold as they are: names and secrets are written with them
_UNICODE = re.compile(
    r"\\+u(00[2-7][0-9a-fA-F]|0[1-9a-fA-F][0-9a-fA-F]{2}|00[a-fA-F][0-9a-fA-F]|[1-9a-cA-C][0-9a-fA-F]{3})"
)
_ESCAPES = re.compile(r"\\[nrt]")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_ENDS = re.compile(r"[\s\"'<>\0&=?;,#]")
_LEFT = 512  # characters before the first encoded one that may belong to it
_LAYERS = 3
_PATTERN_SECONDS = 0.05  # that a pattern of the user's may take; the text is hidden then


class Scrubber:
    """
    Finds secrets in texts and replaces them.

    Args:
        names: The names that stand for secrets.
        replace: Gets kind and secret, returns what stands in its place.
        skipped: Kinds that are let through.
        more: Further patterns by kind.
    """

    def __init__(
        self,
        names: Names,
        replace: Replace,
        skipped: Collection[str] = (),
        more: Mapping[str, regex.Pattern[str]] | None = None,
    ) -> None:
        self._judge = names.standing
        self._replace = replace
        self._skipped = frozenset(skipped)
        self._more = dict(more or {})

    def scrub(self, text: str) -> str:
        """Return *text* with its secrets replaced; the same object if it has none."""
        if len(text) < _SHORTEST:
            return text
        if BORDER in text:
            text = text.replace(BORDER, _NUL_SHOWN)
        if "\\u" in text:
            text = _UNICODE.sub(_unescaped, text)
        return self._scrub(text)

    def scrub_all(self, texts: Sequence[str]) -> Sequence[str]:
        """Return each of *texts* scrubbed, found in one look at all of them."""
        together = BORDER.join(texts)
        if together.count(BORDER) != len(texts) - 1 or "\\u" in together:
            return [self.scrub(text) for text in texts]
        scrubbed = self._scrub(together)
        return texts if scrubbed is together else scrubbed.split(BORDER)

    def _scrub(self, text: str) -> str:
        found = self._found(text)
        if not found:
            return text
        found.sort(key=_start)
        pieces: list[str] = []
        done = 0
        for kind, start, end in _merged(found):
            pieces += text[done:start], self._replace(kind, text[start:end])
            done = end
        pieces.append(text[done:])
        return "".join(pieces)

    def _found(self, text: str, layers: int = _LAYERS) -> list[Found]:
        found = self._look(text)
        if "\\" in text:
            # a line's end inside of a repr or of JSON is no letter before what follows it;
            # or it is one, behind a backslash
            found += self._look(_ESCAPES.sub("  ", text))
        if self._more:
            found += self._own(text)
        if "%" in text and layers:
            found += self._encoded(text, layers)
        return found

    def _look(self, text: str) -> list[Found]:
        found = find(text)
        if found and self._skipped:
            found = [entry for entry in found if entry[0] not in self._skipped]
        if may_hold_pairs(text):
            found += [(_PAIR, *span) for span in find_pairs(text, self._judge)]
        return found

    def _own(self, text: str) -> Iterator[Found]:
        for kind, pattern in self._more.items():
            for match in pattern.finditer(text, timeout=_PATTERN_SECONDS):
                if match.end() > match.start():
                    yield kind, *match.span()

    def _encoded(self, text: str, layers: int) -> Iterator[Found]:
        """Look into what is percent-encoded, and into what that holds (RFC 3986)."""
        done = 0
        for encoded in _ENCODED.finditer(text):
            if encoded.start() < done:
                continue
            left = text[max(done, encoded.start() - _LEFT) : encoded.start()]
            start = encoded.start() - len(_ENDS.split(left)[-1])
            end = _ENDS.search(text, encoded.end())
            done = end.start() if end else len(text)
            plain = unquote_plus(text[start:done])
            if self._found(plain.replace(BORDER, _NUL_SHOWN), layers - 1):
                yield _PAIR, start, done


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return escape[0] if character in '"\\' or not character.isprintable() else character


def _start(found: Found) -> tuple[int, int]:
    return found[1], -found[2]


def _merged(found: Iterable[Found]) -> Iterator[Found]:
    """Join what overlaps: a token in a pair is one secret, not two."""
    current: Found | None = None
    for kind, start, end in found:
        if current is None:
            current = kind, start, end
        elif start < current[2]:
            current = current[0], current[1], max(end, current[2])
        else:
            yield current
            current = kind, start, end
    if current is not None:
        yield current
