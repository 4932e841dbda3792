"""`flask hardening config`: every setting, its value, and where it came from."""

from __future__ import annotations

import subprocess
import sys

import pytest
from flask import Flask

from flask_hardening.cli import cli
from flask_hardening.core import settings


@pytest.fixture
def show(monkeypatch, make_app):
    """Run the command for an app with these settings, and split its rows."""

    def show(environ=None, **values):
        for name, value in (environ or {}).items():
            monkeypatch.setenv(name, value)
        result = make_app(**values).test_cli_runner().invoke(cli, ["config"])
        assert result.exit_code == 0, result.output
        heading, *rows = result.output.splitlines()
        assert heading.split() == ["SETTING", "VALUE", "FROM"]
        return {row.split()[0]: row.split(maxsplit=1)[1] for row in rows}

    return show


def test_every_setting_is_there(show):
    """One row per setting, all defaults where nothing is set."""
    rows = show()
    fields = sum(len(cls.__dataclass_fields__) for cls in settings.SECTIONS.values())
    assert len(rows) == fields
    assert all(row.endswith("  default") for row in rows.values())


def test_values_and_sources(show):
    """A value from the app says `app.config`, one from outside the variable's name."""
    rows = show(
        {"FLASK_HARDENING_SERVICE": "till", "FLASK_HARDENING_LOGS_LEVELS__a": "DEBUG"},
        ERRORS_HTML=True,
        SERVICE="shop",
    )
    assert rows["HARDENING_SERVICE"].split() == ["'till'", "FLASK_HARDENING_SERVICE"]
    assert rows["HARDENING_ERRORS_HTML"].split() == ["True", "app.config"]
    assert rows["HARDENING_LOGS_LEVELS"].startswith("{'a': 'DEBUG'}")


def test_secrets_are_masked(show):
    """A key is set or not; more can't be seen."""
    row = show(REDACTION_HMAC_KEY="hunter2hunter2hunter2")["HARDENING_REDACTION_HMAC_KEY"]
    assert "***" in row
    assert "hunter2" not in row
    assert row.endswith("app.config")


def test_an_app_that_is_not_hardened():
    """The command says what to do instead of failing with a traceback."""
    result = Flask("bare").test_cli_runner().invoke(cli, ["config"])
    assert result.exit_code == 1
    assert "Hardening(app)" in result.output


def test_the_command_is_found_by_flask(tmp_path):
    """`flask --app ... hardening config` works as installed."""
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n"
        "from flask_hardening import Hardening\n"
        "app = Flask(__name__)\n"
        "Hardening(app)\n"
    )
    command = [sys.executable, "-m", "flask", "--app", "shop", "hardening", "config"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert "HARDENING_LOGS_LEVEL" in done.stdout
