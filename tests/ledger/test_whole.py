"""Damage that opening notices, and zeros that pass a checksum."""

import os
from contextlib import closing

import pytest

from ledger import sqlite
from ledger.core.errors import StoreDamaged, StoreError
from ledger.sql import connect
from ledger.sqlite import SqliteStore
from ledger.whole import is_written
from tests.ledger.makers import genesis, message, open_log
from tests.salvage import ledgers

PAGE = ledgers.PAGE


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return ledgers.make(tmp_path_factory.mktemp("whole") / "ledger.db")


@pytest.fixture
def path(original, tmp_path):
    copy = tmp_path / "ledger.db"
    copy.write_bytes(original.path.read_bytes())
    return copy


def pages(path, name, kind="%"):
    with closing(connect(path, read_only=True)) as database:
        query = "select pageno from dbstat where name = ? and pagetype like ? order by path"
        return [row[0] for row in database.execute(query, (name, kind))]


def zero(path, page):
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(bytes(PAGE))


@pytest.mark.parametrize("cut", [1, 1000, 4096, PAGE - 1])
def test_a_file_cut_inside_its_last_page_has_no_writer_and_a_reader_who_knows(path, cut, original):
    size = path.stat().st_size
    os.truncate(path, size - cut)
    with pytest.raises(StoreDamaged, match=rf"cut short: {size - cut} bytes of {size}") as caught:
        SqliteStore.open(path)
    assert "timmy doctor --salvage" in caught.value.hint
    with closing(SqliteStore.open_read_only(path)) as store:
        assert store.damage is not None
        assert store.size == len(original.records)
        assert next(store.records(0, 1)) == original.records[0]
    assert path.stat().st_size == size - cut


def test_a_file_whose_pages_are_still_in_its_log_is_whole(tmp_path):
    path = tmp_path / "ledger.db"
    with open_log(SqliteStore.create(path)) as log:
        log.append_now(genesis(), *(message("long " * 2000, key=bytes([n]) * 16) for n in range(9)))
        assert path.stat().st_size < path.with_name("ledger.db-wal").stat().st_size
        assert is_written(path)
        with closing(SqliteStore.open_read_only(path)) as store:
            assert store.damage is None
            assert store.size == 10
    assert not is_written(path)
    SqliteStore.open(path).close()


@pytest.mark.parametrize(
    "name", ["stream", "event_by_stream", "idempotency", "tile", "tile_by_number"]
)
def test_a_tree_whose_root_is_zeros_is_noticed_at_opening(path, name):
    zero(path, min(pages(path, name)))
    with pytest.raises(StoreDamaged):
        SqliteStore.open(path)
    SqliteStore.open_read_only(path).close()


def test_no_key_is_taken_for_unknown_because_its_page_is_zeros(path, original):
    """A message would be answered twice."""
    with closing(SqliteStore.open_read_only(path)) as store:
        keys = [row[0] for row in store._reader().execute("select key from idempotency")]
    for page in pages(path, "idempotency"):
        path.write_bytes(original.path.read_bytes())
        zero(path, page)
        with closing(SqliteStore.open_read_only(path)) as store:
            for key in keys:
                with pytest.raises(StoreDamaged):
                    store.position_of(key)


def test_a_tile_of_zeros_proves_nothing(path):
    zero(path, pages(path, "tile", "overflow")[-1])
    told = pytest.raises(StoreDamaged, match="tile 0 of level 0 holds zeros")
    with closing(SqliteStore.open_read_only(path)) as store, told:
        store.tile(0, 0)


def test_a_newest_event_that_the_tiles_contradict_is_noticed(path):
    with closing(connect(path)) as database:
        database.execute("drop trigger event_stays")
        database.execute("delete from event where position >= 200")
    with pytest.raises(StoreDamaged, match="ends at event 199, its tiles are over 256 events"):
        SqliteStore.open(path)
    with closing(SqliteStore.open_read_only(path)) as store:
        assert store.size == 256


def test_a_ledger_that_could_not_be_made_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    """Its lock stayed, so that the next try met "another node"."""
    path = tmp_path / "ledger.db"
    with monkeypatch.context() as broken:
        broken.setattr(sqlite, "SCHEMA", "create nonsense;")
        with pytest.raises(StoreError, match="nonsense"):
            SqliteStore.create(path)
    assert not path.exists()
    SqliteStore.create(path).close()
    assert path.exists()
