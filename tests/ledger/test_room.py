"""Room ahead in the write-ahead log changes what a commit costs, and nothing that can be read."""

import shutil

import pytest

from ledger.core.errors import StoreDamaged
from ledger.room import Room
from ledger.sqlite import SqliteStore
from ledger.wal import read_wal
from tests.ledger.makers import genesis, message, open_log

FRAME_BYTES = 24 + 8192
HEADER_BYTES = 32
ROOM_BYTES = 1 << 20


@pytest.fixture
def live(tmp_path):
    path = tmp_path / "live.db"
    with open_log(SqliteStore.create(path)) as log:
        log.append_now(genesis())
        for number in range(9):
            log.append_now(message(str(number)))
        yield log, path


def log_of(path):
    return path.with_name(f"{path.name}-wal")


def crashed(path, to, cut=None):
    """What a power loss leaves: the files as they are, the log `cut` to so many bytes."""
    shutil.copy(path, to)
    log_of(to).write_bytes(log_of(path).read_bytes()[:cut])
    return to


def test_small_commits_do_not_let_the_log_grow(live):
    log, path = live
    size = log_of(path).stat().st_size
    for number in range(20):
        log.append_now(message(str(number)))
    assert log_of(path).stat().st_size == size


def test_room_is_made_again_when_it_is_used_up(live):
    log, path = live
    before = log_of(path).stat().st_size
    log.append_now(*(message("long " * 1000) for _ in range(400)))
    grown = log_of(path).stat().st_size
    assert grown > before
    log.append_now(message("one"))
    assert log_of(path).stat().st_size >= grown + ROOM_BYTES


@pytest.mark.parametrize("lost", [0, 1, 5000, FRAME_BYTES, ROOM_BYTES // 2])
def test_a_crash_loses_at_most_room(live, tmp_path, lost):
    log, path = live
    size = log_of(path).stat().st_size
    copy = crashed(path, tmp_path / "copy.db", size - lost)
    assert read_wal(copy).damaged is None
    assert read_wal(copy).frames == read_wal(path).frames > 0
    with open_log(SqliteStore.open(copy)) as again:
        assert (again.size, again.tree.root()) == (log.size, log.tree.root())


def test_a_torn_frame_in_room_is_a_commit_that_nobody_was_told_of(live, tmp_path):
    log, path = live
    copy = crashed(path, tmp_path / "copy.db")
    end = HEADER_BYTES + FRAME_BYTES * read_wal(path).frames
    log.append_now(message("torn"))
    with log_of(copy).open("r+b") as file:
        file.seek(end)
        file.write(log_of(path).read_bytes()[end : end + FRAME_BYTES // 2])
    with open_log(SqliteStore.open(copy)) as again:
        assert again.size == log.size - 1


def test_a_flipped_bit_before_the_room_is_found(live, tmp_path):
    _, path = live
    copy = crashed(path, tmp_path / "copy.db")
    newest = HEADER_BYTES + FRAME_BYTES * (read_wal(path).frames - 1)
    data = bytearray(log_of(copy).read_bytes())
    data[newest + 500] ^= 4
    log_of(copy).write_bytes(data)
    with pytest.raises(StoreDamaged, match="is damaged at frame"):
        SqliteStore.open(copy)


def test_an_emptied_log_is_empty_until_the_next_commit(live):
    log, path = live
    log._store.scrub()
    assert log_of(path).stat().st_size == 0
    log.append_now(message("next"))
    assert log_of(path).stat().st_size > ROOM_BYTES
    assert read_wal(path).damaged is None


def test_no_log_and_no_right_to_it_are_no_errors(tmp_path):
    room = Room(tmp_path / "none.db")
    room.keep()
    room.close()
    assert list(tmp_path.iterdir()) == []
