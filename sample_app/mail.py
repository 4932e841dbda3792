"""A stand-in for a mail gateway, with one bad habit that real ones have."""

from __future__ import annotations

GREYLISTING = "greylist.example"


class GreylistedError(ConnectionError):
    """
    The receiving server refuses the first attempt and wants to see a second one.

    Attributes:
        retry_after: Seconds until that makes sense.
    """

    retry_after = 0.5


def deliver(address: str, key: str, attempt: int) -> None:
    """
    Send a mail.

    Args:
        address: Who gets it.
        key: The gateway sends what has the same key once, so a repeated task is harmless.
        attempt: Which attempt this is, from 1.

    Raises:
        GreylistedError: On the first attempt to an address at `greylist.example`.
    """
    if attempt == 1 and address.endswith("@" + GREYLISTING):
        raise GreylistedError(f"450 {key}: greylisted, try again later")
