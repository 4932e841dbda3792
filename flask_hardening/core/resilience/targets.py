"""The targets of this process: each with its options, its breakers, its budget and its bulkhead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from flask_hardening.core import process, settings
from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import lines
from flask_hardening.core.resilience.board import Board
from flask_hardening.core.resilience.breaker import Breaker
from flask_hardening.core.resilience.budget import RetryBudget
from flask_hardening.core.resilience.bulkhead import Bulkhead
from flask_hardening.core.resilience.classes import is_failure
from flask_hardening.core.resilience.options import Options, of_profile
from flask_hardening.core.resilience.shared import SharedBreaker
from flask_hardening.core.validity import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOM = "resilience"
_DEFAULT = "resilience by default"
_EVERY = "*"
_MOST_BREAKERS = 256
_OTHERS = "others"
_declared: dict[str, tuple[str, dict[str, Any]]] = {}


class Target:
    """
    What is called under one name, and how it fares.

    Args:
        name: As in the settings.
        options: How calls to it are guarded.
        board: What its breakers are shared by, if they are.
    """

    def __init__(self, name: str, options: Options, board: Board | None = None) -> None:
        self.name = name
        self.options = options
        self.budget = RetryBudget(ratio=options.budget)
        self.bulkhead = Bulkhead(name, options.limit)
        self._board = board
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()
        self._lock = threading.RLock()

    def breaker(self, key: str = "") -> Breaker:
        """
        Return the breaker of one host of the target, or its only one.

        There are 256 at most: hosts may come from outside. Those beyond share one.

        Args:
            key: Host and port, or nothing.
        """
        found = self._breakers.get(key)
        if found is not None:
            return found
        with self._lock:
            if len(self._breakers) >= _MOST_BREAKERS and key not in self._breakers:
                key = _OTHERS
            if key not in self._breakers:
                self._breakers[key] = self._made(key)
            return self._breakers[key]

    def breakers(self) -> Mapping[str, Breaker]:
        """Return the breakers that there are, by host."""
        return dict(self._breakers)

    def _made(self, key: str) -> Breaker:
        name = f"{self.name} ({key})" if key else self.name
        if self._board is None:
            return Breaker(name, self.options, is_failure=is_failure)
        return SharedBreaker(name, self.options, board=self._board, is_failure=is_failure)


class Targets:
    """
    The targets by name, made when they are first called.

    Args:
        config: What is set for them.

    Attributes:
        board: What their breakers are shared by, if they are.

    Raises:
        ConfigError: An option is unknown or impossible, or there can be no such board.
    """

    def __init__(self, config: settings.Resilience) -> None:
        every = config.targets.get(_EVERY, {})
        self._changes = {
            name: _checked(name, {**every, **entry})
            for name, entry in {_EVERY: every, **config.targets}.items()
        }
        self._targets: dict[str, Target] = {}
        self.board = None if config.shared is None else Board(config.shared)
        self._lines = lines.connect()
        self._lock = threading.RLock()

    def target(
        self, name: str, profile: str = "http", changes: Mapping[str, Any] | None = None
    ) -> Target:
        """
        Return a target; the first who asks decides on *profile* and *changes*.

        Settings win over *changes*, which stand in the code, and these over the profile.
        """
        found = self._targets.get(name)
        if found is not None:
            return found
        with self._lock:
            if name not in self._targets:
                self._targets[name] = Target(
                    name, self._options(name, profile, changes or {}), self.board
                )
            return self._targets[name]

    def all(self) -> list[Target]:
        """Return those that have been called."""
        return list(self._targets.values())

    def close(self) -> None:
        """Forget them."""
        self._targets.clear()
        self._lines()
        if self.board is not None:
            self.board.close()

    def _options(self, name: str, profile: str, changes: Mapping[str, Any]) -> Options:
        options = of_profile(profile, changes)
        return options.changed(self._changes.get(name) or self._changes[_EVERY])


def _checked(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set for a target, with whole numbers where they are wanted."""
    key = f"HARDENING_RESILIENCE_TARGETS[{name!r}]"
    kinds = {field.name: str(field.type) for field in fields(Options)}
    checked: dict[str, Any] = {}
    for option, value in entry.items():
        if option not in kinds:
            raise ConfigError(
                f"{key} has {option!r}, which is no option. The nearest one is "
                f"{nearest(option, kinds)!r}: rename it or remove it."
            )
        whole = kinds[option].startswith("int")
        if whole and value is not None and not float(value).is_integer():
            raise ConfigError(f"{key}[{option!r}] = {value!r} must be a whole number.")
        checked[option] = int(value) if whole and value is not None else value
    try:
        Options().changed(checked)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}: {error}.") from error
    return checked


def declare(name: str, profile: str, changes: Mapping[str, Any]) -> None:
    """Remember a target that the code names, before anybody calls it."""
    _declared.setdefault(name, (profile, dict(changes)))


def declared() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return profile and changes of the targets that the code names."""
    return dict(_declared)


def active() -> Targets:
    """Return the process's targets; before anybody has set them up, some by default."""
    found = process.get(ROOM) or process.get(_DEFAULT)
    if found is None:
        found = process.own(
            _DEFAULT, None, "nobody", lambda: Targets(settings.Resilience())
        )
    return cast("Targets", found)


def set_up(config: settings.Resilience, owner: str) -> Targets:
    """
    Set up the process's targets, or join those that stand.

    Raises:
        ConfigError: They stand with other settings.
    """
    # how long a request may take is each app's own affair
    config = replace(config, enabled=True, deadline=None, trust_deadline=False)
    return process.own(ROOM, config, owner, lambda: Targets(config))
