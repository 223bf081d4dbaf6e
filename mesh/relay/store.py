"""The relay's store: a port, its contract, and the reference implementation in memory.

What is in it is a cache: everything of ours can be minted again from the ledger, everything of
others can be fetched again. So a lost file costs traffic, never truth.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

from mesh.core import limits
from mesh.core.negentropy import Item
from mesh.core.nip01 import Event, VerifiedEvent
from mesh.core.relay import kinds
from mesh.core.relay.deletion import NONE_KEPT, reaches
from mesh.core.relay.filter import Filter, matches_any
from mesh.core.relay.privacy import may_read


class Outcome(Enum):
    """What became of an event that was offered to a store."""

    STORED = "stored"
    EPHEMERAL = "ephemeral"
    """Not stored, by its kind (NIP-01); still to be handed to subscribers."""
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    """The store has a newer event at the same address."""
    DELETED = "deleted"
    """A request to delete it or to vanish came before it (NIP-09, NIP-62)."""
    EXPIRED = "expired"
    FULL = "full"


NOBODY: Final[frozenset[str]] = frozenset()
"""The keys of a client that has not authenticated."""

Row: TypeAlias = tuple[str, str]
"""An event's id and its JSON, as it goes over the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Events in the order of NIP-01. `more`: whether others match; None: not known."""

    rows: list[Row]
    more: bool | None


class EventStore(Protocol):
    """Nostr events by filter.

    Contract, held by one test suite for every implementation:

    - `add` commits all or none, in the given order, before it returns one outcome per event;
      a repeated id is a DUPLICATE also within one call.
    - Of the events at one address (NIP-01: replaceable, addressable) one is kept: the newest, at
      the same second the one with the lowest id, in whatever order they came.
    - Requests to delete and to vanish (mesh/core/deletion) are carried out when they are stored;
      what they reach is DELETED from then on. Every request to vanish is taken to be for this
      relay. They are kept like other events, until they expire or are asked away themselves.
      Events of `kept_kinds` are not reached by deletions.
    - What `withdraw` names is DELETED from then on, whoever offers it, and of what was stored no
      byte is left on the disk once it has returned True.
    - Ephemeral events are never stored; events whose NIP-40 time has come are neither stored nor
      served, `purge` frees their space.
    - `query` returns the union of the filters' events, each filter cut to its own `rows_max`,
      without repeats, newest first, at the same second the lowest id first; cut to `bytes_max` of
      JSON by leaving out the oldest. What it says of `more` is true (NIP-67).
    - `count_matching` is the size of that union uncut; `items` are time and id of what a single
      filter matches, newest first, cut to its own `limit` only. Both stop at a bound.
    - A query that would look through too much raises TooMuchToRead.
    - Private events (mesh/core/privacy) are served only to those who hold one of `keys`.
    - It holds at most `events_max` events; more are FULL, replacing ones are still taken, and so
      are requests that make room.
    - Times are Unix seconds. Calls come one at a time, from any thread. StoreError is raised for
      what the disk does.
    """

    def add(self, events: Sequence[VerifiedEvent], *, now: int) -> list[Outcome]:
        """Store events and say what became of each."""
        ...

    def query(
        self,
        filters: Sequence[Filter],
        *,
        now: int,
        keys: frozenset[str] = NOBODY,
        bytes_max: int = limits.REPLY_BYTES_MAX,
    ) -> Found:
        """Return the stored events that the filters ask for."""
        ...

    def count_matching(
        self,
        filters: Sequence[Filter],
        *,
        now: int,
        keys: frozenset[str] = NOBODY,
        count_max: int = limits.COUNT_MAX,
    ) -> int:
        """Return how many events match, `count_max` for that many or more."""
        ...

    def items(
        self, one: Filter, *, now: int, keys: frozenset[str] = NOBODY, items_max: int
    ) -> list[Item]:
        """Return what a filter matches, for reconciliation (NIP-77): at most `items_max`."""
        ...

    def purge(self, *, now: int) -> int:
        """Remove expired events and return how many there were."""
        ...

    def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events by id for good; False if a reader of the file is in the way: ask again."""
        ...

    def count(self) -> int:
        """Return the number of stored events, expired ones included."""
        ...

    def close(self) -> None:
        """Release files; the store is not used afterwards."""
        ...


def cut_to_bytes(rows: Iterable[Row], bytes_max: int) -> tuple[list[Row], bool]:
    """Keep rows from the front while their JSON fits; tell whether some did not."""
    kept: list[Row] = []
    left = bytes_max
    for row in rows:
        left -= len(row[1].encode())
        if left < 0:
            return kept, True
        kept.append(row)
    return kept, False


class MemoryEventStore:
    """The contract in its plainest form; for tests and for nodes that keep nothing."""

    def __init__(
        self,
        *,
        events_max: int = limits.STORE_EVENTS_MAX,
        kept_kinds: frozenset[int] = NONE_KEPT,
    ) -> None:
        self._events_max = events_max
        self._kept_kinds = kept_kinds
        self._events: dict[str, VerifiedEvent] = {}
        self._addresses: dict[kinds.Address, str] = {}
        self._withdrawn: set[str] = set()

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
        if event.id in self._withdrawn:
            return Outcome.DELETED
        if any(self._reaches(request, event) for request in self._events.values()):
            return Outcome.DELETED
        gone = [old] if old else [e for e in self._events.values() if self._reaches(event, e)]
        if not gone and len(self._events) >= self._events_max:
            return Outcome.FULL
        self._forget(gone)
        if address:
            self._addresses[address] = event.id
        self._events[event.id] = event
        return Outcome.STORED

    def _reaches(self, request: Event, event: Event) -> bool:
        return reaches(request, event, kept_kinds=self._kept_kinds)

    def query(
        self,
        filters: Sequence[Filter],
        *,
        now: int,
        keys: frozenset[str] = NOBODY,
        bytes_max: int = limits.REPLY_BYTES_MAX,
    ) -> Found:
        """Return the stored events that the filters ask for."""
        served = self._served(now, keys)
        wanted: set[str] = set()
        matching: set[str] = set()
        for one in filters:
            found = [event.id for event in served if one.matches(event)]
            matching.update(found)
            wanted.update(found[: one.rows_max])
        rows = ((event.id, event.to_json()) for event in served if event.id in wanted)
        kept, _ = cut_to_bytes(rows, bytes_max)
        return Found(rows=kept, more=len(kept) < len(matching))

    def _served(self, now: int, keys: frozenset[str]) -> list[VerifiedEvent]:
        served = (
            one
            for one in self._events.values()
            if not kinds.is_expired(one, now) and may_read(one, keys)
        )
        return sorted(served, key=lambda event: (-event.created_at, event.id))

    def count_matching(
        self,
        filters: Sequence[Filter],
        *,
        now: int,
        keys: frozenset[str] = NOBODY,
        count_max: int = limits.COUNT_MAX,
    ) -> int:
        """Return how many events match, `count_max` for that many or more."""
        matching = sum(matches_any(filters, event) for event in self._served(now, keys))
        return min(matching, count_max)

    def items(
        self, one: Filter, *, now: int, keys: frozenset[str] = NOBODY, items_max: int
    ) -> list[Item]:
        """Return what a filter matches, for reconciliation (NIP-77): at most `items_max`."""
        matching = [event for event in self._served(now, keys) if one.matches(event)]
        kept = matching[: one.limit][:items_max]
        return [(event.created_at, bytes.fromhex(event.id)) for event in kept]

    def purge(self, *, now: int) -> int:
        """Remove expired events and return how many there were."""
        gone = [event for event in self._events.values() if kinds.is_expired(event, now)]
        self._forget(gone)
        return len(gone)

    def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events for good."""
        self._withdrawn.update(event_ids)
        self._forget([self._events[one] for one in event_ids if one in self._events])
        return True

    def _forget(self, gone: Iterable[VerifiedEvent]) -> None:
        for event in gone:
            del self._events[event.id]
            address = kinds.address(event)
            if address:
                del self._addresses[address]

    def count(self) -> int:
        """Return the number of stored events, expired ones included."""
        return len(self._events)

    def close(self) -> None:
        """Nothing is held."""
