"""Every setting of the house, once: one frozen dataclass per part, and what may stand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from flask_hardening.core import validity

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PatternName = Literal[
    "private_key",
    "url",
    "authorization",
    "jwt",
    "vendor_token",
    "email",
    "card",
    "iban",
    "ssn",
    "phone",
]

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


def _absolute(path: str | None) -> str | None:
    # of a relative one each process may make another file, by where it was started
    ok = path is None or (path.startswith("/") and "\0" not in path)
    return None if ok else "must be an absolute path, such as '/dev/shm/shop-breakers'"


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
        check=validity.environment,
    )


@dataclass(frozen=True)
class Correlation:
    """Ids in, ids out. This part can't be switched off: all others stand on it."""

    header: str = setting(
        "X-Correlation-ID",
        "Header of the id that spans services and jobs, read and answered.",
        check=validity.header,
    )
    request_header: str = setting(
        "X-Request-ID",
        "Header of the id of this request alone; always made new and answered.",
        check=validity.header,
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
        check=validity.host_patterns,
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
        "as a keyed pseudonym (see `HARDENING_REDACTION_HMAC_KEY`), or not at all.",
    )
    query: bool = setting(False, "Log the query of each request, its secrets masked.")
    headers: tuple[str, ...] = setting(
        (),
        "Names of the request and response headers to log, `*` for all; the values of "
        "those that hold secrets are masked all the same.",
        check=validity.header_names,
    )
    bodies: tuple[Literal["request", "response"], ...] = setting(
        cast('tuple[Literal["request", "response"], ...]', ()),
        "Bodies to log: JSON, forms and text, their secrets masked.",
    )
    bodies_from: int = setting(
        0,
        "Lowest status whose bodies are logged: 400 leaves out those of successes.",
        check=validity.not_negative,
    )
    body_limit: int = setting(
        4096,
        "Bytes of a body that are looked at; what is longer is cut, and logged as text.",
        check=validity.body_limit,
    )


@dataclass(frozen=True)
class Redaction:
    """What is a secret. This part can't be switched off: whatever is logged goes through it."""

    mode: Literal["deny", "allow"] = setting(
        "deny",
        "`deny` hides what looks like a secret or has a secret's name; `allow` also hides "
        "every other value of yours whose name isn't in `HARDENING_REDACTION_ALLOW_KEYS`.",
    )
    keys: tuple[str, ...] = setting(
        (),
        "Names of secrets beside the built-in ones: `membership_no`, `*_ref`; spelling "
        "and case don't matter.",
    )
    allow_keys: tuple[str, ...] = setting(
        (), "Names whose values are shown in spite of their name."
    )
    patterns: dict[str, str] = setting(
        cast("dict[str, str]", {}),
        'Regular expressions of secrets, by a name of yours: `{"employee": "EMP-[0-9]{6}"}`.',
        check=validity.patterns,
    )
    allow_patterns: tuple[PatternName, ...] = setting(
        cast("tuple[PatternName, ...]", ()), "Built-in patterns that are let through."
    )
    replacement: Literal["mask", "hmac"] = setting(
        "mask",
        "`mask` puts `***` in a secret's place, `hmac` a keyed pseudonym, the same for the "
        "same secret.",
    )
    hmac_key: str | None = setting(
        cast("str | None", None),
        "Key for pseudonyms, at least 16 characters; the same key gives the same "
        "pseudonym everywhere.",
        check=validity.key,
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
        check=validity.not_negative,
    )
    slow_routes: dict[str, float] = setting(
        cast("dict[str, float]", {}),
        'The same by route: `{"/reports/<int:id>": 5.0}`, in seconds.',
        check=validity.not_negative_each,
    )
    slow_db: float = setting(
        0.5,
        "Statements of a protected database that take longer than this many seconds get a "
        "`db.slow` line; 0 switches it off.",
        check=validity.not_negative,
    )
    slow_external: float = setting(
        1.0,
        "The same for calls of protected HTTP and Redis clients, as `external.slow`.",
        check=validity.not_negative,
    )


@dataclass(frozen=True)
class Resilience:
    """Calls to the outside: what `guard` and `deadline` do."""

    enabled: bool = setting(True, "Set deadlines for requests, log retries and breakers.")
    targets: dict[str, dict[str, float | None]] = setting(
        cast("dict[str, dict[str, float | None]]", {}),
        'Options by target, `*` for all: `{"billing": {"attempts": 2, "open_for": 5.0}}`.',
    )
    deadline: float | None = setting(
        cast("float | None", None),
        "Seconds that a request may take: guarded calls in it end in time; unset means no "
        "bound.",
        check=lambda value: None if value is None else validity.positive(value),
    )
    trust_deadline: bool = setting(
        False,
        "Obey the `X-Request-Timeout-Ms` of a request, where it is sooner; for services "
        "that only your own call.",
    )
    shared: str | None = setting(
        cast("str | None", None),
        "Path of a small file by which all processes of a host share their breakers, one per "
        "service: `/dev/shm/shop-breakers`; unset means each process has its own.",
        check=_absolute,
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
        check=validity.positive,
    )


SECTIONS: dict[str, type] = {
    "": General,
    "CORRELATION": Correlation,
    "ERRORS": Errors,
    "LOGS": Logs,
    "REDACTION": Redaction,
    "TIMINGS": Timings,
    "RESILIENCE": Resilience,
    "TASKS": Tasks,
}
