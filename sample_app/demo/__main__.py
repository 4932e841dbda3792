"""`python -m sample_app.demo`: set up, show, verify, serve until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import requests

from sample_app.demo import checks, screen, story
from sample_app.demo.logbook import Logbook
from sample_app.demo.outage import Outage
from sample_app.demo.processes import Crew, StartError, StopAskedError, is_free
from sample_app.demo.system import PROCESSES, System
from sample_app.demo.traffic import Traffic

_LOGS_SECONDS = 30.0
_WATCH = 0.5


_INTERRUPTED = 130


class Verdict:
    """What has come of it: None until all checks have been made."""

    good: bool | None = None


def main() -> int:
    """Run the demo; return its exit status."""
    options = _options()
    given = Path(options.dir).absolute() if options.dir else None
    folder = given or Path(tempfile.mkdtemp(prefix="invoicing-"))
    folder.mkdir(parents=True, exist_ok=True)
    verdict = Verdict()
    with Crew() as crew:
        status = _guarded(crew, folder, options, verdict)
    if given is None and status == 0:
        shutil.rmtree(folder, ignore_errors=True)
        screen.say("All processes are stopped, the temporary folder is gone.")
    else:
        screen.say(f"All processes are stopped. The logs are in {folder}/logs")
    return status


def _guarded(
    crew: Crew, folder: Path, options: argparse.Namespace, verdict: Verdict
) -> int:
    try:
        _run(crew, folder, options, verdict)
    except StopAskedError:
        screen.say()
        screen.say("Stopping …")
        if verdict.good is None:
            return _INTERRUPTED
    except (StartError, requests.RequestException) as error:
        screen.say()
        screen.say("The demo can't go on.", "red", "bold")
        screen.say(str(error))
        return 1
    return 0 if verdict.good else 1


def _run(crew: Crew, folder: Path, options: argparse.Namespace, verdict: Verdict) -> None:
    if options.port and not is_free(options.port):
        raise StartError(
            f"Port {options.port} is taken or not allowed: choose another with --port."
        )
    screen.say("An invoicing system: three services and a worker, hardened", "bold")
    screen.say()
    screen.say(f"  Starting it in {folder}", "dim")
    system = System(crew, folder, options.port)
    system.start()

    screen.heading("Traffic")
    screen.paragraph(
        "A client calls the API. Each answer has its correlation id in a header; "
        "in an error's body as well."
    )
    traffic, book = Traffic(system), Logbook(system)
    traffic.drive()
    book.wait_for(lambda: checks.settled(book, traffic), _LOGS_SECONDS)

    screen.heading("One request, followed through all processes by its id")
    screen.paragraph(
        "The API asked the auth service who it is, asked the business service whose business "
        "it is, stored the invoice and left the rest to the worker. There the mail gateway "
        "refused the first attempt, the second one got through, and the customer was charged."
    )
    screen.say()
    story.timeline(traffic.followed, book.of(traffic.followed.correlation_id))
    screen.heading("An exception that nobody expected")
    story.failure(traffic.unexpected, book)
    outage = Outage(system, traffic, book) if options.broken else None
    if outage is not None:
        outage.show()
    screen.heading("Verdict")
    verdict.good = _judge(book, traffic, outage)
    if not options.once:
        _serve(system, traffic)


def _judge(book: Logbook, traffic: Traffic, outage: Outage | None) -> bool:
    results = list(checks.run(book, traffic))
    results += outage.checks() if outage is not None else []
    for text, good in results:
        screen.say(f"  {screen.mark(good)} {text}")
    for process, raw in book.broken[:5]:
        screen.say(f"      {process}: {screen.cut(raw, 80)}", "dim")
    good = all(good for _, good in results)
    screen.say()
    if good:
        screen.say("  All of it holds.", "green", "bold")
    else:
        screen.say("  Not all of it holds.", "red", "bold")
    return good


def _serve(system: System, traffic: Traffic) -> None:
    token = system.folder / "token"
    token.touch(mode=0o600)
    token.write_text(f"Authorization: Bearer {traffic.token}\n", "utf-8")
    api = system.urls["api"]
    screen.heading("It keeps serving")
    screen.say(f"  API    {api}")
    screen.say(f"  Logs   {system.logs}/{{{','.join(PROCESSES)}}}.log")
    screen.say()
    screen.say("  Try:")
    number = traffic.followed.body["id"]
    screen.say(f"    curl -i {api}/invoices/{number}", "cyan")
    screen.say(
        f"    curl -i -H @{token} -H 'X-Correlation-ID: my-own-id' {api}/invoices", "cyan"
    )
    screen.say(f"    grep -h my-own-id {system.logs}/*.log", "cyan")
    screen.say()
    screen.say("  Ctrl-C stops all of it.", "bold")
    while True:
        system.crew.check()
        time.sleep(_WATCH)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sample_app.demo",
        description="Start the sample system, drive traffic, follow one request by its id.",
        epilog="REDIS_URL and DATABASE_URL, if set, replace the embedded broker and SQLite.",
    )
    parser.add_argument(
        "--once", action="store_true", help="end with a status, don't serve"
    )
    parser.add_argument(
        "--break",
        dest="broken",
        choices=["payments"],
        help="let the payment provider hang for a while, and see what becomes of a payment",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="the API's port (default: a free one)"
    )
    parser.add_argument(
        "--dir", help="where logs and data go, and stay (default: temporary)"
    )
    options = parser.parse_args()
    if options.port not in range(65536):
        parser.error(f"{options.port} is no port")
    return options


if __name__ == "__main__":
    sys.exit(main())
