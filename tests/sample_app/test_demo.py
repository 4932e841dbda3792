"""The demo from end to end: real processes, real traffic, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from processes import poll

ROOT = Path(__file__).parents[2]
PROCESSES = ("api", "auth", "business", "worker")


def environment(**more):
    """Return the demo's environment: no servers of ours, no settings of ours."""
    dropped = ("FLASK_", "DATABASE_URL", "REDIS_URL", "SAMPLE_", "SECRET_KEY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


COMMAND = [sys.executable, "-m", "sample_app.demo"]


def once(*arguments, **env):
    """Run the demo to its end."""
    return subprocess.run(
        [*COMMAND, "--once", *arguments],
        env=environment(**env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def processes_in(folder):
    """Return the processes that work in a folder, also one that has been deleted."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(link.readlink()).startswith(str(folder)):
                found.append(int(link.parent.name))
        except OSError:  # it is gone, or a zombie
            continue
    return found


@contextmanager
def running(tmp_path, *arguments):
    """Start the demo; yields its process, and what tells whether it has said something."""
    output = tmp_path / "screen"
    # tests run under nohup would hand down that a closed terminal changes nothing
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with output.open("wb") as screen:
            demo = subprocess.Popen(
                [*COMMAND, *arguments],
                env=environment(TMPDIR=str(tmp_path)),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )
    finally:
        signal.signal(signal.SIGHUP, inherited)

    def said(text):
        assert demo.poll() is None, output.read_text()
        return text in output.read_text()

    try:
        yield demo, said
    finally:
        demo.kill()
        demo.wait()
        for pid in processes_in(tmp_path):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """One run with `--once`: its result and its folder."""
    folder = tmp_path_factory.mktemp("demo")
    return once("--dir", str(folder)), folder


def lines_of(folder, process):
    """Return the log of one process; each line must be JSON."""
    text = (folder / "logs" / f"{process}.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


def followed(result):
    """Return the id that the demo follows."""
    return re.search(r"POST /invoices    id (\w+)", result.stdout)[1]


def test_ends_well(shown):
    """`--once` sets all up from nothing, holds what it shows, and ends with 0."""
    result, _ = shown
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    assert "All of it holds." in result.stdout
    assert "✗" not in result.stdout
    assert "All processes are stopped." in result.stdout


def test_fits_the_screen(shown):
    """No line is longer than 100 columns, and a pipe gets no colours."""
    result, folder = shown
    # a path is shown whole, so that it can be copied
    lines = [line for line in result.stdout.splitlines() if str(folder) not in line]
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in result.stdout


def test_shows_every_kind_of_call(shown):
    """Good, invalid, slow and unexpected requests are shown with status, time and id."""
    result, _ = shown
    calls = re.findall(
        r"^  ✓ (\d{3})  ([A-Z]+ \S+) +(\d+) ms  (\w{32})", result.stdout, re.MULTILINE
    )
    statuses = {int(status) for status, *_ in calls}
    assert {200, 201, 202, 400, 401, 404, 405, 409, 422, 500} <= statuses
    assert len({correlation_id for *_, correlation_id in calls}) == len(calls)
    assert max(int(time) for _, _, time, _ in calls) > 1000


def test_four_processes_share_one_id(shown):
    """The logs of the API, both services and the worker carry the followed id."""
    result, folder = shown
    wanted = followed(result)
    for process in PROCESSES:
        lines = [x for x in lines_of(folder, process) if x.get("correlation_id") == wanted]
        assert lines, f"{process} has no line with {wanted}"
        assert {line["service"] for line in lines} == {process}


def test_the_story_is_told_in_order(shown):
    """The timeline has the retried attempt, the one that succeeds, and the payment."""
    result, _ = shown
    story = result.stdout.partition("followed through")[2].partition("An exception")[0]
    steps = [
        "GET /tokens/check 200",
        "GET /businesses/1 200",
        "POST /invoices 201",
        "send_invoice retried (attempt 1)",
        "The invoice has been sent.",
        "The payment has been settled.",
        "settle_payment succeeded (attempt 1)",
    ]
    places = [story.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    # two worker processes: which job ends first is open
    assert story.find("send_invoice succeeded (attempt 2)") > places[4]


def test_nothing_of_the_bug_reaches_its_client(shown):
    """The 500's body is shown, and the exception's text stands in the log only."""
    result, folder = shown
    body = json.loads(
        "{" + result.stdout.partition("was told:")[2].split("{")[1].split("}")[0] + "}"
    )
    assert (body["statusCode"], body["code"]) == (500, "internal_error")
    failed = [x for x in lines_of(folder, "api") if x.get("event") == "request.failed"]
    assert [x["exception_message"] for x in failed] == ["division by zero"]
    assert failed[0]["correlation_id"] == body["correlationId"]


def test_real_servers_take_the_place_of_the_embedded_ones(
    redis_url, postgresql_url, tmp_path
):
    """REDIS_URL and DATABASE_URL are used, whatever the database has in it already."""
    servers = {"REDIS_URL": redis_url + "/3", "DATABASE_URL": postgresql_url}
    result = once("--dir", str(tmp_path), **servers)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "postgresql" in result.stdout
    assert not (tmp_path / "logs" / "broker.log").exists()
    assert not (tmp_path / "sample.db").exists()


def test_serves_until_ctrl_c(tmp_path):
    """It keeps serving; SIGINT ends it with 0 and leaves neither process nor folder."""
    with running(tmp_path) as (demo, said):
        poll(lambda: said("Ctrl-C stops all of it."), "the demo to serve", 100)
        screen = (tmp_path / "screen").read_text()
        url = re.search(r"API +(http\S+)", screen)[1]
        answer = requests.get(url + "/invoices/1", timeout=10)
        assert answer.json()["correlationId"] == answer.headers["X-Correlation-ID"]
        token = Path(re.search(r"-H @(\S+)", screen)[1])
        assert token.stat().st_mode & 0o777 == 0o600
        name, _, value = token.read_text().strip().partition(": ")
        assert requests.get(url + "/invoices/1", headers={name: value}, timeout=10).ok
        # the broker, 2 + 2 + 3 of gunicorn, 3 of Celery
        assert len(processes_in(tmp_path)) == 13  # two of them are the payment provider's
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        assert processes_in(tmp_path) == []
        assert [path.name for path in tmp_path.iterdir()] == ["screen"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stops_while_it_starts(tmp_path, how):
    """Told to stop half-way through the start, it leaves no process behind."""
    with running(tmp_path) as (demo, said):
        poll(lambda: said("✓ database"), "half of the start", 60)
        demo.send_signal(how)
        assert demo.wait(60) == 130
        assert processes_in(tmp_path) == []


def test_a_child_that_dies_is_reported(tmp_path):
    """A service that can't start ends the demo with 1 and the end of that service's log."""
    result = once("--dir", str(tmp_path), FLASK_HARDENING_LOGS_LEVEL="LOUD")
    assert result.returncode == 1
    assert "auth has ended with status" in result.stdout
    assert "HARDENING_LOGS_LEVEL = 'LOUD' must be one of" in result.stdout
    assert str(tmp_path / "logs" / "auth.log") in result.stdout
    assert "Traceback" not in result.stderr
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        (
            {"REDIS_URL": "redis://:secret@127.0.0.1:9/0"},
            "REDIS_URL = redis://:***@127.0.0.1:9/0",
        ),
        (
            {"DATABASE_URL": "postgresql://u:secret@127.0.0.1:9/d"},
            "The database postgresql+psycopg://u:***@127.0.0.1:9/d can't be used",
        ),
    ],
)
def test_a_server_that_is_not_there(tmp_path, env, reason):
    """A wrong URL is named, without its password."""
    result = once("--dir", str(tmp_path), **env)
    assert result.returncode == 1
    assert reason in result.stdout
    assert "secret" not in result.stdout + result.stderr


def test_a_port_that_is_taken(tmp_path):
    """A taken port is said before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = once("--port", str(port), "--dir", str(tmp_path))
    assert result.returncode == 1
    assert f"Port {port} is taken" in result.stdout
    assert once("--port", "70000").returncode == 2


def test_payments_break(tmp_path):
    """With `--break payments` a payment outlives its provider's outage, and is made once."""
    result = once("--break", "payments", "--dir", str(tmp_path))
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    events = [line.get("event") for line in lines_of(tmp_path, "worker")]
    opened = events.index("breaker.opened")
    assert "breaker.rejected" in events[opened:]
    assert "breaker.closed" in events[opened:]
    assert "payment.settled" in events[events.index("breaker.closed") :]
