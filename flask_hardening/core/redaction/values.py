"""A bounded copy of any value that JSON can hold, its secrets replaced by what names and looks say."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from flask_hardening.core.redaction.bounds import INT_BITS, LENGTH, MARGIN, kept, to_text
from flask_hardening.core.redaction.keys import Standing
from flask_hardening.core.redaction.numbers import SHORTEST_CARD, is_card
from flask_hardening.core.redaction.rules import MASK
from flask_hardening.core.redaction.verdicts import hides

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_hardening.core.redaction.rules import Rules

_DEPTH = 8
_WIDTH = 100
_ITEMS = 5000  # in all: a list that holds itself a hundred times has 100 ** 8
_CHARACTERS = 262_144  # in all
_CARD = 10 ** (SHORTEST_CARD - 1)
_OPEN = Standing.OPEN
_DESCENDS = (Standing.OPEN, Standing.HIDDEN, Standing.PHONE)


def copied(rules: Rules, value: object) -> Any:  # noqa: ANN401
    """Return a copy of one value."""
    walk = _Walk(rules)
    holder: list[Any] = [None]
    walk.put(holder, 0, value, _DEPTH, _OPEN)
    walk.finish()
    return holder[0]


def fields_copied(rules: Rules, fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a copy of named values, of which there may be any number."""
    walk = _Walk(rules)
    copy: dict[str, Any] = {}
    for key, item in fields.items():
        name, standing = rules.name(key)
        walk.put(copy, name, item, _DEPTH, standing)
    walk.finish()
    return copy


def own_copied(rules: Rules, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of values whose names are known to be harmless, without None."""
    walk = _Walk(rules)
    copy: dict[str, Any] = {}
    for name, item in fields.items():
        if item is not None:
            walk.put(copy, name, item, _DEPTH, _OPEN)
    walk.finish()
    return copy


class _Walk:
    """One walk through a value: its texts are gathered, and looked at together in the end."""

    __slots__ = ("_characters", "_items", "_long", "_places", "_rules", "_texts")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
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
        scrubbed = self._rules.scrubber.scrub_all(self._texts)
        if scrubbed is not self._texts:
            following = iter(scrubbed)
            for holder, keys in self._places:
                for key in keys:
                    holder[key] = next(following)
        for holder, key, index, more in self._long:
            holder[key] = f"{kept(scrubbed[index], LENGTH, more)}<{more} more>"

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
        elif isinstance(item, Mapping):
            self._mapped(holder, key, item, depth)
        elif isinstance(item, (list, tuple, set, frozenset)):
            holder[key] = self._listed(item, depth, standing)
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            values = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
            holder[key] = self._named(values, depth)
        elif isinstance(item, enum.Enum):
            self.put(holder, key, item.value, depth, standing)
        elif isinstance(item, int):  # a subclass of it is a number all the same
            holder[key] = self._number(int(item))
        elif isinstance(item, (bytes, bytearray)):
            # cut by bytes, it may have fewer characters than would tell that it is cut
            self._text(holder, key, to_text(item), max(0, len(item) - LENGTH))
        else:
            self._text(holder, key, to_text(item))

    def _mapped(self, holder: Any, key: Any, item: Mapping[Any, Any], depth: int) -> None:  # noqa: ANN401
        if "value" in item:
            item = self._with_name_beside(item)
        if type(item) is dict and len(item) <= _WIDTH and self._rules.is_open(tuple(item)):
            holder[key] = copy = item.copy()
            self._plain(copy, item.items(), depth)
        else:
            holder[key] = self._named(item, depth)

    def _with_name_beside(self, item: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Hide the value of `{"name": "password", "value": "x"}`."""
        named = next((item[k] for k in _NAMING if type(item.get(k)) is str), None)
        value = item["value"]
        if named is None or value is None:
            return item
        standing = self._rules.names.standing(named)
        if standing is _OPEN or not self._is_hidden(value, type(value), standing):
            return item
        return {**item, "value": self._hidden(value, type(value))}

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
        known, name_of = self._rules.seen, self._rules.name
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
        first = type(copy[0]) if copy else None
        if first is list and all(type(i) is list and len(i) == _PAIR for i in copy):
            copy = [_Pair(item) for item in copy]
        if standing is _OPEN and (first not in _SPEAKING or not _speaks(items, copy)):
            self._plain(copy, enumerate(copy), depth)
        else:
            self._items -= len(copy)
            for index, item in enumerate(list(copy)):
                named = self._standing_in(items, copy, index) if index else _OPEN
                self.put(copy, index, item, depth, standing if named is _OPEN else named)
        if len(items) > _WIDTH:
            copy.append(f"<{len(items) - _WIDTH} more>")
        return copy

    def _standing_in(self, items: Any, copy: list[Any], index: int) -> Standing:  # noqa: ANN401
        before = items[index - 1] if isinstance(items, (list, tuple)) else copy[index - 1]
        if type(before) not in _SPEAKING:
            return _OPEN
        text = to_text(before)
        pair = len(copy) == _PAIR and isinstance(items, (tuple, _Pair))
        option = text[:2] == "--" and "=" not in text
        return self._rules.names.standing(text.lstrip("-")) if pair or option else _OPEN

    def _text(self, holder: Any, key: Any, text: str, more: int = 0) -> None:  # noqa: ANN401
        if self._characters <= 0:
            holder[key] = f"<{len(text)} more>" if text else text
            return
        more = more or max(0, len(text) - LENGTH)
        if more:
            self._long.append((holder, key, len(self._texts), more))
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
            return self._rules.replace("name", to_text(item))
        return MASK

    def _number(self, number: int) -> Any:  # noqa: ANN401
        if number >= _CARD and self._rules.cards:
            if number.bit_length() > INT_BITS:
                return to_text(number)
            if is_card(str(number)):
                return self._rules.replace("card", str(number))
        return number if number.bit_length() <= INT_BITS else to_text(number)


class _Pair(list[Any]):
    """One of a list of pairs, `[["Authorization", "x"], ...]`: two items, the first a name."""


def _speaks(items: Any, copy: list[Any]) -> bool:  # noqa: ANN401
    """Tell whether an item may be named by the one before it."""
    pair = type(items) is _Pair or (type(items) is tuple and len(copy) == _PAIR)
    return pair or any(type(item) is str and item[:2] == "--" for item in copy)


_PAIR = 2
_SPEAKING = (str, bytes)
_NAMING = ("name", "key", "header", "field", "param")
# numbers below these are shown under such a name; a payment card's are found by their looks
_HARMLESS = {
    Standing.SECRET: 0,
    Standing.HIDDEN: 0,
    Standing.WEAK: 100,
    Standing.COUNTED: math.inf,
    Standing.PHONE: 1_000_000,
}
