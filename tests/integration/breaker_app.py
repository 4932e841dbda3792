"""The app of the shared breakers' tests: one route, which calls a backend through a guard."""

from __future__ import annotations

import os
import socket

from flask import Flask, jsonify

from flask_hardening import Hardening
from flask_hardening.resilience import guard

app = Flask("shop")
Hardening(app)


@guard("backend", attempts=1, consecutive=5, open_for=60.0, open_max=60.0, jitter=0.0)
def call_backend():
    """Ask the backend; one that closes the connection is down."""
    address = "127.0.0.1", int(os.environ["BACKEND"])
    with socket.create_connection(address, timeout=5) as connection:
        answer = connection.recv(1)
    if not answer:
        raise ConnectionResetError("closed")
    return answer


@app.get("/")
def index():
    """Call it, and say which process did."""
    try:
        call_backend()
    except Exception as error:
        return jsonify(pid=os.getpid(), error=type(error).__name__), 503
    return jsonify(pid=os.getpid(), error=None)
