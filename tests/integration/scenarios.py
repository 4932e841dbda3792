"""What is played to each worker, and what its log must say of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from celery import chain, chord, group

CROWD = 200
BARE = 5


@dataclass(frozen=True)
class Scenario:
    """
    One cause, published under an id of its own.

    Attributes:
        publish: Publishes it; gets the app's tasks by name, the id, and the app.
        ends: The lines that must carry the id: `event task` by number.
    """

    publish: object
    ends: dict = field(default_factory=dict)

    def done(self, lines):
        """Tell whether all its lines are there."""
        return not Counter(self.ends) - ends_of(lines)


def ends_of(lines):
    """Return how often each `event task` is in some lines, starts left out."""
    told = (f"{x['event'][5:]} {x['task']}" for x in lines if _is_end(x))
    return Counter(told)


def _is_end(line):
    event = line.get("event") or ""
    return event.startswith("task.") and event != "task.started"


def _chord(t, i, _):
    return chord([t["step"].si(i), t["step"].si(i)], t["step"].si(i)).delay()


def _foreign(_, i, app):
    """Publish as a program without the hooks does, by hand."""
    headers = {"id": f"task-of-{i}", "root_id": i, "task": "step", "lang": "py"}
    with app.connection_for_write() as connection, connection.channel() as channel:
        app.amqp.Producer(channel).publish(
            ([], {"wanted": i}, {}),
            serializer="json",
            routing_key=app.conf.task_default_queue,
            headers={**headers, "retries": 0, "eta": None, "expires": None},
            correlation_id=f"task-of-{i}",
        )


def _garbage(_, i, app):
    with app.connection_for_write() as connection, connection.channel() as channel:
        app.amqp.Producer(channel).publish(
            {"no": "task"},
            serializer="json",
            routing_key=app.conf.task_default_queue,
            headers={"x_correlation_id": i},
        )


STEP = {"succeeded step": 1}

TRAVELS = {
    "delay": Scenario(lambda t, i, _: t["step"].delay(i), STEP),
    "countdown": Scenario(lambda t, i, _: t["step"].apply_async((i,), countdown=1), STEP),
    "by_name": Scenario(lambda _, i, app: app.send_task("step", (i,)), STEP),
    "group": Scenario(
        lambda t, i, _: group(t["step"].si(i) for _ in range(3)).delay(),
        {"succeeded step": 3},
    ),
    "chain": Scenario(
        lambda t, i, _: chain(t["step"].si(i), t["nested"].si(i), t["step"].si(i)).delay(),
        {"succeeded step": 3, "succeeded nested": 1},
    ),
    "chord": Scenario(_chord, {"succeeded step": 3}),
    "link": Scenario(
        lambda t, i, _: t["step"].apply_async((i,), link=t["step"].si(i)),
        {"succeeded step": 2},
    ),
    "link_error": Scenario(
        lambda t, i, _: t["broken"].apply_async((i,), link_error=t["errback"].si(i)),
        {"failed broken": 1, "succeeded errback": 1},
    ),
    "link_error_in_place": Scenario(
        lambda t, i, _: t["broken"].apply_async((i,), link_error=t["errback_in_place"].s()),
        {"failed broken": 1},
    ),
    "nested": Scenario(
        lambda t, i, _: t["nested"].delay(i), {"succeeded nested": 1, "succeeded step": 1}
    ),
    "replace": Scenario(
        lambda t, i, _: t["replaced"].delay(i), {"ignored replaced": 1, "succeeded step": 1}
    ),
    "eager_inside": Scenario(
        lambda t, i, _: t["eager_inside"].delay(i),
        {"succeeded eager_inside": 1, "succeeded step": 1},
    ),
    "retry": Scenario(
        lambda t, i, _: t["flaky"].delay(i), {"retried flaky": 2, "succeeded flaky": 1}
    ),
    "autoretry": Scenario(
        lambda t, i, _: t["auto"].delay(i), {"retried auto": 1, "succeeded auto": 1}
    ),
    "gives_up": Scenario(
        lambda t, i, _: t["gives_up"].delay(i),
        {"retried gives_up": 1, "failed gives_up": 1},
    ),
    "foreign": Scenario(_foreign, STEP),
}

ENDS = {
    "failed": Scenario(
        lambda t, i, _: t["broken"].delay(i, password="hunter2"), {"failed broken": 1}
    ),
    "rejected": Scenario(lambda t, i, _: t["refuses"].delay(i), {"rejected refuses": 1}),
    "ignored": Scenario(lambda t, i, _: t["ignores"].delay(i), {"ignored ignores": 1}),
    "unknown": Scenario(
        lambda _, i, app: app.send_task("nobody.knows", (i,)), {"rejected nobody.knows": 1}
    ),
    "garbage": Scenario(_garbage, {"rejected ": 1}),
    "noisy": Scenario(lambda t, i, _: t["noisy"].delay(i), {"succeeded noisy": 1}),
    "secretive": Scenario(
        lambda t, i, _: t["secretive"].delay(i, note="seen", password="hunter2"),
        {"succeeded secretive": 1},
    ),
}


# played first, to a worker that has nothing else to do
CALM = {
    "waits": Scenario(lambda t, i, _: t["step"].apply_async((i,), countdown=2), STEP),
    "expired": Scenario(
        lambda t, i, _: t["step"].apply_async((i,), countdown=1, expires=0.5),
        {"revoked step": 1},
    ),
}

# only child processes can be lost; played last, as their end costs others a moment
LOSSES = {
    "killed": Scenario(
        lambda t, i, _: t["killed"].apply_async((i,), link_error=t["errback"].si(i)),
        {"failed killed": 1, "succeeded errback": 1},
    ),
    "stuck": Scenario(lambda t, i, _: t["stuck"].delay(i), {"failed stuck": 1}),
    "leaves": Scenario(lambda t, i, _: t["leaves"].delay(i), {"failed leaves": 1}),
    "terminated": Scenario(
        lambda t, i, _: t["step"].apply_async((i,), {"pause": 60}, task_id=i),
        {"revoked step": 1},
    ),
}
