"""The stamper against calendars that come and go, crashes, and a clock that jumps."""

import hashlib
from dataclasses import replace

import pytest

from attest.core import limits
from attest.core.errors import (
    CalendarRefused,
    CalendarUnreachable,
    NodeUnreachable,
    StateDamaged,
    StateError,
)
from attest.core.ots import SHA256, BitcoinBlock, Path, Pending, Timestamp, append, prepend
from attest.stamper import Stamper
from attest.stamps import CalendarRecord, StampRecord, StampStanding
from attest.state import FileState, MemoryState
from tests.spec import agent

A, B = "https://a.example", "https://b.example"
HOUR = 3600


def note(size=5):
    ledger = agent.anchored_ledger().ledger
    return ledger.head(size).anchor_preimage()


class Twin:
    """The port's memory twin: calendars that promise, keep, and can be away."""

    def __init__(self):
        self.away = set()
        self.submitted = []
        self.looked_up = []
        self.blocks = {}  # message -> height; a calendar's transaction is one append away

    async def submit(self, url, digest):
        if url in self.away:
            raise CalendarUnreachable("no answer")
        self.submitted.append((url, digest))
        return Timestamp((Path((prepend(url[8:9].encode()), SHA256), Pending(url)),))

    async def look_up(self, uri, message):
        if uri in self.away:
            raise CalendarRefused("answers 500", 500)
        self.looked_up.append((uri, message))
        height = self.blocks.get(uri)
        if height is None:
            return None
        return Timestamp((Path((append(b"tx"), SHA256, SHA256), BitcoinBlock(height)),))


class Clock:
    def __init__(self):
        self.now_s = 1_790_000_000

    def __call__(self):
        return self.now_s


class World:
    """Everything a stamper stands on; `stamper` makes a new one, as a restart does."""

    def __init__(self, state=None):
        self.state = MemoryState() if state is None else state
        self.twin, self.clock, self.drawn = Twin(), Clock(), 0

    def entropy(self, count):
        self.drawn += 1
        return hashlib.sha256(b"nonce %d" % self.drawn).digest()[:count]

    def stamper(self, calendars=(A, B), root_at=None):
        return Stamper(
            state=self.state,
            client=self.twin,
            calendars=calendars,
            poll_s=HOUR,
            clock=self.clock,
            entropy=self.entropy,
            root_at=root_at,
        )


def root_of(record, url):
    """What a calendar's promise leads to in the twin's world."""
    message = hashlib.sha256(url[8:9].encode() + record.tip).digest()
    return hashlib.sha256(hashlib.sha256(message + b"tx").digest()).digest()


async def test_a_note_is_sent_blinded_and_its_proof_completed():
    world = World()
    stamper = world.stamper()
    wanted = await stamper.want(note())
    assert wanted.standing(2) is StampStanding.WANTED
    [record] = await stamper.advance()
    assert record.standing(2) is StampStanding.PENDING
    assert world.twin.submitted == [(A, record.tip), (B, record.tip)]
    assert record.tip not in (record.digest, record.checkpoint.root)
    world.twin.blocks = {A: 7, B: 9}
    world.clock.now_s += HOUR
    [record] = await stamper.advance()
    assert record.standing(2) is StampStanding.ATTESTED
    assert record.done
    for timestamp, message in (
        (record.note_timestamp(), record.digest),
        (record.root_timestamp(), record.checkpoint.root),
    ):
        assert timestamp.heights == (7, 9)
        reached = {leaf.attestation: leaf.message for leaf in timestamp.leaves(message)}
        assert reached == {BitcoinBlock(7): root_of(record, A), BitcoinBlock(9): root_of(record, B)}
    await stamper.close(record)
    assert await stamper.advance() == []
    assert await stamper.newest() == record
    assert await stamper.want(note()) == record


async def test_a_restart_goes_on_with_the_same_tip():
    world = World()
    world.twin.away = {A, B}
    wanted = await world.stamper().want(note())
    await world.stamper().advance()
    world.twin.away = set()
    world.clock.now_s += HOUR
    [record] = await world.stamper().advance()
    assert {digest for _, digest in world.twin.submitted} == {wanted.tip}
    world.twin.blocks = {A: 7, B: 7}
    world.clock.now_s += HOUR
    [record] = await world.stamper().advance()
    assert record.attested


async def test_who_is_away_is_asked_later_and_ever_later():
    world = World()
    world.twin.away = {B}
    stamper = world.stamper()
    await stamper.want(note())
    waits = []
    for _ in range(16):
        [record] = await stamper.advance()
        away = record.calendars[1]
        assert away.trouble == "no answer"
        waits.append(away.next_s - world.clock.now_s)
        world.clock.now_s = away.next_s
    assert waits[:4] == [60, 120, 240, 480]
    assert waits[-1] == limits.CALENDAR_WAIT_S_MAX
    assert record.standing(1) is StampStanding.PENDING
    assert record.standing(2) is StampStanding.WANTED
    assert [url for url, _ in world.twin.submitted] == [A]


async def test_nothing_is_asked_before_it_is_due_unless_at_once():
    world = World()
    stamper = world.stamper()
    await stamper.want(note())
    await stamper.advance()
    world.clock.now_s += HOUR - 1
    await stamper.advance()
    assert world.twin.looked_up == []
    await stamper.advance(at_once=True)
    assert len(world.twin.looked_up) == 2


async def test_a_calendar_that_never_finishes_is_asked_less_and_less():
    world = World()
    stamper = world.stamper(calendars=(A,))
    await stamper.want(note())
    for _ in range(24 * 30):
        await stamper.advance()
        world.clock.now_s += HOUR
    assert 24 < len(world.twin.looked_up) < 150


@pytest.mark.parametrize("jump_s", [-10 * 365 * 86_400, 10 * 365 * 86_400])
async def test_a_clock_that_jumped_delays_nothing_for_long(jump_s):
    world = World()
    stamper = world.stamper()
    await stamper.want(note())
    await stamper.advance()
    world.twin.blocks = {A: 7, B: 7}
    world.clock.now_s += jump_s
    [record] = await stamper.advance()
    assert record.attested


# ---- our own node's word ---------------------------------------------------------------------------


async def finished(root_at):
    world = World()
    stamper = world.stamper(calendars=(A,), root_at=root_at)
    record = await stamper.want(note())
    await stamper.advance()
    world.twin.blocks = {A: 7}
    world.clock.now_s += HOUR
    [after] = await stamper.advance()
    return record, after


async def test_a_block_our_node_knows_is_checked():
    record, _ = await finished(None)

    async def root_at(height):
        return root_of(record, A) if height == 7 else None

    _, after = await finished(root_at)
    assert after.calendars[0].checked
    assert after.done


async def test_a_block_with_another_root_is_not_taken():
    async def root_at(_height):
        return bytes(32)

    _, after = await finished(root_at)
    assert after.standing(1) is StampStanding.PENDING
    assert "another Merkle root" in after.calendars[0].trouble
    assert not after.done


async def test_a_block_our_node_has_not_seen_waits():
    async def none_yet(_height):
        return None

    async def away(_height):
        raise NodeUnreachable("no answer from the node")

    for root_at, word in ((none_yet, "no confirmed block 7"), (away, "no answer from the node")):
        _, after = await finished(root_at)
        assert after.standing(1) is StampStanding.PENDING
        assert word in after.calendars[0].trouble


async def test_without_a_node_a_calendar_is_believed_and_it_shows():
    _, after = await finished(None)
    assert after.attested
    assert not after.calendars[0].checked


# ---- configuration changes -------------------------------------------------------------------------


async def test_a_calendar_that_is_added_takes_open_stamps_too():
    world = World()
    await world.stamper(calendars=(A,)).want(note())
    await world.stamper(calendars=(A,)).advance()
    [record] = await world.stamper(calendars=(A, B)).advance()
    assert [part.url for part in record.taken] == [A, B]
    assert record.taken[1].timestamp is not None


# ---- crashes ---------------------------------------------------------------------------------------


class Dying(MemoryState):
    """A state whose process dies at the n-th write, before it or after it."""

    def __init__(self, records, at, after):
        super().__init__()
        self._records, self.left, self.after = records, at, after

    async def put(self, key, record):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise StateError("died")
        await super().put(key, record)
        if self.left == 0:
            raise StateError("died")


class Watched(MemoryState):
    """A state at which somebody looks at every write, before it and after it."""

    async def put(self, key, record):
        await self.look()
        await super().put(key, record)
        await self.look()

    async def look(self):
        pass


async def test_who_looks_while_a_stamp_is_wanted_finds_the_one_before():
    world = World(Watched())
    stamper = world.stamper()
    first = await stamper.want(note(4))
    await stamper.close(first)
    seen = []

    async def look():
        seen.append(await stamper.newest())

    world.state.look = look
    second = await stamper.want(note(5))
    assert None not in seen
    assert (seen[0].digest, seen[-1].digest) == (first.digest, second.digest)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
async def test_a_crash_at_any_write_loses_no_proof(at, after):
    world = World()
    records = {}
    world.state = Dying(records, at, after)
    world.twin.blocks = {A: 7, B: 8}

    async def life():
        stamper = world.stamper()
        await stamper.want(note())
        for _ in range(3):
            for record in await stamper.advance():
                if record.done:
                    await stamper.close(record)
            world.clock.now_s += 30 * 86_400
        return await stamper.newest()

    try:
        record = await life()
    except StateError:
        world.state = MemoryState()
        world.state._records = records
        record = await life()
    assert record.note_timestamp().heights == (7, 8)
    assert await world.stamper().open() == []


# ---- records ---------------------------------------------------------------------------------------


def a_record():
    timestamp = Timestamp((Path((SHA256,), Pending(A)),))
    parts = (CalendarRecord(url=A, timestamp=timestamp, tries=3, next_s=5, trouble="x"),)
    return StampRecord(
        note=note(),
        nonces=(bytes(16), bytes(range(16))),
        asked_s=1,
        calendars=(*parts, CalendarRecord(url=B)),
    )


def test_a_record_is_read_as_it_was_written():
    assert StampRecord.from_value(a_record().to_value()) == a_record()


@pytest.mark.parametrize("change", [
    {"note": b"x"}, {"nonces": []}, {"nonces": [bytes(16), 10**9]}, {"nonces": [b"", b""]},
    {"calendars": [{}]}, {"asked": "x"}, {"more": 1},
    {"calendars": [{**CalendarRecord(url=A).to_value(), "url": "http://example.org"}]},
    {"calendars": [{**CalendarRecord(url=A).to_value(), "timestamp": b"\x08"}]},
])  # fmt: skip
def test_a_damaged_record_is_named(change):
    with pytest.raises(StateDamaged):
        StampRecord.from_value(a_record().to_value() | change)


async def test_a_damaged_index_is_named(tmp_path):
    with FileState(tmp_path / "s") as state:
        await state.put("stamps", {"open": ["x"]})
        with pytest.raises(StateDamaged):
            await World(state).stamper().open()


async def test_a_damaged_record_is_named_by_its_file(tmp_path):
    with FileState(tmp_path / "s") as state:
        world = World(state)
        record = await world.stamper().want(note())
        name = f"stamp-{record.digest.hex()[:58]}"
        await state.put(name, {"note": b""})
        with pytest.raises(StateDamaged, match=name):
            await world.stamper().advance()


async def test_so_many_are_looked_after_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "STAMPS_OPEN_MAX", 3)
    world = World()
    stamper = world.stamper()
    records = [await stamper.want(note(size)) for size in range(1, 6)]
    assert await stamper.open() == records[-3:]
    assert await stamper.knows(records[0].digest)


def test_only_what_names_blocks_is_handed_out_when_something_does():
    block = Timestamp((Path((SHA256,), BitcoinBlock(9)), Path((append(b"x"),), Pending(A))))
    record = replace(a_record(), calendars=(CalendarRecord(url=A, timestamp=block),))
    assert {type(path.attestation) for path in record.tip_timestamp.paths} == {BitcoinBlock}
    assert a_record().tip_timestamp.paths[0].attestation == Pending(A)
    nobody = replace(a_record(), calendars=(CalendarRecord(url=A),))
    assert nobody.note_timestamp() is None
    assert nobody.root_timestamp() is None
