"""`flask hardening`: what an operator asks an app on the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

import click
from flask.cli import with_appcontext

from flask_hardening import terminal
from flask_hardening.breakers_cli import breakers
from flask_hardening.core import logs, settings
from flask_hardening.core.logs.parts import Joiner

if TYPE_CHECKING:
    from flask_hardening.record import State

_HEADINGS = ("SETTING", "VALUE", "FROM")
_WIDEST = 30
_LONGEST_READ = 1 << 20


@click.group("hardening")
def cli() -> None:
    """Look into the hardening of this app."""


cli.add_command(breakers)


@cli.command("config")
@click.option("--changed", is_flag=True, help="Leave out what stands at its default.")
@with_appcontext
def show_config(*, changed: bool) -> None:
    """
    Print every setting, its value, and where it came from.

    What is left open by default is shown as it came out: `HARDENING_LOGS_LEVEL` as 'INFO'
    in production.
    """
    state = terminal.hardened()
    came_out = _came_out(state)
    rows = [
        (setting.key, came_out.get(setting.key, setting.shown()), setting.source)
        for setting in state.configuration.settings()
        if not changed or setting.source != "default"
    ]
    terminal.table([_HEADINGS, *rows], widest={1: _WIDEST})


@cli.command("join")
@click.argument("files", nargs=-1, type=click.File("rb"))
def join_parts(files: tuple[BinaryIO, ...]) -> None:
    """
    Put records together again that were written in parts.

    Reads FILES, or standard input, and prints all other lines as they are. A record that
    lacks parts is printed as its parts, told of on standard error, and makes the command
    end with 1.
    """
    joiner = Joiner()
    out = sys.stdout.buffer
    sources: tuple[BinaryIO, ...] = files or (sys.stdin.buffer,)
    for file in sources:
        while line := file.readline(_LONGEST_READ):
            out.writelines(joiner.feed(line))
    out.writelines(joiner.end())
    out.flush()
    for sentence in joiner.incomplete:
        click.echo(sentence, err=True)
    sys.exit(1 if joiner.incomplete else 0)


def _came_out(state: State) -> dict[str, str]:
    """Return the values of the settings whose default depends on the app."""
    configuration = state.configuration
    plan = logs.Plan.of(configuration.section(settings.Logs), development=state.development)
    timing = configuration.section(settings.Timings).server_timing
    return {
        "HARDENING_SERVICE": repr(state.origin.fields["service"]),
        "HARDENING_ENVIRONMENT": repr(state.origin.fields["environment"]),
        "HARDENING_LOGS_LEVEL": repr(plan.level),
        "HARDENING_LOGS_FORMAT": repr(plan.format),
        "HARDENING_TIMINGS_SERVER_TIMING": repr(
            state.development if timing is None else timing
        ),
    }
