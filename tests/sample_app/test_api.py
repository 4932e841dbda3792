"""The API with its services behind it: what clients get, and what one id ties together."""

from __future__ import annotations

import pytest
from processes import poll

from flask_hardening.testing import capture_logs
from sample_app import clients, create_app, invoices
from sample_app.tasks import settle_payment


def test_the_whole_way_of_an_invoice(api):
    """An invoice is written, sent, paid in two parts, and the list shows it paid."""
    created = api.invoice()
    assert (created.status_code, created.json["state"]) == (201, "draft")
    path = f"/invoices/{created.json['id']}"
    assert api.get(path).json["state"] == "sent"
    for number, cents in enumerate([5000, 7000]):
        payment = {"key": f"k{number}", "amount_cents": cents}
        assert api.post(f"{path}/payments", payment).status_code == 202
    assert [found["state"] for found in api.get("/invoices").json["invoices"]] == ["paid"]


def told_under(correlation_id, lines):
    """Return service and event of each line under one id."""
    return [
        (line["service"], line.get("event"))
        for line in lines
        if line.get("correlation_id") == correlation_id
    ]


def test_one_id_in_all_services_and_tasks(api):
    """Lines of the API, the services and the jobs of one request carry the client's id."""
    body = {
        "business_id": api.business,
        "number": "A-7",
        "customer": "grace@greylist.example",
        "amount_cents": 1,
        "auto_charge": True,
    }
    wanted = {
        ("auth", "request.finished"),
        ("business", "request.finished"),
        ("api", "invoice.created"),
        ("api", "request.finished"),
        ("worker", "task.retried"),
        ("worker", "invoice.sent"),
        ("worker", "payment.settled"),
    }
    with capture_logs() as lines:
        answer = api.post("/invoices", body, **{"X-Correlation-ID": "one-for-all"})
        assert answer.json["number"] == "A-7"
        # a line of the requests that prepared this one may still come in between
        poll(lambda: wanted <= set(told_under("one-for-all", lines)), "all lines")
    assert answer.headers["X-Correlation-ID"] == "one-for-all"


def test_every_wrong_field_is_named(api):
    """A validation error lists all problems at once, field by field."""
    answer = api.post("/invoices", {"amount_cents": 0, "customer": "nobody", "number": " "})
    assert (answer.status_code, answer.json["category"]) == (422, "validation")
    wrong = {problem["field"] for problem in answer.json["details"]}
    assert wrong == {"business_id", "number", "customer", "amount_cents"}
    assert "customer must be an e-mail address" in answer.json["message"]


@pytest.mark.parametrize("value", ["a" * 41, "tab\tinside", "nul\0", "\ud800", 7, None, []])
def test_texts_that_no_database_should_see(api, value):
    """Over-long texts, control characters, lone surrogates and other types are refused."""
    assert api.invoice(number=value).status_code == 422


@pytest.mark.parametrize("value", [0, -1, 2**31, 1.5, True, "1"])
def test_amounts_that_are_none(api, value):
    """Only whole positive numbers that fit are amounts; `true` is none."""
    assert api.invoice(amount_cents=value).status_code == 422


def test_a_body_that_is_no_object(api):
    """A JSON list is answered by a 422, broken JSON by a 400."""
    assert api.post("/invoices", [1]).status_code == 422
    broken = api._client.post(
        "/invoices", data="{", headers=api.headers, content_type="application/json"
    )
    assert (broken.status_code, broken.json["category"]) == (400, "validation")


def test_conflicts_name_what_is_taken(api, client):
    """E-mail address, business name and invoice number are unique, across services."""
    api.invoice()
    taken = {"email": "ADA@example.org", "password": "another one"}
    assert client.post("/users", json=taken).json["code"] == "email_taken"
    assert (
        api.post("/businesses", {"name": "Engines"}).json["code"] == "business_name_taken"
    )
    again = api.invoice()
    assert (again.status_code, again.json["code"]) == (409, "invoice_number_taken")


def test_who_you_are(api, client):
    """No token, a forged one and a wrong password are 401 with a challenge."""
    forged = {"Authorization": f"Bearer {api.token}x"}
    wrong = {"email": "ada@example.org", "password": "wrong"}
    unknown = {"email": "nobody@example.org", "password": "wrong"}
    for answer, code in [
        (client.get("/invoices"), "invalid_token"),
        (client.get("/invoices", headers=forged), "invalid_token"),
        (client.get("/invoices", headers={"Authorization": "Basic eDp5"}), "invalid_token"),
        (client.post("/tokens", json=wrong), "bad_credentials"),
        (client.post("/tokens", json=unknown), "bad_credentials"),
    ]:
        assert (answer.status_code, answer.json["code"]) == (401, code)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json["correlationId"] == answer.headers["X-Correlation-ID"]


def test_what_belongs_to_others(api, client):
    """Another user can neither write for a business nor learn which invoices there are."""
    number = api.invoice().json["id"]
    other = {"email": "eve@example.org", "password": "eavesdropper"}
    client.post("/users", json=other)
    api.token = client.post("/tokens", json=other).json["token"]
    assert api.invoice(number="A-2").json["code"] == "not_your_business"
    assert api.get(f"/invoices/{number}").json["code"] == "invoice_not_found"
    assert api.get("/invoices").json == {"invoices": []}


def test_what_is_not_there(api):
    """A missing invoice, a missing business and a missing page are 404."""
    assert api.get("/invoices/4711").json["code"] == "invoice_not_found"
    assert api.invoice(business_id=4711).json["code"] == "business_not_found"
    assert api.get("/nowhere").json["code"] == "not_found"


def test_the_same_key_pays_once(api):
    """Repeating a payment changes nothing; its key can't stand for another amount."""
    path = f"/invoices/{api.invoice().json['id']}/payments"
    payment = {"key": "k", "amount_cents": 12000}
    first, second = api.post(path, payment), api.post(path, payment)
    assert first.json["id"] == second.json["id"]
    other = api.post(path, {"key": "k", "amount_cents": 1})
    assert other.json["code"] == "payment_key_reused"
    more = api.post(path, {"key": "k2", "amount_cents": 1})
    assert (more.json["code"], more.json["details"]) == ("overpaid", {"left_cents": 0})


def test_a_bug_stays_inside(api):
    """An exception nobody expected is a 500 that says nothing of it; the log says all."""
    with capture_logs() as lines:
        answer = api.get("/reports/average?customer=nobody")
    assert answer.status_code == 500
    assert "division" not in answer.text
    (line,) = [line for line in lines if line.get("event") == "request.failed"]
    assert line["exception_message"] == "division by zero"
    assert line["correlation_id"] == answer.json["correlationId"]


def test_the_slow_report_is_called_slow(api):
    """It takes over a second, adds up what there is, and has a line of its own."""
    api.invoice()
    with capture_logs() as lines:
        answer = api.get("/reports/slow")
        assert answer.json == {"invoices": 1, "sum_cents": 12000}
    assert "request.slow" in {line.get("event") for line in lines}


def test_a_service_that_is_down(api, monkeypatch):
    """A dependency that refuses connections is a 503, not a bug of the API."""
    monkeypatch.setenv("SAMPLE_AUTH_URL", "http://127.0.0.1:9")
    answer = api.get("/invoices")
    assert (answer.status_code, answer.json["category"]) == (503, "unavailable")


def test_a_service_that_fails(api, monkeypatch, requests_answer):
    """What a broken dependency says is not passed on: it is a 502."""
    requests_answer(500, b'{"code": "invalid_token", "message": "secret"}')
    answer = api.get("/invoices")
    assert (answer.status_code, answer.json["category"]) == (502, "dependency")
    assert "secret" not in answer.text
    requests_answer(418, b"no JSON")
    assert api.get("/invoices").status_code == 502


@pytest.fixture
def requests_answer(monkeypatch):
    """Makes every service answer the same."""

    def answer(status, body):
        def request(*_, **__):
            response = clients.requests.Response()
            response.status_code, response._content = status, body
            return response

        for session in (clients.auth_http, clients.business_http):
            monkeypatch.setattr(session, "request", request)

    return answer


def test_a_repeated_job_charges_nobody_twice(api):
    """Sending again and settling again find nothing left to do."""
    number = api.invoice(auto_charge=True).json["id"]
    assert api.get(f"/invoices/{number}").json["state"] == "paid"
    with capture_logs() as lines:
        assert api.post(f"/invoices/{number}/send").status_code == 202
        payment = invoices.auto_charge(number)
        assert settle_payment.delay(payment.id).get() == "settled before"
    events = [line.get("event") for line in lines]
    assert "payment.settled_before" in events
    assert "payment.settled" not in events
    assert "invoice.sent" not in events


def test_services_alone_refuse_strangers(database):
    """The auth service tells an unknown token by itself, as the API would."""
    answer = create_app("auth").test_client().get("/tokens/check")
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")
