"""
Measures what a request costs in each setup, all of them in turns, and writes the results.

`python -m benchmarks.run` writes `docs/benchmark.md` and `docs/benchmark.svg`. What is
measured is the CPU time of the thread that serves; the smallest of many short blocks counts,
since whatever else a machine does only adds to it. Read the ratios: the microseconds are
those of one machine.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Self

from benchmarks import masking, plot
from benchmarks.results import Result
from benchmarks.setups import OURS, SETUPS
from benchmarks.worker import ANSWERS

_ROOT = Path(__file__).resolve().parent.parent
_BLOCK = 200
_COMPARED = (
    "flask",
    "flask-hardening",
    "loguru",
    "opentelemetry-instrumentation-flask",
    "prometheus-flask-exporter",
    "sentry-sdk",
    "structlog",
)


class Worker:
    """A process that serves with one setup; a thread reads what it logs and forgets it."""

    def __init__(self, setup: str, request: str) -> None:
        answers, given = os.pipe()
        self._answers = os.fdopen(answers)
        code = f"import os; os.dup2({given}, {ANSWERS}); from benchmarks.worker import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, setup, request],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(given,),
            cwd=_ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        os.close(given)
        threading.Thread(target=self._drain, daemon=True).start()
        if self._answers.readline() != "ready\n":
            raise SystemExit(f"The setup {setup!r} does not start.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._answers.close()

    def measure(self, count: int) -> float:
        """Return the microseconds per request of one block."""
        self._process.stdin.write(b"%d\n" % count)
        self._process.stdin.flush()
        return int(self._answers.readline()) / count / 1000

    def _drain(self) -> None:
        with self._process.stdout as lines:
            while lines.read1(1 << 16):
                pass


def measure(setups: list[str], request: str, rounds: int) -> dict[str, Result]:
    """Measure setups, one block of each in turns."""
    best = dict.fromkeys(setups, float("inf"))
    workers = {setup: Worker(setup, request) for setup in setups}
    for _ in range(rounds):
        for setup, worker in workers.items():
            best[setup] = min(best[setup], worker.measure(_BLOCK))
    for worker in workers.values():
        worker.__exit__()
    bare = best["bare"]
    return {
        setup: Result(SETUPS[setup][0], setup in OURS, value, value / bare - 1)
        for setup, value in best.items()
    }


def main() -> None:
    """Measure, print, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="blocks of each setup")
    parser.add_argument("--dry", action="store_true", help="print, and write no file")
    options = parser.parse_args()
    simple = measure([s for s in SETUPS if s != "all with bodies"], "get", options.rounds)
    large = measure(["bare", "all", "all with bodies"], "post", options.rounds)
    masked = masking.cost(options.rounds) / simple["bare"].best
    page = _page(simple, large, masked)
    print(page)
    if not options.dry:
        (_ROOT / "docs" / "benchmark.md").write_text(page)
        (_ROOT / "docs" / "benchmark.svg").write_text(plot.bars(list(simple.values())))


def _page(simple: dict[str, Result], large: dict[str, Result], masked: float) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _COMPARED)
    return f"""Measured on {dt.datetime.now(dt.timezone.utc):%Y-%m-%d} with Python \
{platform.python_version()} on {os.cpu_count()} cores of a shared machine: {versions}.

A request that a view answers with a little JSON:

{_table(simple)}

A request with 2 kB of JSON, read by the view:

{_table(large)}

Masking such a body takes {masked:.2f} times as long as a whole request of Flask alone, the
first one above.
"""


def _table(results: dict[str, Result]) -> str:
    rows = [
        f"| {result.title} | {result.best:.0f} µs | "
        + ("" if setup == "bare" else f"{result.over:+.2f}")
        + " |"
        for setup, result in results.items()
    ]
    return "\n".join(["| Setup | Per request | Over Flask alone |", "|---|---|---|", *rows])


if __name__ == "__main__":
    main()
