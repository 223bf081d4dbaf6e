"""A copy of a ledger: grown by what is taken, read like any log, erased like any log."""

import pytest

from ledger.core.errors import Refused, StoreError
from ledger.core.event import Event
from ledger.memory import MemoryStore
from ledger.mirror import MirrorLog
from ledger.sqlite import SqliteStore
from tests.ledger import heirs
from tests.ledger.makers import message
from tests.spec import agent


@pytest.fixture(params=["memory", "sqlite"])
def log(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore.create(tmp_path / "l.db")
    with MirrorLog(store) as found:
        yield found


def taken(log, ledger, start, stop, erase=()):
    records = ledger.records[start:stop]
    log.take([(one, Event.open(one).envelope) for one in records], list(erase))


LEDGER = heirs.born(*(f"word {at}" for at in range(600)))


def test_what_is_taken_is_there_with_its_tree(log):
    for start, stop in ((0, 1), (1, 255), (255, 300), (300, 601)):
        taken(log, LEDGER, start, stop)
        assert log.size == stop
        assert log.root(stop) == LEDGER.tree.root(stop)
    assert list(log.records()) == LEDGER.records
    assert log.root(257) == LEDGER.tree.root(257)
    assert log.tree.inclusion(3, 500) == LEDGER.tree.inclusion(3, 500)
    assert log.ledger_id == LEDGER.id
    assert log.id_at(7) == Event.open(LEDGER.records[7]).id
    assert log.leaves(600, 601) == [LEDGER.tree.node(0, 600)]
    assert log.stream_length(agent.STREAM) == 600
    assert log.newest_ms() == Event.open(LEDGER.records[600]).ts_ms
    assert log.lineage().ledger_id == LEDGER.id


def test_nothing_is_known_of_an_empty_one(log):
    assert (log.size, log.lineage(), log.newest_ms()) == (0, None, 0)


def test_nobody_appends_to_it(log):
    taken(log, LEDGER, 0, 5)
    with pytest.raises(Refused, match="copy of another"):
        log.append_now(message())
    assert log.size == 5


def test_a_copy_that_is_opened_again_goes_on(tmp_path):
    with MirrorLog(SqliteStore.create(tmp_path / "l.db")) as log:
        taken(log, LEDGER, 0, 300)
    with MirrorLog(SqliteStore.open(tmp_path / "l.db")) as log:
        assert log.newest_ms() == Event.open(LEDGER.records[299]).ts_ms
        taken(log, LEDGER, 300, 601)
        assert log.root(601) == LEDGER.tree.root()


def test_what_is_erased_leaves_no_byte(tmp_path):
    with MirrorLog(SqliteStore.create(tmp_path / "l.db")) as log:
        taken(log, LEDGER, 0, 300)
        assert log.read(42).content == {"text": "word 41"}  # kept in memory, and must go from there
        taken(log, LEDGER, 300, 310, erase=[42])
        assert log.read(42).redacted
        assert not log.erasing
        assert log.finish_erasing()
    for path in tmp_path.iterdir():
        assert b"word 41" not in path.read_bytes()  # that of event 42


def test_events_out_of_place_are_not_stored(tmp_path):
    with MirrorLog(SqliteStore.create(tmp_path / "l.db")) as log:
        taken(log, LEDGER, 0, 5)
        with pytest.raises(StoreError):
            taken(log, LEDGER, 3, 6)
        assert log.size == 5
        taken(log, LEDGER, 5, 9)
        assert log.root(9) == LEDGER.tree.root(9)
