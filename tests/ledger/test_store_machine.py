"""One history, told to a log on SQLite and to one on the memory twin: they never differ.

Hypothesis makes up the history: appends alone and in batches, repeated and conflicting idempotency
keys, drafts that are refused, redactions, a second connection that reads beside the writer, closing
and opening again.
"""

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.core.errors import TimmyError
from ledger.core.event import Cause, Draft
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.log import Log
from ledger.memory import MemoryStore
from ledger.sqlite import SqliteStore
from tests.ledger.dumb_merkle import root as dumb_root

STREAMS = st.sampled_from([bytes([number]) * 16 for number in range(4)])
KEYS = st.none() | st.sampled_from([bytes([number]) * 16 for number in range(1, 5)])
TEXTS = st.none() | st.text(max_size=8)
NUMBERS = st.integers(0, 2)
LARGE = 300
"""A batch of this size fills a tile of the tree."""


def drafts(draw_stream=STREAMS):
    return st.builds(
        lambda stream, key, number, text: Draft(
            type="test.said" if text is not None else "test.fact",
            stream=stream,
            payload={"n": number},
            content=None if text is None else {"text": text},
            idempotency_key=key,
        ),
        draw_stream, KEYS, NUMBERS, TEXTS,
    )  # fmt: skip


REFUSED = {
    "type": Draft(type="No dots", stream=bytes(16), payload={}),
    "stream": Draft(type="a.b", stream=b"short", payload={}),
    "payload": Draft(type="a.b", stream=bytes(16), payload={"n": 2**70}),
    "content": Draft(type="a.b", stream=bytes(16), payload={}, content={"x": "x" * 2**20}),
    "cause": Draft(
        type="a.b", stream=bytes(16), payload={}, causes=(Cause(position=0, id=bytes(32)),)
    ),
    "later cause": Draft(
        type="a.b", stream=bytes(16), payload={}, causes=(Cause(position=2**40, id=bytes(32)),)
    ),
    "redaction of nothing": Draft(
        type="ledger.redacted", stream=bytes(16), payload={"targets": [2**40]}
    ),
    "redaction of what": Draft(type="ledger.redacted", stream=bytes(16), payload={"targets": "x"}),
}


class StoreMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="timmy-machine-"))
        self.path = self.folder / "ledger.db"
        self.ticks = {}
        self.entropies = {}
        self.memory_store = MemoryStore()
        self.memory = self.open_log("memory", self.memory_store)
        self.disk_store = SqliteStore.create(self.path)
        self.disk = self.open_log("disk", self.disk_store)
        self.reader = None

    def open_log(self, name, store):
        """Both logs hear the same clock and draw the same salts."""
        self.ticks.setdefault(name, 1_790_000_000_000)
        drawn = self.entropies.setdefault(name, random.Random(7))

        def clock():
            self.ticks[name] += 1
            return self.ticks[name]

        return Log(store, clock=clock, entropy=drawn.randbytes)

    def teardown(self):
        if self.reader is not None:
            self.reader.close()
        self.disk.close()
        self.memory.close()
        shutil.rmtree(self.folder)

    def both(self, act):
        """Do the same to both logs; they answer the same, or refuse for the same reason."""
        answers = []
        for log in (self.memory, self.disk):
            try:
                answers.append(act(log))
            except TimmyError as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        # Salts are drawn for drafts that were refused, too: both drew as many.
        assert self.entropies["memory"].getstate() == self.entropies["disk"].getstate()
        return answers[0]

    # ---- what happens -----------------------------------------------------------------------

    @rule(draft=drafts())
    def append_one(self, draft):
        self.both(lambda log: [event.record for event in log.append_now(draft)])

    @rule(batch=st.lists(drafts(), max_size=6))
    def append_many(self, batch):
        self.both(lambda log: [event.record for event in log.append_now(*batch)])

    @precondition(lambda self: self.memory.size < 4 * LARGE)
    @rule(stream=STREAMS)
    def append_a_tile(self, stream):
        batch = [Draft(type="test.fact", stream=stream, payload={"n": n}) for n in range(LARGE)]
        self.both(lambda log: [event.id for event in log.append_now(*batch)])

    @rule(name=st.sampled_from(sorted(REFUSED)), batch=st.lists(drafts(), max_size=2))
    def append_what_is_refused(self, name, batch):
        """A refused draft takes the good ones of its batch with it."""
        before = self.memory.size
        answer = self.both(lambda log: log.append_now(*batch, REFUSED[name]))
        assert isinstance(answer, tuple)
        assert self.memory.size == self.disk.size == before

    @precondition(lambda self: self.memory.size)
    @rule(data=st.data(), stream=STREAMS)
    def append_with_a_cause(self, data, stream):
        position = data.draw(st.integers(0, self.memory.size - 1))
        cause = self.memory.read(position).cause
        draft = Draft(type="test.fact", stream=stream, payload={"n": 9}, causes=(cause,))
        self.both(lambda log: [event.record for event in log.append_now(draft)])

    @precondition(lambda self: self.memory.size)
    @rule(data=st.data())
    def redact(self, data):
        positions = data.draw(st.lists(st.integers(0, self.memory.size), min_size=1, max_size=3))

        def act(log):
            draft = log.redaction(positions, reason="asked for", actor="operator")
            (event,) = log.append_now(draft)
            assert all(log.read(position).redacted for position in positions)
            return event.record

        self.both(act)

    # ---- openings ---------------------------------------------------------------------------

    @rule()
    def open_again(self):
        self.disk.close()
        self.disk_store = SqliteStore.open(self.path)
        self.disk = self.open_log("disk", self.disk_store)

    @rule()
    def open_a_reader(self):
        if self.reader is not None:
            self.reader.close()
        store = SqliteStore.open_read_only(self.path)
        self.reader = Log(store, clock=lambda: 0, entropy=bytes, reading=True)

    @precondition(lambda self: self.reader is not None)
    @rule()
    def the_reader_keeps_up(self):
        seen = self.reader.size
        assert seen <= self.memory.size
        assert self.reader.tree.root() == self.memory.tree.root(seen)
        self.reader.refresh()
        assert self.reader.size == self.memory.size
        assert list(self.reader.records()) == list(self.memory.records())
        assert self.reader.tree.root() == self.memory.tree.root()

    # ---- reading ----------------------------------------------------------------------------

    @rule(start=st.integers(-1, 700), length=st.integers(0, 700))
    def read_a_range(self, start, length):
        self.both(lambda log: list(log.records(start, start + length)))

    @rule(position=st.integers(-1, 700))
    def read_one(self, position):
        self.both(lambda log: log.read(position).record)

    @rule(stream=STREAMS, last=st.integers(0, 9), start=st.integers(0, 9), stop=st.integers(0, 9))
    def read_a_stream(self, stream, last, start, stop):
        self.both(lambda log: [event.record for event in log.stream(stream, last=last)])
        stores = (self.memory_store, self.disk_store)
        lengths = {store.stream_length(stream) for store in stores}
        assert len(lengths) == 1
        found = [store.stream_positions(stream, start, stop) for store in stores]
        assert found[0] == found[1]

    @rule(key=KEYS.filter(bool))
    def read_by_key(self, key):
        self.both(lambda log: (event := log.find(key)) and event.record)

    @rule(level=st.integers(0, 1), index=st.integers(0, 3))
    def read_tiles(self, level, index):
        stores = (self.memory_store, self.disk_store)
        roots = [store.tile_roots(level, index) for store in stores]
        assert roots[0] == roots[1]
        if level == 0 and index < self.memory.size >> 8:
            tiles = [store.tile(level, index) for store in stores]
            assert tiles[0] == tiles[1]
            first = next(iter(self.memory.records(index << 8, (index << 8) + 1)))
            assert tiles[0].startswith(leaf_hash(first.envelope))

    @precondition(lambda self: self.memory.size)
    @rule(data=st.data())
    def prove(self, data):
        size = data.draw(st.integers(1, self.memory.size))
        index = data.draw(st.integers(0, size - 1))
        leaf = leaf_hash(next(iter(self.memory.records(index, index + 1))).envelope)
        root, whole = (self.both(lambda log, at=at: log.tree.root(at)) for at in (size, None))
        path = self.both(lambda log: log.tree.inclusion(index, size))
        verify_inclusion(leaf, index, size, path, root)
        path = self.both(lambda log: log.tree.consistency(size, log.size))
        verify_consistency(size, self.memory.size, path, root, whole)

    @precondition(lambda self: 0 < self.memory.size < LARGE)
    @rule()
    def the_tree_is_that_of_the_rfc(self):
        leaves = [leaf_hash(record.envelope) for record in self.disk.records()]
        assert self.disk.tree.root() == dumb_root(leaves)

    # ---- always -----------------------------------------------------------------------------

    @invariant()
    def they_are_one(self):
        assert self.disk.size == self.memory.size == self.disk_store.size
        assert self.disk.tree.root() == self.memory.tree.root()

    @invariant()
    def nobody_holds_erased_words(self):
        newest = max(0, self.memory.size - 8)
        tails = [list(log.records(newest)) for log in (self.memory, self.disk)]
        assert tails[0] == tails[1]


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    settings.get_profile("suite"), max_examples=15, stateful_step_count=25
)
