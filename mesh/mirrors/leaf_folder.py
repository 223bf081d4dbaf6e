"""Where a mirror of leaf hashes lies (`mesh.mirrors.folder` has the files)."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from pathlib import Path

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidData, NotFound, StoreDamaged
from ledger.core.event import Event, Record
from ledger.core.lineage import Lineage
from ledger.files import write_atomically
from ledger.leaves import LeafLog
from mesh.core import limits
from mesh.core.mirrors.copying import Store, StoreLeaves
from mesh.core.mirrors.leaves import LeafReplica
from mesh.mirrors.folder import Folder, Machine
from mesh.mirrors.offer import LeafOffer


class LeafFolder(Folder[LeafLog]):
    """That of a copy of leaf hashes alone."""

    depth = "leaves"
    given_up = ("leaves", "leaves.size", "shown", "pursued")
    discards = True

    @property
    def leaves(self) -> Path:
        """The hashes."""
        return self.path / "leaves"

    @property
    def _shown(self) -> Path:
        return self.path / "shown"

    def open(self) -> LeafLog:
        """Open the copy, all of it hashed. Raises StoreError, OSError."""
        self._make()
        log = LeafLog(self.leaves)
        try:
            log.shown = self._read_shown()
            for event in log.shown:
                if event.position < log.size:
                    log.read(event.position)
        except NotFound as error:
            log.close()
            raise StoreDamaged(f"{self._shown} holds no leaf of {self.leaves}: {error}") from error
        except BaseException:
            log.close()
            raise
        return log

    def machine(
        self, log: LeafLog, sources: Iterable[str], jitter: Iterator[float], near: int
    ) -> Machine:
        """See Folder."""
        held = self.complete
        return LeafReplica(
            self.ledger_id, log, sources, lineage=log.lineage(), pursued=self.pursued or held,
            held=held, jitter=jitter, near=near,
        )  # fmt: skip

    def store(self, log: LeafLog, action: Store | StoreLeaves) -> None:
        """Append hashes."""
        assert isinstance(action, StoreLeaves)
        log.take(action.leaves)

    def offer(self, log: LeafLog, head: Callable[[], SignedCheckpoint]) -> LeafOffer:
        """See Folder."""
        return LeafOffer(log=log, head=head)

    def discard(self) -> None:
        """Hashes are fetched again under the heads that are kept; who signs those is shown anew."""
        LeafLog.discard(self.leaves)
        self._shown.unlink(missing_ok=True)

    def keep_shown(self, log: LeafLog, shown: tuple[Event, ...]) -> None:
        """Keep event 0 and the records of lineage, durably."""
        records = [event.record for event in shown]
        rows = [[one.position, one.envelope, one.salt, one.payload] for one in records]
        write_atomically(self._shown, encode(rows))
        log.shown = shown

    def _read_shown(self) -> tuple[Event, ...]:
        if not self._shown.exists():
            return ()
        try:
            rows = decode(self._shown.read_bytes(), bytes_max=limits.INTRODUCTION_BYTES_MAX)
            events = tuple(
                Event.open(Record(at, envelope, salt, payload, None, None))
                for at, envelope, salt, payload in rows
            )
            if not events or Lineage.of(events[0]).ledger_id != self.ledger_id:
                raise StoreDamaged(f"{self._shown} is of another ledger")
            reduce(Lineage.add, events[1:], Lineage.of(events[0]))
        except (InvalidData, TypeError, ValueError) as error:
            raise StoreDamaged(f"{self._shown} cannot be read: {error}") from error
        return events
