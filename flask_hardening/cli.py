"""`flask hardening`: what an operator asks an app on the command line."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from flask_hardening.lifecycle import EXTENSION, state_of


@click.group("hardening")
def cli() -> None:
    """Look into the hardening of this app."""


@cli.command("config")
@with_appcontext
def show_config() -> None:
    """Print every setting, its value, and where it came from."""
    if EXTENSION not in current_app.extensions:
        raise click.ClickException(
            "This app is not hardened: call Hardening(app) in its factory."
        )
    rows = [
        (setting.key, setting.shown(), setting.source)
        for setting in state_of(current_app).configuration.settings()
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, value, source in rows:
        click.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}")
