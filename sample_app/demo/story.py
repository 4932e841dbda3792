"""One request's story: the lines of all processes that carry its id, in the order of time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sample_app.demo import screen

if TYPE_CHECKING:
    from sample_app.demo.logbook import Line, Logbook
    from sample_app.demo.traffic import Call

_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def timeline(call: Call, lines: list[Line]) -> None:
    """Show where a request has been."""
    screen.say(f"  {call.text}    id {call.correlation_id}")
    screen.say()
    columns = f"  {'at':>9}  {'process':<10}{'event':<20}{'took':>9}  message"
    screen.say(columns, "dim")
    for line in lines:
        since = (line["_time"] - lines[0]["_time"]).total_seconds() * 1000
        took = line.get("duration_ms", line.get("runtime_ms"))
        start = f"  {screen.milliseconds(since)}  {line['_process']:<10}"
        event = screen.paint(
            screen.cut(line.get("event") or line["logger"], 20),
            *filter(None, [_COLOURS.get(line["level"])]),
        )
        text = screen.cut(_message(line), screen.WIDTH - 54).rstrip()
        screen.say(f"{start}{event}{screen.milliseconds(took)}  {text}")


def _message(line: Line) -> str:
    text = str(line["message"]).removeprefix("sample_app.tasks.")
    if "attempt" in line:
        text += f" (attempt {line['attempt']})"
    return text


def failure(call: Call, book: Logbook) -> None:
    """Show what the client was told of a bug, and what the log knows of it."""
    screen.say(f"  The client of {call.text} was told:")
    screen.say()
    for line in json.dumps(call.body, indent=2, ensure_ascii=False).splitlines():
        screen.say(f"    {screen.cut(line, screen.WIDTH - 4).rstrip()}")
    screen.say()
    screen.say("  The log has the rest under the same id:")
    screen.say()
    for line in book.of(call.correlation_id):
        if line.get("event") == "request.failed":
            screen.say(f"    {line['exception_type']}: {line['exception_message']}", "red")
            stack = str(line["exception_stack"]).rstrip().splitlines()
            for row in stack[_last_frame(stack) : -1]:
                screen.say(f"    {screen.cut(row, screen.WIDTH - 4).rstrip()}", "dim")


def _last_frame(stack: list[str]) -> int:
    """Return where the part of a stack begins that says where it happened."""
    frames = [n for n, row in enumerate(stack) if row.lstrip().startswith("File ")]
    return frames[-1] if frames else 0
