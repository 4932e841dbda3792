"""Flask's own development server under the extension."""

from __future__ import annotations

import logging
import threading
import urllib.request

import pytest
from flask import Flask
from werkzeug.serving import make_server

from flask_hardening import Hardening
from flask_hardening.testing import capture_logs


@pytest.fixture(name="url")
def _url():
    app = Flask("demo")
    Hardening(app)
    app.get("/")(lambda: "ok")
    # one request after the other: a line may be written after its body has been sent
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_has_one_line(url):
    """The server's own access line, which has no ids, does not stand beside ours."""
    with capture_logs() as lines:
        urllib.request.urlopen(url).read()
        urllib.request.urlopen(url).read()
        urllib.request.urlopen(url).read()

    # the last one may not be written yet
    assert len(lines) >= 2
    assert {line.get("event") for line in lines} == {"request.finished"}


def test_what_the_server_says_has_no_colours(url):
    """Escape sequences for terminals are taken out of what `logging` hands over."""
    with capture_logs() as lines:
        logging.getLogger("werkzeug").warning("\x1b[31m\x1b[1mCareful.\x1b[0m")

    assert [line["message"] for line in lines] == ["Careful."]
