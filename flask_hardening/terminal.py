"""What the commands have in common: the app they are about, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from flask import current_app

from flask_hardening.record import EXTENSION, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask_hardening.record import State


def hardened() -> State:
    """
    Return what the command's app has of the house.

    Raises:
        ClickException: It has nothing.
    """
    if EXTENSION not in current_app.extensions:
        raise click.ClickException(
            "This app is not hardened: call Hardening(app) in its factory."
        )
    return state_of(current_app)


def table(rows: Sequence[Sequence[str]], widest: Mapping[int, int] | None = None) -> None:
    """
    Print rows with their columns aligned.

    Args:
        rows: Them, the headings first.
        widest: Widths, by a column's number, beyond which one long cell doesn't push the
            others to the right.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for number, most in (widest or {}).items():
        widths[number] = min(widths[number], most)
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
