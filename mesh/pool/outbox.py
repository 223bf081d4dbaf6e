"""What we have still to tell other relays: a port, its contract, and a reference in memory."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

from mesh.core import limits
from mesh.core.nip01 import VerifiedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One Nostr event for one relay.

    `item` is what it carries, `attempts` how often the relay put it off, `minted` how often it was
    minted again for this relay, `lost` how often the relay took it and did not have it afterwards.
    """

    event_id: str
    event_json: str
    item: str
    attempts: int = 0
    minted: int = 0
    lost: int = 0
    droppable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """What `put` did: relays whose queue was full, and how many older entries made room."""

    full: tuple[str, ...] = ()
    dropped: int = 0


class Outbox(Protocol):
    """Nostr events that wait for relays, or wait to be found there; each relay a queue of its own.

    Contract, held by one test suite for every implementation:

    - `put` is durable when it returns. Of one item a relay's queue holds one Nostr event; another
      takes its place (and turn); an event that is there already changes nothing.
    - At most `events_max` wait for a relay. Then the oldest droppable entry makes room, the new one
      included if it is droppable; without any, the relay is named in `Put.full`.
    - `due` returns waiting entries by attempts, then age: one put off does not hold up the others.
    - `took` moves an entry to those that are to be found at the relay, at most `kept_max` of them
      (the oldest are believed to be there), or removes it. `lost` moves it back to the waiting.
    - `give_up` removes an entry, and keeps in its place for whom it was and why: of each relay and
      receiver the last, `undelivered_max` of them at the most, the newest.
    - `withdraw` removes events from every queue, waiting or taken, whatever form they were minted
      in; no byte of them is left on the disk once it has returned True.
    - Something that is not queued is no error; `postpone` then returns 0.
    - Relays are named by URL, times are Unix seconds. Calls come one at a time, from any thread.
      StoreError is raised for what the disk does.
    """

    def put(
        self,
        relays: Collection[str],
        event: VerifiedEvent,
        *,
        now: int,
        item: str = "",
        droppable: bool = False,
    ) -> Put:
        """Queue the event for each relay; `item` is its id unless said otherwise."""
        ...

    def due(self, relay: str, *, limit: int) -> list[Entry]:
        """Return up to `limit` entries to send next."""
        ...

    def took(self, relay: str, event_id: str, *, keep: bool) -> None:
        """Note that the relay has an event, or never will (`keep` false)."""
        ...

    def kept(self, relay: str) -> list[Entry]:
        """Return what the relay took and was not asked about yet, the oldest first."""
        ...

    def lost(self, relay: str, event_id: str) -> None:
        """Queue again what the relay took and does not have."""
        ...

    def postpone(self, relay: str, event_id: str) -> int:
        """Move an entry behind those that were tried less often; return its attempts."""
        ...

    def remint(self, relay: str, event_id: str, event: VerifiedEvent) -> None:
        """Put another Nostr event of the same item in an entry's place."""
        ...

    def give_up(self, relay: str, event_id: str, *, receiver: str, why: str, now: int) -> None:
        """Note that the relay never will have what somebody waits for."""
        ...

    def undelivered(self) -> dict[str, dict[str, str]]:
        """Return by relay for whom something was given up, the last one last, and why."""
        ...

    def count(self, relay: str) -> int:
        """Return how many entries wait for a relay."""
        ...

    def relays(self) -> list[str]:
        """Return the relays that something waits for."""
        ...

    def retain(self, relays: Collection[str]) -> int:
        """Drop what is droppable for all other relays; return how many entries that were."""
        ...

    def expire(self, *, before: int) -> int:
        """Drop what was queued, or given up, before that time; return how many still waited."""
        ...

    def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events by id; False if a reader of the file is in the way: ask again."""
        ...

    def close(self) -> None:
        """Release files; the outbox is not used afterwards."""
        ...


@dataclass(slots=True, kw_only=True)
class _Row:
    """An entry, when it was queued, and whether the relay has it, as it says."""

    entry: Entry
    at: int
    taken: bool = False


class MemoryOutbox:
    """The contract in its plainest form, durable only as long as the process; for tests."""

    def __init__(
        self,
        *,
        events_max: int = limits.OUTBOX_EVENTS_MAX,
        kept_max: int = limits.UNCONFIRMED_EVENTS_MAX,
        undelivered_max: int = limits.UNDELIVERED_MAX,
    ) -> None:
        self._events_max = events_max
        self._kept_max = kept_max
        self._undelivered_max = undelivered_max
        self._given_up: dict[tuple[str, str], tuple[int, str]] = {}  # in order of arrival
        self._queues: dict[str, dict[str, _Row]] = {}  # by relay, then item, in order of arrival

    def put(
        self,
        relays: Collection[str],
        event: VerifiedEvent,
        *,
        now: int,
        item: str = "",
        droppable: bool = False,
    ) -> Put:
        """Queue the event for each relay."""
        entry = Entry(
            event_id=event.id,
            event_json=event.to_json(),
            item=item or event.id,
            droppable=droppable,
        )
        done = [self._put(relay, entry, now) for relay in relays]
        full = tuple(relay for relay, room in zip(relays, done, strict=True) if room is None)
        return Put(full=full, dropped=sum(filter(None, done)))

    def _put(self, relay: str, entry: Entry, now: int) -> int | None:
        queue = self._queues.setdefault(relay, {})
        if self._find(relay, entry.event_id) is not None:
            return 0
        queue[entry.item] = _Row(entry=entry, at=now)
        if self.count(relay) <= self._events_max:
            return 0
        droppable = (k for k, row in queue.items() if row.entry.droppable and not row.taken)
        victim = next(droppable, None)
        del queue[victim or entry.item]
        return 1 if victim else None

    def _find(self, relay: str, event_id: str) -> _Row | None:
        rows = self._queues.get(relay, {}).values()
        return next((row for row in rows if row.entry.event_id == event_id), None)

    def _rows(self, relay: str, *, taken: bool) -> list[Entry]:
        rows = self._queues.get(relay, {}).values()
        return [row.entry for row in rows if row.taken is taken]

    def due(self, relay: str, *, limit: int) -> list[Entry]:
        """Return up to `limit` entries to send next."""
        waiting = self._rows(relay, taken=False)
        return sorted(waiting, key=lambda entry: entry.attempts)[:limit]

    def kept(self, relay: str) -> list[Entry]:
        """Return what the relay took and was not asked about yet."""
        return self._rows(relay, taken=True)

    def took(self, relay: str, event_id: str, *, keep: bool) -> None:
        """Note that the relay has an event, or never will."""
        row = self._find(relay, event_id)
        if row is None:
            return
        row.taken = True
        kept = self.kept(relay)
        gone = kept[: max(0, len(kept) - self._kept_max)] if keep else [row.entry]
        for entry in gone:
            del self._queues[relay][entry.item]

    def lost(self, relay: str, event_id: str) -> None:
        """Queue again what the relay took and does not have."""
        row = self._find(relay, event_id)
        if row is not None and row.taken:
            row.taken = False
            row.entry = replace(row.entry, lost=row.entry.lost + 1)

    def postpone(self, relay: str, event_id: str) -> int:
        """Move an entry behind those that were tried less often."""
        row = self._find(relay, event_id)
        if row is None or row.taken:
            return 0
        row.entry = replace(row.entry, attempts=row.entry.attempts + 1)
        return row.entry.attempts

    def remint(self, relay: str, event_id: str, event: VerifiedEvent) -> None:
        """Put another Nostr event of the same item in an entry's place."""
        row = self._find(relay, event_id)
        if row is None or row.taken:
            return
        if self._find(relay, event.id) is not None:
            del self._queues[relay][row.entry.item]
            return
        row.entry = replace(
            row.entry,
            event_id=event.id,
            event_json=event.to_json(),
            minted=row.entry.minted + 1,
        )

    def give_up(self, relay: str, event_id: str, *, receiver: str, why: str, now: int) -> None:
        """Note that the relay never will have what somebody waits for."""
        self.took(relay, event_id, keep=False)
        self._given_up.pop((relay, receiver), None)
        self._given_up[relay, receiver] = now, why
        while len(self._given_up) > self._undelivered_max:
            del self._given_up[next(iter(self._given_up))]

    def undelivered(self) -> dict[str, dict[str, str]]:
        """Return by relay for whom something was given up, and why."""
        found: dict[str, dict[str, str]] = {}
        for (relay, receiver), (_, why) in self._given_up.items():
            found.setdefault(relay, {})[receiver] = why
        return found

    def count(self, relay: str) -> int:
        """Return how many entries wait for a relay."""
        return len(self._rows(relay, taken=False))

    def relays(self) -> list[str]:
        """Return the relays that something waits for."""
        return sorted(relay for relay in self._queues if self.count(relay))

    def retain(self, relays: Collection[str]) -> int:
        """Drop what is droppable for all other relays."""
        gone = 0
        for relay in self._queues.keys() - set(relays):
            queue = self._queues[relay]
            drop = [k for k, row in queue.items() if row.taken or row.entry.droppable]
            gone += sum(not queue.pop(item).taken for item in drop)
        return gone

    def expire(self, *, before: int) -> int:
        """Drop what was queued, or given up, before that time."""
        gone = 0
        self._given_up = {pair: one for pair, one in self._given_up.items() if one[0] >= before}
        for queue in self._queues.values():
            drop = [item for item, row in queue.items() if row.at < before]
            gone += sum(not queue.pop(item).taken for item in drop)
        return gone

    def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events."""
        for queue in self._queues.values():
            for item, row in list(queue.items()):
                if item in event_ids or row.entry.event_id in event_ids:
                    del queue[item]
        return True

    def close(self) -> None:
        """Nothing is held."""
