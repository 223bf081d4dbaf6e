"""Opening what a home holds: its ledger, genesis and views, for commands and for the node."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import (
    InvalidEvent,
    InvalidNote,
    StoreDamaged,
    StoreError,
    StoreFull,
    TimmyError,
)
from ledger.core.genesis import Genesis
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.note import parse_note
from ledger.core.types import LINEAGE_STREAM
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from ledger.sqlite import SqliteStore
from ledger.views import NEAR, Views
from node import console
from node.client import Client
from node.home import Home


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def open_log(home: Home, *, write: bool = False) -> Log:
    """Open the home's ledger, as its one writer or for reading beside it."""
    if write:
        home.require_own()
    home.require_words()
    store = SqliteStore.open(home.ledger) if write else SqliteStore.open_read_only(home.ledger)
    if store.damage is not None:
        console.say(f"warning: {store.damage}; {store.damage.hint}")
    return Log(store, clock=now_ms, entropy=os.urandom, reading=not write)


def lineage_of(log: Log) -> Lineage:
    """Return who this ledger's agent is and which keys were in charge when, all verified.

    Raises StoreDamaged for a record that keeps another history than this one.
    """
    if not log.size:
        raise StoreError("the ledger is empty", hint="be born first: timmy init")
    lineage = Lineage.of(log.read(0))
    for event in log.stream(LINEAGE_STREAM, last=log.size):
        if event.type not in LINEAGE_TYPES:
            continue
        lineage = lineage.add(event)
        kept = (event.payload["kept_size"], event.payload["kept_root"])
        if kept != (event.position, log.tree.root(event.position)):
            raise StoreDamaged(f"event {event.position} keeps another history than this one")
    return lineage


def released(home: Home, log: Log) -> SignedCheckpoint:
    """Return the last head that was released of this log; needs no key. Raises GuardError."""
    guard = GuardFile(home.state, log.ledger_id)
    note = guard.read()
    log.refresh()  # a running node may have appended, and released, since we opened it
    lineage = lineage_of(log)
    return check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch, note=note)


def cosigned(
    home: Home, log: Log, lineage: Lineage, newest: SignedCheckpoint
) -> list[SignedCheckpoint]:
    """Return the newest head that witnesses cosigned, if there is one of this history."""
    try:
        data = home.witnessed.read_bytes()
        named = Checkpoint.parse(parse_note(data).text)
        head = open_checkpoint(data, lineage.tenure_at(named.epoch, named.size).keys["log"])
    except (OSError, InvalidNote, InvalidEvent):
        return []
    same = named.origin == newest.checkpoint.origin and named.size <= newest.size
    return [head] if same and log.tree.root(named.size) == named.root else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A home opened for reading."""

    home: Home
    log: Log
    lineage: Lineage
    views: Views

    @property
    def genesis(self) -> Genesis:
        """Who the agent was born as."""
        return self.lineage.genesis

    def released(self) -> SignedCheckpoint:
        """Return the last head this node released; needs no key."""
        return released(self.home, self.log)

    def cosigned(self, newest: SignedCheckpoint) -> list[SignedCheckpoint]:
        """Return the newest head that witnesses cosigned, if there is one."""
        return cosigned(self.home, self.log, self.lineage, newest)


@contextmanager
def appending(home: Home) -> Iterator[Log]:
    """Open the ledger of a stopped node as its one writer. Raises GuardError if rolled back."""
    with open_log(home, write=True) as log:
        lineage = lineage_of(log)
        guard = GuardFile(home.state, log.ledger_id)
        check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch)
        yield log


def node_runs(home: Home) -> bool:
    """Whether a node runs this home, as far as its own word goes."""
    try:
        Client.find(home)
    except TimmyError:
        return False
    return True


def _catch_up(views: Views) -> None:
    progress = console.Progress("indexing words")
    try:
        views.catch_up(progress)
    finally:
        progress.end()


@contextmanager
def reading(home: Home) -> Iterator[Reading]:
    """Open a home for reading, views caught up; close everything afterwards."""
    with open_log(home) as log:
        lineage = lineage_of(log)
        waiting = None if not node_runs(home) else NEAR  # the node fills them beside its work
        views = Views(home.views, log, at_most=waiting)
        try:
            try:
                _catch_up(views)
            except StoreFull:
                pass  # search knows what it knew when the disk filled up
            except StoreDamaged as error:
                console.say(f"warning: search ends where the ledger is damaged: {error}")
            yield Reading(home=home, log=log, lineage=lineage, views=views)
        finally:
            views.close()
