"""A database driver's connection: cut off in time, or told to PostgreSQL when it is to cancel."""

from __future__ import annotations

import math
import re
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from flask_hardening.core.resilience.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

# the option that bounds connecting alone; libpq takes whole seconds
CONNECT_TIMEOUTS: dict[str, tuple[str, Callable[[float], float]]] = {
    **dict.fromkeys(("psycopg", "psycopg2"), ("connect_timeout", math.ceil)),
    **dict.fromkeys(("pymysql", "mysqldb"), ("connect_timeout", math.ceil)),
    "asyncpg": ("timeout", float),
}

_IDLE, _FAILED = 0, 3  # a connection's transaction, as libpq counts
_TIME = re.compile(r"([0-9]+)(ms|s|min|h|d)?").fullmatch
_UNITS = {None: 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Call:
    """A statement, COMMIT or ROLLBACK that is under way, with a block if it has a permit."""

    __slots__ = ("block", "started", "watch")

    def __init__(self, block: ExitStack | None = None) -> None:
        self.block = block or ExitStack()
        self.started = time.monotonic()
        self.watch: Watch | None = None

    def watch_over(self, driver: Any, seconds: float) -> None:  # noqa: ANN401
        """Cut the connection off after so many, if its descriptor can be had."""
        watch = Watch(time.monotonic() + seconds)
        with suppress(Exception):  # a driver without any, or a connection closed before
            watch.over(driver.fileno())
            self.watch = watch

    def unwatch(self) -> bool:
        """Tell whether it was cut off."""
        if self.watch is None:
            return False
        self.watch.end()
        return self.watch.fired


class Wire:
    """
    What is known of one connection of the driver's.

    Attributes:
        ending: The COMMIT or ROLLBACK that was begun last; nothing tells of its end.
        cut: Whether it was cut off, maybe just after the answer had come.
        own: Milliseconds of its `statement_timeout`, once they have been asked for.
        limit: Those set for this transaction; None if they are its own.
        theirs: Whether this transaction's were set by who uses it.
    """

    __slots__ = ("cut", "ending", "limit", "own", "theirs")

    def __init__(self) -> None:
        self.ending: Call | None = None
        self.cut = self.theirs = False
        self.own: float | None = None
        self.limit: float | None = None

    def take(self) -> Call | None:
        """Return what is ending, and watch over it no more."""
        ending, self.ending = self.ending, None
        if ending is not None and ending.unwatch():
            self.cut = True
        return ending

    def limit_to(self, driver: Any, left: float | None, statement: str) -> None:  # noqa: ANN401
        """Let PostgreSQL cancel what takes longer; with None, as long as ever."""
        status = driver.info.transaction_status
        if status == _IDLE:  # what was set has ended with its transaction
            self.limit, self.theirs = None, False
        self.theirs = self.theirs or "statement_timeout" in statement.lower()
        if self.theirs or status == _FAILED or driver.autocommit:
            return
        if left is None and self.limit is None:
            return
        if self.own is None:
            self.own = _milliseconds(_ask(driver, "SHOW statement_timeout"))
        wanted = self.own if left is None else min(max(1, math.ceil(left * 1000)), self.own)
        limit = self.limit
        stands = wanted == self.own if limit is None else limit / 2 <= wanted <= limit
        if not stands:
            shown = 0 if wanted == math.inf else wanted
            # not by a query: after one, nobody can choose the isolation level
            _ask(driver, f"SET LOCAL statement_timeout = {shown}")
            self.limit = None if wanted == self.own else wanted

    def forget_limit(self) -> None:
        """Take it that the limit may have been taken back, with a savepoint."""
        self.limit = self.limit and math.nan


def _ask(driver: Any, statement: str) -> str | None:  # noqa: ANN401
    cursor = driver.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None
    finally:
        cursor.close()


def _milliseconds(shown: str | None) -> float:
    found = _TIME(shown or "")
    return (int(found[1]) * _UNITS[found[2]] if found else 0) or math.inf
