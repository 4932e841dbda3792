"""The sample system on PostgreSQL and Redis, many clients at once: one id ties each cause together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from client import ask
from processes import HERE, environment, gunicorn, poll, worker

ROOT = HERE.parents[1]
INVOICES = 24
SERVICES = ("auth", "business", "api")


@pytest.fixture(scope="module")
def system(redis_url, postgresql_url, tmp_path_factory):
    """Three services, a payment provider and a worker; yields their processes and the API's port."""
    folder = tmp_path_factory.mktemp("system")
    env = {
        "DATABASE_URL": postgresql_url,
        "REDIS_URL": redis_url + "/4",
        "SAMPLE_QUEUE": "one-id",
        "SECRET_KEY": "known to all processes of the test",
        "PYTHONPATH": os.pathsep.join((str(HERE), str(ROOT))),
    }
    create = [sys.executable, "-m", "flask", "--app", "sample_app", "init-db"]
    subprocess.run(create, env=environment(**env), cwd=folder, check=True, timeout=60)
    children = {}
    with ExitStack() as stack:
        for name in SERVICES:
            served = f"sample_app:create_app('{name}')"
            options = ("-k", "gthread", "-w", "2", "--threads", "4")
            children[name], port = gunicorn(folder, env, *options, app=served)
            stack.callback(children[name].stop)
            env[f"SAMPLE_{name.upper()}_URL"] = f"http://127.0.0.1:{port}"
        bank, port_of_bank = gunicorn(folder, env, app="sample_app.provider:create_app()")
        stack.callback(bank.stop)
        env["SAMPLE_PAYMENTS_URL"] = f"http://127.0.0.1:{port_of_bank}"
        jobs = worker(folder, env, "-P", "prefork", "-c", "2", app="sample_app.celery_app")
        children["worker"] = jobs
        stack.callback(jobs.stop)
        yield children, port


def post(port, path, correlation_id, body, token=None):
    """Send JSON to the API under an id."""
    headers = {"Content-Type": "application/json", "X-Correlation-ID": correlation_id}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = ask(port, "POST", path, headers, json.dumps(body).encode())
    assert answer.ids[0] == correlation_id
    return answer


@pytest.fixture(scope="module")
def played(system):
    """Invoices written at once, each under its id, and all their lines by process."""
    children, port = system
    user = {"email": "jo@example.com", "password": "long enough, and secret"}
    assert post(port, "/users", "user", user).status == 201
    token = post(port, "/tokens", "token", user).json["token"]
    business = post(port, "/businesses", "business", {"name": "Jo's"}, token).json["id"]

    def write(number):
        # every third customer's mail gateway refuses the first attempt
        domain = "greylist.example" if number % 3 == 0 else "example.com"
        fields = {"number": f"n-{number}", "customer": f"c{number}@{domain}"}
        fields |= {"business_id": business, "amount_cents": 1000, "auto_charge": True}
        return post(port, "/invoices", f"invoice-{number}", fields, token)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(write, range(INVOICES)))
    assert [answer.status for answer in answers] == [201] * INVOICES
    refused = post(port, "/invoices", "refused", {"business_id": "no"}, token)
    stranger = post(port, "/invoices", "stranger", {}, "no token at all")
    settled = {"event": "task.succeeded", "task": "sample_app.tasks.settle_payment"}
    poll(lambda: len(children["worker"].found(**settled)) >= INVOICES, "all payments")
    lines = {name: child.lines() for name, child in children.items()}
    return lines, refused, stranger


def of(lines, name, correlation_id):
    """Return the lines of a process with an id."""
    return [x for x in lines[name] if x.get("correlation_id") == correlation_id]


@pytest.mark.parametrize("number", range(INVOICES))
def test_one_id_is_in_all_four_processes(played, number):
    """An invoice's id is on the lines of three services and two tasks, each once."""
    lines, _, _ = played
    wanted = f"invoice-{number}"
    for name in SERVICES:
        (end,) = [
            x for x in of(lines, name, wanted) if x.get("event") == "request.finished"
        ]
        assert end["service"] == name
    done = [
        x["task"] for x in of(lines, "worker", wanted) if x.get("event") == "task.succeeded"
    ]
    assert sorted(done) == [
        "sample_app.tasks.send_invoice",
        "sample_app.tasks.settle_payment",
    ]
    retried = [x for x in of(lines, "worker", wanted) if x.get("event") == "task.retried"]
    assert len(retried) == (number % 3 == 0)


def test_each_request_has_a_request_id_of_its_own(played):
    """The correlation id spans the services; no two requests share a request id."""
    lines, _, _ = played
    ends = [
        x for name in SERVICES for x in lines[name] if x.get("event") == "request.finished"
    ]

    assert len(ends) > 3 * INVOICES
    assert len({x["request_id"] for x in ends}) == len(ends)


def test_an_error_can_be_followed_too(played):
    """A refused request's id is in its body and in the logs of the services it reached."""
    lines, refused, stranger = played

    assert refused.status in {400, 422}
    assert refused.json["correlationId"] == "refused"
    assert stranger.status == 401
    assert stranger.json["correlationId"] == "stranger"
    for name in ("api", "auth"):
        (end,) = [
            x for x in of(lines, name, "stranger") if x.get("event") == "request.finished"
        ]
        assert end["status"] == 401
    assert of(lines, "business", "stranger") == []


def test_nothing_secret_is_in_any_log(played):
    """Neither the password nor a token has been written down by any process."""
    lines, _, _ = played

    assert "long enough, and secret" not in repr(lines)
    assert "no token at all" not in repr(lines)
