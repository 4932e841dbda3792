"""
Runs the code of one documentation page, in order, in a folder of its own.

`python` blocks share a namespace; one that begins with `# name.py` becomes that file. In
`console` blocks each `$` line is run and its output compared, `...` standing for anything.
A server (`flask run`, `gunicorn`, `celery worker`) runs until the page ends, and what is
shown of its output must be in what it wrote. Other blocks are for reading.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.(?:py|cfg))\n")
SERVER = re.compile(r"(flask .* run|gunicorn|celery .*(worker|beat))\b")
START_TIMEOUT = 30.0
COMMAND_TIMEOUT = 60.0
OUTPUT_TIMEOUT = 5.0


class Block(NamedTuple):
    """A fenced block: its language, its text, the line it starts at."""

    language: str
    text: str
    line: int


class Server(NamedTuple):
    """A program that runs while the page does, and what is shown of its output."""

    process: subprocess.Popen[bytes]
    output: Path
    expected: str


def blocks(markdown: str) -> list[Block]:
    """Return a page's fenced blocks in order."""
    return [
        Block(m[1], m[2], markdown.count("\n", 0, m.start()) + 2)
        for m in FENCE.finditer(markdown)
    ]


def matches(expected: str, actual: str, *, whole: bool = True) -> bool:
    """
    Tell whether an output is as shown.

    `...` stands for any text, on a line of its own for any number of lines.
    """
    pattern = re.escape(expected.strip() + "\n")
    pattern = re.sub(r"(?m)^\\\.\\\.\\\.\\\n", "(?:[^\n]*\n)*?", pattern)
    pattern = pattern.replace(re.escape("..."), ".*?")
    compare = re.fullmatch if whole else re.search
    return compare(pattern, actual.strip() + "\n", re.DOTALL) is not None


class Page:
    """One page being run in the current folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.port = _free_port()
        self.namespace = {"__name__": "page"}
        self.servers: list[Server] = []
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # in a container the tests may run as root, of which Celery warns
            "PYTHONWARNINGS": "error,ignore:You're running the worker with superuser",
            "PYTHONUNBUFFERED": "1",
            "FLASK_RUN_PORT": str(self.port),
            # stands in for the broker a page names
            "CELERY_BROKER_URL": "memory://",
        }

    def run(self) -> None:
        """Run every block, then look at what the servers wrote."""
        sys.path.insert(0, str(Path.cwd()))
        try:
            for block in blocks(self.path.read_text()):
                if block.language == "python":
                    self._python(block)
                elif block.language == "console":
                    self._console(block)
            for server in self.servers:
                self._look(server)
        finally:
            for server in self.servers:
                _stop(server.process)

    def _python(self, block: Block) -> None:
        named = FILE.match(block.text)
        if named:
            Path(named[1]).write_text(block.text)
            return
        code = compile("\n" * (block.line - 1) + block.text, str(self.path), "exec")
        exec(code, self.namespace)

    def _console(self, block: Block) -> None:
        for entry in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = entry.partition("\n")
            if SERVER.match(command):
                self._serve(command, expected)
                continue
            actual = (
                self._curl(command) if command.startswith("curl") else self._do(command)
            )
            if not matches(expected, actual):
                self._fail(command, expected, actual)

    def _do(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        return done.stdout

    def _serve(self, command: str, expected: str) -> None:
        if not command.startswith("celery"):
            self._end_web_servers()  # the page has one port
        output = Path(f"server-{len(self.servers)}.txt").absolute()
        with output.open("wb") as file:
            process = subprocess.Popen(
                shlex.split(command.replace("5000", str(self.port))),
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.servers.append(Server(process, output, expected))
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_up(command, output):
            if process.poll() is not None or time.monotonic() > deadline:
                self._fail(command, "to start", output.read_text())
            time.sleep(0.05)

    def _end_web_servers(self) -> None:
        for server in self.servers:
            if server.process.poll() is None and "celery" not in server.process.args[0]:
                self._look(server)
                _stop(server.process)

    def _look(self, server: Server) -> None:
        """Compare what a server has written; a line may come after its response."""
        deadline = time.monotonic() + OUTPUT_TIMEOUT
        while not matches(server.expected, server.output.read_text(), whole=False):
            if time.monotonic() > deadline:
                self._fail("a server's output", server.expected, server.output.read_text())
            time.sleep(0.05)

    def _is_up(self, command: str, output: Path) -> bool:
        if command.startswith("celery"):
            return "worker.started" in output.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _curl(self, command: str) -> str:
        """Do what `curl [-i] [-X METHOD] [-H HEADER] [-d DATA] URL` does, without curl."""
        words = shlex.split(command)[1:]
        method, data, headers, show = "GET", None, {}, False
        while len(words) > 1:
            option = words.pop(0)
            if option == "-i":
                show = True
            elif option == "-H":
                name, _, value = words.pop(0).partition(":")
                headers[name] = value.strip()
            elif option == "-X":
                method = words.pop(0)
            elif option == "-d":
                method, data = "POST", words.pop(0)
            else:
                self._fail(command, "an option this runner knows", option)
        path = words[0].partition("localhost:5000")[2]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        if not show:
            return body
        head = "".join(f"{name}: {value}\n" for name, value in response.getheaders())
        return f"HTTP/1.1 {response.status} {response.reason}\n{head}\n{body}"

    def _fail(self, what: str, expected: str, actual: str) -> None:
        raise SystemExit(
            f"{self.path}: {what}\n--- expected\n{expected}\n--- got\n{actual}"
        )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=15)


if __name__ == "__main__":
    Page(Path(sys.argv[1])).run()
