"""The public names: sorted, complete, lazily loaded, and the same for a type checker."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flask_hardening


def test_all_is_sorted_and_every_name_is_there():
    """`__all__` is sorted, `dir()` shows it, and each name can be got."""
    names = flask_hardening.__all__
    assert names == sorted(names) == dir(flask_hardening)
    for name in names:
        assert getattr(flask_hardening, name).__name__ == name


def test_the_type_checker_sees_the_same_names():
    """What is imported for type checkers is what is exported, from the same rooms."""
    tree = ast.parse(Path(flask_hardening.__file__).read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module.removeprefix("flask_hardening.")
        for node in guarded.body
        for alias in node.names
    }
    assert seen == flask_hardening._ROOMS
    assert sorted(seen) == flask_hardening.__all__


def test_another_name_is_an_attribute_error():
    """A name that isn't there is said as Python says it."""
    with pytest.raises(
        AttributeError, match="'flask_hardening' has no attribute 'Hardned'"
    ):
        _ = flask_hardening.Hardned


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import flask_hardening", ("flask", "loguru", "werkzeug", "celery")),
        (
            "from flask_hardening import propagate",
            ("flask", "werkzeug", "celery", "requests"),
        ),
        ("from flask_hardening.core import logs", ("flask", "werkzeug", "celery", "kombu")),
        (
            "from flask_hardening import Hardening",
            ("celery", "kombu", "celery_hooks", "httpx"),
        ),
    ],
)
def test_a_name_loads_no_more_than_it_needs(code, absent):
    """Importing the package costs nothing, and a name only what stands behind it."""
    script = f"import sys; {code}; print(*[n for n in {absent!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == []
