"""`print` and stderr in a worker: whole lines become lines of the log, nothing is lost or torn."""

from __future__ import annotations

import sys
import threading

import pytest

from flask_hardening.core.correlation import correlated

QUIET = {"HARDENING_LOGS_OUTPUTS": ()}


@pytest.fixture
def start(make_celery, worker_logs):
    """Set up a worker's outputs, in the test itself: pytest changes the streams before it."""
    return lambda **conf: worker_logs(make_celery(QUIET, **conf))


def told(lines, logger):
    """Return the messages of one stream."""
    return [x["message"] for x in lines if x["logger"] == logger]


def test_each_line_of_a_print_is_a_line(start):
    """Text with line ends makes one line each; empty ones are left out."""
    lines = start()
    sys.stdout.write("one\n\n  two  \nthree")
    assert told(lines, "stdout") == ["one", "  two"]

    sys.stdout.write(" goes on\n")
    assert told(lines, "stdout") == ["one", "  two", "three goes on"]


def test_a_line_without_an_end_is_told_at_a_flush(start):
    """What has no line end yet is not held back for ever."""
    lines = start()
    sys.stderr.write("almost")
    assert told(lines, "stderr") == []
    sys.stderr.flush()
    assert told(lines, "stderr") == ["almost"]


def test_a_line_that_never_ends_is_told_in_parts(start):
    """A stream without line ends can't fill the memory."""
    lines = start()
    for _ in range(200):
        sys.stdout.write("x" * 1000)
    sys.stdout.flush()

    parts = told(lines, "stdout")
    assert "".join(parts) == "x" * 200_000
    assert 1 < len(parts) < 10


def test_the_lines_of_threads_are_not_mixed(start):
    """Each thread's half lines wait for their own ends, and carry their own ids."""
    lines = start()
    gate = threading.Barrier(4)

    def speak(name):
        with correlated(name):
            for _ in range(50):
                gate.wait(10)
                sys.stdout.write(name)
                gate.wait(10)
                sys.stdout.write(name + "\n")

    threads = [threading.Thread(target=speak, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = [x for x in lines if x["logger"] == "stdout"]
    assert len(found) == 200
    assert all(x["message"] == x["correlation_id"] * 2 for x in found)


def test_programs_see_an_ordinary_stream(start):
    """What others ask of a stream before they write is answered."""
    start()
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        assert stream.writable()
        assert not stream.isatty()
        assert stream.encoding == "utf-8"
        assert stream.fileno() == descriptor
        assert stream.write("ünïcode\n") == 8


def test_the_level_is_celerys_setting(start):
    """`worker_redirect_stdouts_level` is the level of the lines."""
    lines = start(worker_redirect_stdouts_level="ERROR")
    sys.stdout.write("loud\n")

    assert [x["level"] for x in lines if x["logger"] == "stdout"] == ["ERROR"]


def test_without_redirection_the_streams_stay(start):
    """`worker_redirect_stdouts = False` leaves the streams alone, as in Celery."""
    before = sys.stdout, sys.stderr, sys.__stdout__
    start(worker_redirect_stdouts=False)

    assert (sys.stdout, sys.stderr, sys.__stdout__) == before
