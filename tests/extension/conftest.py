"""A hardened app with any settings, a client for it, and the lines it wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from flask_hardening import Hardening
from flask_hardening.core import shield

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def make_app(_fresh_process):  # pytest-flask asks for `app` before our own fixtures run
    """Make a hardened app; `LOGS_LEVEL="DEBUG"` stands for `HARDENING_LOGS_LEVEL`."""

    def make(
        name: str = "shop",
        *,
        debug: bool = False,
        testing: bool = False,
        before: Callable[[Flask], None] | None = None,
        **values,
    ) -> Flask:
        app = Flask(name)
        app.debug, app.testing = debug, testing
        app.config.update({f"HARDENING_{key}": value for key, value in values.items()})
        if before is not None:
            before(app)
        Hardening(app)
        app.add_url_rule("/ok", view_func=lambda: "fine", endpoint="ok")
        app.add_url_rule("/boom", view_func=_boom, endpoint="boom")
        return app

    return make


def _boom() -> None:
    hunter = "hunter2"
    raise RuntimeError("the vault is under the stairs", len(hunter))


@pytest.fixture
def app(make_app) -> Flask:
    """Return the app behind pytest-flask's `client`."""
    return make_app()


@pytest.fixture
def raising(make_app):
    """Return a client whose `/raise` raises what it is given."""

    def make(error: BaseException, **settings):
        app = make_app(**settings)

        @app.route("/raise")
        def view() -> None:
            raise error

        return app.test_client()

    return make


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def read_lines(capfd):
    """Return the lines written to stdout since the last call, each parsed."""

    def read(event: str | None = None) -> list[dict]:
        *out, rest = capfd.readouterr().out.split("\n")
        assert rest == ""
        lines = [json.loads(line, parse_constant=_refuse) for line in out]
        return [line for line in lines if event is None or line.get("event") == event]

    return read


@pytest.fixture(autouse=True)
def _nothing_lost() -> Iterator[None]:
    """Fail a test that loses telemetry without expecting it."""
    yield
    assert not shield.dropped
