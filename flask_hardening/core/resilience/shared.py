"""A breaker that opens, probes and closes together with those of its name in other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from flask_hardening.core import shield
from flask_hardening.core.resilience import machine
from flask_hardening.core.resilience.board import Entry
from flask_hardening.core.resilience.boardfile import BoardBrokenError
from flask_hardening.core.resilience.breaker import Breaker, Snapshot
from flask_hardening.core.resilience.machine import FAILURE, Outcome, Permit

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_hardening.core.resilience.board import Board
    from flask_hardening.core.resilience.options import BreakerConfig
    from flask_hardening.core.signals import BreakerChanged

T = TypeVar("T")
_OWN = {"consecutive", "rate", "slow", "probe"}
_NOWHERE = (0,)
_MOST = 1_000_000  # anybody may have written there


class _States(machine.States):
    """States whose failures in a row are those of all processes."""

    failures: memoryview[int] | list[int]

    def settle(
        self,
        permit: Permit,
        outcome: Outcome,
        now: float,
        *,
        slow: bool = False,
        failure: str | None = None,
        chance: float = 0.5,
    ) -> BreakerChanged | None:
        """Take in how a call has ended, after all that ended elsewhere."""
        counts = permit.token is None and permit.generation == self.generation
        before, failures = self.in_a_row, self.failures
        if counts:
            # at once: between the two another process's failure may get lost
            before = failures[0]
            if outcome is FAILURE:
                failures[0] = before % _MOST + 1
            self.in_a_row = before
        change = super().settle(
            permit, outcome, now, slow=slow, failure=failure, chance=chance
        )
        if change is not None or (before and not self.in_a_row):
            failures[0] = 0  # a row ends with the state, even if nobody can be told
        return change


class SharedBreaker(Breaker):
    """
    A `Breaker` whose state is on a board, for all processes of a host.

    Failures in a row are those of all processes, rates and slow calls those of its own. It
    tells the others when these change its state, and looks before each call whether one of
    them did. While it is half-open, one process alone sends probes. If the board can't be
    used, it goes on by itself.

    Args:
        target: What it guards; also its name, and its place on the board.
        config: When it opens, and for how long.
        board: It.
        **more: As for `Breaker`.
    """

    _machine = _States
    _states: _States

    def __init__(
        self,
        target: str,
        config: BreakerConfig,
        *,
        board: Board,
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(target, config, **more)
        self._board = board
        self._states.failures = [0]
        self._lease = config.probe_lease
        # whatever is due later than that is from before the host was started
        self._longest = config.open_max * (1 + config.jitter)
        self._slot: int | None = None
        self._seen = 0
        self._sequence: memoryview[int] | tuple[int] = _NOWHERE
        self._join()

    @property
    def state(self) -> str:
        """`closed`, `open`, `half_open`, `forced_open` or `disabled`, in all processes."""
        self._look()
        return super().state

    def snapshot(self) -> Snapshot:
        """Return how it stands; the numbers are those of this process."""
        self._look()
        return super().snapshot()

    def acquire(self) -> Permit:
        """
        Ask for leave to make a call.

        Returns:
            What to call `release` with when it has ended, in whichever way.

        Raises:
            CircuitOpenError: It is not to be made.
        """
        if self._sequence[0] != self._seen:
            self._adopt()
        passing = self._states.passing
        if passing is not None:
            return Permit(passing, None, self._clock())
        self._ask_for_probe()
        return super().acquire()

    def _ask_for_probe(self) -> None:
        """Refuse a call that would be a probe, if another process sends them."""
        now = self._clock()
        with self._lock:
            wanted = self._states.wants_probe(now)
        if not wanted:
            return
        seen, lease = self._seen, self._lease
        given = self._on_board(lambda slot: self._board.claim(slot, seen, now, lease))
        if given is not False:  # None: nobody can tell, so this process's own rules hold
            return
        self._look()
        with self._lock:
            if not self._states.wants_probe(now):
                return  # something has been published, and decides
            self._states.rejected += 1
        raise self._refusal(machine.HALF_OPEN, 0.0, self.last_failure)

    def _command(self, state: str) -> None:
        self._look()
        super()._command(state)
        self._states.failures[0] = 0
        self._publish(lambda sequence: self._commanded(state, sequence))

    def _tell(self, change: BreakerChanged | None) -> None:
        if change is None:
            if self._states.passing is None and self._states.is_idle():
                # a probe said too little: maybe another process's next call says more
                self._on_board(self._board.give_back)
            return
        if change.cause in _OWN:
            self._publish(self._news)
        super()._tell(change)

    def _publish(self, decide: Callable[[int], Entry | None]) -> None:
        if self._slot is None:
            self._join()  # the lock may be free again
        self._on_board(lambda slot: self._board.publish(slot, decide))
        self._look()

    def _news(self, sequence: int) -> Entry | None:
        """Return how it stands; nothing if that was decided without what others know."""
        with self._lock:
            if sequence != self._seen or self._states.state == machine.HALF_OPEN:
                return None
            self._seen = sequence + 2
            return Entry(*self._states.standing())

    def _commanded(self, state: str, sequence: int) -> Entry:
        """Return a state that holds whatever others know."""
        with self._lock:
            if self._states.state == state:
                self._seen = sequence + 2
        return Entry(state)

    def _look(self) -> None:
        """Take over what others have published."""
        if self._sequence[0] != self._seen:
            self._adopt()

    def _adopt(self) -> None:
        found = self._on_board(self._board.read)
        if found is None:
            return
        sequence, entry = found
        now = self._clock()
        with self._lock:
            if sequence <= self._seen:  # another thread was quicker
                return
            self._seen = sequence
            if entry.until - now > self._longest:
                return
            change = self._states.adopt(*entry, now)
        self._tell(change)

    def _join(self) -> None:
        slot = shield.shielded("breaker", "board", self._board.slot, self._name)
        if slot is not None:
            self._slot, self._sequence = slot, self._board.sequence(slot)
            self._states.failures = self._board.failures(slot)

    def _on_board(self, act: Callable[[int], T]) -> T | None:
        """Return what *act* does with the slot; None if it can't."""
        if self._slot is None:
            return None
        try:
            return act(self._slot)
        except BoardBrokenError as error:
            self._slot, self._sequence, self._seen = None, _NOWHERE, 0
            self._states.failures = [0]
            shield.drop("breaker", "board", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - no board is worth a call
            shield.drop("breaker", "board", type(error).__name__)
        return None
