"""The relay's store: a port, its contract, and the reference implementation in memory.

What is in it is a cache: everything of ours can be minted again from the ledger, everything of
others can be fetched again. So a lost file costs traffic, never truth.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

from mesh.core import kinds, limits
from mesh.core.filter import Filter
from mesh.core.nip01 import VerifiedEvent


class Outcome(Enum):
    """What became of an event that was offered to a store."""

    STORED = "stored"
    EPHEMERAL = "ephemeral"
    """Not stored, by its kind (NIP-01); still to be handed to subscribers."""
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    """The store has a newer event at the same address."""
    EXPIRED = "expired"
    FULL = "full"


Row: TypeAlias = tuple[str, str]
"""An event's id and its JSON, as it goes over the wire."""


class EventStore(Protocol):
    """Nostr events by filter.

    Contract, held by one test suite for every implementation:

    - `add` commits all or none, in the given order, before it returns one outcome per event;
      a repeated id is a DUPLICATE also within one call.
    - Of the events at one address (NIP-01: replaceable, addressable) one is kept: the newest, at
      the same second the one with the lowest id, in whatever order they came.
    - Ephemeral events are never stored; events whose NIP-40 time has come are neither stored nor
      served, `purge` frees their space.
    - `query` returns the union of the filters' events, each filter cut to its own `rows_max`,
      without repeats, newest first, at the same second the lowest id first; cut to `bytes_max` of
      JSON by leaving out the oldest.
    - It holds at most `events_max` events; more are FULL, replacing ones are still taken.
    - Times are Unix seconds. Calls come one at a time, from any thread. StoreError is raised for
      what the disk does.
    """

    def add(self, events: Sequence[VerifiedEvent], *, now: int) -> list[Outcome]:
        """Store events and say what became of each."""
        ...

    def query(
        self, filters: Sequence[Filter], *, now: int, bytes_max: int = limits.REPLY_BYTES_MAX
    ) -> list[Row]:
        """Return the stored events that the filters ask for."""
        ...

    def purge(self, *, now: int) -> int:
        """Remove expired events and return how many there were."""
        ...

    def count(self) -> int:
        """Return the number of stored events, expired ones included."""
        ...

    def close(self) -> None:
        """Release files; the store is not used afterwards."""
        ...


def cut_to_bytes(rows: Iterable[Row], bytes_max: int) -> list[Row]:
    """Keep rows from the front while their JSON fits into `bytes_max`."""
    kept: list[Row] = []
    left = bytes_max
    for row in rows:
        left -= len(row[1].encode())
        if left < 0:
            break
        kept.append(row)
    return kept


class MemoryEventStore:
    """The contract in its plainest form; for tests and for nodes that keep nothing."""

    def __init__(self, *, events_max: int = limits.STORE_EVENTS_MAX) -> None:
        self._events_max = events_max
        self._events: dict[str, VerifiedEvent] = {}
        self._addresses: dict[kinds.Address, str] = {}

    def add(self, events: Sequence[VerifiedEvent], *, now: int) -> list[Outcome]:
        """Store events and say what became of each."""
        return [self._add(event, now) for event in events]

    def _add(self, event: VerifiedEvent, now: int) -> Outcome:
        if kinds.is_expired(event, now):
            return Outcome.EXPIRED
        if kinds.kind_class(event.kind) is kinds.KindClass.EPHEMERAL:
            return Outcome.EPHEMERAL
        if event.id in self._events:
            return Outcome.DUPLICATE
        address = kinds.address(event)
        old = self._events.get(self._addresses.get(address, "")) if address else None
        if old and not kinds.supersedes((event.created_at, event.id), (old.created_at, old.id)):
            return Outcome.SUPERSEDED
        if old is None and len(self._events) >= self._events_max:
            return Outcome.FULL
        if old:
            del self._events[old.id]
        if address:
            self._addresses[address] = event.id
        self._events[event.id] = event
        return Outcome.STORED

    def query(
        self, filters: Sequence[Filter], *, now: int, bytes_max: int = limits.REPLY_BYTES_MAX
    ) -> list[Row]:
        """Return the stored events that the filters ask for."""
        served = [one for one in self._events.values() if not kinds.is_expired(one, now)]
        served.sort(key=lambda event: (-event.created_at, event.id))
        wanted: set[str] = set()
        for one in filters:
            wanted.update([event.id for event in served if one.matches(event)][: one.rows_max])
        rows = ((event.id, event.to_json()) for event in served if event.id in wanted)
        return cut_to_bytes(rows, bytes_max)

    def purge(self, *, now: int) -> int:
        """Remove expired events and return how many there were."""
        gone = [event for event in self._events.values() if kinds.is_expired(event, now)]
        for event in gone:
            del self._events[event.id]
            address = kinds.address(event)
            if address:
                del self._addresses[address]
        return len(gone)

    def count(self) -> int:
        """Return the number of stored events, expired ones included."""
        return len(self._events)

    def close(self) -> None:
        """Nothing is held."""
