"""How calls to a target are guarded: what can be set, and what is right for each kind of target."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.validity import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

Profile = Literal["http", "third_party", "redis", "database", "queue"]


@dataclass(frozen=True)
class BreakerConfig:
    """
    When a breaker opens, for how long, and what it takes to close again.

    Attributes:
        window: Seconds it looks back.
        minimum_calls: With fewer in the window, no rate opens it.
        failure_rate: Share of failed calls from which it opens.
        consecutive: Failures in a row that open it; 0 for no such limit.
        slow_call: Seconds from which a call is slow; None if none ever is.
        slow_rate: Share of slow calls from which it opens.
        open_for: Seconds it stays open; they double each time it opens without having
            been closed in between.
        open_max: The most they become.
        jitter: Share, below 1, by which they are longer or shorter at random, the longest
            too: processes are not to come back all at once.
        probes: Calls that are let through after that; all must succeed.
        probe_lease: Seconds after which one of them is given up.

    Raises:
        ConfigError: Values can't work; names each.
    """

    window: float = 30.0
    minimum_calls: int = 10
    failure_rate: float = 0.5
    consecutive: int = 5
    slow_call: float | None = None
    slow_rate: float = 0.8
    open_for: float = 10.0
    open_max: float = 120.0
    jitter: float = 0.2
    probes: int = 1
    probe_lease: float = 30.0

    def __post_init__(self) -> None:
        positive = "window minimum_calls failure_rate slow_rate probes probe_lease".split()
        wrong = [name for name in positive if not getattr(self, name) > 0]
        wrong += [
            name for name in ("consecutive", "open_for") if not getattr(self, name) >= 0
        ]
        if not 0 <= self.jitter < 1:
            wrong.append("jitter")
        _refuse("breaker", self, wrong)
        if not self.open_max >= self.open_for:
            raise ConfigError(
                f"open_for = {self.open_for} is above open_max = {self.open_max}"
            )


@dataclass(frozen=True)
class RetryConfig:
    """
    How often a call is made, and how long is waited between.

    A wait is anything from 0 to `wait_initial`, which doubles each time up to `wait_max`:
    who failed together is not to come back together. A `Retry-After` can make it longer.

    Attributes:
        attempts: The most there are, the first among them.
        wait_initial: Seconds that the first wait lasts at most.
        wait_max: Seconds that any wait lasts at most.
        total: Seconds from the first attempt's begin to the last one's; None for any time.
        max_retry_after: Seconds; a target that asks for more gets no further attempt.

    Raises:
        ConfigError: Values can't work; names each.
    """

    attempts: int = 3
    wait_initial: float = 0.1
    wait_max: float = 2.0
    total: float | None = None
    max_retry_after: float = 30.0

    def __post_init__(self) -> None:
        waits = ("wait_initial", "wait_max", "max_retry_after")
        wrong = [name for name in waits if not getattr(self, name) >= 0]
        if not self.attempts >= 1:
            wrong.append("attempts")
        if self.total is not None and not self.total > 0:
            wrong.append("total")
        _refuse("retry", self, wrong)


def _refuse(what: str, config: BreakerConfig | RetryConfig, wrong: list[str]) -> None:
    if wrong:
        values = ", ".join(f"{name} = {getattr(config, name)!r}" for name in wrong)
        raise ConfigError(
            f"No {what} works with {values}: numbers are positive, shares from 0 to 1"
        )


@dataclass(frozen=True)
class Options(BreakerConfig, RetryConfig):
    """
    Everything that can be set for a target; seconds are floats.

    Attributes:
        budget: Retries per call, over all calls to the target: 0.2 is one in five.
        limit: Calls that may be under way at once in a process; None for any number.
        connect_timeout: Seconds to connect, for a client that has no such time-out.
        timeout: Seconds to wait for an answer, the same; None for ever.
    """

    budget: float = 0.2
    limit: int | None = None
    connect_timeout: float | None = 2.0
    timeout: float | None = 5.0

    def __post_init__(self) -> None:
        BreakerConfig.__post_init__(self)
        RetryConfig.__post_init__(self)
        if self.consecutive and self.attempts > self.consecutive:
            raise ConfigError(
                f"attempts = {self.attempts} is above consecutive = {self.consecutive}: one "
                "call alone would open the breaker. Lower the one or raise the other"
            )
        if not 0 <= self.budget <= 1:
            raise ConfigError(f"budget = {self.budget} is a share of the calls: 0 to 1")
        if self.limit is not None and not self.limit >= 1:
            raise ConfigError(
                f"limit = {self.limit} lets no call in; None is for any number"
            )
        for name in ("connect_timeout", "timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(
                    f"{name} = {value} is no time to wait; None is for no bound"
                )

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """
        Return the same with some values changed.

        Raises:
            ConfigError: One is impossible, or two contradict each other.
            TypeError: There is no such option.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                near = nearest(name, known)
                raise TypeError(f"{name!r} is no option: the nearest one is {near!r}")
        return replace(self, **changes)


# what is right for a kind of target, where nobody says otherwise
PROFILES: dict[str, Options] = {
    "http": Options(slow_call=4.0),
    "third_party": Options(
        wait_initial=0.25,
        wait_max=5.0,
        budget=0.1,
        slow_call=8.0,
        open_for=30.0,
        open_max=300.0,
        probe_lease=60.0,
        connect_timeout=3.0,
        timeout=10.0,
    ),
    "redis": Options(
        attempts=2,
        wait_initial=0.02,
        wait_max=0.2,
        window=10.0,
        minimum_calls=20,
        slow_call=0.5,
        open_for=5.0,
        open_max=60.0,
        probe_lease=5.0,
        connect_timeout=0.5,
        timeout=1.0,
    ),
    "database": Options(
        wait_initial=0.05,
        wait_max=1.0,
        open_for=5.0,
        open_max=60.0,
        probe_lease=15.0,
        timeout=None,  # how long a statement may take is known to who wrote it
    ),
    "queue": Options(wait_max=1.0, probe_lease=10.0, connect_timeout=0.5, timeout=1.0),
}


def of_profile(profile: str, changes: Mapping[str, Any]) -> Options:
    """
    Return what is right for a kind of target, with some values changed.

    Raises:
        ConfigError: There is no such profile, or a value is impossible.
        TypeError: There is no such option.
    """
    if profile not in PROFILES:
        near = nearest(profile, PROFILES)
        raise ConfigError(f"{profile!r} is no profile: the nearest one is {near!r}")
    return PROFILES[profile].changed(changes)
