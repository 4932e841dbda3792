"""Child processes: started in groups of their own, awaited, and all of them stopped again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from pathlib import Path
    from types import FrameType

_POLL = 0.05
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_SHOWN = 15


class StopAskedError(Exception):
    """Ctrl-C, SIGTERM or a closed terminal."""


class StartError(Exception):
    """A process did not come up; the text says why, with the end of its log."""


@dataclass
class Child:
    """
    One process of the system.

    Attributes:
        name: What it is called on the screen.
        process: Its handle.
        log: Where its output goes.
        answers: Tells whether it does its work yet.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    answers: Callable[[], bool]


class Crew:
    """All processes of the demo; leaving the `with` block stops every one of them."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._starting = False
        self._stopping = False
        self._asked = False
        self._hurry = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # under nohup a closed terminal is to change nothing
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self,
        name: str,
        command: list[str],
        log: Path,
        answers: Callable[[], bool],
        env: Mapping[str, str],
    ) -> None:
        """Start one process; it is known to `stop` from its first moment."""
        self._starting = True
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603 - the demo's own command
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=log.parent,
                    env=dict(env),
                    start_new_session=True,  # Ctrl-C is for the demo, which then stops them
                )
            self.children.append(Child(name, process, log, answers))
        finally:
            self._starting = False
        if self._asked:
            raise StopAskedError

    def wait(self, name: str) -> float:
        """
        Wait until a process answers; return how long that took.

        Raises:
            StartError: It has died, or doesn't answer in a minute.
        """
        child = next(child for child in self.children if child.name == name)
        began = time.monotonic()
        while not child.answers():
            self.check([child])
            if time.monotonic() - began > _START_SECONDS:
                raise StartError(
                    _obituary(child, f"does not answer in {_START_SECONDS:.0f} s")
                )
            time.sleep(_POLL)
        return time.monotonic() - began

    def check(self, children: Iterable[Child] | None = None) -> None:
        """
        See that processes are alive.

        Raises:
            StartError: One is not.
        """
        for child in self.children if children is None else children:
            code = child.process.poll()
            if code is not None:
                raise StartError(_obituary(child, f"has ended with status {code}"))

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and its children."""
        child = next(child for child in self.children if child.name == name)
        os.killpg(child.process.pid, number)

    def stop(self) -> None:
        """Stop all processes, kill those that take too long."""
        self._stopping = True
        first, others = self.children[:1], self.children[1:]
        for wave in (others, first):  # a worker needs the broker to say good-bye
            for child in wave:
                child.process.terminate()
            deadline = time.monotonic() + _STOP_SECONDS
            for child in wave:
                self._await_end(child, deadline)
        self.children.clear()

    def _await_end(self, child: Child, deadline: float) -> None:
        while child.process.poll() is None:
            if self._hurry or time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
                return
            time.sleep(_POLL)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        if self._stopping or self._asked:
            self._hurry, self._asked = self._asked, True  # asked a second time
            return
        self._asked = True
        if not self._starting:  # else a process could be left that nobody knows
            raise StopAskedError


def _obituary(child: Child, what: str) -> str:
    text = child.log.read_text("utf-8", "replace").splitlines()
    lines = [line for raw in text for line in _plain(raw)][-_SHOWN:]
    shown = "\n".join(f"    {line}" for line in lines) or "    (it has written nothing)"
    return f"{child.name} {what}. The end of {child.log}:\n{shown}"


def _plain(raw: str) -> list[str]:
    """Return a log line as a person reads it, with the end of its stack."""
    try:
        line = json.loads(raw)
        stack = str(line.get("exception_stack") or "").splitlines()[-_SHOWN:]
        return [f"{line['level']} {line['message']}", *stack]
    except (ValueError, TypeError, KeyError, AttributeError):
        return [raw]


def free_port(besides: Container[int] = ()) -> int:
    """
    Return a free port below those that outgoing connections get.

    One of theirs could be taken between here and the process that is to listen on it.

    Args:
        besides: Ports that are spoken for.
    """
    dice = SystemRandom()
    while True:
        port = dice.randrange(20000, 32000)
        if port not in besides and is_free(port):
            return port


def is_free(port: int) -> bool:
    """Tell whether something can listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
