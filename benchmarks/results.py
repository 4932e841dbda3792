"""What was measured of one setup."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Result:
    """
    What one setup costs.

    Attributes:
        title: What it is.
        ours: It is of the house.
        best: Microseconds per request in its best block.
        over: How much that is over Flask alone, as a ratio to that.
    """

    title: str
    ours: bool
    best: float
    over: float
