"""Each page of a small ledger damaged in turn: what is not on it is saved, and nothing is false."""

import random
from contextlib import closing

import pytest

from ledger.core.event import Record
from ledger.salvage import Salvage
from ledger.sql import connect

from . import checks, ledgers
from .checks import check, positions, salvaged

DAMAGES = [ledgers.zeros, ledgers.bit, ledgers.noise]
SAMPLED_FRAMES = 8
"""And the first and the last; `make torture` flips a bit in every one."""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return ledgers.make(tmp_path_factory.mktemp("original") / "ledger.db")


def test_an_undamaged_ledger_is_saved_whole(original):
    outcome, lost = check(original.path, original, set())
    assert lost == set()
    assert positions(outcome.proven) == list(range(295))
    assert positions(outcome.unproven) == list(range(295, 300))


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_page_is_damaged(original, tmp_path, damage):
    """Each page by one of the three; `make torture` does each by each."""
    first = 1 + DAMAGES.index(damage)
    checks.pages(original, tmp_path, damage=damage, numbers=range(first, original.pages + 1, 3))


def test_the_file_is_cut_at_each_page(original, tmp_path):
    checks.cuts(original, tmp_path, numbers=range(1, original.pages + 1))


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


@pytest.mark.usefixtures("unmeasured")
def test_a_damaged_frame_costs_its_page_and_not_what_was_committed_after_it(logged, tmp_path):
    """SQLite would end the log there: the newest events are behind it."""
    path, wal = copied(logged, tmp_path)
    count = checks.frame_count(logged)
    sample = {0, count - 1, *random.Random(0).sample(range(count), SAMPLED_FRAMES)}
    checks.frames(logged, path, wal, numbers=sorted(sample))
    wal.write_bytes(b"\0" * 32 + wal.read_bytes()[32:])
    _, lost = check(path, logged, set())
    assert lost == set()
