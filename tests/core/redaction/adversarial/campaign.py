"""
How long the suites search: the same few examples in CI, as many as you like by hand.

`SEARCH_EXAMPLES=5000 pytest tests/core/redaction/adversarial` looks at other examples
each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_WANTED = int(os.environ.get("SEARCH_EXAMPLES", "0"))


def search(examples: int = 60) -> settings:
    """Return the settings of one suite; the outputs of a test serve all its examples."""
    return settings(
        max_examples=_WANTED or examples,
        derandomize=not _WANTED,
        database=None,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ],
    )
