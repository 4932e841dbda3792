"""An outage: the payment provider hangs, a payment waits for it, and is settled when it is back."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from sample_app.demo import screen, story

if TYPE_CHECKING:
    from sample_app.demo.logbook import Line, Logbook
    from sample_app.demo.system import System
    from sample_app.demo.traffic import Call, Traffic

_SECONDS = 45.0
_SHOWN = 16


class Outage:
    """
    The provider's outage, as a client and the log see it.

    Args:
        system: What runs.
        traffic: The client.
        book: The logs.
    """

    def __init__(self, system: System, traffic: Traffic, book: Logbook) -> None:
        self._system = system
        self._traffic = traffic
        self._book = book
        self._opened = self._settled = False
        self._meanwhile: list[Call] = []
        self._payment: Call

    def show(self) -> None:
        """Make it happen, and show what comes of it."""
        screen.heading("The payment provider hangs")
        screen.paragraph(
            "It takes connections and never answers. A customer pays all the same: the "
            "payment is accepted, and the worker tries to settle it."
        )
        screen.say()
        self._system.crew.send("payments", signal.SIGSTOP)
        try:
            self._payment = self._pay()
            self._opened = self._waits_for("breaker.opened")
            self._meanwhile = [
                self._traffic.call("answered as ever", 200, "GET", "/invoices")
                for _ in range(3)
            ]
            time.sleep(1.0)
        finally:
            self._system.crew.send("payments", signal.SIGCONT)
        screen.say()
        screen.paragraph("It is back. Nobody has to do anything.")
        screen.say()
        self._settled = self._waits_for("payment.settled")
        lines = self._book.of(self._payment.correlation_id)
        story.timeline(self._payment, _without_repetitions(lines)[-_SHOWN:])

    def _pay(self) -> Call:
        path = f"/invoices/{self._traffic.written}/payments"
        payment = {"key": "in-the-outage", "amount_cents": 7000}
        return self._traffic.call("the rest is paid", 202, "POST", path, json=payment)

    def _waits_for(self, event: str) -> bool:
        wanted = self._payment.correlation_id
        return self._book.wait_for(
            lambda: any(x.get("event") == event for x in self._book.of(wanted)), _SECONDS
        )

    def checks(self) -> list[tuple[str, bool]]:
        """Return each thing that must hold, and whether it does."""
        wanted = self._payment.correlation_id
        settled = [x for x in self._book.of(wanted) if x.get("event") == "payment.settled"]
        number = (self._payment.body or {}).get("id")
        url = self._system.urls["payments"] + "/charges"
        charges = self._system.http.get(url, timeout=_SECONDS).json()["charges"]
        return [
            (
                "the payment was accepted while its provider hung",
                self._payment.status == 202,  # noqa: PLR2004
            ),
            ("the provider's breaker opened", self._opened),
            (
                "the API answered meanwhile",
                all(call.status == call.expected for call in self._meanwhile),
            ),
            (
                "the payment was settled exactly once after that",
                self._settled and len(settled) == 1,
            ),
            (
                "the provider has taken the money once",
                charges.get(f"payment-{number}") == 7000,  # noqa: PLR2004
            ),
        ]


def _without_repetitions(lines: list[Line]) -> list[Line]:
    """Leave out what is the same as the line before, but for its time."""
    kept: list[Line] = []
    for line in lines:
        if line.get("event") == "task.started":
            continue
        if not kept or (line.get("event"), line["message"]) != (
            kept[-1].get("event"),
            kept[-1]["message"],
        ):
            kept.append(line)
    return kept
