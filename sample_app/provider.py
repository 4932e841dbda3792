"""A payment provider as others run one: not hardened, and slow or gone when it likes."""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, request

Answer = tuple[dict[str, Any], int]


def create_app() -> Flask:
    """Make the provider; it forgets its charges when it ends."""
    app = Flask(__name__)
    charges: dict[str, int] = {}

    @app.get("/")
    def index() -> dict[str, str]:
        return {"service": "payments"}

    @app.post("/charges")
    def charge() -> Answer:
        """Take money; the same key takes it once."""
        key = request.headers.get("Idempotency-Key")
        given = request.get_json()
        if not key or not isinstance(given.get("amount_cents"), int):
            abort(400)
        known = key in charges
        charges.setdefault(key, given["amount_cents"])
        return {"key": key, "amount_cents": charges[key]}, 200 if known else 201

    @app.get("/charges")
    def list_charges() -> dict[str, Any]:
        return {"charges": charges}

    return app
