"""A server for tests of HTTP clients: it answers as it is told, also as no server should."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple


class Seen(NamedTuple):
    """A request that has arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """
    Gives each request the next of its answers, and when there are no more, a 200.

    Attributes:
        answers: Functions that take this, a connection and a request; they return whether
            the connection stays open.
        seen: The requests, in order.
        connections: How many there were.
        open: Those that are.
    """

    def __init__(self) -> None:
        self.answers: list = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.address}/"
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def forget(self) -> None:
        """Be as good as new, apart from the connections."""
        self.answers, self.seen, self.connections = [], [], 0

    def close(self) -> None:
        """Stop, and wait for it."""
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def methods(self) -> list[str]:
        """Return the methods of the requests, in order."""
        return [seen.method for seen in self.seen]

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, suppress(OSError):
            while (seen := _read(incoming)) is not None:
                self.seen.append(seen)
                answer = self.answers.pop(0) if self.answers else status(200)
                if not answer(self, connection, seen):
                    break
        self.open.discard(connection)


def _read(incoming) -> Seen | None:
    first = incoming.readline().decode().split()
    if not first:
        return None
    headers = {}
    while line := incoming.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") != "chunked":
        body = incoming.read(int(headers.get("content-length", 0)))
        return Seen(first[0], first[1], headers, body)
    body = b""
    while size := int(incoming.readline(), 16):
        body += incoming.read(size)
        incoming.readline()
    incoming.readline()
    return Seen(first[0], first[1], headers, body)


def status(code: int, body: bytes = b"ok", **headers: str):
    """Answer with a status; of a header's name, `_` is `-`."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()

    def answer(server, connection, seen) -> bool:
        connection.sendall(head if seen.method == "HEAD" else head + body)
        return True

    return answer


def cut(server, connection, seen) -> bool:
    """Close the connection, having read the request."""
    return False


def half(server, connection, seen) -> bool:
    """Close the connection in the middle of the body."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc")
    return False


def silent(server, connection, seen) -> bool:
    """Say nothing, until the client has gone."""
    connection.settimeout(20)
    connection.recv(1)
    return False


@contextmanager
def unreachable():
    """Give the URL of a port where connecting takes for ever: nobody accepts, its queue is full."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def drip(head: bytes, part: bytes):
    """Answer so, and go on with a part every 20 ms, for seconds on end."""

    def answer(server, connection, seen) -> bool:
        connection.sendall(head)
        for _ in range(400):
            connection.sendall(part)
            if server.over.wait(0.02):
                break
        return False

    return answer


drip_body = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", b"x")
drip_endless = drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x")
drip_framing = drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x")
drip_headers = drip(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n")
