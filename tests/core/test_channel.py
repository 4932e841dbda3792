"""Bytes on their way to pipes, terminals, sockets and full disks, with readers of every kind."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
import time
import tty

import pytest

from flask_hardening.core import channel, shield
from flask_hardening.core.channel import PIPE_BUF, Channel
from flask_hardening.core.logs.outputs import _Lines

LINE = b"x" * 99 + b"\n"


def drain(descriptor):
    """Read what is there, without waiting for more."""
    os.set_blocking(descriptor, False)
    got = b""
    try:
        while data := os.read(descriptor, 1 << 20):
            got += data
    except BlockingIOError:
        pass
    return got


def lost():
    """Return how many lines were lost, and forget them."""
    count = sum(shield.dropped.values())
    shield.dropped.clear()
    return count


@pytest.fixture
def _looks_at_once(monkeypatch):
    """A redirected pipe is noticed with the next line."""
    monkeypatch.setattr(channel, "REDIRECTED", -1.0)


@pytest.fixture
def pipe():
    """A pipe whose ends are closed at the end, and an output to it."""
    ends = os.pipe()
    output = _Lines("pipe", Channel(ends[1], owned=True))
    yield ends[0], output
    output._channel.close()
    for end in ends:
        os.close(end)


def test_a_line_to_a_pipe_waits_for_nobody(pipe, capfd):
    """A reader that has stopped costs little; loss is counted, and told when it reads again."""
    reading, output = pipe
    begin = time.monotonic()
    for _ in range(20_000):
        output.write(LINE)
    assert time.monotonic() - begin < 10
    missing = lost()
    kept = drain(reading)
    assert kept == LINE * (20_000 - missing)
    assert missing > 10_000
    assert capfd.readouterr().err.count("telemetry.dropped") == 1
    output.write(LINE)
    output.write(LINE)
    first, told, last = drain(reading).splitlines(keepends=True)
    assert first == last == LINE
    found = json.loads(told)
    assert (found["event"], found["count"]) == ("telemetry.dropped", missing)


def test_patience_is_shared_by_threads(pipe, monkeypatch):
    """Many threads at a stopped reader wait once, together."""
    monkeypatch.setattr(channel, "PATIENCE", 0.5)
    _, output = pipe
    while not shield.dropped:
        output.write(LINE)
    begin = time.monotonic()
    threads = [threading.Thread(target=output.write, args=(LINE,)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin < 5
    assert lost() == 41


def test_others_keep_waiting_at_the_shared_pipe(pipe):
    """Our not waiting isn't forced upon those who share the descriptor."""
    _, output = pipe
    output.write(LINE)
    assert os.get_blocking(output._channel.descriptor)


def test_a_long_record_goes_in_parts(pipe):
    """No write to a pipe is longer than the kernel keeps whole."""
    reading, output = pipe
    output.write(json.dumps({"level": "INFO", "text": "x" * 20_000}).encode() + b"\n")
    lines = drain(reading).splitlines(keepends=True)
    assert len(lines) > 4
    assert max(map(len, lines)) <= PIPE_BUF


@pytest.mark.usefixtures("_looks_at_once")
def test_a_stranger_at_our_number_gets_nothing(tmp_path):
    """When stdout was closed and a file of the app has its number, no line goes there."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    output = _Lines("stdout", Channel(writing))
    output.write(LINE)
    os.close(writing)
    output.write(LINE)
    assert shield.dropped.pop(("log", "stdout", os.strerror(9))) == 1
    stranger = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    assert stranger == writing
    output.write(LINE)
    os.close(stranger)
    assert lost() == 1
    assert (tmp_path / "data").read_bytes() == b""
    assert os.read(reading, 1000) == LINE
    assert os.read(reading, 1000) == b""  # what was opened for it is closed, too
    os.close(reading)


@pytest.mark.usefixtures("_looks_at_once")
def test_a_redirected_stream_is_followed(pipe):
    """Who puts another file in stdout's place, as `dup2` does, gets the lines from then on."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    output = _Lines("stdout", Channel(writing))
    output.write(LINE)
    os.dup2(pipe[1]._channel.descriptor, writing)
    output.write(b"second\n")
    assert drain(reading) == LINE
    assert drain(pipe[0]) == b"second\n"
    output._channel.close()
    os.close(reading)
    os.close(writing)


def test_a_private_descriptor_that_was_closed(pipe, tmp_path):
    """Daemons close all descriptors: what was ours may be a stranger's, and is made anew."""
    reading, output = pipe
    output.write(LINE)
    ours = output._channel._private
    os.close(ours)
    stranger = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    assert stranger == ours
    output.write(LINE)
    os.close(stranger)
    assert (tmp_path / "data").read_bytes() == b""
    assert drain(reading) == LINE * 2


@pytest.mark.parametrize("can_open", [True, False])
def test_pipes_that_cannot_be_opened_again(monkeypatch, can_open):
    """Without /proc a line still waits for nobody: the pipe is asked first."""
    if not can_open:
        monkeypatch.setattr(channel, "_PRIVATE", os.O_WRONLY | os.O_DIRECTORY)
    reading, writing = os.pipe()
    output = _Lines("pipe", Channel(writing, owned=True))
    for _ in range(2000):
        output.write(LINE)
    assert (output._channel._private >= 0) == can_open
    assert drain(reading) == LINE * (2000 - lost())
    output.write(LINE)
    assert drain(reading).startswith(LINE)
    output._channel.close()
    os.close(reading)
    os.close(writing)


def test_a_socket_that_is_full():
    """A line that went half into a socket is ended before the next one."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    output = _Lines("socket", Channel(ours.fileno(), owned=True))
    for _ in range(300):
        output.write(b"y" * 3000 + b"\n")
    assert lost() > 0
    drain(theirs.fileno())
    output.write(LINE)
    assert b"\n" + LINE in b"\n" + drain(theirs.fileno())
    assert ours.getblocking()
    output._channel.close()
    ours.close()
    theirs.close()


def test_a_terminal_gets_whole_lines():
    """A terminal takes any length; one that nobody reads is given up, and ended cleanly."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    output = _Lines("terminal", Channel(slave, owned=True))
    output.write(LINE)
    assert os.read(master, 1000) == LINE
    for _ in range(100):
        output.write(b"y" * 3000 + b"\n")
    assert lost() > 0
    drain(master)
    output.write(LINE)
    assert b"\n" + LINE in b"\n" + drain(master)
    output._channel.close()
    os.close(master)
    os.close(slave)


FULL = """
import os, resource, signal, sys
from flask_hardening.core import shield
from flask_hardening.core.logs.outputs import File
from pathlib import Path
output = File(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for n in range(20):
    output.write(b"%02d" % n * 40 + b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
output.write(b"again\\n")
print(sum(shield.dropped.values()))
"""


def test_a_disk_that_is_full(tmp_path):
    """Half a line is ended, the loss is told, and writing goes on by itself."""
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    *whole, half, again, told = path.read_text().splitlines()
    assert len(whole) == 12
    assert {len(line) for line in whole} == {80}
    assert 0 < len(half) < 80
    assert again == "again"
    assert json.loads(told)["count"] == int(done.stdout) == 8
    assert done.stderr.count("telemetry.dropped") == 1


def test_a_device_that_is_full():
    """/dev/full takes nothing; nothing is raised."""
    full = os.open("/dev/full", os.O_WRONLY)
    output = _Lines("full", Channel(full, owned=True))
    output.write(LINE)
    assert shield.dropped.pop(("log", "full", "No space left on device")) == 1
    os.close(full)


FORKS = """
import os, signal, threading
from flask_hardening.core import shield
from flask_hardening.core.channel import standard
from flask_hardening.core.logs.outputs import Stream
signal.alarm(60)
output = Stream("stdout")
stop = threading.Event()
def log(name):
    n = 0
    while not stop.is_set():
        n += 1
        output.write(b"%s %d\\n" % (name, n))
        shield.drop("log", "x", "y")
threads = [threading.Thread(target=log, args=(b"t%d" % n,)) for n in range(3)]
for thread in threads:
    thread.start()
for n in range(40):
    child = os.fork()
    if child == 0:
        output.write(b"child %d\\n" % n)
        shield.drop("log", "x", "y")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""


def test_forks_while_threads_write(tmp_path):
    """A fork at any moment leaves no lock held, and no line twice or torn."""
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORKS],
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=90,
            check=True,
        )
    lines = (tmp_path / "out").read_text().splitlines()
    assert len(lines) == len(set(lines))
    assert {line for line in lines if line.startswith("child")} == {
        f"child {n}" for n in range(40)
    }
    assert all(len(line.split()) == 2 for line in lines)
