"""A plain HTTP client: it sends what it is told, and knows nothing of the house."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from dataclasses import dataclass


@dataclass
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: dict
    body: bytes

    @property
    def ids(self):
        """The two ids of the response."""
        return self.headers["x-correlation-id"], self.headers["x-request-id"]

    @property
    def json(self):
        """The body, read as JSON."""
        return json.loads(self.body)


class Client:
    """One connection, opened anew when the server has closed it."""

    def __init__(self, port, timeout=30):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def ask(self, method, path, headers=None, body=None):
        """Send one request and read its answer."""
        headers = headers or {}
        connection = self._connection
        named = {name.lower() for name in headers}
        connection.putrequest(
            method, path, skip_host="host" in named, skip_accept_encoding=True
        )
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        read = response.read()
        names = [name.lower() for name, _ in response.getheaders()]
        assert len(names) == len(set(names)), f"a header came twice: {names}"
        pairs = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, pairs, read)

    def close(self):
        """Close the connection."""
        self._connection.close()


def ask(port, method, path, headers=None, body=None):
    """Send one request on a connection of its own."""
    client = Client(port)
    try:
        return client.ask(method, path, headers, body)
    finally:
        client.close()


def leave_early(port, path, headers):
    """Read the first bytes of an answer, then break the connection off."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
