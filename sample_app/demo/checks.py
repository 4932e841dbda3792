"""The verdict: what the demo has shown, checked against the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sample_app.demo.system import PROCESSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sample_app.demo.logbook import Line, Logbook
    from sample_app.demo.traffic import Call, Traffic

Check = tuple[str, bool]
_TASK = "sample_app.tasks."


def settled(book: Logbook, traffic: Traffic) -> bool:
    """Tell whether all that is to come has been logged: each request's end, the last jobs."""
    lines = book.read()
    ends = {line.get("request_id") for line in lines if _is(line, "request.finished")}
    jobs = _jobs([line for line in lines if _has_id(line, traffic.followed)])
    waits = [call for call in traffic.calls if call.request_id not in ends]
    last = {("send_invoice", "task.succeeded", 2), ("settle_payment", "task.succeeded", 1)}
    return not waits and last <= jobs


def run(book: Logbook, traffic: Traffic) -> Iterator[Check]:
    """Yield each thing that must hold, and whether it does."""
    calls = traffic.calls
    lines = book.read()
    right = sum(call.status == call.expected for call in calls)
    yield (
        f"{right} of {len(calls)} requests were answered as expected, each with both ids",
        right == len(calls) and all(c.correlation_id and c.request_id for c in calls),
    )
    yield "each request has exactly one request.finished line", _one_end_each(calls, lines)
    yield "each error response quotes the id of its header", _errors_quote(calls)
    yield (
        "the bug's client was told nothing of the exception",
        "zero" not in str(traffic.unexpected.body).lower(),
    )
    yield (
        "the slow request has a request.slow line",
        any(_is(x, "request.slow") and _has_id(x, traffic.slow) for x in lines),
    )
    story = [line for line in lines if _has_id(line, traffic.followed)]
    seen = {line["_process"] for line in story}
    yield (
        f"one id is in the logs of all {len(PROCESSES)} processes: {', '.join(PROCESSES)}",
        seen == set(PROCESSES),
    )
    jobs = _jobs(story)
    yield (
        "send_invoice failed at attempt 1, was retried, succeeded at attempt 2",
        ("send_invoice", "task.retried", 1) in jobs
        and ("send_invoice", "task.succeeded", 2) in jobs,
    )
    paid = sum(_is(line, "payment.settled") for line in story)
    yield "the payment was settled exactly once", paid == 1
    yield (
        f"each of the {len(lines) + len(book.broken)} log lines is JSON",
        not book.broken,
    )


def _one_end_each(calls: list[Call], lines: list[Line]) -> bool:
    ends = [
        (line.get("correlation_id"), line.get("request_id"), line.get("status"))
        for line in lines
        if _is(line, "request.finished") and line["_process"] == "api"
    ]
    return all(
        ends.count((call.correlation_id, call.request_id, call.status)) == 1
        and sum(end[1] == call.request_id for end in ends) == 1
        for call in calls
    )


def _errors_quote(calls: list[Call]) -> bool:
    errors = [call for call in calls if call.is_error]
    return bool(errors) and all(
        isinstance(call.body, dict)
        and call.body.get("correlationId") == call.correlation_id
        for call in errors
    )


def _jobs(lines: list[Line]) -> set[tuple[str, str, int]]:
    return {
        (line["task"].removeprefix(_TASK), line["event"], line["attempt"])
        for line in lines
        if str(line.get("event", "")).startswith("task.") and "attempt" in line
    }


def _is(line: Line, event: str) -> bool:
    return line.get("event") == event


def _has_id(line: Line, call: Call) -> bool:
    return line.get("correlation_id") == call.correlation_id
