"""The node's state: folded once, attested in the ledger, kept as a snapshot to start from.

A start takes up the newest snapshot that the ledger attests and folds what came after it; without
one it folds everything, the root of the last released head compared on the way, and says on a
terminal how far it is. Every thousand
events the digest goes into the ledger and the entries that changed into the snapshot. `timmy
replay` folds from event 0 and compares all of it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from ledger.core import hashing
from ledger.core.checkpoint import Checkpoint
from ledger.core.codec import encode
from ledger.core.errors import Moved, StoreDamaged, StoreError
from ledger.core.event import Event
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.state import BASIC_OWNERS, BASIC_REDUCERS, Owners, Reducer, State
from ledger.core.types import KNOWN, LINEAGE_STREAM
from ledger.log import Log
from ledger.replay import attestation, proven, reducers_hash, replay_from
from ledger.snapshot import SnapshotFile
from ledger.tail import checked
from ledger.upcasting import understood
from runtime.core import adoptions, agenda, jobs
from runtime.core.reducers import OWNERS as RUNTIME_OWNERS
from runtime.core.reducers import REDUCERS as RUNTIME_REDUCERS
from runtime.journal import Journal

REDUCERS: Final[tuple[Reducer, ...]] = (*BASIC_REDUCERS, *RUNTIME_REDUCERS)
"""What this version folds."""
OWNERS: Final[Owners] = {**BASIC_OWNERS, **RUNTIME_OWNERS}
"""Whose entries are whose."""
INTERPRETED: Final = agenda.INTERPRETED | jobs.INTERPRETED | adoptions.INTERPRETED
"""Types that must be understood before anything is decided."""
ATTEST_EVENTS: Final = 1000
"""Events between two attestations: folding a thousand again takes some hundredths of a second."""
_PROGRESS_EVENTS: Final = 10_000
"""Events between two words about a long fold: a third of a second."""
_TRIES: Final = 20
"""An attestation needs an instant in which nobody else appends; a busy log has one in a few."""

_log = structlog.get_logger(__name__)


def reading_hash() -> bytes:
    """Digest of how this version reads and folds a ledger: types, their schemas, its reducers."""
    table = sorted([known.name, known.schema] for known in KNOWN.values())
    return hashing.digest(hashing.READING, encode([table, reducers_hash(REDUCERS)]))


Progress = Callable[[int, int], None]
"""Told how many events of how many are done; may raise what ends the fold."""


def fold(
    log: Log,
    released: Checkpoint,
    snapshot: State | None,
    *,
    progress: Progress = lambda *_: None,
) -> State:
    """Return the state of `log` now, from a snapshot that the ledger attests if there is one.

    What no head covers yet is checked as it passes (`ledger.tail`). Raises NewerEvent for an event
    that only a later version understands, ReplayDiffers if a state attested by these reducers is
    not what replay gives, StoreDamaged if the events are not those that were signed, or break a
    rule of the log.
    """
    if snapshot is not None:
        state, events = snapshot, log.events(min(snapshot.size, released.size))
    else:
        state, events = State(REDUCERS), proven(log, released)
    known = state.size  # of the snapshot; what is below it and never released is only checked
    passed = checked(log, released.size, _told(log, events, progress))
    new = (event for event in passed if event.position >= known)
    done = replay_from(state, understood(new, INTERPRETED), owners=OWNERS)
    for one in done.differences:
        _log.warning("this version folds another state than the one before", what=str(one.error()))
    return done.state


def _told(log: Log, events: Iterable[Event], progress: Progress) -> Iterator[Event]:
    for event in events:
        if not event.position % _PROGRESS_EVENTS:
            progress(event.position, log.size)
        if event.type in LINEAGE_TYPES and event.stream != LINEAGE_STREAM:
            raise StoreDamaged(
                f"event {event.position} begins an epoch outside the stream of epoch records",
                position=event.position,
                hint="run: timmy doctor",
            )
        yield event


@dataclass(slots=True, kw_only=True)
class Attester:
    """Attests the journal's state in the ledger, and keeps the snapshot that goes with it."""

    log: Log
    journal: Journal
    snapshots: SnapshotFile

    async def run(self) -> None:
        """Attest whenever a thousand events came; until cancelled."""
        size = self.log.size
        while True:
            await self.log.grown(size + ATTEST_EVENTS)
            size = await self.attest()

    async def attest(self) -> int:
        """Attest the state and save it; return the size looked at last. A busy log may win."""
        mine = reducers_hash(REDUCERS)
        for _ in range(_TRIES):
            state = self.journal.state
            size, draft = state.size, attestation(state, mine)
            changed = state.take_unsaved()
            whole = dict(state.entries) if self.snapshots.empty else {}
            try:
                await self.log.append(draft, expected=size)
            except Moved:
                state.put_back(changed)
                continue
            except BaseException:
                state.put_back(changed)
                raise
            try:
                await asyncio.to_thread(self.snapshots.save, size, mine, whole or changed)
            except StoreError as error:  # a slower start is all that is lost
                state.put_back(changed)
                _log.warning("the snapshot could not be saved", error=str(error))
            return size
        return self.log.size
