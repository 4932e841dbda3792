"""A small mapped file in which all processes of a host see how the others' breakers stand."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flask_hardening.core.resilience import boardfile, machine
from flask_hardening.core.resilience.boardfile import BoardBrokenError, BoardFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOTS = 512

_BODY = struct.Struct("=ddBBHI")  # until, probe_until, state, trips, size of name, prober
_SLOT = 136  # 8 bytes of sequence, the body, 8 bytes of failures, and the name
_WORDS = _SLOT // 8
_PROBE = struct.Struct("=d")
_PROBER = struct.Struct("=I")
_SIZES = struct.Struct("=H")
_BODY_AT, _PROBE_AT, _SIZE_AT, _PROBER_AT, _NAME_AT = 8, 16, 26, 28, 40
_FAILURES = 4  # in words of 8 bytes
_LONGEST = _SLOT - _NAME_AT
_DIGEST = 32
_SIZE = _SLOT * (1 + SLOTS)  # the header takes the first slot's room
_STATES = (machine.CLOSED, machine.OPEN, machine.FORCED_OPEN, machine.DISABLED)
_TRIES = 5
_SLACK = 1.0  # seconds


class Entry(NamedTuple):
    """
    What stands on the board about a breaker.

    Attributes:
        state: `closed`, `open`, `forced_open` or `disabled`.
        until: When an open one is due, in seconds of `time.monotonic`.
        trips: How often it opened since it was closed.
    """

    state: str
    until: float = 0.0
    trips: int = 0


class Board:
    """
    The slots of one file, each with what was last published about one breaker.

    Reading takes no lock: a slot has a sequence that is odd while it is being written.
    Writing takes the file's `lockf`, by one descriptor per process. A `flock` belongs to the
    open file: a forked child would share it, and could not open the file anew once
    gunicorn has changed the user. A `lockf` belongs to the process, is not inherited, and
    ends with it. It doesn't keep threads apart, for which there is a lock of the process;
    under that one too descriptors are closed, since closing any gives up the file's lock.
    Nobody waits for more than a few milliseconds: who holds it may have been stopped.

    Args:
        path: The file; made if there is none.

    Raises:
        ConfigError: It can't be made or used; says what to do.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = boardfile.opened(path)
        try:
            self._identity = boardfile.checked(path, self._fd)
            boardfile.formatted(path, self._fd, _SIZE)
            self._map = mmap.mmap(self._fd, _SIZE)
        except BaseException:
            self.close()
            raise
        self._words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Write no more; breakers that are left see what others write as long as they live."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with boardfile.this.lock:
                os.close(fd)

    def slot(self, name: str) -> int:
        """
        Return a breaker's slot, a new one if it has none.

        Raises:
            BoardError: It has none, and none can be had.
        """
        wanted = _encoded(name)
        found, free = self._search(wanted)
        if found is not None:
            return found
        with self._held():
            found, free = self._search(wanted)  # as it is now that nobody else writes
            if found is not None:
                return found
            if free is None:
                raise BoardFullError(self._path)
            at = free * _SLOT
            self._map[at + _NAME_AT : at + _NAME_AT + len(wanted)] = wanted
            _SIZES.pack_into(
                self._map, at + _SIZE_AT, len(wanted)
            )  # from here on it is taken
            return free

    def sequence(self, slot: int) -> memoryview[int]:
        """Return what holds a slot's sequence, which changes when something is published."""
        return self._words[slot * _WORDS : slot * _WORDS + 1]

    def failures(self, slot: int) -> memoryview[int]:
        """
        Return what holds the number of failures in a row, in all processes.

        It is written without a lock: a failure may get lost, and none waits.
        """
        at = slot * _WORDS + _FAILURES
        return self._words[at : at + 1]

    def read(self, slot: int) -> tuple[int, Entry] | None:
        """
        Return a slot's sequence and entry, or None while it is being written.

        Raises:
            BoardBrokenError: What stands there was never written by us.
        """
        at = slot * _SLOT
        before = self._words[slot * _WORDS]
        until, _, state, trips, _, _ = _BODY.unpack_from(self._map, at + _BODY_AT)
        if not self._is_ours():
            raise BoardBrokenError(self._path)
        if before & 1 or before != self._words[slot * _WORDS]:
            return None
        if state >= len(_STATES) or not math.isfinite(until):
            raise BoardBrokenError(self._path)
        return before, Entry(_STATES[state], until, trips)

    def entries(self) -> dict[str, Entry]:
        """Return what is published, by the breakers' names; long names are cut."""
        found = {}
        for slot in range(1, SLOTS + 1):
            name = self._name(slot)
            standing = self.read(slot) if name else None
            if standing is not None:
                found[name.decode("utf-8", "replace")] = standing[1]
        return found

    def publish(self, slot: int, decide: Callable[[int], Entry | None]) -> None:
        """
        Write an entry, and take the probe from who has it.

        Args:
            slot: Where.
            decide: Gets the sequence as it is while nobody else writes; it will be 2 more.
                Returns the entry, or None to leave things as they are.

        Raises:
            BoardError: It was not written.
        """
        with self._held():
            sequence = self._settled(slot)
            entry = decide(sequence)
            if entry is None:
                return
            at, state = slot * _SLOT, _STATES.index(entry.state)
            size = len(self._name(slot))
            self._words[slot * _WORDS] = sequence + 1
            body = entry.until, 0.0, state, min(entry.trips, 255), size, 0
            _BODY.pack_into(self._map, at + _BODY_AT, *body)
            self._words[slot * _WORDS + _FAILURES] = 0
            self._words[slot * _WORDS] = sequence + 2

    def claim(self, slot: int, seen: int, now: float, lease: float) -> bool:
        """
        Ask for leave to send probes; this process alone has it until the lease ends.

        Args:
            slot: The breaker's.
            seen: The sequence that who asks knows of.
            now: The time.
            lease: Seconds.

        Returns:
            Whether it is given; no, if another process has it or something was published.

        Raises:
            BoardError: Nobody can tell.
        """
        if self._taken(slot, now, lease):  # most find out without the lock
            return False
        with self._held():
            if self._settled(slot) != seen or self._taken(slot, now, lease):
                return False
            self._set_probe(slot, now + lease, boardfile.this.token)
            return True

    def give_back(self, slot: int) -> None:
        """
        Let another process send probes, if this one had leave to.

        Raises:
            BoardError: It will have to wait for the end of the lease.
        """
        with self._held():
            if self._prober(slot)[1] == boardfile.this.token:
                self._set_probe(slot, 0.0, 0)

    def _taken(self, slot: int, now: float, lease: float) -> bool:
        until, prober = self._prober(slot)
        # one that ends later than any can was taken before the host was started
        return (
            prober not in (0, boardfile.this.token) and now < until <= now + lease + _SLACK
        )

    def _prober(self, slot: int) -> tuple[float, int]:
        at = slot * _SLOT
        (until,) = _PROBE.unpack_from(self._map, at + _PROBE_AT)
        (prober,) = _PROBER.unpack_from(self._map, at + _PROBER_AT)
        return until, prober

    def _set_probe(self, slot: int, until: float, prober: int) -> None:
        at = slot * _SLOT
        _PROBE.pack_into(self._map, at + _PROBE_AT, until)
        _PROBER.pack_into(self._map, at + _PROBER_AT, prober)

    def _settled(self, slot: int) -> int:
        """Return the sequence; one that is odd is that of a process that died writing."""
        sequence = self._words[slot * _WORDS]
        if sequence & 1:
            sequence += 1
            self._words[slot * _WORDS] = sequence
        return sequence

    def _search(self, name: bytes) -> tuple[int | None, int | None]:
        """Return a name's slot, or else the free one that it is to get."""
        start = zlib.crc32(name)
        for step in range(SLOTS):
            slot = 1 + (start + step) % SLOTS
            there = self._name(slot)
            if there == name:
                return slot, None
            if not there:
                return None, slot
        return None, None

    def _name(self, slot: int) -> bytes:
        at = slot * _SLOT
        (size,) = _SIZES.unpack_from(self._map, at + _SIZE_AT)
        if size > _LONGEST:
            raise BoardBrokenError(self._path)
        return self._map[at + _NAME_AT : at + _NAME_AT + size]

    def _is_ours(self) -> bool:
        return self._map[: len(boardfile.MAGIC)] == boardfile.MAGIC

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Let nobody else write, in whatever thread or process."""
        with boardfile.held(self._fd, _TRIES):
            status = os.fstat(self._fd)
            if (status.st_dev, status.st_ino) != self._identity or not self._is_ours():
                raise BoardBrokenError(self._path)
            yield


def _encoded(name: str) -> bytes:
    """Return a name as it fits a slot: the end of a long one is a digest of the whole."""
    encoded = name.encode("utf-8", "surrogatepass")
    if len(encoded) <= _LONGEST:
        return encoded
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST].encode()
    return encoded[: _LONGEST - _DIGEST - 1] + b"~" + digest
