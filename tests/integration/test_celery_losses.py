"""Runs whose process was taken from under them: the main process tells how they ended."""

from __future__ import annotations

import pytest
from conftest import CELLS
from scenarios import LOSSES, ends_of

PREFORK = [cell for cell in CELLS if cell[1] == "prefork"]
pytestmark = pytest.mark.parametrize(
    "recording", PREFORK, ids="-".join, indirect=True, scope="session"
)


@pytest.mark.parametrize("scenario", LOSSES)
def test_a_lost_run_ends_once(recording, scenario):
    """A killed child, a hard time limit, an exit, a termination: one end, under the id."""
    assert ends_of(recording.of(scenario)) == LOSSES[scenario].ends


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("killed", "billiard.exceptions.WorkerLostError"),
        ("leaves", "billiard.exceptions.WorkerLostError"),
        ("stuck", "billiard.exceptions.TimeLimitExceeded"),
    ],
)
def test_a_lost_run_tells_how(recording, scenario, error):
    """The line says what took the process, for which task, and from which queue."""
    line = recording.one(scenario, "task.failed")

    told = [x for x in recording.lines if x.get("event") == "task.failed"]
    assert [x["correlation_id"] for x in told if x["task"] == scenario] == [scenario]
    assert line["task"] == scenario
    assert line["exception_type"] == error
    assert line["queue"] == recording.queue
    assert line["attempt"] == 1


def test_a_terminated_run_says_so(recording):
    """A run ended by remote control is revoked, not failed."""
    assert recording.one("terminated", "task.revoked")["terminated"] is True
