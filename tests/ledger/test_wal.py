"""The write-ahead log as bytes: whole, cut short as by a crash, or damaged; and raw pages."""

import random
import shutil
import subprocess
import sys

import pytest

from ledger.core.errors import StoreDamaged
from ledger.sql import check_files
from ledger.sqlite import SqliteStore
from ledger.wal import read_wal

from .makers import fact, genesis, message, open_log

FRAME_BYTES = 24 + 8192
HEADER_BYTES = 32
COMMITS = 12


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """A ledger whose node was killed: twelve commits are in the log only. Nobody changes it."""
    folder = tmp_path_factory.mktemp("crashed")
    with open_log(SqliteStore.create(folder / "live.db")) as log:
        log.append_now(genesis())
        log._store.scrub()
        for number in range(COMMITS):
            log.append_now(message("word " * 40 * number, key=bytes([number]) * 16))
        for suffix in ("", "-wal"):
            shutil.copy(folder / f"live.db{suffix}", folder / f"ledger.db{suffix}")
    log = log_of(folder / "ledger.db")
    log.write_bytes(without_room(log.read_bytes()))
    return folder


@pytest.fixture
def ledger(crashed, tmp_path):
    for suffix in ("", "-wal"):
        shutil.copy(crashed / f"ledger.db{suffix}", tmp_path / f"ledger.db{suffix}")
    return tmp_path / "ledger.db"


def without_room(data):
    """The log up to its last frame: the frames carry the salts of the header, the room none."""
    end = HEADER_BYTES
    while data[end + 8 : end + 16] == data[16:24]:
        end += FRAME_BYTES
    assert end < len(data)
    return data[:end]


def log_of(ledger):
    return ledger.with_name("ledger.db-wal")


def commits(data):
    """Numbers, from 1, of the frames that end a transaction."""
    frames = range((len(data) - HEADER_BYTES) // FRAME_BYTES)
    starts = [HEADER_BYTES + FRAME_BYTES * frame for frame in frames]
    return [n for n, at in enumerate(starts, 1) if any(data[at + 4 : at + 8])]


def flip(ledger, offset, bits=1):
    data = bytearray(log_of(ledger).read_bytes())
    data[offset] ^= bits
    log_of(ledger).write_bytes(data)


def test_the_log_of_a_killed_node_is_whole(ledger):
    data = log_of(ledger).read_bytes()
    found = read_wal(ledger)
    assert found.damaged is None
    assert found.frames == commits(data)[-1] == (len(data) - HEADER_BYTES) // FRAME_BYTES
    with open_log(SqliteStore.open(ledger)) as log:
        assert log.size == COMMITS + 1


def test_no_log_and_an_empty_one_are_whole(tmp_path):
    assert read_wal(tmp_path / "ledger.db").damaged is None
    (tmp_path / "ledger.db-wal").write_bytes(b"")
    assert read_wal(tmp_path / "ledger.db").damaged is None


def test_each_bit_of_header_and_frame_headers_is_found(ledger):
    data = log_of(ledger).read_bytes()
    places = [*range(HEADER_BYTES)]
    for frame in (2, commits(data)[-1]):
        start = HEADER_BYTES + FRAME_BYTES * (frame - 1)
        places += range(start, start + 24)
    draw = random.Random(1)
    for offset in places:
        bit = 1 << draw.randrange(8)
        flip(ledger, offset, bit)
        assert read_wal(ledger).damaged is not None, (offset, bit)
        flip(ledger, offset, bit)
    assert read_wal(ledger).damaged is None


def test_a_flipped_bit_in_a_page_is_found_even_in_the_newest_transaction(ledger):
    data = log_of(ledger).read_bytes()
    draw = random.Random(2)
    frames = [*draw.sample(range(1, commits(data)[-1]), 5), commits(data)[-1]]
    for frame in frames:
        offset = HEADER_BYTES + FRAME_BYTES * (frame - 1) + 24 + draw.randrange(8192)
        for bit in (4, 128):
            flip(ledger, offset, bit)
            assert read_wal(ledger).damaged == frame
            flip(ledger, offset, bit)


def test_the_highest_bit_of_a_word_may_look_like_one_of_the_checksum(ledger):
    """Found by flipping bits: the two leave the same difference, and the chain goes on from either."""
    data = log_of(ledger).read_bytes()
    *_, second_last, last = commits(data)
    for frame in {second_last - 1, second_last + 1, last}:
        start = HEADER_BYTES + FRAME_BYTES * (frame - 1) + 24
        for offset in range(start + 3, start + 8192, 4 * 97):
            flip(ledger, offset, 128)
            assert read_wal(ledger).damaged == frame, offset - start
            flip(ledger, offset, 128)


def test_a_damaged_log_is_refused_and_kept_as_it_is(ledger):
    """Found by flipping bits: the log ended there in silence, and the next start emptied it."""
    flip(ledger, HEADER_BYTES + FRAME_BYTES * 2 + 1000)
    before = log_of(ledger).read_bytes()
    with pytest.raises(StoreDamaged, match="is damaged at frame 3: what was committed after"):
        SqliteStore.open(ledger)
    assert log_of(ledger).read_bytes() == before
    with pytest.raises(StoreDamaged, match="at frame 3"):
        check_files(ledger)
    reader = SqliteStore.open_read_only(ledger)
    assert reader.size < COMMITS + 1
    reader.close()
    assert log_of(ledger).read_bytes() == before
    flip(ledger, HEADER_BYTES + FRAME_BYTES * 2 + 1000)
    with open_log(SqliteStore.open(ledger)) as log:
        assert log.size == COMMITS + 1


def test_a_wrecked_page_is_damage_when_two_commits_follow_it(ledger):
    data = log_of(ledger).read_bytes()
    *_, third_last, second_last, last = commits(data)
    wrecked = random.Random(3).randbytes(8192)
    for frame, damaged in ((third_last, third_last), (second_last, None), (last, None)):
        start = HEADER_BYTES + FRAME_BYTES * (frame - 1) + 24
        log_of(ledger).write_bytes(data[:start] + wrecked + data[start + 8192 :])
        assert read_wal(ledger).damaged == damaged, frame


def test_a_frame_one_bit_off_without_the_rest_of_its_transaction_is_not_damage(ledger):
    """Found by power loss: a new frame half written over an old one that is nearly the same."""
    data = log_of(ledger).read_bytes()
    *_, second_last, last = commits(data)
    assert last - second_last > 1
    log_of(ledger).write_bytes(data[: HEADER_BYTES + FRAME_BYTES * (second_last + 1)])
    flip(ledger, HEADER_BYTES + FRAME_BYTES * second_last + 24 + 31)
    assert read_wal(ledger).damaged is None
    with open_log(SqliteStore.open(ledger)) as log:
        assert log.size == COMMITS


@pytest.mark.parametrize("torn", ["half a frame", "a bit of the frame", "a bit of the header"])
def test_a_first_sector_that_was_being_written_anew_is_not_damage(tmp_path, torn):
    """Found by power loss: all of the log is in the database, its first sector is half the next's."""
    with open_log(SqliteStore.create(tmp_path / "live.db")) as log:
        log.append_now(genesis())
        for _ in range(5):
            log.append_now(message("long " * 2000))
        log._store._writer.execute("pragma wal_checkpoint(PASSIVE)")
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"live.db{suffix}", tmp_path / f"ledger.db{suffix}")
        size = log.size
    ledger = tmp_path / "ledger.db"
    if torn == "half a frame":
        data = log_of(ledger).read_bytes()
        log_of(ledger).write_bytes(data[:200] + bytes(312) + data[512:])
    else:
        flip(ledger, 15 if torn == "a bit of the header" else 300)
    assert read_wal(ledger).damaged is None
    with open_log(SqliteStore.open(ledger)) as log:
        assert log.size == size


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9999])
def test_a_torn_newest_transaction_is_what_a_power_loss_leaves(ledger, left):
    """Nobody was told of it: the ledger opens without it, and goes on."""
    data = log_of(ledger).read_bytes()
    start = HEADER_BYTES + FRAME_BYTES * commits(data)[-2]
    log_of(ledger).write_bytes(data[: start + int((len(data) - start) * left)])
    assert read_wal(ledger).damaged is None
    with open_log(SqliteStore.open(ledger)) as log:
        assert log.size == COMMITS
        log.append_now(fact())


def test_frames_of_an_older_log_behind_the_newest_are_not_damage(tmp_path):
    """A log is written over from its start when all of it is in the database."""
    path = tmp_path / "ledger.db"
    with open_log(SqliteStore.create(path)) as log:
        log.append_now(genesis(), *(message("long " * 2000) for _ in range(5)))
        log._store._writer.execute("pragma wal_checkpoint(PASSIVE)")
        log.append_now(fact())
        data = log_of(path).read_bytes()
        found = read_wal(path)
        assert found.damaged is None
        assert found.frames < (len(data) - HEADER_BYTES) // FRAME_BYTES


def test_a_flipped_bit_in_a_free_page_is_found(tmp_path):
    """No query reads a free page, so that only reading the file as bytes finds it."""
    path = tmp_path / "ledger.db"
    with open_log(SqliteStore.create(path)) as log:
        log.append_now(genesis(), *(message("long " * 20_000) for _ in range(3)))
        log.append_now(log.redaction([2], reason="asked", actor="operator"))
    data = bytearray(path.read_bytes())
    trunk = int.from_bytes(data[32:36], "big")
    leaf = int.from_bytes(data[(trunk - 1) * 8192 + 8 :][:4], "big")
    data[(leaf - 1) * 8192 + 77] ^= 1
    path.write_bytes(data)
    store = SqliteStore.open_read_only(path)
    try:
        store.check()
    finally:
        store.close()
    with pytest.raises(StoreDamaged, match=f"page {leaf} does not match its checksum"):
        check_files(path)


WRITER = """
import sys
from ledger.sqlite import SqliteStore
from pathlib import Path
from tests.ledger.makers import genesis, message, open_log
with open_log(SqliteStore.create(Path(sys.argv[1]))) as log:
    log.append_now(genesis())
    log._store._writer.execute("pragma wal_autocheckpoint=5")
    print("ready", flush=True)
    while True:
        log.append_now(*(message("word " * 3000) for _ in range(5)))
"""


def test_a_check_beside_a_busy_writer_finds_nothing(tmp_path):
    """Pages are read as bytes while another process writes them: what is half written is read again."""
    path = tmp_path / "ledger.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as writer:
        try:
            assert writer.stdout.readline() == b"ready\n"
            for _ in range(10):
                check_files(path)
        finally:
            writer.kill()
    with open_log(SqliteStore.open(path)) as log:
        assert log.size > 5
