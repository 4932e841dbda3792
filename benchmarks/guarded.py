"""What a guarded call costs that does nothing: ours, beside `retrying` over `circuitbreaker`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from circuitbreaker import CircuitBreaker
from retrying import retry

from flask_hardening.core.resilience.breaker import Breaker
from flask_hardening.core.resilience.classes import is_failure, may_repeat
from flask_hardening.core.resilience.retry import Retry
from flask_hardening.resilience import guard

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = 20  # of one round


def _nothing() -> None:
    """Return at once."""


def _theirs() -> Callable[[], None]:
    again = retry(
        stop_max_attempt_number=3,
        wait_exponential_multiplier=100,
        retry_on_exception=(ConnectionError,),
    )
    found: Callable[[], None] = again(CircuitBreaker(name="theirs")(_nothing))
    return found


def _pair() -> Callable[[], None]:
    breaker = Breaker("pair", is_failure=is_failure)
    again = Retry("pair", transient=lambda error: may_repeat(error, idempotent=True))
    return lambda: again.call(breaker.call, _nothing)


def _guard() -> Callable[[], None]:
    return guard("whole", idempotent=True)(_nothing)


KINDS: dict[str, Callable[[], Callable[[], None]]] = {
    "bare": lambda: _nothing,
    "theirs": _theirs,
    "pair": _pair,
    "guard": _guard,
}


def main() -> None:
    """Make the calls."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, default=1)
    options = parser.parse_args()
    call = KINDS[options.kind]()
    for _ in range(options.count * _CALLS):
        call()


if __name__ == "__main__":
    main()
