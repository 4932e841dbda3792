"""The owner of what is one per process by nature: the first sets it up, an equal second joins."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from flask_hardening.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


class Resource(Protocol):
    """Something the process holds, and how it is given up."""

    def close(self) -> None:
        """Give it up."""


R = TypeVar("R", bound=Resource)


@dataclass
class _Holding:
    config: Any
    resource: Resource
    owners: list[str] = field(default_factory=list)


_holdings: dict[str, _Holding] = {}
_lock = threading.RLock()


def own(room: str, config: Any, owner: str, make: Callable[[], R]) -> R:  # noqa: ANN401
    """
    Return the process's one resource of a room, made by *make* if it is the first.

    Args:
        room: What it is: `logs`.
        config: A frozen dataclass that decides how it is made.
        owner: Who asks, for the error's text.
        make: Makes it; called at most once per room.

    Raises:
        ConfigError: It stands already, made from other settings; names both values.
    """
    with _lock:
        holding = _holdings.get(room)
        if holding is None:
            holding = _holdings[room] = _Holding(config, make())
        elif holding.config != config:
            raise ConfigError(_conflict(room, holding, config, owner))
        holding.owners.append(owner)
        return cast("R", holding.resource)


def get(room: str) -> Resource | None:
    """Return the resource of a room, or None if nobody has set it up."""
    holding = _holdings.get(room)
    return holding.resource if holding else None


def release(room: str, owner: str) -> None:
    """Take one owner out of a room; the last one out closes the resource."""
    with _lock:
        holding = _holdings.get(room)
        if holding is None or owner not in holding.owners:
            return
        holding.owners.remove(owner)
        if not holding.owners:
            del _holdings[room]
            holding.resource.close()


def swap(holdings: dict[str, _Holding]) -> dict[str, _Holding]:
    """Put other holdings in place and return those that stood: for tests."""
    global _holdings
    with _lock:
        before, _holdings = _holdings, holdings
        return before


def close_all() -> None:
    """Close every resource of the process: for tests."""
    with _lock:
        for room in list(_holdings):
            _holdings.pop(room).resource.close()


def _conflict(room: str, holding: _Holding, config: Any, owner: str) -> str:  # noqa: ANN401
    differences = [
        f"HARDENING_{room.upper()}_{f.name.upper()} is "
        f"{_shown(holding.config, f)} for {holding.owners[0]} "
        f"and {_shown(config, f)} for {owner}"
        for f in dataclasses.fields(config)
        if getattr(holding.config, f.name) != getattr(config, f.name)
    ]
    return (
        f"A process has one set of {room}, and two of its apps want different ones: "
        f"{'; '.join(differences)}. Give both the same values, or run them in processes "
        "of their own. (In a test suite, wrap each app in "
        "flask_hardening.testing.fresh_process().)"
    )


def _shown(config: Any, field: dataclasses.Field[Any]) -> str:  # noqa: ANN401
    """Return a value as a person may see it; two secrets that differ are both `***`."""
    value = getattr(config, field.name)
    secret = field.metadata.get("secret") and value is not None
    return "'***'" if secret else repr(value)
