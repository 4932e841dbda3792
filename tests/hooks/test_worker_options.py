"""`--logfile` and `--loglevel` of a worker, and what Celery says louder than it is."""

from __future__ import annotations

import json
import logging

import pytest
from celery import signals

from flask_hardening.core import logs


class Worker:
    """What Celery tells its receivers of a worker that begins."""

    hostname = "w1@here"

    def __init__(self, app):
        self.app = app


def _begin(app, **options):
    signals.celeryd_init.send(
        sender=Worker.hostname, instance=Worker(app), conf=app.conf, options=options
    )


def test_the_file_of_logfile_gets_every_line(celery, tmp_path):
    """A worker that detaches has no stdout; what `--logfile` names has its lines as JSON."""
    _begin(celery, logfile=str(tmp_path / "%n.log"))
    logging.getLogger("some.library").warning("hello")
    (line,) = (tmp_path / "w1.log").read_text().splitlines()
    assert json.loads(line)["message"] == "hello"


def test_beat_has_its_file_too(celery, tmp_path):
    """Beat hands over its options with the signal `setup_logging`."""
    signals.setup_logging.send(sender=None, loglevel=20, logfile=str(tmp_path / "b.log"))
    logging.getLogger("some.library").warning("hello")
    assert "hello" in (tmp_path / "b.log").read_text()


def test_a_file_that_cannot_be_opened(celery, tmp_path):
    """A worker that could not write its log ends at start, and names the option."""
    with pytest.raises(SystemExit, match=r"--logfile '.*missing/x\.log' can't be opened"):
        _begin(celery, logfile=str(tmp_path / "missing" / "x.log"))


@pytest.mark.parametrize(
    ("given", "level"),
    [(logging.ERROR, 40), ("DEBUG", 10), (logging.WARNING, 20), (None, 20)],
)
def test_the_level_of_loglevel(celery, given, level):
    """`--loglevel` counts; Celery's default, WARNING, can't be told from a choice."""
    _begin(celery, loglevel=given)
    assert logs.active().pipeline.level == level


def test_a_level_of_ours_wins(make_celery):
    """`HARDENING_LOGS_LEVEL` is the nearer word."""
    _begin(make_celery({"HARDENING_LOGS_LEVEL": "INFO"}), loglevel=logging.ERROR)
    assert logs.active().pipeline.level == logging.INFO


def test_an_unreached_result_store_is_a_warning(celery, worker_logs):
    """Celery tells a publisher at CRITICAL to restart; the next publish connects anew."""
    lines = worker_logs(celery)
    logging.getLogger("celery.backends.asynchronous").critical(
        "\nRetry limit exceeded while trying to reconnect to the Celery result store\n"
    )
    (line,) = lines
    assert line["level"] == "WARNING"
    assert "restart" not in line["message"]
