"""What is known of one request, and what one app has of the house."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

from flask_hardening.core import correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import WSGIEnvironment

    from flask import Flask

    from flask_hardening.core.config import Configuration
    from flask_hardening.core.recognition import Verdict

    Headers = list[tuple[str, str]]
    Head = Callable[["Record"], Iterable[tuple[str, str]]]
    Observer = Callable[["Record"], None]
    Answer = tuple[str, Headers, bytes]

KEY = "hardening.record"
EXTENSION = "hardening"
UNMATCHED = "<unmatched>"
_SUCCESS = 400
_MILLION = 1_000_000


class Record:
    """
    What is known of one request; observers get it once, after the last byte.

    Attributes:
        environ: The WSGI environment.
        unit: The ids it runs under.
        route: The URL rule that matched, `<unmatched>` if none did.
        endpoint: The view that rule leads to, or None.
        declared: Its `Content-Length`, or None.
        status: HTTP status; None if no response was begun.
        headers: Those of the response.
        sent: Bytes of the body that the server has taken.
        taken: The beginning of the request's body as the app has read it, where wanted.
        given: The beginning of the response's body, where wanted.
        verdict: What its error means to the client, if it had one.
        error: The exception behind it, if there was one.
        logged: The exception that has had its line.
        aborted: Why it ended before its last byte: `client_disconnected`,
            `worker_exit`, `stream_error`; None if it didn't.
        duration: Milliseconds from the first byte to the last.
    """

    # defaults stand at the class: most requests set few of them
    route: str = UNMATCHED
    endpoint: str | None = None
    declared: int | None = None
    status: int | None = None
    headers: Headers = []  # noqa: RUF012 - put in place as a whole, never changed
    sent: int = 0
    taken: Beginning | None = None
    given: Beginning | None = None
    verdict: Verdict | None = None
    error: BaseException | None = None
    logged: BaseException | None = None
    aborted: str | None = None
    duration: float | None = None

    def __init__(self, environ: WSGIEnvironment, unit: correlation.Unit) -> None:
        self.environ = environ
        self.unit = unit
        self._started = perf_counter_ns()

    @property
    def elapsed(self) -> float:
        """Milliseconds since the first byte."""
        return (perf_counter_ns() - self._started) / _MILLION

    @property
    def path(self) -> str:
        """The path as the app sees it, without the query."""
        environ = self.environ
        path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        # WSGI hands over bytes dressed as latin-1 (PEP 3333)
        return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")

    def note_route(self) -> None:
        """
        Remember what the request was routed to.

        Flask takes its request out of the environment when the context ends, so this is
        asked while there is one.
        """
        matched = getattr(self.environ.get("werkzeug.request"), "url_rule", None)
        if matched is not None:
            self.route, self.endpoint = matched.rule, matched.endpoint

    @property
    def succeeded(self) -> bool:
        """Whether it was answered in full, with a status below 400."""
        return self.aborted is None and self.status is not None and self.status < _SUCCESS


class Beginning:
    """
    The first bytes of a body, gathered as they pass by.

    Args:
        limit: How many are kept.

    Attributes:
        size: How many have passed.
    """

    __slots__ = ("_limit", "_parts", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        """Take a look at what passes by."""
        room = self._limit - self.size
        self.size += len(part)
        if room > 0 and part:
            self._parts.append(bytes(part[:room]))

    @property
    def data(self) -> bytes:
        """What was kept."""
        return b"".join(self._parts)


class State:
    """
    What one app has of the house, in `app.extensions["hardening"]`.

    Attributes:
        configuration: Its settings.
        origin: Who it is, for log lines and outgoing calls.
        development: Whether clients may see stack traces.
        identify: Makes the unit of work of a request.
        heads: Give each response's headers, in place of the app's own of those names.
        head_names: Those names, in lower case.
        begins: Observers of a request's first byte.
        ends: Observers of its last byte.
        answer_crash: Answers for an app whose own error handling failed.
    """

    def __init__(
        self,
        configuration: Configuration,
        origin: correlation.Origin,
        *,
        development: bool,
    ) -> None:
        self.configuration = configuration
        self.origin = origin
        self.development = development
        self.identify: Callable[[WSGIEnvironment], correlation.Unit] = _anonymous
        self.heads: list[Head] = []
        self.head_names: set[str] = {"content-length"}
        self.begins: list[Observer] = []
        self.ends: list[Observer] = []
        self.answer_crash: Callable[[Record, Exception], Answer | None] = _no_answer

    def add_head(self, names: Iterable[str], head: Head) -> None:
        """Let *head* give the headers of these names."""
        self.heads.append(head)
        self.head_names.update(name.lower() for name in names)


def state_of(app: Flask) -> State:
    """Return what an app has of the house."""
    return cast("State", app.extensions[EXTENSION])


def record_of(environ: WSGIEnvironment) -> Record | None:
    """Return the record of a request."""
    return environ.get(KEY)


def _anonymous(_: WSGIEnvironment) -> correlation.Unit:
    return correlation.Unit(correlation.new_id())


def _no_answer(_: Record, __: Exception) -> Answer | None:
    return None
