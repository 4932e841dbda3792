"""`flask hardening breakers`: how the breakers of all processes stand, and how they are set."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest
from flask import Flask

from flask_hardening.cli import cli
from flask_hardening.core.resilience import boardfile, targets
from flask_hardening.core.resilience.errors import CircuitOpenError
from flask_hardening.resilience import guard

SET = {"billing": {"attempts": 2}, "*": {"budget": 0.1}, "stock": {"window": 5.0}}


@pytest.fixture(autouse=True)
def _declared(monkeypatch):
    """Let other tests' guards be none of this app's."""
    monkeypatch.setattr(targets, "_declared", {})


@pytest.fixture
def path(tmp_path):
    """Return where the board is."""
    return str(tmp_path / "breakers")


@pytest.fixture
def ask(make_app):
    """Return what runs the command for an app with these settings."""

    def app_with(**values):
        app = make_app(**{"RESILIENCE_TARGETS": SET, **values})
        guard("billing", profile="third_party", consecutive=4)

        def ask(*arguments, code=0):
            result = app.test_cli_runner().invoke(cli, ["breakers", *arguments])
            assert result.exit_code == code, result.output
            return result

        return ask

    return app_with


def rows(result):
    """Return the lines of the table by their first word."""
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["TARGET", "PROFILE", "STATE", "DUE", "IN"]
    return {line.rsplit(maxsplit=3)[0]: line.split()[1:] for line in lines}


def fail(name, key="", times=5):
    """Make a target's calls fail."""

    def gone():
        raise ConnectionRefusedError

    breaker = targets.active().target(name).breaker(key)
    for _ in range(times):
        with pytest.raises(ConnectionRefusedError):
            breaker.call(gone)


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_without_a_board_it_says_why_there_are_no_states(ask, arguments):
    """Once, with the setting that changes it; the targets are there all the same."""
    result = ask()(*arguments)
    assert rows(result) == {
        "billing": ["third_party", "-", "-"],
        "stock": ["-", "-", "-"],
    }
    assert result.output.count("HARDENING_RESILIENCE_SHARED") == 1
    assert "States live in each process" in result.stderr


def test_states_come_from_the_board(ask, path):
    """One line per breaker: open ones with their seconds, those that were never called too."""
    run = ask(RESILIENCE_SHARED=path)
    guard("api")
    fail("api", "one:443")
    targets.active().target("api").breaker("two:443")
    fail("stock")
    result = run()
    assert "SHARED" not in result.output
    lines = {line.split("  ")[0]: line.split() for line in result.stdout.splitlines()}
    assert lines["api (one:443)"][2:4] == ["http", "open"]
    assert 0 < float(lines["api (one:443)"][4]) <= 12
    assert lines["api (two:443)"][2:] == ["http", "closed", "-"]
    assert "api" not in lines
    assert lines["billing"][1:] == ["third_party", "not", "called", "-"]
    assert lines["stock"][1:3] == ["-", "open"]


def test_one_that_is_due_is_half_open(ask, path):
    """Whoever calls it next sends the probe."""
    run = ask(RESILIENCE_SHARED=path, RESILIENCE_TARGETS={"stock": {"open_for": 0.01}})
    fail("stock")
    time.sleep(0.03)
    assert rows(run())["stock"][1:] == ["half_open", "now"]


def test_options_and_where_they_come_from(ask, path):
    """Settings win over the code, the code over the profile; the states follow."""
    result = ask(RESILIENCE_SHARED=path)("show", "billing")
    options, states = result.stdout.split("\n\n")
    found = {line.split()[0]: line.split()[1:] for line in options.splitlines()}
    assert found["attempts"] == ["2", "HARDENING_RESILIENCE_TARGETS['billing']"]
    assert found["budget"] == ["0.1", "HARDENING_RESILIENCE_TARGETS['*']"]
    assert found["consecutive"] == ["4", "code"]
    assert found["open_for"] == ["30.0", "profile", "third_party"]
    assert len(found) == 1 + len(targets.Options.__dataclass_fields__)
    assert states.splitlines()[1].split() == [
        "billing",
        "third_party",
        "not",
        "called",
        "-",
    ]


def test_a_target_of_the_settings_alone(ask):
    """Its profile stands in code that isn't there, so only what is set is shown."""
    result = ask()("show", "stock")
    assert "its profile is not known" in result.stdout
    assert "window" in result.stdout
    assert "open_for" not in result.stdout


@pytest.mark.parametrize("command", ["show", "open", "disable", "reset"])
def test_an_unknown_name_is_refused(ask, path, command):
    """The nearest one is named."""
    result = ask(RESILIENCE_SHARED=path)(command, "biling", code=2)
    assert "There is no target 'biling'. The nearest name is 'billing'." in result.stderr


@pytest.mark.parametrize("command", ["open", "disable", "reset"])
def test_without_a_board_nothing_can_be_set(ask, command):
    """The setting is named."""
    assert "HARDENING_RESILIENCE_SHARED" in ask()(command, "billing", code=1).stderr


@pytest.mark.parametrize(
    ("command", "state"), [("open", "forced_open"), ("disable", "disabled")]
)
def test_setting_and_resetting(ask, path, command, state):
    """It is seen by this process, and by the next command."""
    run = ask(RESILIENCE_SHARED=path)
    breaker = targets.active().target("billing").breaker()
    assert "billing" in run(command, "billing").stdout
    assert breaker.state == state
    assert rows(run())["billing"][1] == state
    assert run("reset", "billing").stdout == "billing is closed in all processes.\n"
    assert breaker.state == "closed"


def test_a_target_with_hosts_is_set_as_a_whole_or_by_one(ask, path):
    """`api` is all its hosts; a host's breaker has a name, too."""
    run = ask(RESILIENCE_SHARED=path)
    guard("api")
    target = targets.active().target("api")
    one, two = target.breaker("one:443"), target.breaker("two:443")
    run("open", "api")
    assert (one.state, two.state) == ("forced_open", "forced_open")
    run("reset", "api (two:443)")
    assert (one.state, two.state) == ("forced_open", "closed")


def test_a_running_process_is_reached(ask, path):
    """One that calls all the time stops when it is told to, and goes on when it may."""
    run = ask(RESILIENCE_SHARED=path)
    breaker = targets.active().target("billing").breaker()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        with contextlib.suppress(BaseException):
            seen = b""
            while True:
                try:
                    now = breaker.call(lambda: b"+")
                except CircuitOpenError:
                    now = b"-"
                if now != seen:
                    os.write(writing, now)
                seen = now
                time.sleep(0.001)
        os._exit(1)
    try:
        assert os.read(reading, 1) == b"+"
        run("open", "billing")
        assert os.read(reading, 1) == b"-"
        run("reset", "billing")
        assert os.read(reading, 1) == b"+"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def test_a_lock_that_is_held_is_told(ask, path):
    """The command ends with 1 and says what to do, instead of a traceback."""
    run = ask(RESILIENCE_SHARED=path)
    run("reset", "billing")
    with boardfile.this.lock:
        assert "BoardBusyError" in run("open", "billing", code=1).stderr


def test_an_app_whose_part_is_off(ask, path):
    """Its settings are not read, so they are not shown."""
    result = ask(RESILIENCE_ENABLED=False, RESILIENCE_SHARED=path)()
    assert rows(result) == {"billing": ["third_party", "-", "-"]}


def test_an_app_that_is_not_hardened():
    """The command says what to do."""
    result = Flask("bare").test_cli_runner().invoke(cli, ["breakers"])
    assert result.exit_code == 1
    assert "Hardening(app)" in result.output


def test_a_path_that_is_no_absolute_one_is_refused(make_app):
    """Each process may have been started in another folder."""
    with pytest.raises(Exception, match=r"HARDENING_RESILIENCE_SHARED .*absolute path"):
        make_app(RESILIENCE_SHARED="breakers")
