"""The reader of settings: from the app's configuration and the environment to frozen dataclasses."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.settings import SECTIONS
from flask_hardening.core.validity import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T")
PREFIX = "HARDENING_"
ENVIRONMENT_PREFIX = "FLASK_" + PREFIX
_SHOWN = 80


@dataclass(frozen=True)
class Setting:
    """
    One setting as it was read.

    Attributes:
        key: Its full name, `HARDENING_LOGS_LEVEL`.
        value: What it is now.
        source: `default`, `app.config`, or the environment variable's name.
        doc: What it is for, one or two sentences.
        secret: Its value must not be shown.
    """

    key: str
    value: Any
    source: str
    doc: str
    secret: bool

    def shown(self) -> str:
        """Return the value as a person may see it."""
        return "'***'" if self.secret and self.value is not None else repr(self.value)


class Configuration:
    """
    All settings of one app, read and checked.

    Args:
        config: A mapping with `HARDENING_*` keys; others are ignored.
        environ: The process's environment; `FLASK_HARDENING_*` in it wins over
            *config*, so that an operator can change a setting without a release.

    Attributes:
        ignored: A sentence for each variable that was meant for us and is not read.

    Raises:
        ConfigError: Keys are unknown or values impossible. It names all of them.
    """

    def __init__(self, config: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        values = {
            key: value
            for key, value in config.items()
            if isinstance(key, str) and key.startswith(PREFIX)
        }
        variables = environment(environ, values)
        self._sources = dict.fromkeys(values, "app.config") | {
            key: "FLASK_" + key for key in variables
        }
        values |= variables
        self.ignored = tuple(_ignored(environ, values))
        problems = list(_unknown(values))
        self._sections: dict[type, Any] = {}
        for name, cls in SECTIONS.items():
            self._sections[cls] = _read(cls, name, values, problems)
        if problems:
            raise ConfigError("\n".join(problems))

    def section(self, cls: type[T]) -> T:
        """Return the settings of one part."""
        return typing.cast("T", self._sections[cls])

    def settings(self) -> Iterator[Setting]:
        """Yield every setting in the order of the documentation."""
        for name, cls in SECTIONS.items():
            for field in dataclasses.fields(cls):
                key = key_of(name, field.name)
                yield Setting(
                    key=key,
                    value=getattr(self._sections[cls], field.name),
                    source=self._sources.get(key, "default"),
                    doc=field.metadata["doc"],
                    secret=field.metadata["secret"],
                )


def key_of(section: str, field: str) -> str:
    """Return the full key of a field: `("LOGS", "level")` is `HARDENING_LOGS_LEVEL`."""
    return PREFIX + (section + "_" if section else "") + field.upper()


def environment(environ: Mapping[str, str], below: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the `HARDENING_*` settings of an environment.

    Values are read as Flask's `from_prefixed_env` reads them: JSON where it parses, else
    the text itself; `__` in a name reaches into a dict, a copy of that in *below* where
    there is one.
    """
    found: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        try:
            value = json.loads(environ[variable])
        except (ValueError, RecursionError):
            value = environ[variable]
        key, *path = variable.removeprefix("FLASK_").split("__")
        if path and key not in found and isinstance(below.get(key), dict):
            found[key] = _copied(below[key])
        _put(found, [key, *path], value)
    return found


def _copied(value: dict[str, Any]) -> dict[str, Any]:
    # the app's own values stay its own: only dicts are written into
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in value.items()}


def _put(target: dict[str, Any], path: list[str], value: object) -> None:
    for step in path[:-1]:
        inner = target.get(step)
        if not isinstance(inner, dict):
            inner = target[step] = {}
        target = inner
    target[path[-1]] = value


@functools.cache
def _known() -> dict[str, tuple[type, str]]:
    return {
        key_of(name, field.name): (cls, field.name)
        for name, cls in SECTIONS.items()
        for field in dataclasses.fields(cls)
    }


def _unknown(values: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(values):
        if key not in _known():
            near = nearest(key.upper(), _known())
            yield (
                f"{key} is not a setting. The nearest one is {near}: "
                f"rename the key or remove it."
            )


def _ignored(environ: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[str]:
    for variable in sorted(environ):
        key = variable.partition("__")[0]
        # an app may copy variables to its configuration by itself
        if key in _known() and key not in values:
            yield (
                f"The environment's {variable} is not read: name it FLASK_{variable}, as "
                "all of Flask's variables."
            )


def _read(
    cls: type, section: str, values: Mapping[str, Any], problems: list[str]
) -> object:
    hints = _hints(cls)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        key = key_of(section, field.name)
        if key not in values:
            continue
        value, wrong = _convert(values[key], hints[field.name])
        check = field.metadata["check"]
        if not wrong and check:
            wrong = check(value)
        if wrong:
            shown = "'***'" if field.metadata["secret"] else _short(values[key])
            problems.append(f"{key} = {shown} {wrong}.")
        else:
            arguments[field.name] = value
    return cls(**arguments)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _convert(value: object, hint: Any) -> tuple[Any, str | None]:  # noqa: ANN401
    """Return the value as the hint wants it, or what is wrong with it."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None, None
        return _convert(value, next(a for a in typing.get_args(hint) if a is not _NONE))
    if origin is typing.Literal:
        return _literal(value, typing.get_args(hint))
    if origin is tuple:
        return _tuple(value, typing.get_args(hint)[0])
    if origin is dict:
        return _dict(value, typing.get_args(hint)[1])
    return _scalar(value, hint)


_NONE = type(None)
_NAMES = {
    bool: "must be true or false",
    int: "must be a whole number",
    float: "must be a number",
    str: "must be text (in the environment, digits alone are a number: "
    "put them in double quotes inside the value)",
}


def _scalar(value: object, kind: type) -> tuple[Any, str | None]:
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            return value, "must be a finite number"
    if type(value) is not kind and not (kind is str and isinstance(value, str)):
        return value, _NAMES[kind]
    if isinstance(value, float) and not math.isfinite(value):
        return value, "must be a finite number"
    return value, None


def _literal(value: object, choices: tuple[Any, ...]) -> tuple[Any, str | None]:
    if isinstance(value, str):
        for choice in choices:
            if value.lower() == choice.lower():
                return choice, None
    return value, "must be one of " + ", ".join(map(repr, choices))


def _tuple(value: object, hint: Any) -> tuple[Any, str | None]:  # noqa: ANN401
    if not isinstance(value, (list, tuple)):
        return value, ('must be a list, such as ("a", "b"), in the environment ["a", "b"]')
    items = []
    for item in value:
        converted, wrong = _convert(item, hint)
        if wrong:
            return value, f"has the entry {_short(item)}, which {wrong}"
        items.append(converted)
    return tuple(items), None


def _dict(value: object, hint: Any) -> tuple[Any, str | None]:  # noqa: ANN401
    if not isinstance(value, dict):
        return value, 'must be a dict, such as {"name": value}'
    items = {}
    for name, item in value.items():
        if not isinstance(name, str):
            return value, f"has the key {_short(name)}, which must be text"
        converted, wrong = _convert(item, hint)
        if wrong:
            return value, f"has {name!r}: {_short(item)}, which {wrong}"
        items[name] = converted
    return items, None


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a value whose repr fails must still be named
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
