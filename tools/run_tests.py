"""Runs the whole tox matrix and says at the end, in plain sight, what was left out."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

REQUIRED = ("3.11", "3.12", "3.13")
NEWER = ("3.14", "3.15")
ROWS = ("lowest", "highest")
QUICK = ("lint", "typing", "imports", "docs", "package", "cost")
_ROOT = Path(__file__).resolve().parent.parent
_START_TIMEOUT = 30
_RULE = "=" * 78


def main() -> int:
    """Run the matrix; 0 means that all that was run has passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="fail if a required interpreter is missing"
    )
    arguments = parser.parse_args()
    found = [version for version in (*REQUIRED, *NEWER) if _runs(version)]
    missing = [version for version in REQUIRED if version not in found]
    if missing and arguments.all:
        _say(f"FAILED: no interpreter found for Python {', '.join(missing)}.")
        return 1
    units = [f"py{v.replace('.', '')}-{row}" for v in found for row in ROWS]
    started = time.monotonic()
    failed = [
        title
        for title, command in (
            ("the quick environments", ["run-parallel", "-p", "2", "-e", *_list(units)]),
            # alone: it starts servers and measures what they do
            ("integration", ["run", "-e", "integration"]),
        )
        if not _tox(command)
    ]
    lines = [f"Ran on Python {', '.join(found)} in {time.monotonic() - started:.0f} s."]
    if missing:
        lines.append(
            f"LEFT OUT: Python {', '.join(missing)}. Not installed here, so NOT TESTED."
        )
    lines.append(
        f"FAILED: {', '.join(failed)}." if failed else "Everything run has passed."
    )
    _say(*lines)
    return 1 if failed else 0


def _runs(version: str) -> bool:
    """Tell whether any `pythonX.Y` on the path runs: a shim may be there and run nothing."""
    for folder in os.get_exec_path():
        program = Path(folder, f"python{version}")
        if not program.is_file():
            continue
        try:
            done = subprocess.run(
                [program, "-c", ""],
                capture_output=True,
                timeout=_START_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return True
    return False


def _list(units: list[str]) -> list[str]:
    return [",".join([*QUICK, *units])]


def _tox(arguments: list[str]) -> bool:
    # what is asked for was found: tox must not leave it out in silence
    command = [sys.executable, "-m", "tox", *arguments, "--skip-missing-interpreters=false"]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode == 0


def _say(*lines: str) -> None:
    print("", _RULE, *lines, _RULE, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
