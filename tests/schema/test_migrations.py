"""The machinery of migration, on a version 0 that never was: streams and keys inside the events.

Its step to version 1 does what real ones do: makes tables anew, copies, computes what was missing
(tiles). It is handed in as an argument; `ledger.schema.HISTORY` stays as it is.
"""

import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from ledger.core.errors import StoreDamaged, StoreError, StoreFull, StoreOld, StoreSchema
from ledger.core.event import Envelope
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree
from ledger.schema import APPLICATION_ID, HISTORY, SCHEMA
from ledger.sql import connect
from ledger.sqlite import SqliteStore
from ledger.views import Views
from mesh.core.errors import StoreError as MeshStoreError
from mesh.database import open_database
from node.identity.birth import _has_genesis
from tests.ledger.makers import fact, genesis, message, open_log

EVENTS = 300
ERASED = b"these words were erased"
V0 = """
create table event (
    position integer primary key, stream blob not null, sequence integer not null,
    envelope blob not null, salt blob not null, payload blob not null,
    content_salt blob, content blob, key blob
) strict;
"""
KEPT_0 = {
    "events": "select position, envelope, salt, payload, content_salt, content"
    " from event order by position",
    "streams": "select position, stream, sequence from event order by position",
    "keys": "select key, position from event where key is not null order by key",
}


def step(connection):
    """Version 0 to 1."""
    connection.execute("alter table event rename to old")
    connection.execute(SCHEMA)
    connection.execute("insert into stream (id) select distinct stream from old order by position")
    connection.execute(
        "insert into event select position, number, sequence, envelope, salt, payload,"
        " content_salt, content from old join stream on id = stream order by position"
    )
    connection.execute(
        "insert into idempotency select key, position from old where key is not null"
    )
    tiles = {}
    tree = Tree(lambda level, index: tiles[level, index])
    for (envelope,) in connection.execute("select envelope from old order by position").fetchall():
        tree.append(leaf_hash(envelope))
    for tile in tree.take_tiles():
        row = (tile.level, tile.index, tile.root, tile.hashes)
        connection.execute("insert into tile values (?,?,?,?)", row)
    connection.execute("drop table old")


def history(change=step, **changes):
    return replace(HISTORY, steps={0: change}, kept=HISTORY.kept | {0: KEPT_0}, **changes)


@contextmanager
def database(path, **options):
    with closing(connect(path, **options)) as connection:
        yield connection


def make_old(folder: Path) -> tuple[Path, bytes]:
    """A ledger of version 0 with every kind of row; return it and its root."""
    made = folder / "made.db"
    with open_log(SqliteStore.create(made)) as log:
        log.append_now(genesis(), message(ERASED.decode()), message("kept", key=b"k" * 16))
        log.append_now(*(fact(n, stream=bytes([n % 3]) * 16) for n in range(EVENTS - 4)))
        log.append_now(log.redaction([1], reason="asked", actor="operator"))
        root, records = log.tree.root(), list(log.records())
    path = folder / "ledger.db"
    with database(path, create=True) as old:
        old.execute(f"begin; {V0} pragma application_id={APPLICATION_ID}; pragma user_version=0")
        for record in records:
            envelope = Envelope.parse(record.envelope)
            row = (
                record.position, envelope.stream, envelope.stream_sequence, record.envelope,
                record.salt, record.payload, record.content_salt, record.content,
                envelope.idempotency_key,
            )  # fmt: skip
            old.execute("insert into event values (?,?,?,?,?,?,?,?,?)", row)
        old.execute("commit")
    path.chmod(0o600)
    made.unlink()
    return path, root


@pytest.fixture(scope="session")
def old_seed(tmp_path_factory):
    return make_old(tmp_path_factory.mktemp("old"))


@pytest.fixture
def old(old_seed, tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(old_seed[0].read_bytes())
    return path


def version(path):
    with database(path, read_only=True) as connection:
        return connection.pragma("user_version")


def assert_whole(path, root):
    """It is of today's version, and every event, proof and key is what it was."""
    assert version(path) == 1
    with open_log(SqliteStore.open(path)) as log:
        assert (log.size, log.tree.root()) == (EVENTS, root)
        assert len(list(log.events())) == EVENTS
        assert log.read(1).redacted
        assert log.find(b"k" * 16).position == 2
        assert log.ledger_id == log.read(0).id
        log.tree.inclusion(200, 260)
        [added] = log.append_now(fact(1, stream=bytes([1]) * 16))
        assert added.position == EVENTS


def test_a_ledger_of_an_older_version_is_brought_forward_when_it_is_opened_to_write(old, old_seed):
    store = SqliteStore.open(old, history=history())
    store.check()
    store.close()
    assert_whole(old, old_seed[1])
    left = b"".join(path.read_bytes() for path in old.parent.iterdir())
    assert ERASED not in left
    with database(old) as after:
        tables = {row[0] for row in after.execute("select name from sqlite_schema")}
        assert "old" not in tables
        with pytest.raises(apsw.ConstraintError, match="events are never deleted"):
            after.execute("delete from event where position = 3")


def test_opening_it_to_read_says_to_start_the_node_and_changes_nothing(old):
    before = old.read_bytes()
    with pytest.raises(StoreOld, match="opened for reading only") as caught:
        SqliteStore.open_read_only(old, history=history())
    assert "timmy run" in caught.value.hint
    assert old.read_bytes() == before
    assert _has_genesis(old, history=history()), "the node that is to start finds an agent there"


def test_a_newer_one_is_refused_and_untouched(old):
    with database(old) as connection:
        connection.execute("pragma user_version=7")
    before = old.read_bytes()
    for attempt in (SqliteStore.open, SqliteStore.open_read_only):
        with pytest.raises(StoreSchema, match="has schema 7, this version reads 1") as caught:
            attempt(old, history=history())
        assert "upgrade timmy" in caught.value.hint
    assert old.read_bytes() == before


def test_one_from_which_no_step_leads_on_is_refused_and_untouched(old):
    before = old.read_bytes()
    with pytest.raises(StoreSchema, match="has schema 0, from which no step leads to 1") as caught:
        SqliteStore.open(old)
    assert "export" in caught.value.hint
    assert old.read_bytes() == before


def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    with database(path, create=True) as connection:
        connection.execute("create table mine (x); pragma application_id=5")
    with pytest.raises(StoreSchema, match="not ours: application id 5"):
        SqliteStore.open(path, history=history())


def test_a_disk_that_is_too_small_is_found_before_anything_is_changed(old):
    before = old.read_bytes()
    needed = max(3 * len(before), 1 << 20)
    with pytest.raises(StoreFull, match=rf"needs {needed} bytes free.*there are {needed - 1}") as c:
        SqliteStore.open(old, history=history(), free=lambda _: needed - 1)
    assert "nothing was changed" in c.value.hint
    assert old.read_bytes() == before
    SqliteStore.open(old, history=history(), free=lambda _: needed).close()
    assert version(old) == 1


@contextmanager
def each_connection(hook):
    apsw.connection_hooks.append(hook)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(hook)


def test_a_disk_that_fills_up_on_the_way_leaves_the_old_version(old, old_seed):
    """SQLite's own bound on pages stands for the disk: SQLITE_FULL at a write of the step."""
    pages = len(old.read_bytes()) // 8192

    def bounded(connection):
        connection.execute(f"pragma max_page_count={pages + 2}")

    with each_connection(bounded), pytest.raises(StoreFull):
        SqliteStore.open(old, history=history())
    assert version(old) == 0
    SqliteStore.open(old, history=history()).close()
    assert_whole(old, old_seed[1])


def also(statement):
    def change(connection):
        step(connection)
        connection.execute(statement)

    return change


WRONG = {
    "an event lost": ("drop trigger event_stays; delete from event where position = 7", "events"),
    "a byte changed": (
        "drop trigger event_same; update event set payload = x'a0' where position = 9",
        "events",
    ),
    "an event in another stream": (
        "drop trigger event_same; update event set sequence = 900 where position = 9",
        "streams",
    ),
    "a key lost": ("drop trigger key_stays; delete from idempotency", "keys"),
    "rows without owner": (
        "drop trigger event_same; update event set stream = 99 where position = 9",
        "streams",
    ),
}


@pytest.mark.parametrize(("statement", "what"), WRONG.values(), ids=WRONG)
def test_a_step_that_loses_something_is_rolled_back(old, old_seed, statement, what):
    with pytest.raises(StoreDamaged, match=f"step from schema 0 would change its .*{what}") as c:
        SqliteStore.open(old, history=history(also(statement)))
    assert "nothing was changed" in c.value.hint
    assert version(old) == 0
    SqliteStore.open(old, history=history()).close()
    assert_whole(old, old_seed[1])


def test_a_step_that_leaves_rows_without_owner_is_rolled_back(old):
    """Nothing is compared here but what SQLite knows: who owns which row."""
    bad = also("drop trigger event_same; update event set stream = 99 where position = 9")
    with pytest.raises(StoreDamaged, match="leaves rows without owner"):
        SqliteStore.open(old, history=replace(history(bad), kept={}))
    assert version(old) == 0


@pytest.mark.parametrize("fault", [apsw.SQLError("no"), KeyError("ours"), KeyboardInterrupt()])
def test_whatever_ends_a_step_leaves_the_old_version(old, old_seed, fault):
    def broken(connection):
        step(connection)
        raise fault

    wanted = StoreError if isinstance(fault, apsw.Error) else type(fault)
    with pytest.raises(wanted):
        SqliteStore.open(old, history=history(broken))
    assert version(old) == 0
    SqliteStore.open(old, history=history()).close()
    assert_whole(old, old_seed[1])


def test_several_steps_are_taken_in_order_and_each_is_kept(old, old_seed):
    """A later step that fails does not undo the one before it: the next start goes on from there."""

    def second(connection):
        connection.execute("create table note (text text) strict")

    def failing(connection):
        second(connection)
        raise ValueError("later")

    two = replace(history(), version=2, kept=HISTORY.kept | {0: KEPT_0, 2: HISTORY.kept[1]})
    with pytest.raises(ValueError, match="later"):
        SqliteStore.open(old, history=replace(two, steps={0: step, 1: failing}))
    assert version(old) == 1
    SqliteStore.open(old, history=replace(two, steps={0: step, 1: second})).close()
    assert version(old) == 2
    with pytest.raises(StoreSchema, match="has schema 2, this version reads 1"):
        SqliteStore.open(old)


KILLED = """
import os, signal, sys
from pathlib import Path
import apsw
from ledger.sqlite import SqliteStore
from tests.schema.test_migrations import history

def migrate(path, stop):
    seen = 0

    def trace(cursor, sql, bindings):
        nonlocal seen
        seen += 1
        if seen == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(trace))
    SqliteStore.open(path, history=history()).close()
    (path.parent / "statements").write_text(str(seen))

for argument in sys.argv[1:]:
    path, stop = argument.split(":")
    if (pid := os.fork()) == 0:
        migrate(Path(path), int(stop))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def migrate_and_die(*arguments):
    """In a process of its own, a child for each (path, statement to die at); their exit codes."""
    told = [f"{path}:{at}" for path, at in arguments]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *told], capture_output=True, text=True, check=True
    )
    return [int(line) for line in done.stdout.split()]


def test_kill_9_at_any_statement_leaves_one_version_whole(old_seed, tmp_path):
    """Every statement of the whole opening in turn, migration and its pragmas included."""
    old, root = old_seed

    def copy(name):
        path = tmp_path / name / "ledger.db"
        path.parent.mkdir()
        path.write_bytes(old.read_bytes())
        return path

    whole = copy("whole")
    assert migrate_and_die((whole, 0)) == [0]
    statements = int((whole.parent / "statements").read_text())
    assert statements > 20
    killed = [(copy(str(at)), at) for at in range(1, statements + 1)]
    assert set(migrate_and_die(*killed)) == {-9}
    seen = set()
    for path, _ in killed:
        seen.add(version(path))
        SqliteStore.open(path, history=history()).close()
        assert_whole(path, root)
    assert seen == {0, 1}


def test_views_are_thrown_away_and_computed_again_whatever_their_version(tmp_path):
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis(), message("the quick brown fox"))
        for found in (0, 1, 99):
            views = Views(tmp_path / "views.db", log)
            views.catch_up()
            views.close()
            with database(tmp_path / "views.db") as connection:
                connection.execute(f"pragma user_version={found}")
            again = Views(tmp_path / "views.db", log)
            again.catch_up()
            assert [hit.position for hit in again.search("fox")] == [1]
            again.close()


def test_the_relays_stores_are_brought_forward_in_the_same_way(tmp_path):
    path, first = tmp_path / "relay.db", "create table event (id text) strict"
    open_database(path, schema=first, version=1, synchronous="NORMAL").close()

    def second(connection):
        connection.execute("alter table event add column seen integer")

    def broken(connection):
        second(connection)
        connection.execute("select * from absent")

    options = {"schema": first, "version": 2, "synchronous": "NORMAL"}
    with pytest.raises(MeshStoreError, match="no such table: absent"):
        open_database(path, steps={1: broken}, **options)
    with closing(open_database(path, steps={1: second}, **options)) as connection:
        assert connection.pragma("user_version") == 2
        connection.execute("insert into event values ('x', 1)")
    with pytest.raises(MeshStoreError, match="form 2 of application"):
        open_database(path, schema=first, version=1, synchronous="NORMAL")
