"""What the house costs in instructions: counted, so that a busy machine changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW, MANY = 100, 300


def counted(folder, module, *arguments):
    """Return the instructions of one round: of many rounds less those of few, per round."""
    python = [os.path.realpath(sys.executable), "-m", module, *arguments, "--count"]
    run([*python, "1"])  # compiles what isn't compiled yet
    few, many = (total(folder, [*python, str(count)]) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def total(folder, command):
    """Return the instructions of a whole run."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.fail(
            "valgrind is missing: run `make test`, which installs it.", pytrace=False
        )
    out = folder / "callgrind"
    run([valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", *command])
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)[1])


def run(command):
    """Run a command to its end."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def environment():
    """Return what makes two runs the same; the interpreter is run past its environment."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Flask's own request."""
    folder = tmp_path_factory.mktemp("bare")
    return counted(folder, "benchmarks.worker", "bare", "get")


def test_a_whole_request(bare, tmp_path):
    """Ids, errors, timing headers and the line cost at most two fifths of Flask's own request."""
    whole = counted(tmp_path, "benchmarks.worker", "all", "get")
    assert whole / bare - 1 <= 0.4


def test_ids_and_headers(bare, tmp_path):
    """Without the line it is a little over one fifth."""
    ids = counted(tmp_path, "benchmarks.worker", "timings", "get")
    assert ids / bare - 1 <= 0.22


def test_masking(bare, tmp_path):
    """
    Masking 2 kB of JSON costs at most two of Flask's own requests.

    In time it is not much more than one: it is counted in instructions, of which the
    search through texts has many, and quick ones.
    """
    masking = counted(tmp_path, "benchmarks.masking")
    assert masking / bare <= 2.0


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A call that does nothing, through `retrying` over `circuitbreaker`."""
    return guarded(tmp_path_factory.mktemp("theirs"), "theirs")


def guarded(folder, kind):
    """Return the instructions of such a call, less those of the call itself."""
    whole, itself = (counted(folder, "benchmarks.guarded", each) for each in (kind, "bare"))
    return whole - itself


def test_retry_and_breaker(theirs, tmp_path):
    """Ours, one over the other, cost at most 0.7 of theirs."""
    assert guarded(tmp_path, "pair") / theirs <= 0.7


def test_a_whole_guard(theirs, tmp_path):
    """With time window, budget, deadline and signals it costs no more than theirs without."""
    assert guarded(tmp_path, "guard") / theirs <= 1.0
