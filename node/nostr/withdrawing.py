"""Gift wraps of erased words, withdrawn from the home: wired to its ledger, relay and outbox.

A running node does it for every redaction, whoever asked for it, and at its start for what one
before could not finish. Without a node the files are opened here; no key is needed for it.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Cause
from ledger.log import Log
from mesh.core.errors import StoreError
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.relay.sqlite import SqliteEventStore
from mesh.sealed.sqlite_carried import SqliteCarried
from mesh.sealed.wraps import Withdraw, Wraps
from node.home import Home
from runtime.journal import Journal

_log = structlog.get_logger("nostr")

_AGAIN_SECONDS: Final = 10.0
"""A file is written anew each time: whoever sends old wraps again does not keep the disk busy."""


class _Keeping(Protocol):
    """A store that keeps wraps."""

    def withdraw(self, event_ids: Collection[str]) -> bool: ...
    def close(self) -> None: ...


def make_wraps(home: Home, journal: Journal, relay: Withdraw | None, pool: Withdraw) -> Wraps:
    """Make them for a running node. A relay that is switched off may have kept some before.

    If it is not known what came, all is opened once more that relays still have.
    """
    if not home.carried.exists():
        for path in home.path.glob("sealed-*.db*"):
            path.unlink()

    def erased(event: Cause) -> bool:
        known = f"redacted/{event.position}" in journal.state.entries
        return known and journal.log.read(event.position).id == event.id

    kept = relay or _in_file(home.relay, SqliteEventStore)
    return Wraps(SqliteCarried(home.carried), (kept, pool), erased=erased)


async def run(wraps: Wraps, journal: Journal) -> None:
    """Withdraw what is erased, as it is erased, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(wraps, journal))
        while True:
            await wraps.owed.wait()
            try:
                await wraps.settle()
            except StoreError as error:
                _log.warning("sealed messages of erased words are left", why=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)


async def _watch(wraps: Wraps, journal: Journal) -> None:
    async for event in journal.log.follow(journal.log.size):
        if event.type == types.REDACTED.name:
            wraps.owed.set()


def withdraw_here(home: Home, log: Log) -> bool:
    """Do it where no node runs; False if a reader is in the way. Raises StoreError."""
    if not home.carried.exists():
        return True

    async def settle() -> bool:
        places = (_in_file(home.relay, SqliteEventStore), _in_file(home.outbox, SqliteOutbox))
        wraps = Wraps(SqliteCarried(home.carried), places, erased=partial(_erased, log))
        try:
            return await wraps.settle()
        finally:
            await wraps.close()

    return asyncio.run(settle())


def _in_file(path: Path, store: Callable[[Path], _Keeping]) -> Withdraw:
    def withdraw(event_ids: Collection[str]) -> bool:
        if not path.exists():
            return True
        opened = store(path)
        try:
            return opened.withdraw(event_ids)
        finally:
            opened.close()

    async def beside(event_ids: Collection[str]) -> bool:
        return await asyncio.to_thread(withdraw, event_ids)

    return beside


def owed(home: Home, log: Log) -> bool:
    """Whether wraps of erased words may still be in this home. Raises StoreError."""
    if not home.carried.exists():
        return False
    carried = SqliteCarried(home.carried)
    try:
        return any(_erased(log, event) for event in carried.events())
    finally:
        carried.close()


def _erased(log: Log, event: Cause) -> bool:
    try:
        found = log.read(event.position)
    except NotFound:  # of a history that this log has left
        return False
    return found.redacted and found.id == event.id
