"""Views far behind a long ledger: filled from a thread, and honest about it meanwhile."""

import threading

import pytest

from ledger import views as module
from ledger.sqlite import SqliteStore
from ledger.views import Views
from tests.ledger.makers import fact, genesis, message, open_log

WORDS = "wolframbeere sandelhorn quaxelaborn"


@pytest.fixture
def chunks_of_ten(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 10)


@pytest.fixture
def log(tmp_path, chunks_of_ten):
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis(), message(WORDS), *(message(f"note {n}") for n in range(98)))
        yield log


@pytest.fixture
def views(log, tmp_path):
    views = Views(tmp_path / "views.db", log, at_most=20)
    yield views
    views.close()


def found(views, text):
    return [hit.position for hit in views.search(text)]


def residue(folder):
    return [path.name for path in folder.glob("views.db*") if b"ramb" in path.read_bytes().lower()]


def test_nobody_waits_for_more_than_they_bargained_for(views, log):
    views.catch_up()
    assert (views.size, views.behind) == (0, 100)
    for taken in range(10, 90, 10):
        assert views.fill()
        assert (views.size, views.behind) == (taken, 100 - taken)
        assert found(views, WORDS) == [1]
    views.catch_up()
    assert views.behind == 0
    assert not views.fill()


def test_it_is_filled_in_a_thread_while_others_search(views, log):
    done = threading.Thread(target=lambda: [None for _ in iter(views.fill, False)])
    done.start()
    sizes = [views.size for _ in iter(done.is_alive, False) if found(views, "note") is not None]
    done.join()
    assert sizes == sorted(sizes)
    assert views.behind == 0
    assert len(views.search("note", limit=200)) == 98


def test_a_command_waits_and_is_told_how_far_it_is(log, tmp_path):
    told = []
    views = Views(tmp_path / "views.db", log)
    views.catch_up(lambda *how: told.append(how))
    views.close()
    assert told == [(done, 100) for done in range(0, 100, 10)]


def test_what_is_erased_while_it_is_behind_is_gone_at_once(views, log, tmp_path):
    views.fill()
    assert residue(tmp_path)
    log.append_now(*(fact(n) for n in range(50)), log.redaction([1], reason="r", actor="a"))
    assert found(views, WORDS) == [], "the ledger says it, whatever the index still knows"
    views.erase([1, 999])
    assert views.erasing
    assert views.purge()
    assert not views.erasing
    assert residue(tmp_path) == []
    while views.fill():
        pass
    assert (views.behind, found(views, WORDS), views.erasing) == (0, [], False)


def test_what_was_erased_before_its_turn_is_never_taken_in(views, log, tmp_path):
    log.append_now(log.redaction([1], reason="r", actor="a"))
    views.erase([1])
    assert not views.erasing
    while views.fill():
        pass
    assert residue(tmp_path) == []


def test_erasing_again_during_a_purge_leaves_a_purge_owed(views, log, monkeypatch):
    """The mark of the second erasure is not the one that the purge may take away."""
    log.append_now(message(f"{WORDS} again"))
    while views.fill():
        pass
    log.append_now(log.redaction([1], reason="r", actor="a"))
    views.erase([1])
    truncate = module.truncate_wal

    def meanwhile(connection):
        log.append_now(log.redaction([100], reason="r", actor="a"))
        views.erase([100])
        return truncate(connection)

    monkeypatch.setattr(module, "truncate_wal", meanwhile)
    assert not views.purge()
    monkeypatch.undo()
    assert views.erasing
    assert views.purge()


def test_nothing_is_taken_in_after_closing(log, tmp_path):
    views = Views(tmp_path / "views.db", log, at_most=20)
    views.close()
    assert not views.fill()


def test_a_rebuild_waits_for_the_chunk_and_begins_at_nought(views, log, tmp_path):
    views.fill()
    (tmp_path / "views.db").write_bytes(b"garbage" * 5000)
    views.rebuild()
    assert views.size == 0
    while views.fill():
        pass
    assert found(views, WORDS) == [1]
