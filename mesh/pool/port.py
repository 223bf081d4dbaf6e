"""What the rest of the house asks of relays: a port, its contract, and a reference in memory.

A relay is a carrier that nobody has to believe. It may lose, hold back, repeat, reorder, or invent;
what it hands over is verified (`VerifiedEvent`), so it cannot make an author say anything. What
follows from that for everyone who uses this port:

- An event may come more than once, from several relays, in any order, and late by days.
- Two events of different Nostr ids may carry the same thing: a Nostr event is minted again when a
  relay refuses its age or size. Tell things apart by what was *checked inside* the Nostr event (a
  ledger id, a rumor id), never by the Nostr id, and never by what an unchecked tag claims.
- That something was not found shows nothing.

`RelayPool` (mesh/pool/relays.py) is the implementation on real relays; `MemoryPool` is the contract
in its plainest form.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from mesh.core import limits
from mesh.core.errors import Refused
from mesh.core.nip01 import VerifiedEvent
from mesh.core.relay.filter import Filter, matches_any


class QueueFull(Refused):
    """The queues of all relays that an event was for hold as much as they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """What became of `publish`: the relays that will be told, and those whose queue was full."""

    relays: tuple[str, ...]
    full: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What relays had, newest first, each event once.

    `faults` says per relay why its answer may be short: a relay that is not in it answered all that
    was asked, as far as anybody can tell.
    """

    events: tuple[VerifiedEvent, ...]
    faults: tuple[tuple[str, str], ...] = ()


class Pool(Protocol):
    """Any number of relays as one.

    Relays are named by URL (ws:// or wss://); `None` leaves the choice to the pool: its own
    relays, and those at which the people concerned say they read or write (NIP-65).
    """

    async def publish(
        self,
        event: VerifiedEvent,
        *,
        to: Collection[str] | None = None,
        item: str = "",
        droppable: bool = False,
    ) -> Queued:
        """Queue an event for relays; durable when this returns, and sent until each has taken it.

        `item` names what the event carries (a ledger id): of one item a relay's queue holds one
        event, and a later one takes its place; "": the event's own id. `droppable` ones make
        room when a queue is full, the oldest first. Raises QueueFull if no queue had room,
        Refused for a URL that is none, StoreError for what the disk does.
        """
        ...

    async def say(self, event: VerifiedEvent, *, to: Collection[str]) -> None:
        """Give an ephemeral event to relays, once, if they are connected within seconds.

        It touches no disk, and whether it came to anybody shows only in an answer. Raises Refused
        for a URL that is none.
        """
        ...

    def subscribe(
        self,
        filters: Sequence[Filter],
        *,
        at: Collection[str] | None = None,
        known: Iterable[tuple[int, str]] = (),
    ) -> AbstractAsyncContextManager[AsyncIterator[VerifiedEvent]]:
        """Give every event that matches, stored ones and new ones, for as long as the block lasts.

        It goes on over lost connections: after each, everything that matches and was not given yet
        is asked for again, however it is dated. There is no watermark: the outer date of a gift
        wrap is up to two days in the past (NIP-59), so "since the last one" loses half of them. Say
        instead what you have, as (created_at, id), in `known`. `limit` of a filter is not used.

        A reader that is slow loses nothing but ephemeral events: what it did not take is asked for
        again. Which events were given is remembered up to SEEN_EVENTS_MAX; then the oldest may come
        twice.
        """
        ...

    async def fetch(
        self, filters: Sequence[Filter], *, at: Collection[str] | None = None
    ) -> Fetched:
        """Return what the relays have stored, `limit` of a filter being the most that is wanted.

        Never raises for what a relay does: see `Fetched.faults`.
        """
        ...


class MemoryPool:
    """The contract with one relay that is always there, as long as the process; for tests."""

    def __init__(self, *, events_max: int = limits.FETCH_EVENTS_MAX) -> None:
        self._events_max = events_max
        self._events: dict[str, VerifiedEvent] = {}
        self._readers: dict[asyncio.Queue[VerifiedEvent], Callable[[VerifiedEvent], bool]] = {}

    async def publish(
        self,
        event: VerifiedEvent,
        *,
        to: Collection[str] | None = None,
        item: str = "",
        droppable: bool = False,
    ) -> Queued:
        """Keep the event and hand it to subscribers."""
        del item, droppable  # what waits has one event per item; what was sent has been sent
        if len(self._events) >= self._events_max:
            raise QueueFull(f"{len(self._events)} events kept, at most {self._events_max} allowed")
        self._events[event.id] = event
        self._hand_on(event)
        return Queued(relays=tuple(to or ("memory:",)))

    async def say(self, event: VerifiedEvent, *, to: Collection[str]) -> None:
        """Hand the event to subscribers, and keep nothing."""
        del to
        self._hand_on(event)

    def _hand_on(self, event: VerifiedEvent) -> None:
        for queue, wanted in self._readers.items():
            if wanted(event):
                queue.put_nowait(event)

    @asynccontextmanager
    async def subscribe(
        self,
        filters: Sequence[Filter],
        *,
        at: Collection[str] | None = None,
        known: Iterable[tuple[int, str]] = (),
    ) -> AsyncIterator[AsyncIterator[VerifiedEvent]]:
        """Give every event that matches, stored ones first."""
        del at
        queue: asyncio.Queue[VerifiedEvent] = asyncio.Queue()
        given = {event_id for _, event_id in known}
        for event in self._events.values():
            if event.id not in given and matches_any(filters, event):
                queue.put_nowait(event)
        self._readers[queue] = lambda event: matches_any(filters, event)
        try:
            yield _each(queue)
        finally:
            del self._readers[queue]

    async def fetch(
        self, filters: Sequence[Filter], *, at: Collection[str] | None = None
    ) -> Fetched:
        """Return what was published."""
        del at
        events = sorted(self._events.values(), key=lambda event: (-event.created_at, event.id))
        found: dict[str, VerifiedEvent] = {}
        for one in filters:
            matching = [event for event in events if one.matches(event)]
            found.update({event.id: event for event in matching[: one.limit]})
        return Fetched(events=tuple(event for event in events if event.id in found))


async def _each(queue: asyncio.Queue[VerifiedEvent]) -> AsyncIterator[VerifiedEvent]:
    while True:
        yield await queue.get()
