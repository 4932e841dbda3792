"""Every setting of the house, once: one frozen dataclass per part, and what may stand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LEVELS = {
    "TRACE": 5,
    "DEBUG": 10,
    "INFO": 20,
    "SUCCESS": 25,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
}
Level = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]


def setting(
    default: T,
    doc: str,
    *,
    check: Callable[[Any], str | None] | None = None,
    secret: bool = False,
) -> T:
    """
    Declare one setting.

    Args:
        default: The value where nobody set one.
        doc: One sentence for ``docs/configuration`` and ``flask hardening config``.
        check: Gets the value, returns what is wrong with it or None.
        secret: The value is masked wherever settings are shown.
    """
    metadata = {"doc": doc, "check": check, "secret": secret}
    if isinstance(default, dict):
        return cast("T", field(default_factory=default.copy, metadata=metadata))
    return field(default=default, metadata=metadata)


def _header(value: str) -> str | None:
    ok = value and all(c.isascii() and (c.isalnum() or c == "-") for c in value)
    return None if ok else "must be a header name: letters, digits and '-'"


def _environment(value: str) -> str | None:
    misspelt = value != "development" and value.strip().lower() == "development"
    return "must be 'development', in small letters" if misspelt else None


def _not_negative(value: float) -> str | None:
    return None if value >= 0 else "must not be negative"


def _positive(value: float) -> str | None:
    return None if value > 0 else "must be above 0 (seconds)"


def _not_negative_each(value: dict[str, float]) -> str | None:
    bad = sorted(route for route, seconds in value.items() if seconds < 0)
    return f"must not be negative (see {', '.join(bad)})" if bad else None


def _host_patterns(value: tuple[str, ...]) -> str | None:
    for pattern in value:
        name = pattern if pattern == "*" else pattern.removeprefix("*.")
        if not name or (name != "*" and set(name) & set("*/@\\ \t\r\n")):
            return (
                f"has {pattern!r}; each entry is a host name such as 'auth.internal', "
                "'*.example.com', 'localhost:8000' or '*', without scheme and path"
            )
    return None


@dataclass(frozen=True)
class General:
    """Who this process is: keys without a part, ``HARDENING_SERVICE`` and so on."""

    service: str = setting(
        "",
        "Name of the service in log lines; empty takes the name of the Flask app "
        "or the Celery app.",
    )
    environment: str = setting(
        "",
        "Name of the environment in log lines. `development` alone shows stack "
        "traces to clients; empty follows Flask's `DEBUG`, else `production`.",
        check=_environment,
    )


@dataclass(frozen=True)
class Correlation:
    """Ids in, ids out. This part can't be switched off: all others stand on it."""

    header: str = setting(
        "X-Correlation-ID",
        "Header of the id that spans services and jobs, read and answered.",
        check=_header,
    )
    request_header: str = setting(
        "X-Request-ID",
        "Header of the id of this request alone; always made new and answered.",
        check=_header,
    )
    inbound: Literal["trust", "ignore", "require"] = setting(
        "trust",
        "What a valid inbound correlation id counts for: `trust` keeps it, `ignore` "
        "always makes a new one, `require` answers 400 to requests without one.",
    )
    propagate_to: tuple[str, ...] = setting(
        (),
        "Hosts whose calls may carry the id: `auth.internal`, `*.example.com`, "
        "`localhost:8000` or `*`. Empty means none.",
        check=_host_patterns,
    )


@dataclass(frozen=True)
class Errors:
    """One error response for every exception."""

    enabled: bool = setting(True, "Answer every error in the common format.")
    format: Literal["json", "problem"] = setting(
        "json",
        "`json` is the house format; `problem` is RFC 9457 `application/problem+json`, "
        "which a client also gets by asking for it.",
    )
    html: bool = setting(
        False, "Give browsers an HTML page with the id to quote instead of JSON."
    )


@dataclass(frozen=True)
class Logs:
    """What is logged, in which form, and where to."""

    enabled: bool = setting(True, "Set up log outputs and log each request.")
    level: Level | None = setting(
        cast("Level | None", None),
        "Lowest level written; unset means DEBUG in development, else INFO.",
    )
    levels: dict[str, Level] = setting(
        cast("dict[str, Level]", {}),
        "Levels by logger name, the longest matching prefix wins: "
        '`{"sqlalchemy.engine": "WARNING"}`.',
    )
    format: Literal["json", "console"] | None = setting(
        cast("Literal['json', 'console'] | None", None),
        "Form on stdout and stderr; unset means `console` in development, else "
        "`json`. A file always gets `json`.",
    )
    outputs: tuple[Literal["stdout", "stderr"], ...] = setting(
        cast("tuple[Literal['stdout', 'stderr'], ...]", ("stdout",)),
        "Streams to write to; `()` for none.",
    )
    file: str | None = setting(
        cast("str | None", None),
        "Path of one append-only file that gets every line as JSON.",
    )
    stdlib: bool = setting(True, "Take in what libraries log through Python's `logging`.")
    request_via: Literal["direct", "loguru"] = setting(
        "direct",
        "`direct` hands the request lines straight to the outputs; `loguru` sends them "
        "through `logger`, so that sinks of your own see them, at some three times "
        "the cost.",
    )
    skip_paths: tuple[str, ...] = setting(
        ("/health", "/health/*", "/livez", "/readyz", "/metrics"),
        "Paths whose successful requests are not logged; `*` matches any text.",
    )
    client_address: Literal["full", "truncated", "hmac", "off"] = setting(
        "full",
        "How the client's address is logged: in full, cut to its network (/24, /48), "
        "as a keyed pseudonym, or not at all.",
    )
    hmac_key: str | None = setting(
        cast("str | None", None),
        "Key for pseudonyms, at least 16 characters; the same key gives the same "
        "pseudonym everywhere.",
        check=lambda key: (
            None
            if key is None or len(key) >= 16  # noqa: PLR2004
            else "must have at least 16 characters"
        ),
        secret=True,
    )


@dataclass(frozen=True)
class Timings:
    """How long a request took, told to the client and to the log."""

    enabled: bool = setting(True, "Answer with timing headers, log slow requests.")
    server_timing: bool | None = setting(
        cast("bool | None", None),
        "Send `Server-Timing`; unset means in development only.",
    )
    slow: float = setting(
        1.0,
        "Requests that take longer than this many seconds get a `request.slow` line; "
        "0 switches it off.",
        check=_not_negative,
    )
    slow_routes: dict[str, float] = setting(
        cast("dict[str, float]", {}),
        'The same by route: `{"/reports/<int:id>": 5.0}`, in seconds.',
        check=_not_negative_each,
    )


@dataclass(frozen=True)
class Tasks:
    """Background jobs: what `celery_hooks` does."""

    enabled: bool = setting(True, "Log a line for each step in a task's life.")
    arguments: bool = setting(
        False, "Log a task's arguments, with the values of secret keys masked."
    )
    publish_timeout: float = setting(
        2.0,
        "Seconds that one network operation of a publish may take, where "
        "`broker_transport_options` doesn't say otherwise; a silent broker would "
        "else hold a request for ever.",
        check=_positive,
    )


SECTIONS: dict[str, type] = {
    "": General,
    "CORRELATION": Correlation,
    "ERRORS": Errors,
    "LOGS": Logs,
    "TIMINGS": Timings,
    "TASKS": Tasks,
}
