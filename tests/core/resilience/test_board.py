"""The file by which processes share their breakers: what may be one, and what becomes of it."""

from __future__ import annotations

import os
import stat

import pytest

from flask_hardening.core.errors import ConfigError
from flask_hardening.core.resilience import board as boards
from flask_hardening.core.resilience import boardfile
from flask_hardening.core.resilience.board import Board, Entry
from flask_hardening.core.resilience.boardfile import (
    BoardBrokenError,
    BoardBusyError,
    BoardFullError,
)

KEY = "HARDENING_RESILIENCE_SHARED"
OPEN = Entry("open", 12.5, 3)


@pytest.fixture
def path(tmp_path):
    """Return where a board may be made."""
    return tmp_path / "board"


@pytest.fixture
def board(path):
    """Return an empty board."""
    made = Board(str(path))
    yield made
    made.close()


def put(board, name, entry=OPEN):
    """Publish an entry, whatever stands there."""
    slot = board.slot(name)
    board.publish(slot, lambda _: entry)
    return slot


def test_what_one_writes_the_other_reads(path, board):
    """A second board of the same file has the same slots, and the file is its owner's alone."""
    slot = put(board, "billing")
    other = Board(str(path))
    assert other.slot("billing") == slot
    assert other.read(slot) == (2, OPEN)
    assert other.entries() == {"billing": OPEN}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other.close()


def test_a_child_writes_what_its_parent_reads(board):
    """The map is inherited, and the lock is each process's own."""
    pid = os.fork()
    if pid == 0:
        put(board, "billing")
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.entries() == {"billing": OPEN}


@pytest.mark.parametrize("state", ["closed", "open", "forced_open", "disabled"])
def test_each_state_can_be_told(board, state):
    """What is read is what was written."""
    slot = put(board, "billing", Entry(state, 1.0, 2))
    assert board.read(slot) == (2, Entry(state, 1.0, 2))


def test_nothing_is_written_where_nothing_is_decided(board):
    """The sequence stays, so nobody takes anything over."""
    slot = board.slot("billing")
    board.publish(slot, lambda _: None)
    assert board.read(slot) == (0, Entry("closed"))


def test_names_that_collide_have_slots_of_their_own(board, monkeypatch):
    """They stand one after the other, and each is found again."""
    monkeypatch.setattr(
        boards.zlib, "crc32", lambda _: boards.SLOTS - 1
    )  # wraps round, too
    slots = [board.slot(name) for name in ("a", "b", "c")]
    assert len(set(slots)) == 3
    assert [board.slot(name) for name in ("a", "b", "c")] == slots


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "\udcff"])
def test_names_longer_than_a_slot_stay_apart(board, letter):
    """The last letter alone tells these two names apart, and it is beyond what fits."""
    one, two = letter * 200 + "1", letter * 200 + "2"
    assert board.slot(one) != board.slot(two)
    assert board.slot(one) == board.slot(one)
    assert all(len(name.encode()) <= 300 for name in board.entries())


def test_a_full_board_says_so(board):
    """The 513th name has no slot; the others keep theirs."""
    slots = {board.slot(f"host {number}") for number in range(boards.SLOTS)}
    assert len(slots) == boards.SLOTS
    with pytest.raises(BoardFullError):
        board.slot("one more")
    assert board.slot("host 7") in slots


def test_a_probe_is_one_processs_until_its_lease_ends(board, monkeypatch):
    """Another process may take it when the lease is over or it is given back."""
    slot = board.slot("billing")

    def other(number):
        monkeypatch.setattr(boardfile.this, "token", number)

    other(1)
    assert board.claim(slot, 0, 100.0, 30.0)
    assert board.claim(slot, 0, 101.0, 30.0)  # its own: the lease begins anew
    other(2)
    board.give_back(slot)  # another's can't be given back
    assert not board.claim(slot, 0, 130.9, 30.0)
    assert board.claim(slot, 0, 131.1, 30.0)
    board.give_back(slot)
    other(3)
    assert board.claim(slot, 0, 131.2, 30.0)
    other(4)
    assert not board.claim(slot, 0, 131.3, 30.0)
    assert board.claim(slot, 0, 1.0, 30.0), "a lease of before the host was started holds"


def test_who_does_not_know_the_last_news_gets_no_probe(board):
    """It is to look first."""
    slot = put(board, "billing")
    assert not board.claim(slot, 0, 100.0, 30.0)
    assert board.claim(slot, 2, 100.0, 30.0)


def test_a_process_that_died_writing_leaves_no_trace(board):
    """What it began is not read, and the next one to write puts it right."""
    slot = put(board, "billing")
    board.sequence(slot)[0] = 3
    assert board.read(slot) is None
    board.publish(slot, lambda sequence: Entry("closed", trips=sequence))
    assert board.read(slot) == (6, Entry("closed", 0.0, 4))


def test_a_lock_that_is_held_is_not_waited_for(board):
    """Another thread of the process may have been interrupted with it."""
    slot = board.slot("billing")
    with boardfile.this.lock, pytest.raises(BoardBusyError):
        board.publish(slot, lambda _: OPEN)


def test_what_stood_there_before_the_host_was_started_is_void(path, monkeypatch):
    """The clock has begun anew: nothing of it means anything."""
    before = Board(str(path))
    put(before, "billing")
    before.close()
    monkeypatch.setattr(boardfile, "_boot", lambda: b"another".ljust(64, b"\0"))
    after = Board(str(path))
    assert after.entries() == {}
    after.close()


def test_a_file_that_was_overwritten_is_noticed(path, board):
    """What is read and what is written, either is refused."""
    slot = put(board, "billing")
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    for use in (
        lambda: board.read(slot),
        lambda: board.publish(slot, lambda _: OPEN),
        lambda: board.slot("billing"),
    ):
        with pytest.raises(BoardBrokenError):
            use()


def test_a_closed_board_writes_nothing(board):
    """Its descriptor's number may be another file's by now."""
    slot = board.slot("billing")
    board.close()
    board.close()
    with pytest.raises(BoardBrokenError):
        board.publish(slot, lambda _: OPEN)


def test_a_descriptor_that_became_another_files_is_not_used(board, tmp_path):
    """A daemon closes descriptors that it doesn't know, and opens others."""
    slot = board.slot("billing")
    with (tmp_path / "other").open("w+b") as other:
        os.dup2(other.fileno(), board._fd)
        with pytest.raises(BoardBrokenError):
            board.publish(slot, lambda _: OPEN)


def _foreign(path):
    path.write_text("# accounts, do not touch\n" * 9)


def _newer(path):
    Board(str(path)).close()
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x02")


def _cut(path):
    Board(str(path)).close()
    os.truncate(path, 500)


def _nearly_empty(path):
    path.write_bytes(bytes(1000) + b"a record")


def _writable(path):
    path.touch()
    path.chmod(0o666)


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (_foreign, "is a file of another kind"),
        (_newer, r"another version \(2\).*remove it"),
        (_cut, "another version"),
        (_nearly_empty, "is a file of another kind"),
        (_writable, "can be written by others. Make it 0600"),
        (lambda path: path.mkdir(), "can't be opened"),
        (lambda path: path.symlink_to("/dev/null"), "can't be opened"),
        (os.mkfifo, "is no regular file"),
    ],
)
def test_a_file_that_is_no_board_is_refused(path, prepare, told):
    """The error names the setting, and what was there is left as it was."""
    prepare(path)
    before = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    with pytest.raises(ConfigError, match=f"{KEY} = .*{told}"):
        Board(str(path))
    assert before is None or path.read_bytes() == before


def test_a_file_that_another_process_is_writing_becomes_one(path):
    """It may be seen half as long as it will be."""
    path.write_bytes(bytes(4096))
    path.chmod(0o600)
    board = Board(str(path))
    put(board, "billing")
    assert board.entries() == {"billing": OPEN}
    board.close()


def test_a_full_file_system_is_told_at_the_start(path, monkeypatch):
    """Later it would end the process, at a write to the map."""
    monkeypatch.setattr(boardfile.os, "pwrite", lambda fd, data, offset: len(data) // 2)
    with pytest.raises(ConfigError, match=f"{KEY} .*No space left.*Free"):
        Board(str(path))


def test_another_users_file_is_refused(path, monkeypatch):
    """Who may write there could open all breakers."""
    monkeypatch.setattr(boardfile.os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(
        ConfigError, match=f"{KEY} .* belongs to user .*Run all as one user"
    ):
        Board(str(path))


def test_a_folder_that_is_missing_is_named(tmp_path):
    """With what to do."""
    with pytest.raises(ConfigError, match=f"{KEY} .*doesn't exist, '.*/no'.*Create it"):
        Board(str(tmp_path / "no" / "board"))


def test_a_folder_that_may_not_be_written_is_named():
    """`/proc` lets not even root make a file."""
    with pytest.raises(
        ConfigError, match=f"{KEY} .*can't be opened.*Let the process's user"
    ):
        Board("/proc/board")
