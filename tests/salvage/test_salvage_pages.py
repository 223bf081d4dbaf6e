"""Each page of a small ledger damaged in turn: what is not on it is saved, and nothing is false."""

import io
from contextlib import closing

import pytest

from ledger.core.bundle import Reader, SignedHead
from ledger.core.checkpoint import open_checkpoint
from ledger.core.event import Record
from ledger.core.merkle import leaf_hash
from ledger.core.salvage import proven_by
from ledger.salvage import SUBTREES, Salvage
from ledger.sql import connect
from tests.ledger.makers import SIGNER

from . import ledgers

TILE = 256
LONG = 306
"""Of the events in the log the one that is longer than a page: on pages that begin with a zero."""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return ledgers.make(tmp_path_factory.mktemp("original") / "ledger.db")


def positions(ranges):
    return [at for start, stop in ranges for at in range(start, stop)]


def salvaged(path, original):
    """Salvage a file; return the outcome and the records of the bundle."""
    with closing(Salvage.read(path)) as found:
        outcome = found.prove(original.heads)
        file = io.BytesIO()
        found.write(file, original.ledger_id, 0)
    file.seek(0)
    return outcome, list(Reader(file))


def expected_proven(lost, original):
    """By hand: a head counts if each lost leaf under it is in a full tile, all of which are here."""
    full = len(original.records) // TILE * TILE
    proven = set()
    for head in original.heads:
        if all(at < full for at in lost if at < head.size):
            proven |= set(range(head.size)) - lost
    return proven


def check(path, original, gone):
    """`gone`: the only events that may be lost."""
    outcome, items = salvaged(path, original)
    saved = {item.position: item for item in items if isinstance(item, Record)}
    assert list(saved) == sorted(saved)
    assert set(range(len(original.records))) - gone <= set(saved)
    for at, record in saved.items():
        assert record == original.records[at]
    known = outcome.events
    assert known <= len(original.records)
    lost = set(range(len(original.records))) - set(saved)
    assert positions(outcome.lost) == sorted(at for at in lost if at < known)
    listed = positions(outcome.proven) + positions(outcome.unproven)
    assert sorted(listed) == sorted(saved)
    assert set(positions(outcome.proven)) == stranger_proves(items, saved)
    return outcome, lost


def stranger_proves(items, saved):
    """What somebody with nothing but the bundle and the key finds proven."""
    proven = set()
    leaves = {at: leaf_hash(record.envelope) for at, record in saved.items()}
    for item in items:
        if isinstance(item, SignedHead):
            head = open_checkpoint(item.note, SIGNER.public)
            parts = [i.value for i in items if getattr(i, "name", "") == SUBTREES]
            hashes = [row for part in parts if part["size"] == head.size for row in part["hashes"]]
            proven |= set(proven_by(head.size, head.root, hashes, leaves.get))
    return proven


def test_an_undamaged_ledger_is_saved_whole(original):
    outcome, lost = check(original.path, original, set())
    assert lost == set()
    assert positions(outcome.proven) == list(range(295))
    assert positions(outcome.unproven) == list(range(295, 300))


@pytest.mark.parametrize("damage", [ledgers.zeros, ledgers.bit, ledgers.noise])
def test_a_page_is_damaged(original, tmp_path, damage):
    whole = original.path.read_bytes()
    path = tmp_path / "ledger.db"
    for page in range(1, original.pages + 1):
        data = bytearray(whole)
        damage(data, page)
        path.write_bytes(data)
        outcome, lost = check(path, original, original.on_page.get(page, set()))
        if page in original.on_page:
            assert set(positions(outcome.proven)) == expected_proven(lost, original)
        assert outcome.events == len(original.records)


def test_the_file_is_cut_at_each_page(original, tmp_path):
    whole = original.path.read_bytes()
    path = tmp_path / "ledger.db"
    for page in range(1, original.pages + 1):
        data = bytearray(whole)
        ledgers.cut(data, page)
        path.write_bytes(data)
        gone = [original.on_page.get(number, set()) for number in range(page, original.pages + 1)]
        check(path, original, set().union(*gone))


def page_of(original, position):
    """The leaf that holds an event: the page that lists it with others."""
    return next(p for p, held in original.on_page.items() if position in held and len(held) > 1)


def test_an_old_copy_of_a_page_brings_no_erased_word_back(original, tmp_path):
    """The page with event 5 is lost; a copy from before its erasure lies elsewhere in the file."""
    before = ledgers.make(tmp_path / "before.db", erase=())
    page = page_of(original, 5)
    assert page_of(before, 5) == page
    old = before.path.read_bytes()[(page - 1) * ledgers.PAGE : page * ledgers.PAGE]
    assert b"word word" in old
    data = bytearray(original.path.read_bytes())
    ledgers.noise(data, page)
    path = tmp_path / "ledger.db"
    path.write_bytes(bytes(data) + old)
    _, items = salvaged(path, original)
    saved = {item.position: item for item in items if isinstance(item, Record)}
    assert saved[5] == original.records[5]
    assert saved[5].content is None
    assert len(saved) == len(original.records)


def test_tiles_that_are_lost_cost_proofs_only_where_events_are_lost_as_well(original, tmp_path):
    with closing(connect(original.path, read_only=True)) as database:
        tiles = [
            row[0] for row in database.execute("select pageno from dbstat where name = 'tile'")
        ]
    data = bytearray(original.path.read_bytes())
    for page in tiles:
        ledgers.zeros(data, page)
    path = tmp_path / "ledger.db"
    path.write_bytes(data)
    outcome, lost = check(path, original, set())
    assert lost == set()
    assert positions(outcome.proven) == list(range(295))
    page = page_of(original, 200)
    ledgers.zeros(data, page)
    path.write_bytes(data)
    outcome, lost = check(path, original, original.on_page[page])
    assert 200 in lost
    assert positions(outcome.proven) == list(range(60))


def test_without_a_head_nothing_is_proven_and_everything_is_saved(original, tmp_path):
    with closing(Salvage.read(original.path)) as found:
        outcome = found.prove([])
    assert outcome.proven == []
    assert outcome.unproven == [(0, len(original.records))]


def test_a_row_id_that_was_damaged_is_put_right_by_the_tile(original, tmp_path):
    """One bit of the row id's varint: the event says 200 and is 72, or says 137 and is 136."""
    data = bytearray(original.path.read_bytes())
    page = page_of(original, 200)
    salt = original.records[200].envelope
    at = data.index(salt, (page - 1) * ledgers.PAGE)
    begin = data.rindex(b"\x81\x48", (page - 1) * ledgers.PAGE, at)  # 200 as a varint
    data[begin + 1] ^= 0x02
    path = tmp_path / "ledger.db"
    path.write_bytes(data)
    outcome, lost = check(path, original, original.on_page[page])
    assert lost == set()
    assert positions(outcome.proven) == list(range(295))


# ---- the write-ahead log -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A ledger whose newest events are in the log only, as after a crash."""
    folder = tmp_path_factory.mktemp("logged")
    return ledgers.make_with_log(folder / "ledger.db")


def copied(logged, folder):
    for suffix in ("", "-wal"):
        (folder / f"ledger.db{suffix}").write_bytes(
            logged.path.with_name(f"ledger.db{suffix}").read_bytes()
        )
    return folder / "ledger.db", folder / "ledger.db-wal"


def test_events_in_the_log_are_saved_though_the_database_is_gone(logged, tmp_path):
    path, _ = copied(logged, tmp_path)
    _, lost = check(path, logged, set())
    assert lost == set()
    path.unlink()
    _, lost = check(path, logged, set(range(len(logged.records))))
    assert not lost & set(range(300, 320))


def test_a_damaged_frame_costs_its_page_and_not_what_was_committed_after_it(logged, tmp_path):
    """SQLite would end the log there: the newest events are behind it."""
    path, wal = copied(logged, tmp_path)
    data = wal.read_bytes()
    frames = (len(data) - 32) // (24 + ledgers.PAGE)
    for frame in range(frames):
        for at in (5, 24 + 8000):  # in its page number, and in an event of the newest leaf
            bad = bytearray(data)
            bad[32 + frame * (24 + ledgers.PAGE) + at] ^= 0x10
            wal.write_bytes(bad)
            start = 32 + frame * (24 + ledgers.PAGE) + 24
            newest = {len(logged.records) - 1} if frame == frames - 1 else set()
            check(path, logged, {LONG} if data[start] == 0 else newest)
    wal.write_bytes(b"\0" * 32 + data[32:])
    _, lost = check(path, logged, set())
    assert lost == set()
