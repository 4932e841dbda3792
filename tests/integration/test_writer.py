"""Many processes on one pipe, readers that stop, and what `flask hardening join` makes of it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time

from processes import answers, environment, free_port, poll

WRITER = """
import sys
from flask_hardening.core import channel, logs, settings, shield
channel.PATIENCE = 60.0  # a busy machine is no stopped reader
plan = logs.Plan.of(settings.Logs(), development=False)
logs.set_up(plan, {"service": "shop", "environment": "test"}, "a test")
for n in range(60):
    size = 9_000 + (n * 7_919) % 61_000
    text = (sys.argv[1] + '"\\\\é') * (size // 5)
    fields = {f"text_{i}": text[i * 5000:(i + 1) * 5000] for i in range(size // 5000 + 1)}
    logs.emit("INFO", "thing.done", "done", "shop", {"writer": sys.argv[1], "n": n, **fields})
    logs.emit("INFO", "small.done", "done", "shop", {"writer": sys.argv[1], "n": n})
assert not shield.dropped, shield.dropped
"""
STOPPED = """
import os, sys
from flask_hardening.core import logs, settings, shield
plan = logs.Plan.of(settings.Logs(), development=False)
logs.set_up(plan, {"service": "shop", "environment": "test"}, "a test")
for n in range(1000):
    logs.emit("INFO", "thing.done", "x" * 500, "shop", {"n": n})
lost = sum(shield.dropped.values())
sys.stderr.write(f"lost {lost}\\n")
sys.stdin.readline()
logs.emit("INFO", "thing.done", "again", "shop", {"n": 1000})
logs.emit("INFO", "thing.done", "last", "shop", {"n": 1001})
"""
JOIN = [sys.executable, "-m", "flask", "hardening", "join"]


def test_four_processes_on_one_pipe(tmp_path):
    """Records of 9 kB to 70 kB from four processes all come together again, byte for byte."""
    reading, writing = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], stdout=writing)
        for name in "abcd"
    ]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    lines = raw.splitlines(keepends=True)
    assert max(map(len, lines)) <= 4096
    assert all(isinstance(json.loads(line), dict) for line in lines)
    (tmp_path / "log").write_bytes(raw)
    for arguments, given in (([str(tmp_path / "log")], b""), ([], raw)):
        done = subprocess.run(
            [*JOIN, *arguments], input=given, capture_output=True, timeout=60, check=True
        )
        assert done.stderr == b""
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(records) == 4 * 120
        big = [record for record in records if record["event"] == "thing.done"]
        assert {(r["writer"], r["n"]) for r in big} == {
            (w, n) for w in "abcd" for n in range(60)
        }
        assert all(r["text_0"].startswith(r["writer"] + '"') for r in big)


def test_a_record_that_lacks_a_part(tmp_path):
    """`join` prints the parts it has, says which are missing, and ends with 1."""
    line = b'{"record":"0123456789abcdef","part":1,"parts":3,"data":"{"}\n'
    done = subprocess.run(
        JOIN,
        input=line + b"other\n",
        capture_output=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == b"other\n" + line
    assert b"2 of 3 parts missing (2, 3)" in done.stderr


def test_a_reader_that_stops_and_comes_back():
    """A thousand lines to a stopped reader pass; the loss is said once, and told on resuming."""
    child = subprocess.Popen(
        [sys.executable, "-c", STOPPED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    guard = threading.Timer(60, child.kill)
    guard.start()
    said = json.loads(child.stderr.readline())
    assert (said["event"], said["output"]) == ("telemetry.dropped", "stdout")
    lost = int(child.stderr.readline().split()[1])
    assert lost > 500
    before = [json.loads(child.stdout.readline())["n"] for _ in range(1000 - lost)]
    assert before == list(range(1000 - lost))
    child.stdin.write(b"go\n")
    child.stdin.close()
    again, told, last = [json.loads(line) for line in child.stdout.read().splitlines()]
    assert (again["n"], last["n"]) == (1000, 1001)
    assert (told["event"], told["count"]) == ("telemetry.dropped", lost)
    assert child.wait(30) == 0
    guard.cancel()
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()


def test_a_closed_stdout(tmp_path):
    """A process without stdout works on, and a file that has its number stays clean."""
    code = STOPPED.replace("for n", "os.close(1)\nfile = open('data', 'wb')\nfor n", 1)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input=b"go\n",
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    assert b"lost 1000" in done.stderr
    assert done.stderr.count(b"telemetry.dropped") == 1
    assert (tmp_path / "data").read_bytes() == b""


def test_gunicorn_whose_reader_stops(tmp_path):
    """A server whose log nobody reads answers a thousand requests, and logs again later."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:flask_hardening.gunicorn"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", "1", "web_app:app"]
    with (tmp_path / "err").open("wb") as err:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=err, env=environment(), cwd=tmp_path
        )
    try:
        poll(lambda: answers(port), "gunicorn to listen")
        begin = time.monotonic()
        assert {ask(port) for _ in range(1000)} == {200}
        assert time.monotonic() - begin < 60
        assert (tmp_path / "err").read_text().count("telemetry.dropped") == 1
        os.set_blocking(server.stdout.fileno(), False)
        assert server.stdout.read().count(b"\n") < 1000
        assert ask(port) == 200
        told = []

        def both():
            told.append(server.stdout.read() or b"")
            text = b"".join(told)
            return b"telemetry.dropped" in text and b"request.finished" in text

        poll(both, "a line of a request, and one of the loss")
    finally:
        server.terminate()
        server.stdout.close()
        assert server.wait(30) == 0


def ask(port):
    """Return the status of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status
