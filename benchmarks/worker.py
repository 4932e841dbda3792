"""
One process with one setup: serves requests when it is told to, and says what they cost.

`python -m benchmarks.worker SETUP REQUEST` reads a number per line from its standard input,
serves so many requests, and answers on descriptor 3 with the nanoseconds of its own CPU time.
`--count N` serves N requests at once and ends, for a profiler.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from time import thread_time_ns
from typing import TYPE_CHECKING, Any

from benchmarks.body import bodies
from benchmarks.setups import make

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERS = 3
WARM_UP = 300
_BODIES = bodies(100)
_ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/orders/7",
    "QUERY_STRING": "page=2",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "HTTP_ACCEPT": "application/json",
    "HTTP_AUTHORIZATION": "Bearer mF_9.B5f-4.1JqM",
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def _get(_: int) -> dict[str, Any]:
    return {**_ENVIRON, "wsgi.input": io.BytesIO()}


def _post(number: int) -> dict[str, Any]:
    body = _BODIES[number % len(_BODIES)]
    return {
        **_ENVIRON,
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/invoices",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


REQUESTS: dict[str, Callable[[int], dict[str, Any]]] = {"get": _get, "post": _post}


def _start_response(status: str, _: object, __: object = None) -> None:
    if not status.startswith("200"):
        raise AssertionError(status)


def serve(app: Any, request: Callable[[int], dict[str, Any]], count: int) -> None:  # noqa: ANN401
    """Serve *count* requests as a WSGI server does."""
    for number in range(count):
        body = app(request(number), _start_response)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()


def main() -> None:
    """Do what the module says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("setup")
    parser.add_argument("request", choices=REQUESTS)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    app, request = make(options.setup), REQUESTS[options.request]
    if options.count is not None:
        serve(app, request, options.count)
        return
    serve(app, request, WARM_UP)
    os.write(ANSWERS, b"ready\n")
    for line in sys.stdin:
        began = thread_time_ns()
        serve(app, request, int(line))
        os.write(ANSWERS, b"%d\n" % (thread_time_ns() - began))


if __name__ == "__main__":
    main()
