"""The node's state: folded once, attested in the ledger, kept as a snapshot to start from.

A start takes up the newest snapshot that the ledger attests and folds what came after it; without
one it folds everything, the root of the last released head compared on the way. Every thousand
events the digest goes into the ledger and the entries that changed into the snapshot. `timmy
replay` folds from event 0 and compares all of it.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from ledger.core.checkpoint import Checkpoint
from ledger.core.errors import Moved, StoreError
from ledger.core.state import BASIC_REDUCERS, Reducer, State
from ledger.log import Log
from ledger.replay import attestation, proven, reducers_hash, replay_from
from ledger.snapshot import SnapshotFile
from ledger.upcasting import understood
from runtime.core.agenda import INTERPRETED, reduce_agenda
from runtime.journal import Journal

REDUCERS: Final[tuple[Reducer, ...]] = (*BASIC_REDUCERS, reduce_agenda)
"""What this version folds."""
ATTEST_EVENTS: Final = 1000
"""Events between two attestations: folding a thousand again takes some hundredths of a second."""
_TRIES: Final = 20
"""An attestation needs an instant in which nobody else appends; a busy log has one in a few."""

_log = structlog.get_logger(__name__)


def fold(log: Log, released: Checkpoint, snapshots: SnapshotFile) -> State:
    """Return the state of `log` now, from a snapshot if there is one that the ledger attests.

    Raises NewerEvent for an event that only a later version understands, ReplayDiffers if a state
    attested by these reducers is not what replay gives, StoreDamaged if the events are not those
    that were signed.
    """
    state = snapshots.load(log, REDUCERS)
    if state is not None:
        events = log.events(state.size)
    else:
        state, events = State(REDUCERS), proven(log, released)
    return replay_from(state, understood(events, INTERPRETED)).state


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
