import asyncio
import itertools
import os
from dataclasses import replace

import apsw
import pytest

from ledger.core.audit import Audit
from ledger.core.errors import (
    IdempotencyConflict,
    InvalidCbor,
    InvalidEvent,
    NotFound,
    Refused,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreSchema,
)
from ledger.core.event import Cause, Draft, Event
from ledger.core.merkle import leaf_hash
from ledger.core.state import BASIC_REDUCERS
from ledger.core.tiles import Tree
from ledger.memory import MemoryStore
from ledger.replay import replay
from ledger.sqlite import SqliteStore
from tests.ledger import dumb_merkle
from tests.ledger.makers import STREAM, fact, genesis, message, open_log


@pytest.fixture(params=["memory", "sqlite"])
def log(request, tmp_path):
    store = (
        MemoryStore() if request.param == "memory" else SqliteStore.create(tmp_path / "ledger.db")
    )
    with open_log(store) as log:
        log.append_now(genesis())
        yield log


def reopened(log, tmp_path):
    """The same log from its file, if it has one."""
    log.close()
    return open_log(SqliteStore.open(tmp_path / "ledger.db"))


def test_an_event_comes_back_as_it_was_given(log):
    (event,) = log.append_now(message("héllo"))
    assert log.read(1) == event
    assert event.content == {"text": "héllo"}
    assert event.payload["author"] == "operator"
    assert event.has_content
    assert not event.redacted
    assert log.size == 2


def test_the_tree_is_over_the_envelopes(log):
    log.append_now(*[fact(n) for n in range(700)])
    leaves = [leaf_hash(record.envelope) for record in log.records()]
    assert log.tree.root() == dumb_merkle.root(leaves)
    assert log.tree.root(300) == dumb_merkle.root(leaves[:300])
    assert log.tree.inclusion(7, 600) == dumb_merkle.path(7, leaves[:600])


def test_streams_count_on_their_own(log):
    other = b"o" * 16
    log.append_now(fact(0), fact(1, stream=other), fact(2))
    log.append_now(fact(3, stream=other))
    sequences = [(e.stream, e.envelope.stream_sequence) for e in log.events(1)]
    assert sequences == [(STREAM, 0), (other, 0), (STREAM, 1), (other, 1)]
    assert [e.payload["n"] for e in log.stream(STREAM, last=1)] == [2]
    assert [e.payload["n"] for e in log.stream(other, last=9)] == [1, 3]


def test_the_same_key_and_body_give_the_first_event(log):
    key = b"k" * 16
    (first,) = log.append_now(message("once", key=key))
    (again,) = log.append_now(message("once", key=key))
    assert again.id == first.id
    both = log.append_now(message("twice", key=b"l" * 16), message("twice", key=b"l" * 16))
    assert both[0].id == both[1].id
    assert log.size == 3
    assert log.find(key).id == first.id
    assert log.find(b"?" * 16) is None


def test_the_same_key_with_another_body_is_a_conflict(log):
    key = b"k" * 16
    log.append_now(message("once", key=key))
    for other in (message("other", key=key), message("once", key=key, stream=b"x" * 16)):
        with pytest.raises(IdempotencyConflict, match="belongs to event 1"):
            log.append_now(other)
    assert log.size == 2


def test_a_key_still_gives_its_event_after_redaction(log):
    key = b"k" * 16
    log.append_now(message("secret", key=key))
    log.append_now(log.redaction([1], reason="asked", actor="operator"))
    (event,) = log.append_now(message("secret", key=key))
    assert event.position == 1


def test_a_bad_draft_leaves_nothing_and_spoils_no_neighbour(log):
    bad = Draft(type="Not A Type", stream=STREAM, payload={})
    with pytest.raises(InvalidEvent, match="not a dotted lower-case name"):
        log.append_now(fact(1), bad)
    assert log.size == 1
    (event,) = log.append_now(fact(2))
    assert (event.position, event.envelope.stream_sequence) == (1, 0)


@pytest.mark.parametrize(
    ("draft", "error"),
    [
        (Draft(type="a.b", stream=b"short", payload={}), InvalidEvent),
        (Draft(type="a.b", stream=STREAM, payload={"f": 1.5}), InvalidCbor),
        (Draft(type="a.b", stream=STREAM, payload={"f": "\ud800"}), InvalidCbor),
        (Draft(type="a.b", stream=STREAM, payload={"f": 2**64}), InvalidCbor),
        (Draft(type="a.b", stream=STREAM, payload={"b": b"x" * 70_000}), InvalidEvent),
        (Draft(type="a.b", stream=STREAM, payload={}, content={"t": "x" * 2**21}), InvalidEvent),
        (Draft(type="a.b", stream=STREAM, payload={}, idempotency_key=b"k"), InvalidEvent),
        (Draft(type="a.b", stream=STREAM, payload={}, schema=-1), InvalidEvent),
        (
            Draft(type="a.b", stream=STREAM, payload={}, causes=(Cause(position=9, id=b"x" * 32),)),
            InvalidEvent,
        ),
    ],
)
def test_every_bound_is_refused_by_name(log, draft, error):
    with pytest.raises(error):
        log.append_now(draft)
    assert log.size == 1


def test_control_types_carry_no_content():
    with pytest.raises(InvalidEvent, match="control type"):
        Draft(type="policy.decided", stream=STREAM, payload={}, content={"text": "x"})
    with pytest.raises(InvalidEvent, match="reserved"):
        Draft(type="a.b", stream=STREAM, payload={"content": b"x"})


def test_causes_may_name_earlier_events_of_the_same_commit(log):
    (first,) = log.append_now(fact(1))
    log.append_now(message("because", causes=(first.cause,)))
    foreign = Cause(position=5, id=b"f" * 32, ledger=b"l" * 32)
    (event,) = log.append_now(message("far", causes=(foreign,)))
    assert log.read(event.position).envelope.causes == (foreign,)


def test_redaction_erases_content_and_nothing_else(log, tmp_path):
    root_before = log.append_now(message("the secret word")) and log.tree.root()
    log.append_now(message("harmless"))
    log.append_now(log.redaction([1], reason="asked", actor="operator"))
    event = log.read(1)
    assert event.redacted
    assert event.content is None
    assert event.payload["author"] == "operator"
    assert log.tree.root(2) == root_before
    audit = audited(log)
    assert audit.redacted == {1: 3}
    assert audit.missing == []
    if (tmp_path / "ledger.db").exists():
        log.close()
        assert not any(b"the secret word" in p.read_bytes() for p in tmp_path.iterdir())


def test_facts_cannot_be_redacted(log):
    log.append_now(fact(1))
    with pytest.raises(Refused, match="no content to redact"):
        log.redaction([1], reason="asked", actor="operator")
    with pytest.raises(NotFound):
        log.redaction([99], reason="asked", actor="operator")
    forged = Draft(type="ledger.redacted", stream=STREAM, payload={"targets": [1]})
    with pytest.raises(Refused):
        log.append_now(forged)
    for targets in (None, ["x"], [True]):
        with pytest.raises(InvalidEvent):
            log.append_now(
                Draft(type="ledger.redacted", stream=STREAM, payload={"targets": targets})
            )


def audited(log):
    audit = Audit(Tree(lambda *_: b""))
    for record in log.records():
        audit.add(record)
    assert audit.tree.root() == log.tree.root()
    return audit


def test_time_never_goes_back(tmp_path):
    clock = iter([1000, 500, 2000, 0, 0, 700])
    with open_log(clock=lambda: next(clock)) as log:
        log.append_now(genesis(), fact(1), fact(2), fact(3))
        assert [e.ts_ms for e in log.events()] == [1000, 1000, 2000, 2000]
        log.append_now(fact(4))
        assert log.read(4).ts_ms == 2000
        assert log.clock_behind_ms == 1300


class Midway(MemoryStore):
    """Asks something in the moment in which a commit is in the store, and nobody was told yet."""

    ask = staticmethod(lambda: None)

    def append(self, batch):
        super().append(batch)
        self.ask()


def test_who_reads_in_the_middle_of_a_commit_reads_what_was_there_before():
    store, seen, key = Midway(), [], bytes(16)
    with open_log(store) as log:
        log.append_now(genesis(), message("one"))

        def ask():
            named = [event.content["text"] for event in log.stream(STREAM, last=1)]
            seen.append((named, log.positions(STREAM, 0), log.find(key)))

        store.ask = ask
        log.append_now(message("two", key=key), message("three"))
        assert seen == [(["one"], [1], None)]
        store.ask = lambda: None
        assert log.positions(STREAM, 0) == [1, 2, 3]
        assert log.find(key).position == 2


async def test_many_writers_share_commits(tmp_path):
    store = SqliteStore.create(tmp_path / "ledger.db")
    commits = []
    append = store.append
    store.append = lambda batch: (commits.append(len(batch.events)), append(batch))[1]
    with open_log(store) as log:
        log.append_now(genesis())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(log.append(message(str(n)))) for n in range(200)]
        positions = sorted(task.result()[0].position for task in tasks)
        assert positions == list(range(1, 201))
        assert len(commits) < 50
        audited(log)


async def test_one_bad_writer_does_not_fail_the_others(log):
    async def bad():
        with pytest.raises(InvalidEvent):
            await log.append(Draft(type="??", stream=STREAM, payload={}))

    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task(log.append(fact(n)))
            group.create_task(bad())
    assert log.size == 21
    assert sorted(e.payload["n"] for e in log.events(1)) == list(range(20))


async def test_following_gives_history_then_what_comes(log):
    await log.append(fact(0))
    seen = []

    async def follow():
        async for event in log.follow(1):
            seen.append(event.payload["n"])
            if len(seen) == 4:
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        for n in range(1, 4):
            await asyncio.sleep(0.01)
            await log.append(fact(n))
    assert seen == [0, 1, 2, 3]


# ---- SQLite alone -----------------------------------------------------------------------------


def make(tmp_path, count=600):
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis())
        log.append_now(*[message(f"words {n}") for n in range(count)])
        return log.tree.root()


def test_a_closed_ledger_opens_as_it_was(tmp_path):
    root = make(tmp_path)
    with open_log(SqliteStore.open(tmp_path / "ledger.db")) as log:
        assert log.size == 601
        assert log.tree.root() == root
        log.append_now(message("more"))
        audited(log)


def test_readers_see_what_the_writer_adds(tmp_path):
    make(tmp_path, 10)
    with (
        open_log(SqliteStore.open(tmp_path / "ledger.db")) as writer,
        open_log(SqliteStore.open_read_only(tmp_path / "ledger.db")) as reader,
    ):
        writer.append_now(fact(1))
        assert reader.size == 11
        reader.refresh()
        assert reader.size == 12
        assert reader.tree.root() == writer.tree.root()
        with pytest.raises(StoreError, match="opened for reading"):
            reader.append_now(fact(2))


def test_a_second_writer_is_refused(tmp_path):
    make(tmp_path, 1)
    with (
        open_log(SqliteStore.open(tmp_path / "ledger.db")),
        pytest.raises(StoreLocked, match="another node is the writer"),
    ):
        SqliteStore.open(tmp_path / "ledger.db")
    SqliteStore.open(tmp_path / "ledger.db").close()


def test_missing_foreign_and_newer_files_are_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no ledger"):
        SqliteStore.open(tmp_path / "none.db")
    make(tmp_path, 1)
    with pytest.raises(StoreError, match="already there"):
        SqliteStore.create(tmp_path / "ledger.db")
    foreign = tmp_path / "foreign.db"
    apsw.Connection(str(foreign)).execute("create table t(x)")
    with pytest.raises(StoreSchema, match="not ours"):
        SqliteStore.open(foreign)
    text = tmp_path / "text.db"
    text.write_bytes(b"not a database at all, but long enough to look like one" * 100)
    with pytest.raises(StoreDamaged):
        SqliteStore.open(text)
    connection = apsw.Connection(str(tmp_path / "ledger.db"), vfs="cksmvfs")
    connection.execute("pragma user_version=99")
    connection.close()
    with pytest.raises(StoreSchema, match="schema 99"):
        SqliteStore.open(tmp_path / "ledger.db")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from event where position = 3",
        "update event set payload = x'00' where position = 3",
        "update event set position = 9999 where position = 3",
        "update event set content = x'00' where position = 3",
        "delete from tile",
        "update tile set hashes = x'00'",
        "delete from idempotency",
        "update stream set id = randomblob(16)",
    ],
)
def test_the_database_itself_refuses_to_change_history(tmp_path, statement):
    make(tmp_path)
    store = SqliteStore.open(tmp_path / "ledger.db")
    store._writer.execute("insert into idempotency values (randomblob(16), 1)")
    with pytest.raises(apsw.ConstraintError, match="never"):
        store._writer.execute(statement)
    store.close()


def test_a_full_disk_refuses_appends_and_recovers_by_itself(tmp_path):
    make(tmp_path, 10)
    store = SqliteStore.open(tmp_path / "ledger.db")
    with open_log(store) as log:
        pages = store._writer.pragma("page_count")
        store._writer.pragma("max_page_count", pages + 1)
        with pytest.raises(StoreFull, match="disk is full"):
            log.append_now(*[message("x" * 3000) for _ in range(300)])
        assert log.size == 11
        assert log.read(10).content == {"text": "words 9"}
        store._writer.pragma("max_page_count", 1_000_000)
        log.append_now(*[message("x" * 3000) for _ in range(300)])
        audited(log)


def test_every_flipped_bit_is_met(tmp_path):
    make(tmp_path, 300)
    path = tmp_path / "ledger.db"
    good = path.read_bytes()
    for at in range(8192 + 40, len(good), len(good) // 23):
        bad = bytearray(good)
        bad[at] ^= 1 << (at % 8)
        path.write_bytes(bad)
        with pytest.raises((StoreError, InvalidEvent)):
            read_everything(path)
    path.write_bytes(good)
    read_everything(path)


def read_everything(path):
    with open_log(SqliteStore.open(path)) as log:
        audited(log)
        for index, root in enumerate(log._store.tile_roots(0, 0)):
            assert len(log._store.tile(0, index)) == 8192
            assert len(root) == 32
        log._store.check()


def numbered(salts, length):
    """The two salts of every event are its number, in however many draws they come."""
    return b"".join(next(salts).to_bytes(64, "big") for _ in range(length // 64))


def test_memory_and_sqlite_make_the_same_ledger(tmp_path):
    """Same drafts, clock and salts: byte for byte the same records and root."""
    made = []
    for store in (MemoryStore(), SqliteStore.create(tmp_path / "ledger.db")):
        salts = itertools.count()
        log = open_log(store, clock=itertools.count(5).__next__)
        log._entropy = lambda n, salts=salts: numbered(salts, n)
        log.append_now(genesis(), *[message(str(n), key=n.to_bytes(16, "big")) for n in range(600)])
        log.append_now(log.redaction([3, 5], reason="r", actor="a"))
        made.append((log.tree.root(), list(log.records())))
        log.close()
    assert made[0] == made[1]


def test_a_record_that_does_not_match_its_commitments_is_refused(log):
    (event,) = log.append_now(message("true"))
    record = event.record

    for forged in (
        record._replace(payload=record.payload[:-1]),
        record._replace(salt=os.urandom(32)),
        record._replace(salt=b""),
        record._replace(content=b"\xa1dtextefalse"),
        record._replace(content_salt=os.urandom(32)),
        record._replace(content_salt=b""),
        record._replace(content=None),
        record._replace(envelope=record.envelope[:-1]),
    ):
        with pytest.raises(InvalidEvent):
            Event.open(forged)


def test_sealing_and_opening_agree(log):
    """An event as it was appended is the event as it is read back, every field of it."""
    for draft in (fact(1), message("words", key=b"k" * 16), genesis()):
        (appended,) = log.append_now(draft)
        assert Event.open(appended.record) == appended == log.read(appended.position)


@pytest.mark.parametrize("size", [1, 7, 256, 600])
def test_batch_sizes_do_not_matter(size):
    """The same drafts, times and salts in commits of any size: one ledger, one state."""
    salts = itertools.count()
    with open_log(clock=lambda: 5) as log:
        log._entropy = lambda n: numbered(salts, n)
        drafts = [genesis(), *[message(str(n)) for n in range(600)]]
        for start in range(0, len(drafts), size):
            log.append_now(*drafts[start : start + size])
        state = replay(log.events(), BASIC_REDUCERS).state
        assert (log.tree.root().hex(), state.digest().hex()) == (ROOT, DIGEST)


ROOT = "7c63e0a16058cd8a0c84be8d1013df035f9b578efc90209fd51e16ce866d90aa"
DIGEST = "a1ddec65be836d9a9359d9821f3a6a8cc0bb6429d4944495df8cb4b31135f0e8"


@pytest.mark.parametrize("other", [True, [1], "1"])
def test_under_one_key_one_and_true_are_two_bodies(other):
    with open_log() as log:
        log.append_now(genesis())
        key = b"k" * 16
        draft = Draft(type="test.fact", stream=STREAM, payload={"n": 1}, idempotency_key=key)
        [first] = log.append_now(draft)
        assert log.append_now(draft) == [first]
        with pytest.raises(IdempotencyConflict):
            log.append_now(replace(draft, payload={"n": other}))
