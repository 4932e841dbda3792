"""The file behind a board: who may open it, what it must hold, and who may write just now."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flask_hardening.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "HARDENING_RESILIENCE_SHARED"
MAGIC = b"FHBREAKS"

_VERSION = 1
_HEADER = struct.Struct("=8sII64s")  # magic, version, size of the file, boot
_PAUSE = 0.001  # seconds between tries
_TRIES_AT_START = 1000


class BoardError(Exception):
    """The board can't be used for this; the process's own state has to do."""


class BoardBusyError(BoardError):
    """Another process holds the lock, maybe because it was stopped."""


class BoardFullError(BoardError):
    """There is no slot left."""


class BoardBrokenError(BoardError):
    """Something else wrote into the file, or put another in its descriptor's place."""


class Process:
    """What is one per process: a lock between its threads, and the name it has as a prober."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Let a forked child be another than its parent."""
        self.lock = threading.Lock()
        # no process id: containers that share a board may have the same
        self.token = int.from_bytes(os.urandom(4), "big") or 1


this = Process()


@contextmanager
def held(fd: int, tries: int) -> Iterator[None]:
    """
    Let nobody else write, in whatever thread or process.

    Args:
        fd: The process's descriptor of the file.
        tries: How often it is tried, each a millisecond after the one before.

    Raises:
        BoardBusyError: Others held it each time.
        BoardBrokenError: The descriptor is closed.
    """
    for left in reversed(range(tries)):
        lock = this.lock
        if lock.acquire(blocking=False):
            try:
                if _locked(fd):
                    try:
                        yield
                    finally:
                        fcntl.lockf(fd, fcntl.LOCK_UN)
                    return
            finally:
                lock.release()
        if left:
            time.sleep(_PAUSE)  # with no lock held: another greenlet may run meanwhile
    raise BoardBusyError("another process holds its lock")


def _locked(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except (OSError, ValueError) as error:
        raise BoardBrokenError("it is closed") from error
    return True


def opened(path: str) -> int:
    """
    Return a descriptor of the file, made if there is none.

    Raises:
        ConfigError: There can't be one.
    """
    how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    folder = Path(path).parent
    if not folder.is_dir():
        fix = "Create it, or name a file in one that there is, such as /dev/shm"
        raise _refusal(path, f"is in a folder that doesn't exist, {str(folder)!r}", fix)
    try:
        return os.open(path, how, 0o600)
    except OSError as error:
        fix = "Let the process's user write there, or name another file"
        reason = errno.errorcode.get(error.errno or 0, "")
        raise _refusal(
            path, f"can't be opened ({error.strerror}, {reason})", fix
        ) from error


def checked(path: str, fd: int) -> tuple[int, int]:
    """
    Return the file's identity.

    Raises:
        ConfigError: It is no file, or others can write to it.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(path, "is no regular file", "Name one of its own")
    if status.st_uid != os.geteuid():
        whose = f"belongs to user {status.st_uid}, and this process is {os.geteuid()}"
        raise _refusal(path, whose, "Run all as one user, or name another file")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refusal(path, "can be written by others", "Make it 0600")
    return status.st_dev, status.st_ino


def formatted(path: str, fd: int, size: int) -> None:
    """Make an empty file a board, and one from before the host was started an empty one."""
    boot = _boot()
    if _is_formatted(path, fd, size, boot):
        return
    try:
        with held(fd, _TRIES_AT_START):
            if not _is_formatted(path, fd, size, boot):
                # written, not only sized: a full file system is to fail here, not later
                if os.pwrite(fd, bytes(size), 0) < size:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                os.pwrite(fd, _HEADER.pack(MAGIC, _VERSION, size, boot), 0)
    except (BoardError, OSError) as error:
        wrong = f"can't be written ({error})"
        raise _refusal(path, wrong, "Free it or its file system") from error


def _is_formatted(path: str, fd: int, size: int, boot: bytes) -> bool:
    """Tell whether the file is a board of this boot; refuse what is neither that nor empty."""
    header, there = os.pread(fd, _HEADER.size, 0), os.fstat(fd).st_size
    if there <= size and not os.pread(fd, size, 0).strip(b"\0"):
        return False  # new, or another process writes it just now
    magic, version, told, made = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
    if magic != MAGIC:
        raise _refusal(path, "is a file of another kind", "Name another file")
    if (version, told, there) != (_VERSION, size, size):
        fix = "Name another file; or end all its processes, remove it, and start them again"
        raise _refusal(path, f"was made by another version ({version})", fix)
    return bool(made == boot)


def _refusal(path: str, wrong: str, fix: str) -> ConfigError:
    return ConfigError(f"{KEY} = {path!r} {wrong}. {fix}.")


def _boot() -> bytes:
    """Return what is another after each start of the host, where there is such a thing."""
    boot = b"unknown"
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    return boot[:64].ljust(64, b"\0")


os.register_at_fork(after_in_child=this.begin_anew)
