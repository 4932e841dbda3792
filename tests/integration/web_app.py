"""The small app that gunicorn serves in these tests: one route for each way to answer."""

from __future__ import annotations

import os
import time

from flask import Flask, jsonify, request, send_file
from loguru import logger

from flask_hardening import Hardening, correlation_id

PART = b"x" * 1000
PARTS = 20


def create_app():
    """Make the app."""
    app = Flask("web")
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1"]
    Hardening(app)

    @app.before_request
    def early():
        return ("early", 202) if request.path == "/early" else None

    _answers(app)
    _takes_its_time(app)
    return app


def _answers(app):
    @app.get("/")
    def index():
        logger.info("in the view")
        return jsonify(id=correlation_id())

    @app.get("/items/<int:number>")
    def item(number):
        return jsonify(number=number)

    @app.post("/items")
    def create():
        return jsonify(request.get_json()), 201

    @app.get("/boom")
    def boom():
        raise RuntimeError("boom on purpose")

    @app.get("/file")
    def file():
        return send_file(os.environ["WEB_FILE"], mimetype="application/octet-stream")


def _takes_its_time(app):
    @app.get("/stream")
    def stream():
        def parts():
            for _ in range(PARTS):
                yield PART
            yield (correlation_id() or "").encode()

        return app.response_class(parts(), mimetype="text/plain")

    @app.get("/endless")
    def endless():
        def parts():
            while True:
                yield PART
                time.sleep(0.01)

        return app.response_class(parts(), mimetype="text/plain")

    @app.get("/slow")
    def slow():
        time.sleep(60)
        return "never"


app = create_app()
