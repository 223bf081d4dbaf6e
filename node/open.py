"""Opening what a home holds: its ledger, genesis and views, for commands and for the node."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from genesis.core.birth import Genesis, parse_genesis
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.epoch import open_epoch
from ledger.core.errors import InvalidEvent, StoreDamaged, StoreError, StoreFull
from ledger.core.types import EPOCH, EPOCH_STREAM
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from ledger.sqlite import SqliteStore
from ledger.views import Views
from node import console
from node.home import Home


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def open_log(home: Home, *, write: bool = False) -> Log:
    """Open the home's ledger, as its one writer or for reading beside it."""
    store = SqliteStore.open(home.ledger) if write else SqliteStore.open_read_only(home.ledger)
    if store.damage is not None:
        console.say(f"warning: {store.damage}; {store.damage.hint}")
    return Log(store, clock=now_ms, entropy=os.urandom, reading=not write)


def genesis_of(log: Log) -> Genesis:
    """Return who this ledger's agent is, every signature checked."""
    if not log.size:
        raise StoreError("the ledger is empty", hint="be born first: timmy init")
    return parse_genesis(log.read(0).payload)


def epoch_of(log: Log, genesis: Genesis) -> int:
    """Return the log's epoch: 0, or that of its newest epoch record, each one verified."""
    epoch = 0
    for event in log.stream(EPOCH_STREAM, last=log.size):
        if event.type == EPOCH.name:
            epoch += 1
            record = open_epoch(
                event.payload,
                ledger_id=log.ledger_id,
                recovery_key_digest=genesis.recovery_key_digest,
            )
            if record.epoch != epoch:
                raise InvalidEvent(f"epoch record {record.epoch} where {epoch} belongs")
    return epoch


def released(home: Home, log: Log, genesis: Genesis) -> SignedCheckpoint:
    """Return the last head that was released of this log; needs no key. Raises GuardError."""
    guard = GuardFile(home.state, log.ledger_id)
    note = guard.read()
    log.refresh()  # a running node may have appended, and released, since we opened it
    key, epoch = genesis.keys["log"], epoch_of(log, genesis)
    return check_guard(guard, log.tree, log.ledger_id, key, epoch, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A home opened for reading."""

    home: Home
    log: Log
    genesis: Genesis
    views: Views

    def released(self) -> SignedCheckpoint:
        """Return the last head this node released; needs no key."""
        return released(self.home, self.log, self.genesis)


@contextmanager
def appending(home: Home) -> Iterator[Log]:
    """Open the ledger of a stopped node as its one writer. Raises GuardError if rolled back."""
    with open_log(home, write=True) as log:
        genesis = genesis_of(log)
        guard = GuardFile(home.state, log.ledger_id)
        check_guard(guard, log.tree, log.ledger_id, genesis.keys["log"], epoch_of(log, genesis))
        yield log


@contextmanager
def reading(home: Home) -> Iterator[Reading]:
    """Open a home for reading, views caught up; close everything afterwards."""
    with open_log(home) as log:
        genesis = genesis_of(log)
        views = Views(home.views, log)
        try:
            try:
                views.catch_up()
            except StoreFull:
                pass  # search knows what it knew when the disk filled up
            except StoreDamaged as error:
                console.say(f"warning: search ends where the ledger is damaged: {error}")
            yield Reading(home=home, log=log, genesis=genesis, views=views)
        finally:
            views.close()
