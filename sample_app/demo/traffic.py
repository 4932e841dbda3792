"""The traffic: real calls of the API, each shown with its status, its time and its id."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sample_app.demo import screen
from sample_app.mail import GREYLISTING

if TYPE_CHECKING:
    from sample_app.demo.system import System

_TIMEOUT = 15.0
_ERROR = 400


@dataclass(frozen=True)
class Call:
    """
    One call and its answer.

    Attributes:
        text: Method and path.
        expected: The status that would be right.
        status: The one that came.
        correlation_id: From the response's header.
        request_id: Likewise.
        body: The answer's JSON, or None.
        milliseconds: How long it took the client.
    """

    text: str
    expected: int
    status: int
    correlation_id: str
    request_id: str
    body: Any
    milliseconds: float

    @property
    def is_error(self) -> bool:
        """Tell whether it has an error response."""
        return self.status >= _ERROR


class Traffic:
    """
    A client of the API.

    Attributes:
        calls: All calls so far.
        followed: The one whose job fails at first.
        unexpected: The one that ran into a bug.
        slow: The one that took long.
        token: What it has signed in with.
        written: Number of the invoice that is paid in part.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.calls: list[Call] = []
        self.token = ""
        self.written = 0
        self.followed: Call
        self.unexpected: Call
        self.slow: Call

    def drive(self) -> None:
        """Make all calls, in words a person follows."""
        run = secrets.token_hex(3)  # a database from an earlier run may be in use
        _group("Requests as they should be")
        business = self._sign_up(run)
        invoice = self._invoice(business, "A-1", "ada@example.org")
        created = self.call("an invoice", 201, "POST", "/invoices", json=invoice)
        self.written = number = (created.body or {}).get("id", 0)
        payment = {"key": f"pay-{run}", "amount_cents": 5000}
        path = f"/invoices/{number}/payments"
        self.call("part of it is paid", 202, "POST", path, json=payment)
        self.call("the list", 200, "GET", "/invoices")

        _group("Requests that are wrong")
        empty = {"business_id": business, "amount_cents": -1}
        self.call("fields are wrong", 422, "POST", "/invoices", json=empty)
        self.call("not JSON", 400, "POST", "/invoices", data="{", json_type=True)
        self.call("no such invoice", 404, "GET", "/invoices/999999999")
        self.call("no token", 401, "GET", "/invoices", token="")
        self.call("no such method", 405, "DELETE", "/invoices")
        self.call("the number is taken", 409, "POST", "/invoices", json=invoice)

        _group("A slow one, one whose job fails at first, and a bug")
        self.slow = self.call("takes over a second", 200, "GET", "/reports/slow")
        customer = f"grace@{GREYLISTING}"
        invoice = {**self._invoice(business, "A-2", customer), "auto_charge": True}
        self.followed = self.call(
            "mail refused at first", 201, "POST", "/invoices", json=invoice
        )
        path = "/reports/average?customer=nobody"
        self.unexpected = self.call("divides by zero", 500, "GET", path)

    def _sign_up(self, run: str) -> int:
        user = {"email": f"demo-{run}@example.org", "password": secrets.token_urlsafe()}
        self.call("a user registers", 201, "POST", "/users", json=user)
        signed_in = self.call("signs in", 201, "POST", "/tokens", json=user)
        self.token = (signed_in.body or {}).get("token", "")
        name = {"name": f"Engines {run}"}
        created = self.call("a business", 201, "POST", "/businesses", json=name)
        return int((created.body or {}).get("id", 0))

    @staticmethod
    def _invoice(business: int, number: str, customer: str) -> dict[str, Any]:
        return {
            "business_id": business,
            "number": number,
            "customer": customer,
            "amount_cents": 12000,
        }

    def call(
        self,
        why: str,
        expected: int,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json_type: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> Call:
        """Make one call and show it."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if json_type:
            headers["Content-Type"] = "application/json"
        url = self._system.urls["api"] + path
        began = time.perf_counter()
        answer = self._system.http.request(
            method, url, headers=headers, timeout=_TIMEOUT, **kwargs
        )
        call = Call(
            f"{method} {path.partition('?')[0]}",
            expected,
            answer.status_code,
            answer.headers.get("X-Correlation-ID", ""),
            answer.headers.get("X-Request-ID", ""),
            answer.json() if "json" in answer.headers.get("Content-Type", "") else None,
            (time.perf_counter() - began) * 1000,
        )
        self.calls.append(call)
        _show(call, why)
        return call


def _group(text: str) -> None:
    screen.say()
    screen.say(f"  {text}", "cyan")


def _show(call: Call, why: str) -> None:
    good = call.status == call.expected
    note = why if good else f"{call.expected} was expected"
    screen.say(
        f"  {screen.mark(good)} {screen.status(call.status)}  {screen.cut(call.text, 25)}"
        f"{screen.milliseconds(call.milliseconds)}  {call.correlation_id:<32}  {note}"
    )
