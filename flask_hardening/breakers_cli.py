"""`flask hardening breakers`: how the breakers of all processes stand, and how to set them."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from flask_hardening import terminal
from flask_hardening.core import settings
from flask_hardening.core.resilience import targets
from flask_hardening.core.resilience.board import Entry
from flask_hardening.core.resilience.boardfile import KEY, BoardError
from flask_hardening.core.resilience.options import Options
from flask_hardening.core.validity import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_hardening.core.resilience.board import Board

_HEADINGS = ("TARGET", "PROFILE", "STATE", "DUE IN")
_OPTIONS = ("OPTION", "VALUE", "FROM")
_EVERY = "*"
_UNSHARED = (
    "States live in each process, and can't be seen from here. To share and see them, set "
    f"{KEY} to the path of a file, such as '/dev/shm/shop-breakers'."
)
_DONE = {
    "forced_open": "{} is open in all processes until it is reset.",
    "disabled": "{} lets everything pass in all processes until it is reset.",
    "closed": "{} is closed in all processes.",
}


@click.group("breakers", invoke_without_command=True)
@click.pass_context
@with_appcontext
def breakers(context: click.Context) -> None:
    """List the breakers, or look into one target, or set it."""
    if context.invoked_subcommand is None:
        _list()


@breakers.command("list")
@with_appcontext
def list_breakers() -> None:
    """List targets, one line per breaker: how it stands, and when it is due."""
    _list()


@breakers.command("show")
@click.argument("name")
@with_appcontext
def show_target(name: str) -> None:
    """Print every option of a target, where it comes from, and how its breakers stand."""
    world = _World()
    world.check(name)
    name = world.target_of(name)
    terminal.table([_OPTIONS, *world.options(name)])
    if world.profiles[name] is None:
        click.echo("No code that this command imported names it: its profile is not known.")
    click.echo()
    _tell_states(world, [name])


@breakers.command("open")
@click.argument("name")
@with_appcontext
def force_open(name: str) -> None:
    """Let no call to a target pass, in all processes, until it is reset."""
    _set(name, "forced_open")


@breakers.command("disable")
@click.argument("name")
@with_appcontext
def disable(name: str) -> None:
    """Let every call to a target pass, in all processes, until it is reset."""
    _set(name, "disabled")


@breakers.command("reset")
@click.argument("name")
@with_appcontext
def reset(name: str) -> None:
    """Close a target's breakers in all processes, and forget what has been."""
    _set(name, "closed")


class _World:
    """
    The targets that this app knows of.

    Attributes:
        board: What its processes share, if they do.
        entries: What stands there, by the breakers' names.
        profiles: Profiles by target; None for those that no code has named.
    """

    def __init__(self) -> None:
        config = terminal.hardened().configuration.section(settings.Resilience)
        # switched off, the part doesn't read its settings: guards have those of the code
        self._config = config if config.enabled else settings.Resilience()
        self._declared = targets.declared()
        self._active = targets.active()
        self.board: Board | None = self._active.board
        self.entries: dict[str, Entry] = self._read()
        named = {name: profile for name, (profile, _) in self._declared.items()}
        others = [name for name in self._config.targets if name != _EVERY]
        others += map(self.target_of, self.entries)
        self.profiles: dict[str, str | None] = dict.fromkeys(others) | named

    def target_of(self, breaker: str) -> str:
        """Return the target of a breaker: of `http (api:443)` it is `http`."""
        if breaker in self._declared or breaker in self._config.targets:
            return breaker
        name, bracket, _ = breaker.partition(" (")
        return name if bracket and breaker in self.entries else breaker

    def check(self, name: str) -> None:
        """Refuse what is neither a target nor a breaker."""
        known = {*self.profiles, *self.entries}
        if name in known:
            return
        near = nearest(name, known)
        hint = f" The nearest name is {near!r}." if near else " There are none."
        raise click.UsageError(f"There is no target {name!r}.{hint}")

    def breakers_of(self, name: str) -> list[str]:
        """Return the names of a target's breakers, or a breaker's own."""
        hosts = [entry for entry in self.entries if entry.startswith(f"{name} (")]
        return sorted([name, *hosts] if name in self.entries or not hosts else hosts)

    def options(self, name: str) -> Iterator[tuple[str, ...]]:
        """Yield a target's options, their values, and where each comes from."""
        config, every = self._config.targets, self._config.targets.get(_EVERY, {})
        profile, changes = self._declared.get(name, (None, {}))
        values = {**every, **config.get(name, {})}
        sources = dict.fromkeys(changes, "code")
        sources |= dict.fromkeys(every, "HARDENING_RESILIENCE_TARGETS['*']")
        sources |= dict.fromkeys(
            config.get(name, {}), f"HARDENING_RESILIENCE_TARGETS[{name!r}]"
        )
        if profile is not None:
            target = self._active.target(name, profile, changes)
            values = dataclasses.asdict(target.options)
        for field in dataclasses.fields(Options):
            if field.name in values:
                source = sources.get(field.name, f"profile {profile}")
                yield field.name, repr(values[field.name]), source

    def row(self, target: str, breaker: str) -> tuple[str, ...]:
        """Return a breaker's line."""
        state, due = self._standing(breaker)
        return breaker, self.profiles[target] or "-", state, due

    def _standing(self, breaker: str) -> tuple[str, str]:
        entry = self.entries.get(breaker)
        if entry is None:
            return "-" if self.board is None else "not called", "-"
        if entry.state != "open":
            return entry.state, "-"
        remaining = entry.until - time.monotonic()
        return ("open", f"{remaining:.1f} s") if remaining > 0 else ("half_open", "now")

    def _read(self) -> dict[str, Entry]:
        try:
            return self.board.entries() if self.board else {}
        except BoardError as error:
            raise _unusable(error) from error


def _list() -> None:
    world = _World()
    _tell_states(world, sorted(world.profiles))


def _tell_states(world: _World, names: list[str]) -> None:
    rows = [world.row(name, entry) for name in names for entry in world.breakers_of(name)]
    terminal.table([_HEADINGS, *rows])
    if world.board is None:
        click.echo(_UNSHARED, err=True)


def _set(name: str, state: str) -> None:
    world = _World()
    world.check(name)
    if world.board is None:
        raise click.ClickException(_UNSHARED)
    for breaker in world.breakers_of(name):
        try:
            slot = world.board.slot(breaker)
            world.board.publish(slot, lambda _: Entry(state))
        except BoardError as error:
            raise _unusable(error) from error
        click.echo(_DONE[state].format(breaker))


def _unusable(error: BoardError) -> click.ClickException:
    return click.ClickException(
        f"The file of {KEY} can't be used ({type(error).__name__}: {error}). Try again; if "
        "that doesn't help, end the service's processes and remove it."
    )
