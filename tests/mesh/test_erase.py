"""What must be gone from a file of the mesh is: row, tags, free pages, log; through any crash."""

import os
import random
import signal
from contextlib import closing

import apsw
import pytest

from mesh.core.errors import StoreError
from mesh.core.relay.filter import parse_filter
from mesh.database import erase, open_database
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.relay.sqlite import SqliteEventStore
from tests.mesh.peers import NOW, make
from tests.redaction.dying import Countdown

SCHEMA = "CREATE TABLE kept (name TEXT PRIMARY KEY, words TEXT NOT NULL) STRICT"


def words_of(seed):
    draw = random.Random(seed)
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.choice([40, 900, 9000])))


EVENTS = [make(content=words_of(seed), tags=(("p", "ab" * 32),)) for seed in range(120)]


def left(folder, events):
    """Names of files that still hold a stretch of what some of these events say."""
    needles = [event.content[at : at + 16].encode() for event in events for at in (0, 20, -16)]
    needles = [one for one in needles if len(one) == 16]
    data = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name for name in data if any(one in data[name] for one in needles)}


def outbox_of(folder):
    return SqliteOutbox(folder / "store.db")


def relay_of(folder):
    return SqliteEventStore(folder / "store.db")


def fill(store, events=EVENTS):
    """Of what waits in an outbox some has gone already."""
    if isinstance(store, SqliteOutbox):
        for event in events:
            store.put(["ws://a"], event, now=NOW)
        for event in events[::3]:
            store.took("ws://a", event.id, keep=False)
    else:
        store.add(events, now=NOW)


@pytest.mark.parametrize("make_store", [outbox_of, relay_of])
def test_no_byte_is_left_also_of_what_had_gone_before(tmp_path, make_store):
    with closing(make_store(tmp_path)) as store:
        store._db.execute("PRAGMA secure_delete = OFF")  # as a version before left its pages
        fill(store)
        gone = EVENTS[:60:2]
        assert left(tmp_path, gone)
        assert store.withdraw([event.id for event in gone])
        assert left(tmp_path, gone) == set()
        assert left(tmp_path, EVENTS[1:60:2]), "the others stay"
        assert not (tmp_path / "store.erasing").exists()
    assert left(tmp_path, gone) == set()


@pytest.mark.parametrize("make_store", [outbox_of, relay_of])
def test_every_step_may_be_the_last(tmp_path, make_store):
    gone = EVENTS[:9]
    names, lives = [event.id for event in gone], 0
    begun = set()
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        with closing(make_store(folder)) as store:
            fill(store, EVENTS[:20])
        pid = os.fork()
        if not pid:
            try:
                countdown = Countdown(number)
                apsw.connection_hooks.append(countdown.watch)
                with closing(make_store(folder)) as store:
                    countdown.armed = True
                    store.withdraw(names)
                    countdown.armed = False
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        begun.add((folder / "store.erasing").exists())
        with closing(make_store(folder)) as store:
            assert store.withdraw(names)
            assert left(folder, gone) == set()
            assert left(folder, EVENTS[10:20])
        if not os.WIFSIGNALED(status):
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        lives += 1
    assert lives > 5, "each statement is a step"
    assert begun == {True, False}


def test_a_reader_in_the_way_is_waited_for_and_the_file_written_once(tmp_path):
    with closing(relay_of(tmp_path)) as store:
        fill(store)
        names = [EVENTS[0].id]
        reader = apsw.Connection(str(tmp_path / "store.db"))
        reader.execute("BEGIN; SELECT count(*) FROM event")
        assert not store.withdraw(names)
        written = []
        store._db.set_profile(lambda statement, _: written.append(statement))
        assert not store.withdraw(names)
        assert "VACUUM" not in written
        assert not store.withdraw([*names, EVENTS[1].id])
        assert "VACUUM" in written, "more is to go than was"
        reader.execute("ROLLBACK")
        assert store.withdraw([*names, EVENTS[1].id])
        reader.close()
        assert left(tmp_path, EVENTS[:2]) == set()
        assert len(store.query([parse_filter({})], now=NOW).rows) == len(EVENTS) - 2


def test_a_folder_that_takes_no_mark_is_an_error_of_ours_and_nothing_goes(tmp_path):
    (tmp_path / "store.erasing").mkdir()
    with closing(
        open_database(tmp_path / "store.db", schema=SCHEMA, version=1, synchronous="FULL")
    ) as db:
        db.execute("INSERT INTO kept VALUES ('a', 'words')")
        with pytest.raises(StoreError, match="erasing"):
            erase(db, tmp_path / "store.db", ["a"], lambda: db.execute("DELETE FROM kept"))
        assert db.execute("SELECT count(*) FROM kept").get == 1


def test_a_relay_of_version_2_is_brought_forward(tmp_path):
    with closing(relay_of(tmp_path)) as store:
        fill(store)
    with closing(apsw.Connection(str(tmp_path / "store.db"))) as db:
        db.execute("DROP TABLE withdrawn; PRAGMA user_version = 2")
    with closing(relay_of(tmp_path)) as store:
        assert store.count() == len(EVENTS)
        assert store.withdraw([EVENTS[0].id])
        assert store.count() == len(EVENTS) - 1
