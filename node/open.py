"""Opening what a home holds: its ledger, genesis and views, for commands and for the node."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from genesis.core.birth import Genesis, parse_genesis
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import StoreError
from ledger.core.types import EPOCH
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from ledger.sqlite import SqliteStore
from ledger.views import Views
from node.home import Home


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def open_log(home: Home, *, write: bool = False) -> Log:
    """Open the home's ledger, as its one writer or for reading beside it."""
    store = SqliteStore.open(home.ledger) if write else SqliteStore.open_read_only(home.ledger)
    return Log(store, clock=now_ms, entropy=os.urandom)


def genesis_of(log: Log) -> Genesis:
    """Return who this ledger's agent is, every signature checked."""
    if not log.size:
        raise StoreError("the ledger is empty", hint="be born first: timmy init")
    return parse_genesis(log.read(0).payload)


def epoch_of(log: Log) -> int:
    """Return the log's epoch: 0, or that of its newest epoch record."""
    records = [event for event in log.stream(bytes(16), last=log.size) if event.type == EPOCH.name]
    return int(records[-1].payload["epoch"]) if records else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A home opened for reading."""

    home: Home
    log: Log
    genesis: Genesis
    views: Views

    def released(self) -> SignedCheckpoint:
        """Return the last head this node released; needs no key."""
        guard = GuardFile(self.home.state, self.log.ledger_id)
        key = self.genesis.keys["log"]
        return check_guard(guard, self.log.tree, self.log.ledger_id, key, epoch_of(self.log))


@contextmanager
def reading(home: Home) -> Iterator[Reading]:
    """Open a home for reading, views caught up; close everything afterwards."""
    with open_log(home) as log:
        genesis = genesis_of(log)
        views = Views(home.views, log)
        try:
            views.catch_up()
            yield Reading(home=home, log=log, genesis=genesis, views=views)
        finally:
            views.close()
