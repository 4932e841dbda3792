"""loguru's records taken in: every message as it was meant, every other sink left alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from loguru import logger

from flask_hardening.core import logs, process


@pytest.mark.parametrize(
    "message",
    ["{", "{}", "{x}", "{x.__class__}", "{0}", "<red>x</red>", "</", "<", "\\<a>", "%s"],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_messages_are_never_formatted_again(set_up_logs, capfd, message, form):
    """Braces and tags that came from outside are text, in both forms."""
    set_up_logs(format=form)
    logger.bind(x="evaluated").info(message)
    out = capfd.readouterr().out
    assert message.replace("\\", "\\\\" if form == "json" else "\\") in out
    assert out.count("evaluated") == 1  # the field itself


def test_newlines_stay_in_the_line(set_up_logs, read_lines):
    """A message of several lines is one record."""
    set_up_logs()
    logger.info("one\ntwo")
    assert [line["message"] for line in read_lines()] == ["one\ntwo"]


def test_arguments_are_formatted_as_loguru_does(set_up_logs, read_lines):
    """A message with arguments is what loguru makes of it."""
    set_up_logs()
    logger.info("{} of {total}", 1, total=2)
    (line,) = read_lines()
    assert (line["message"], line["total"]) == ("1 of 2", 2)


def test_bound_fields_are_fields_and_secrets_masked(set_up_logs, read_lines):
    """`bind`, `contextualize` and arguments by name become fields; secrets are masked."""
    set_up_logs()
    with logger.contextualize(tenant="a"):
        logger.bind(order={"id": 1, "cardNumber": "4111"}).info("x", api_key="k")
    (line,) = read_lines()
    assert line["tenant"] == "a"
    assert line["order"] == {"id": 1, "cardNumber": "***"}
    assert line["api_key"] == "***"


def test_fields_named_like_ours_do_not_replace_ours(set_up_logs, read_lines):
    """A field with one of our names gets a `_` behind; `event` alone is the caller's to set."""
    set_up_logs()
    logger.bind(level="x", timestamp=1, correlation_id="y", event="a.b").info("m")
    logger.bind(event=5).info("m")
    first, second = read_lines()
    assert (first["level"], first["level_"]) == ("INFO", "x")
    assert (first["timestamp_"], first["correlation_id_"]) == (1, "y")
    assert first["event"] == "a.b"
    assert "correlation_id" not in first
    assert second["event_"] == 5


def test_exceptions_have_their_stack_and_no_values(set_up_logs, read_lines):
    """Type, text and stack are told; the values of variables aren't even asked for."""

    class Hidden:
        def __repr__(self):
            asked.append(1)
            return "hunter2"

    set_up_logs()
    asked: list[int] = []
    hidden = Hidden()
    try:
        raise LookupError(id(hidden))
    except LookupError:
        logger.exception("it failed")
    assert asked == []
    (line,) = read_lines()
    assert line["exception_type"] == "builtins.LookupError"
    assert "raise LookupError" in line["exception_stack"]
    assert "hunter2" not in str(line)


def test_an_exception_without_a_text(set_up_logs, read_lines):
    """An exception whose `__str__` fails is still one line."""

    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    set_up_logs()
    logger.opt(exception=MuteError()).error("it failed")
    (line,) = read_lines()
    assert line["message"] == "it failed"
    assert line["exception_type"].endswith("MuteError")


def test_a_level_of_the_apps_own(set_up_logs, read_lines):
    """A custom level keeps its name and is filtered by its number."""
    if "AUDIT" not in logger._core.levels:
        logger.level("AUDIT", no=35)
    set_up_logs(level="ERROR", levels={__name__: "WARNING"})
    logger.log("AUDIT", "x")
    assert [line["level"] for line in read_lines()] == ["AUDIT"]


def test_levels_by_name(set_up_logs, read_lines):
    """The longest matching name decides; a name matches itself and what is below it."""
    set_up_logs(level="WARNING", levels={"shop": "DEBUG", "shop.noisy": "ERROR"})
    for name in ("other", "shop", "shop.cart", "shop.noisy", "shop.noisy.x", "shopping"):
        for level in ("DEBUG", "WARNING", "ERROR"):
            logger.patch(lambda record, name=name: record.update(name=name)).log(level, "x")
    heard = [(line["logger"], line["level"]) for line in read_lines()]
    assert heard == [
        ("other", "WARNING"),
        ("other", "ERROR"),
        ("shop", "DEBUG"),
        ("shop", "WARNING"),
        ("shop", "ERROR"),
        ("shop.cart", "DEBUG"),
        ("shop.cart", "WARNING"),
        ("shop.cart", "ERROR"),
        ("shop.noisy", "ERROR"),
        ("shop.noisy.x", "ERROR"),
        ("shopping", "WARNING"),
        ("shopping", "ERROR"),
    ]


@pytest.mark.parametrize(("development", "lowest"), [(True, "DEBUG"), (False, "INFO")])
def test_debug_is_the_default_in_development_only(set_up_logs, capfd, development, lowest):
    """Without a setting, DEBUG lines are written in development and nowhere else."""
    set_up_logs(development=development)
    for level in ("TRACE", "DEBUG", "INFO"):
        logger.log(level, "x")
    assert capfd.readouterr().out.count(lowest) == 1
    assert logs.enabled("DEBUG", "x") is development


def test_a_users_sinks_stay(set_up_logs):
    """Sinks of the app's own get every record before, during and after ours."""
    heard = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level=0)
    logger.info("before")
    set_up_logs()
    logger.debug("during")
    process.close_all()
    logger.info("after")
    logger.remove(sink)
    assert heard == ["before", "during", "after"]


def test_an_app_that_removes_every_sink_breaks_nothing(set_up_logs, read_lines):
    """`logger.remove()` takes ours out, too; giving the logs back is no error then."""
    set_up_logs()
    for sink in list(logger._core.handlers):
        logger.remove(sink)
    logger.info("into the void")
    process.close_all()
    assert read_lines() == []


SCRIPT = """
from loguru import logger
from flask_hardening.core import logs, settings
logs.set_up(logs.Plan.of(settings.Logs(), development=False), {"service": "s"}, "script")
secret = "hunter" + str(2)
try:
    raise LookupError(len(secret))
except LookupError:
    logger.exception("once")
"""


def test_the_sink_that_loguru_starts_with_is_taken_out():
    """Each line is written once, and loguru's own sink shows no local variables on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.count('"message":"once"') == 1
    assert done.stderr == ""
    assert "hunter2" not in done.stdout
