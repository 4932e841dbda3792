"""A bounded copy of any value that JSON can hold, its secrets replaced by what names and looks say."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from flask_hardening.core.redaction.bounds import (
    INT_BITS,
    LENGTH,
    MARGIN,
    cut,
    kept,
    to_text,
)
from flask_hardening.core.redaction.keys import Standing
from flask_hardening.core.redaction.numbers import SHORTEST_CARD, is_card
from flask_hardening.core.redaction.verdicts import hides

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_hardening.core.redaction.keys import Names
    from flask_hardening.core.redaction.text import Replace, Scrubber

MASK = "***"
_DEPTH = 8
_WIDTH = 100
_ITEMS = 5000  # in all: a list that holds itself a hundred times has 100 ** 8
_CHARACTERS = 262_144  # in all
_CARD = 10 ** (SHORTEST_CARD - 1)
_NAME = 128
_SEEN = 4096
_OPEN = Standing.OPEN
_DESCENDS = (Standing.OPEN, Standing.HIDDEN, Standing.PHONE)


class Copier:
    """
    Makes the copies.

    Args:
        names: What names say of their values.
        scrubber: Replaces secrets in texts.
        replace: Gets kind and secret, returns what stands in its place.
        cards: Whole numbers that are a payment card's are secrets.
    """

    def __init__(
        self, names: Names, scrubber: Scrubber, replace: Replace, *, cards: bool
    ) -> None:
        self.scrubber = scrubber
        self.replace = replace
        self.cards = cards
        self._names = names
        self.seen: dict[str, tuple[str, Standing]] = {}
        self._shapes: dict[tuple[Any, ...], bool] = {}

    def copy(self, value: object) -> Any:  # noqa: ANN401
        """Return a copy of one value."""
        walk = _Walk(self)
        holder: list[Any] = [None]
        walk.put(holder, 0, value, _DEPTH, _OPEN)
        walk.finish()
        return holder[0]

    def copy_fields(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a copy of named values, of which there may be any number."""
        walk = _Walk(self)
        copy: dict[str, Any] = {}
        for key, item in fields.items():
            name, standing = self.name(key)
            walk.put(copy, name, item, _DEPTH, standing)
        walk.finish()
        return copy

    def copy_own(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of values whose names are known to be harmless, without None."""
        walk = _Walk(self)
        copy: dict[str, Any] = {}
        for name, item in fields.items():
            if item is not None:
                walk.put(copy, name, item, _DEPTH, _OPEN)
        walk.finish()
        return copy

    def name(self, key: object) -> tuple[str, Standing]:
        """Return a name as it may be shown, and what it says of its value."""
        text = key if type(key) is str else to_text(key)
        found = self.seen.get(text)
        if found is None:
            found = (
                self.scrubber.scrub(cut(text, _NAME)),
                self._names.standing_of_field(text),
            )
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
            found = all(
                type(name) is str and self.name(name) == (name, _OPEN) for name in names
            )
            if sum(map(len, names)) <= _NAME * _WIDTH if found else False:
                _remember(self._shapes, names, found)
        return found


def _remember(seen: dict[Any, Any], key: object, found: object) -> None:
    if len(seen) >= _SEEN:  # they come from outside
        seen.clear()
    seen[key] = found


class _Walk:
    """One walk through a value: its texts are gathered, and looked at together in the end."""

    __slots__ = ("_characters", "_copier", "_items", "_long", "_places", "_texts")

    def __init__(self, copier: Copier) -> None:
        self._copier = copier
        self._items = _ITEMS
        self._characters = _CHARACTERS
        self._texts: list[str] = []
        self._places: list[tuple[Any, Any]] = []
        self._long: list[tuple[Any, Any, int, int]] = []

    def put(self, holder: Any, key: Any, item: Any, depth: int, standing: Standing) -> None:  # noqa: ANN401
        """Copy *item* to where it belongs."""
        kind = type(item)
        if item is None or kind is bool:
            holder[key] = item
        elif standing is not _OPEN and self._is_hidden(item, kind, standing):
            holder[key] = self._hidden(item, kind)
        elif kind is str:
            self._text(holder, key, item)
        elif kind is float:
            holder[key] = item
        elif kind is int:
            holder[key] = self._number(item)
        else:
            try:
                self._other(holder, key, item, depth - 1, standing)
            except Exception:  # noqa: BLE001 - a hostile object must not cost the log line
                holder[key] = f"<{kind.__name__}>"

    def finish(self) -> None:
        """Put the scrubbed texts in their places."""
        if not self._texts:
            return
        scrubbed = self._copier.scrubber.scrub_all(self._texts)
        if scrubbed is not self._texts:
            following = iter(scrubbed)
            for holder, keys in self._places:
                for key in keys:
                    holder[key] = next(following)
        for holder, key, index, more in self._long:
            holder[key] = f"{kept(scrubbed[index], LENGTH)}<{more} more>"

    def _other(
        self,
        holder: Any,  # noqa: ANN401
        key: Any,  # noqa: ANN401
        item: Any,  # noqa: ANN401
        depth: int,
        standing: Standing,
    ) -> None:
        """Copy what is neither text nor number."""
        kind = type(item)
        if depth < 0 or self._items <= 0 or self._characters <= 0:
            holder[key] = f"<{kind.__name__}>"
        elif kind is dict and len(item) <= _WIDTH and self._copier.is_open(tuple(item)):
            holder[key] = copy = item.copy()
            self._plain(copy, item.items(), depth)
        elif isinstance(item, Mapping):
            holder[key] = self._named(item, depth)
        elif isinstance(item, (list, tuple, set, frozenset)):
            holder[key] = self._listed(item, depth, standing)
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            values = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
            holder[key] = self._named(values, depth)
        elif isinstance(item, enum.Enum):
            self.put(holder, key, item.value, depth, standing)
        elif isinstance(item, int):  # a subclass of it is a number all the same
            holder[key] = self._number(int(item))
        else:
            self._text(holder, key, to_text(item))

    def _plain(self, copy: Any, entries: Iterable[tuple[Any, Any]], depth: int) -> None:  # noqa: ANN401
        """
        Make a copy safe that holds what its original held, and whose names say nothing.

        This is what most of a body consists of, so it takes few steps.
        """
        texts, keys, size, others = self._texts, [], 0, []
        for key, item in entries:
            kind = type(item)
            if kind is str and len(item) <= LENGTH:
                texts.append(item)
                keys.append(key)
                size += len(item)
            elif kind is not int or not -_CARD < item < _CARD:
                others.append((key, item))
        self._items -= len(copy)
        self._keep(copy, keys, size)
        for key, item in others:
            self.put(copy, key, item, depth, _OPEN)

    def _named(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        texts, keys, size, others = self._texts, [], 0, []
        known, name_of = self._copier.seen, self._copier.name
        self._items -= min(len(value), _WIDTH)
        for key, item in islice(value.items(), _WIDTH):
            name, standing = known.get(key) or name_of(key)
            copy[name] = item
            if standing is _OPEN and type(item) is str and len(item) <= LENGTH:
                texts.append(item)
                keys.append(name)
                size += len(item)
            else:
                others.append((name, item, standing))
        self._keep(copy, keys, size)
        for name, item, standing in others:
            self.put(copy, name, item, depth, standing)
        if len(value) > _WIDTH:
            copy["…"] = f"<{len(value) - _WIDTH} more>"
        return copy

    def _keep(self, copy: Any, keys: list[Any], size: int) -> None:  # noqa: ANN401
        """Note where the last texts stand, or leave them out if they are too many."""
        if not keys:
            return
        self._characters -= size
        if self._characters >= 0:
            self._places.append((copy, keys))
            return
        del self._texts[-len(keys) :]
        for key in keys:
            copy[key] = f"<{len(copy[key])} more>"

    def _listed(self, items: Any, depth: int, standing: Standing) -> list[Any]:  # noqa: ANN401
        copy = list(islice(items, _WIDTH))
        if standing is _OPEN:
            self._plain(copy, enumerate(copy), depth)
        else:
            self._items -= len(copy)
            for index, item in enumerate(copy):
                self.put(copy, index, item, depth, standing)
        if len(items) > _WIDTH:
            copy.append(f"<{len(items) - _WIDTH} more>")
        return copy

    def _text(self, holder: Any, key: Any, text: str) -> None:  # noqa: ANN401
        if self._characters <= 0:
            holder[key] = f"<{len(text)} more>" if text else text
            return
        if len(text) > LENGTH:
            self._long.append((holder, key, len(self._texts), len(text) - LENGTH))
            text = text[: LENGTH + MARGIN]
        self._characters -= len(text)
        holder[key] = text
        self._texts.append(text)
        self._places.append((holder, (key,)))

    def _is_hidden(self, item: Any, kind: type, standing: Standing) -> bool:  # noqa: ANN401
        if kind is str:
            return standing is Standing.HIDDEN or hides(standing, item)
        if kind is int or kind is float:
            return bool(abs(item) >= _HARMLESS[standing])
        if kind is list or kind is tuple:
            return False  # each of its items is looked at under the same name
        if kind is bytes or kind is bytearray or standing is Standing.HIDDEN:
            return not isinstance(item, (Mapping, set, frozenset))
        return standing not in _DESCENDS and bool(item)

    def _hidden(self, item: Any, kind: type) -> str:  # noqa: ANN401
        if kind in (str, int, float, bytes):
            return self._copier.replace("name", to_text(item))
        return MASK

    def _number(self, number: int) -> Any:  # noqa: ANN401
        if number >= _CARD and self._copier.cards:
            if number.bit_length() > INT_BITS:
                return to_text(number)
            if is_card(str(number)):
                return self._copier.replace("card", str(number))
        return number if number.bit_length() <= INT_BITS else to_text(number)


# numbers below these are shown under such a name; a payment card's are found by their looks
_HARMLESS = {
    Standing.SECRET: 100,
    Standing.HIDDEN: 0,
    Standing.WEAK: 10_000,
    Standing.COUNTED: math.inf,
    Standing.PHONE: 1_000_000,
}
