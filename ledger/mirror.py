"""A copy of another ledger in a file of its own: read like any log, grown by whoever checked it.

The events come sealed, from elsewhere. That they are this log's, in order, under a head that its
key signed, and that nothing is stored which the log redacts, is for the caller to know
(`mesh.core.mirrors.replica`); nobody appends drafts here. Erasing is that of every ledger.
"""

from collections.abc import Sequence

from ledger.core.errors import Refused
from ledger.core.event import Envelope, Event, Record
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.merkle import leaf_hash
from ledger.core.types import LINEAGE_STREAM
from ledger.log import Log
from ledger.scratch import Request, Result, Scratch
from ledger.store import Batch, Store


class MirrorLog(Log):
    """The copy, as its one writer. Owns the store. Empty until the first `take`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, clock=lambda: 0, entropy=bytes)

    def take(self, events: Sequence[tuple[Record, Envelope]], erase: Sequence[int]) -> None:
        """Store the next events and erase the content at `erase`, in one durable commit.

        Raises StoreFull or StoreError, and nothing was stored then.
        """
        with self._commit_lock:
            tree = self.tree.fork()
            tree.extend([leaf_hash(record.envelope) for record, _ in events])
            batch = Batch(events=list(events), tiles=tree.take_tiles(), erase=list(erase))
            self._scrub_owed |= bool(erase)
            try:
                self._store.append(batch)
            finally:
                if erase:
                    self._opened.forget()  # or what was erased could be read on from memory
            self._restored, self._size = tree, tree.size
            if events:
                self._last_ms = events[-1][1].ts_ms
            if self._scrub_owed:
                self._scrub()
        self._wake()

    def id_at(self, position: int) -> bytes:
        """The id of a stored event."""
        return self.read(position).id

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """The leaf hashes of stored events [start, stop)."""
        return [leaf_hash(record.envelope) for record in self.records(start, stop)]

    def root(self, size: int) -> bytes:
        """The root over the first `size` events."""
        return self.tree.root(size)

    def stream_length(self, stream: bytes) -> int:
        """How many events of a stream are stored."""
        return self._store.stream_length(stream)

    def has_key(self, idempotency_key: bytes) -> bool:
        """Whether a stored event carries this key."""
        return self._store.position_of(idempotency_key) is not None

    def newest_ms(self) -> int:
        """The time of the newest event; 0 without one."""
        return self._last_ms

    def lineage(self) -> Lineage | None:
        """Which keys were in charge when, as far as events are stored; None without any."""
        if not self.size:
            return None
        lineage = Lineage.of(self.read(0))
        for event in self.lineage_records():
            lineage = lineage.add(event)
        return lineage

    def lineage_records(self) -> list[Event]:
        """The handoffs and recoveries that are stored, in order."""
        own = self.stream(LINEAGE_STREAM, last=self.size)
        return [event for event in own if event.type in LINEAGE_TYPES]

    def _gather(self, scratch: Scratch, request: Request) -> Result:
        """Refuse every draft: a mirror says nothing of its own."""
        del scratch, request
        return Refused(
            "this is a copy of another node's ledger: nothing is appended to it",
            hint="make a home of it first: timmy export, timmy import",
        )
