"""Wheel and sdist as a user gets them: each alone in an empty environment."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flask_hardening", "celery_hooks")
APP = """
from flask import Flask
from flask_hardening import Hardening
app = Flask("shop")
Hardening(app)
"""
IMPORT_ALL = """
import importlib, pathlib, sys
import flask_hardening
for name in flask_hardening.__all__:
    getattr(flask_hardening, name)
folder = pathlib.Path(flask_hardening.__file__).parent
assert "site-packages" in folder.parts, folder
for file in folder.rglob("*.py"):
    parts = file.relative_to(folder.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if name != "flask_hardening.gunicorn" and ".adapters" not in name and "transactions" not in name:
        importlib.import_module(name)
assert "celery" not in sys.modules
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program that has to succeed and return what it printed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def sources() -> set[str]:
    """Return every file of both packages in the tree, as it must be shipped."""
    return {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """Build both, the wheel out of the sdist, as `pip install` of the sdist would."""
    folder = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, ROOT),
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="session", params=["wheel", "sdist"])
def installed(request, distributions, tmp_path_factory):
    """Install one of them into an environment of its own and return its programs' folder."""
    folder = tmp_path_factory.mktemp(request.param)
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    python = programs / "python"
    requirement = f"{distributions[request.param]}"
    run(*uv, "pip", "install", "--quiet", "--python", python, requirement, cwd=folder)
    return programs


def test_the_wheel_holds_every_file_of_both_packages(distributions):
    """Package data and type markers reach the user; nothing else of the tree does."""
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = {n for n in wheel.namelist() if ".dist-info/" not in n}
    assert names == sources()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_the_sdist_holds_what_its_own_tests_need(distributions):
    """Who packages it for a system can build and test it from the sdist."""
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {n.partition("/")[2] for n in sdist.getnames()}
    assert sources() <= names
    assert {"tox.ini", "Makefile", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    assert "tests/package/test_distributions.py" in names
    assert "docs/quickstart.md" in names
    assert not [n for n in names if "__pycache__" in n or n.startswith("docs/_build")]


def test_every_module_imports_without_celery(installed, tmp_path):
    """The plain installation has all it imports, and needs no Celery."""
    run(installed / "python", "-W", "error", "-c", IMPORT_ALL, cwd=tmp_path)


def test_the_command_is_there(installed, tmp_path):
    """Flask finds `flask hardening config` by its entry point."""
    (tmp_path / "app.py").write_text(APP)
    printed = run(installed / "flask", "--app", "app", "hardening", "config", cwd=tmp_path)
    assert "HARDENING_LOGS_LEVEL" in printed


def test_the_type_markers_are_installed(installed):
    """Type checkers read the annotations of both packages (PEP 561)."""
    (packages,) = (installed.parent / "lib").glob("python*/site-packages")
    for package in PACKAGES:
        assert (packages / package / "py.typed").is_file()


@pytest.mark.parametrize(
    ("extras", "code"),
    [
        ("celery", "import celery, celery_hooks; celery_hooks.install(celery.Celery('x'))"),
        ("celery,redis", "import kombu; kombu.Connection('redis://localhost').transport"),
    ],
)
def test_an_extra_brings_what_it_is_for(distributions, tmp_path, extras, code):
    """`pip install flask-hardening[...]` is enough for the hooks, and for a Redis broker."""
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    requirement = f"flask-hardening[{extras}] @ {distributions['wheel'].as_uri()}"
    run(*uv, "pip", "install", "--quiet", "--python", python, requirement, cwd=tmp_path)
    run(python, "-W", "error", "-c", code, cwd=tmp_path)
