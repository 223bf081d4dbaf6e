"""Snapshots: taken up only if the ledger attests them, and never different from a whole fold."""

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.checkpoint import Checkpoint
from ledger.core.errors import Moved, StoreDamaged
from ledger.core.event import Draft, Event
from ledger.core.state import BASIC_REDUCERS, State, reduce_basics
from ledger.core.types import NODE_STREAM
from ledger.replay import ReplayDiffers, attestation, proven, reducers_hash, replay, replay_from
from ledger.snapshot import SnapshotFile, kept_entries
from ledger.sqlite import SqliteStore
from tests.ledger.makers import genesis, message, open_log

MINE = reducers_hash(BASIC_REDUCERS)


@pytest.fixture
def log(tmp_path):
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis(), *(message(f"words {n}") for n in range(20)))
        yield log


def attest(log, state, file) -> None:
    """Fold to the head, attest, save: what the node does."""
    for event in log.events(state.size):
        state.apply(event)
    draft = attestation(state, MINE)
    changed = state.take_unsaved()
    log.append_now(draft)
    file.save(state.size, MINE, dict(state.entries) if file.empty else changed)


def loaded(path, log, reducers=BASIC_REDUCERS):
    file = SnapshotFile(path)
    try:
        return file.load(log, reducers)
    finally:
        file.close()


@pytest.fixture
def saved(log, tmp_path):
    path = tmp_path / "snapshot.db"
    file = SnapshotFile(path)
    assert file.load(log, BASIC_REDUCERS) is None
    attest(log, State(BASIC_REDUCERS), file)
    file.close()
    return path


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=5), st.data())
def test_snapshot_and_tail_are_the_whole_fold(tmp_path_factory, rounds, data):
    folder = tmp_path_factory.mktemp("snap")
    with open_log(SqliteStore.create(folder / "ledger.db")) as log:
        log.append_now(genesis())
        file, state = SnapshotFile(folder / "s.db"), State(BASIC_REDUCERS)
        file.load(log, BASIC_REDUCERS)
        for count in rounds:
            log.append_now(*(message("x") for _ in range(count)))
            if data.draw(st.booleans()):
                attest(log, state, file)
            if data.draw(st.booleans()):
                log.append_now(log.redaction([1], reason="r", actor="operator"))
            if data.draw(st.booleans()):  # a restart in the middle
                file.close()
                file = SnapshotFile(folder / "s.db")
                state = file.load(log, BASIC_REDUCERS) or State(BASIC_REDUCERS)
        file.close()
        whole = replay(log.events(), BASIC_REDUCERS).state
        start = loaded(folder / "s.db", log) or State(BASIC_REDUCERS)
        again = replay_from(start, log.events(start.size)).state
        assert (again.entries, again.digest()) == (whole.entries, whole.digest())


def test_a_doctored_snapshot_is_no_snapshot(saved, log):
    assert loaded(saved, log).size == 21
    for change in (
        "update entry set value = x'01' where key = 'type/genesis.born'",  # 1: the same
        "update entry set value = x'02' where key = 'type/genesis.born'",
        "delete from entry where key = 'type/genesis.born'",
        "insert into entry values ('hold/b', x'01')",
        "update head set size = 20",
        "update head set size = 10000",
        "update entry set value = x'1801' where key = 'type/genesis.born'",  # not minimal
    ):
        from ledger.sql import connect

        connection = connect(saved)
        before = connection.execute("select * from entry").fetchall()
        connection.execute(change)
        same = change.startswith("update entry set value = x'01'")
        assert (loaded(saved, log) is not None) == same, change
        connection.execute("delete from entry; update head set size = 21")
        connection.executemany("insert into entry values (?,?)", before)
        connection.close()
    assert loaded(saved, log).size == 21


def test_other_reducers_take_nothing_up(saved, log):
    assert loaded(saved, log, (reduce_basics,)) is None
    assert loaded(saved, log).size == 21


def test_a_snapshot_of_another_ledger_is_not_taken_up(saved, tmp_path):
    with open_log(SqliteStore.create(tmp_path / "other.db")) as other:
        other.append_now(genesis(), *(message("else") for _ in range(30)))
        assert loaded(saved, other) is None


@pytest.mark.parametrize("content", [b"", b"no database", bytes(100_000)])
def test_a_damaged_file_is_made_anew(saved, log, content):
    for suffix in ("-wal", "-shm"):
        saved.with_name(saved.name + suffix).unlink(missing_ok=True)
    saved.write_bytes(content)
    assert loaded(saved, log) is None
    file, state = SnapshotFile(saved), State(BASIC_REDUCERS)
    attest(log, state, file)
    file.close()
    assert loaded(saved, log).size == state.size


def test_a_file_that_lost_an_entry_while_it_was_away_is_not_believed(saved, log):
    file = SnapshotFile(saved)
    state = file.load(log, BASIC_REDUCERS)
    saved.unlink()  # somebody tidied up under a running node
    file.close()
    attest(log, state, file)  # writes the changed entries only
    file.close()
    assert loaded(saved, log) is None


def test_proven_events_are_those_that_were_signed(log, tmp_path):
    def head(size: int) -> Checkpoint:
        tree = log.tree
        return Checkpoint(ledger_id=log.ledger_id, epoch=0, size=size, root=tree.root(size))

    for size in range(1, log.size + 1):
        assert list(proven(log, head(size))) == list(log.events())
    wrong = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=3, root=bytes(32))
    with pytest.raises(StoreDamaged, match="first 3 events are not those that were signed"):
        list(proven(log, wrong))


def test_proven_events_show_what_the_loose_decoder_lets_by(log, tmp_path):
    """A payload in another encoding: its commitment is made good, but the root is not."""
    from ledger.core.event import Record, payload_commitment

    whole = replay(log.events(), BASIC_REDUCERS).state
    head = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=log.size, root=log.tree.root())
    record = log.read(5).record
    payload = record.payload.replace(b"\x66author", b"\x78\x06author")  # a longer head
    assert payload != record.payload
    commitment = log.read(5).envelope.payload_commitment
    length = len(record.payload)
    envelope = record.envelope.replace(commitment, payload_commitment(record.salt, payload))
    assert envelope.endswith(b"\x18" + bytes([length]))
    forged = record._replace(payload=payload, envelope=envelope[:-1] + bytes([length + 1]))
    assert Event.open_again(forged).payload == Event.open_again(record).payload
    with pytest.raises(Exception, match="not the deterministic encoding"):
        Event.open(forged)

    class Lying:
        size = log.size

        def records(self, start: int, stop: int) -> list[Record]:
            kept = list(log.records(start, stop))
            return [*kept[:5], forged, *kept[6:]]

        events = log.events

    state = State(BASIC_REDUCERS)
    with pytest.raises(StoreDamaged, match="are not those that were signed"):
        replay_from(state, proven(Lying(), head))
    assert whole.size == state.size


@pytest.mark.parametrize(
    "forge",
    [
        lambda r: r._replace(payload=b""),
        lambda r: r._replace(payload=r.payload + b"\x01"),
        lambda r: r._replace(payload=r.payload[:-1] + bytes([r.payload[-1] ^ 1])),
        lambda r: r._replace(envelope=r.envelope[:-1]),
        lambda r: r._replace(envelope=b"\xff" + r.envelope[1:]),
        lambda r: r._replace(envelope=bytes(20_000)),
        lambda r: r._replace(salt=bytes(32)),
        lambda r: r._replace(content_salt=None),
    ],
    ids=["none", "longer", "bit", "cut", "break", "large", "salt", "content salt"],
)
def test_proven_names_the_event_that_is_not_what_was_appended(log, forge):
    """Opened a tile at a time, and still told by its position, after those before it."""
    head = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=log.size, root=log.tree.root())

    class Lying:
        def records(self, start, stop):
            return [forge(r) if r.position == 5 else r for r in log.records(start, stop)]

    seen = []
    with pytest.raises(StoreDamaged, match="event 5: ") as raised:
        for event in proven(Lying(), head):
            seen.append(event.position)  # noqa: PERF401 - what was yielded before the fault counts
    assert raised.value.position == 5
    assert seen == list(range(5))


def test_events_opened_together_are_those_opened_one_by_one(log):
    records = list(log.records())
    assert Event.open_together(records) == [Event.open(record) for record in records]
    assert Event.open_together([]) == []


async def test_an_append_that_expects_another_size_leaves_nothing(log):
    size = log.size
    with pytest.raises(Moved, match=f"the log has {size} events, expected {size - 1}"):
        await log.append(message("late"), expected=size - 1)
    assert log.size == size
    [event] = await log.append(message("in time"), expected=size)
    assert event.position == size


def test_a_forged_attestation_is_found_in_the_tail(saved, log):
    state = loaded(saved, log)
    tail = log.size + 1
    log.append_now(message("more"))
    forged = {"size": tail, "reducers": MINE, "digest": bytes(32)}
    log.append_now(Draft(type="state.attested", stream=NODE_STREAM, payload=forged))
    with pytest.raises(ReplayDiffers, match=f"events 21 to {tail - 1}"):
        replay_from(state, log.events(state.size))


def test_what_is_kept_is_read_without_being_believed(saved, log, tmp_path):
    state = loaded(saved, log)
    kept = kept_entries(saved)
    assert (kept.size, kept.entries) == (state.size, dict(state.entries))
    assert kept_entries(tmp_path / "none.db") is None
    apsw.Connection(str(saved)).execute("pragma user_version=99")
    assert kept_entries(saved) is None
    (tmp_path / "noise.db").write_bytes(b"noise " * 2000)
    assert kept_entries(tmp_path / "noise.db") is None


def test_the_file_is_private(saved):
    assert saved.stat().st_mode & 0o777 == 0o600
    assert apsw.Connection(str(saved)).pragma("application_id") == 0x54494D53
