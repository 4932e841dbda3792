"""The pages say what the package does: their code runs, their tables match the source."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flask_hardening.core import recognition
from flask_hardening.core.config import key_of
from flask_hardening.core.errors import STATUS_OF, AppError, Category
from flask_hardening.core.settings import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
PACKAGES = (ROOT / "flask_hardening", ROOT / "celery_hooks")
RUNNER = Path(__file__).parent / "page.py"


def rows(page: str, first: str) -> list[list[str]]:
    """Return the cells of a page's table rows whose first cell matches *first*."""
    found = []
    for line in (DOCS / page).read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(first, cells[0]):
            found.append([cell.replace("\\|", "|") for cell in cells])
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_code_of_a_page_runs_as_shown(path, tmp_path):
    """What a reader copies works, and prints what the page says it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", RUNNER, path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_runner_sees_a_wrong_output(tmp_path):
    """A page whose output is not what it shows fails: the runner isn't blind."""
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one two\none ... three\n```\n")
    done = subprocess.run(
        [sys.executable, RUNNER, page],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "one two" in done.stderr


def test_every_setting_is_documented_with_its_default():
    """The configuration page and the dataclasses name the same keys and defaults."""
    documented = {
        key.strip("`"): default.strip("`")
        for key, _, default, _ in rows("configuration.md", "`HARDENING_[A-Z_]+`")
    }
    declared = {
        key_of(section, field.name): repr(getattr(cls(), field.name))
        for section, cls in SECTIONS.items()
        for field in dataclasses.fields(cls)
    }
    assert documented == declared


def test_every_setting_is_documented_with_its_type_and_meaning():
    """The page's words on a setting are those that stand at the setting."""
    declared = {
        key_of(section, field.name): field.metadata["doc"]
        for section, cls in SECTIONS.items()
        for field in dataclasses.fields(cls)
    }
    for key, kind, _, meaning in rows("configuration.md", "`HARDENING_[A-Z_]+`"):
        assert kind, key
        assert meaning == declared[key.strip("`")], key


def test_every_category_is_documented_with_its_status():
    """The table of categories is the enumeration."""
    documented = {
        name.strip("`"): int(status)
        for name, status, *_ in rows("errors.md", f"`({'|'.join(Category)})`")
        if status.isdigit()
    }
    assert documented == {category.value: STATUS_OF[category] for category in Category}


def test_every_error_class_is_documented():
    """The table of classes to raise is the tree below `AppError`."""
    documented = {
        name.strip("`"): (int(status), code.strip("`"))
        for name, status, code, *_ in rows("errors.md", "`[A-Z][A-Za-z]+Error`")
    }
    classes = [AppError, *AppError.__subclasses__()]
    assert documented == {
        cls.__name__: (cls.status, cls.code)
        for cls in classes
        if cls.__module__ == AppError.__module__
    }


def test_every_recognised_exception_is_documented():
    """What other libraries' exceptions become is listed, and nothing else is."""
    documented = {
        name.strip("`"): (int(status), category.strip("`"), code.strip("`"))
        for name, status, category, code in rows("errors.md", r"`[a-z_]\w*\.[\w.]+`")
    }
    declared = {
        name: (verdict.status, verdict.category.value, verdict.code)
        for name, verdict in recognition._KNOWN.items()
    }
    invalid = (422, "validation", "validation_failed")
    declared |= dict.fromkeys(recognition.VALIDATION, invalid)
    conflict = recognition._CONFLICT
    declared["sqlalchemy.exc.IntegrityError"] = (
        conflict.status,
        conflict.category.value,
        conflict.code,
    )
    assert documented == declared


def test_every_event_is_documented():
    """The list of events and the event names in the source are the same."""
    documented = {name.strip("`") for name, *_ in rows("logs.md", r"`[a-z]+\.[a-z_]+`")}
    assert documented == events()


def events() -> set[str]:
    """Return what the source writes as events: literals like `request.finished`."""
    name = re.compile(
        r"(?:request|task|worker|telemetry|breaker|retry|bulkhead|deadline|db|external)\.[a-z_]+"
    )
    # two ends of a task are written as f"task.{state}"
    found = {"task.rejected", "task.ignored"}
    for package in PACKAGES:
        for file in package.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant):
                    text = str(node.value)
                    found |= {text} if name.fullmatch(text) else set()
                elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("emit"):
                    found |= {
                        a.value for a in node.args[1:2] if isinstance(a, ast.Constant)
                    }
    return {event for event in found if event}
