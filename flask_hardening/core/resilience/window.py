"""A time window: how many calls of the last seconds there were, and how they ended."""

from __future__ import annotations

from typing import NamedTuple

_BUCKETS = 10


class Tally(NamedTuple):
    """
    The sums of a window.

    Attributes:
        calls: Calls that have ended.
        failures: Those of them that failed.
        slow: Those of them that were slow, failed or not.
    """

    calls: int = 0
    failures: int = 0
    slow: int = 0


class Window:
    """
    Counts what happened in the last seconds: nine whole tenths of them and the begun one.

    It has no lock; who uses it holds one. Sums are made when they are asked for, so that a
    count that a fork cut in half is wrong no longer than the window is long.

    Args:
        seconds: How far it looks back.
        now: The time, in seconds of a clock that doesn't go back.
    """

    __slots__ = ("_buckets", "_newest", "_width")

    def __init__(self, seconds: float, now: float) -> None:
        self._width = seconds / _BUCKETS
        self.clear(now)

    def clear(self, now: float) -> None:
        """Forget everything."""
        self._newest = int(now // self._width)
        self._buckets = [[0, 0, 0] for _ in range(_BUCKETS)]

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call that ended now."""
        self._roll(now)
        bucket = self._buckets[self._newest % _BUCKETS]
        bucket[0] += 1
        bucket[1] += failed
        bucket[2] += slow

    def tally(self, now: float) -> Tally:
        """Return the sums of what is not too old."""
        self._roll(now)
        return Tally(*map(sum, zip(*self._buckets, strict=True)))

    def _roll(self, now: float) -> None:
        """Empty the buckets that the time has come round to."""
        newest = int(now // self._width)
        if newest <= self._newest:  # who had to wait for the lock may bring an older time
            return
        for number in range(max(self._newest + 1, newest - _BUCKETS + 1), newest + 1):
            self._buckets[number % _BUCKETS] = [0, 0, 0]
        self._newest = newest
