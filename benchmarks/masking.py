"""What masking a JSON body of 2 kB costs: `python -m benchmarks.masking --count N` for a profiler."""

from __future__ import annotations

import argparse
from time import thread_time_ns

import orjson

from benchmarks.body import bodies
from flask_hardening.core import redaction

_BODIES = bodies(200)


def mask(count: int) -> None:
    """Mask so many bodies."""
    clean = redaction.active().clean
    for number in range(count):
        clean(orjson.loads(_BODIES[number % len(_BODIES)]))


def cost(rounds: int) -> float:
    """Return the microseconds per body of the best of so many blocks."""
    mask(len(_BODIES))
    best = float("inf")
    for _ in range(rounds):
        began = thread_time_ns()
        mask(len(_BODIES))
        best = min(best, (thread_time_ns() - began) / len(_BODIES) / 1000)
    return best


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, required=True)
    mask(parser.parse_args().count)
