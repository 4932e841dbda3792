"""What importing the hooks does in a fresh interpreter, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def python(program, *, fails=False, **env):
    """Run a program in an interpreter of its own; returns what it wrote."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLASK_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=kept | env,
        check=False,
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def test_importing_the_hooks_leaves_flask_out():
    """A worker without Flask need not have it: the hooks import neither it nor werkzeug."""
    program = "import sys, celery_hooks; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in python(program).split()}

    assert "celery" in loaded
    assert not loaded & {"flask", "werkzeug", "jinja2"}


def test_no_room_of_the_hooks_imports_flask():
    """Not even the rooms that are imported late bring Flask in."""
    program = """
import pkgutil, sys
import celery_hooks
for room in pkgutil.walk_packages(celery_hooks.__path__, "celery_hooks."):
    __import__(room.name)
print(*sys.modules)
"""
    assert "flask" not in python(program).split()


def test_the_core_knows_no_framework():
    """Every room of the core can be imported without Flask, werkzeug, Celery and kombu."""
    program = """
import pkgutil, sys
import flask_hardening.core as core
for room in pkgutil.walk_packages(core.__path__, core.__name__ + "."):
    __import__(room.name)
print(*sys.modules)
"""
    loaded = {name.partition(".")[0] for name in python(program).split()}

    assert "loguru" in loaded
    assert not loaded & {"flask", "werkzeug", "celery", "kombu"}


AUTO = """
import json
from celery import Celery
app = Celery("auto", broker="memory://", set_as_current=True)
app.conf.imports = ["celery_hooks.auto"]
app.conf.task_always_eager = True
app.loader.import_default_modules()

@app.task(name="any")
def any(note):
    return None

from celery import signals
signals.setup_logging.send(sender=None)
any.delay("seen")
"""


def task_lines(text):
    """Return the lines of tasks that went well."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line.get("event") == "task.succeeded"]


def test_auto_installs_by_the_environment():
    """`imports = ["celery_hooks.auto"]` installs on the current app, set by variables."""
    variables = {
        "FLASK_HARDENING_SERVICE": "from-outside",
        "FLASK_HARDENING_TASKS_ARGUMENTS": "true",
    }
    (line,) = task_lines(python(AUTO, **variables))

    assert line["service"] == "from-outside"
    assert line["args"] == ["seen"]


def test_auto_has_the_defaults_otherwise():
    """Without variables it works by the defaults, under the app's own name."""
    (line,) = task_lines(python(AUTO))

    assert line["service"] == "auto"
    assert "args" not in line


def test_auto_refuses_a_misspelt_variable():
    """An unknown variable stops the worker, with the key and the nearest one."""
    said = python(AUTO, fails=True, FLASK_HARDENING_TASK_ARGUMENTS="true")

    assert "HARDENING_TASK_ARGUMENTS is not a setting" in said
    assert "HARDENING_TASKS_ARGUMENTS" in said
