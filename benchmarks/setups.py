"""What is measured: one Flask app, with nothing, with parts of the house, and with what others offer."""

from __future__ import annotations

import logging
import sys
import uuid
from typing import TYPE_CHECKING, Any

from flask import Flask, g, request

if TYPE_CHECKING:
    from collections.abc import Callable

_OFF = {
    "HARDENING_ERRORS_ENABLED": False,
    "HARDENING_TIMINGS_ENABLED": False,
    "HARDENING_LOGS_ENABLED": False,
}


def new_app() -> Flask:
    """Return the app: a route with a number in it, and one that takes JSON."""
    app = Flask("shop")

    @app.get("/orders/<int:number>")
    def order(number: int) -> dict[str, int]:
        return {"number": number}

    @app.post("/invoices")
    def invoice() -> dict[str, str]:
        return {"number": request.get_json()["invoice_number"]}

    return app


def _bare(_: Flask) -> None:
    """Flask alone."""


def _hardened(**config: Any) -> Callable[[Flask], None]:  # noqa: ANN401
    def harden(app: Flask) -> None:
        from flask_hardening import Hardening  # noqa: PLC0415 - one setup per process

        app.config.update(config)
        Hardening(app)

    return harden


def _prometheus(app: Flask) -> None:
    from prometheus_client import CollectorRegistry  # noqa: PLC0415
    from prometheus_flask_exporter import PrometheusMetrics  # noqa: PLC0415

    PrometheusMetrics(app, group_by="url_rule", registry=CollectorRegistry())


def _opentelemetry(app: Flask) -> None:
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ANN401, ARG002
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)


def _structlog(app: Flask) -> None:
    import orjson  # noqa: PLC0415
    import structlog  # noqa: PLC0415

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()

    @app.before_request
    def begin() -> None:
        structlog.contextvars.clear_contextvars()
        g.id = request.headers.get("X-Correlation-ID") or uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(correlation_id=g.id)

    @app.after_request
    def end(response: Any) -> Any:  # noqa: ANN401
        log.info(
            "request", method=request.method, path=request.path, status=response.status_code
        )
        response.headers["X-Correlation-ID"] = g.id
        return response


def _loguru(app: Flask) -> None:
    from loguru import logger  # noqa: PLC0415

    logger.remove()
    logger.add(sys.stdout, serialize=True)

    @app.before_request
    def begin() -> None:
        g.id = request.headers.get("X-Correlation-ID") or uuid.uuid4().hex

    @app.after_request
    def end(response: Any) -> Any:  # noqa: ANN401
        logger.bind(
            correlation_id=g.id,
            method=request.method,
            path=request.path,
            status=response.status_code,
        ).info("request")
        response.headers["X-Correlation-ID"] = g.id
        return response


def _composed(app: Flask) -> None:
    _prometheus(app)
    _opentelemetry(app)
    _loguru(app)


def _sentry(_: Flask) -> None:
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.transport import Transport  # noqa: PLC0415

    class Nowhere(Transport):
        def capture_envelope(self, envelope: Any) -> None:  # noqa: ANN401
            """Drop it."""

    logging.getLogger("sentry_sdk").setLevel(logging.ERROR)
    sentry_sdk.init(
        dsn="https://key@localhost/1", traces_sample_rate=1.0, transport=Nowhere
    )


SETUPS: dict[str, tuple[str, Callable[[Flask], None]]] = {
    "bare": ("Flask alone", _bare),
    "ids": ("correlation ids", _hardened(**_OFF)),
    "errors": ("ids, errors", _hardened(**{**_OFF, "HARDENING_ERRORS_ENABLED": True})),
    "timings": (
        "ids, errors, timing headers",
        _hardened(HARDENING_LOGS_ENABLED=False),
    ),
    "all": ("everything: ids, errors, timing headers, request line", _hardened()),
    "all via loguru": (
        "everything, the line through loguru",
        _hardened(HARDENING_LOGS_REQUEST_VIA="loguru"),
    ),
    "all with bodies": (
        "everything, query, headers and bodies in the line",
        _hardened(
            HARDENING_LOGS_BODIES=("request", "response"),
            HARDENING_LOGS_HEADERS=("Content-Type", "Authorization"),
            HARDENING_LOGS_QUERY=True,
        ),
    ),
    "prometheus": ("prometheus-flask-exporter", _prometheus),
    "structlog": ("structlog with orjson: an id, one line", _structlog),
    "loguru": ("loguru with serialize=True: an id, one line", _loguru),
    "opentelemetry": ("opentelemetry-instrumentation-flask", _opentelemetry),
    "composed": (
        "the three above together: exporter, OpenTelemetry, loguru",
        _composed,
    ),
    "sentry": ("sentry-sdk, all traces", _sentry),
}
OURS = ("ids", "errors", "timings", "all", "all via loguru", "all with bodies")


def make(name: str) -> Flask:
    """
    Return the app in one of the setups.

    Those that come from outside replace parts of Flask for the whole process, so each
    process makes one app.
    """
    _, set_up = SETUPS[name]
    if name == "sentry":  # it wants to be first
        set_up(Flask("none"))
        return new_app()
    app = new_app()
    set_up(app)
    return app
