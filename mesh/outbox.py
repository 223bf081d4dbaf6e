"""What we have still to tell other relays: a port, its contract, and a reference in memory."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

from mesh.core import limits
from mesh.core.nip01 import VerifiedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event that waits for one relay, and how often that relay put it off."""

    event_id: str
    event_json: str
    attempts: int = 0


class Outbox(Protocol):
    """Events that wait for relays, each relay a queue of its own.

    Contract, held by one test suite for every implementation:

    - `put` is durable when it returns; an event that waits already is not queued twice.
    - A queue holds at most `events_max` events: the oldest make room, and are counted in what
      `put` returns. (They can be minted again; the newest matter most.)
    - `due` returns entries by attempts, then age: one that is put off does not hold up the others.
    - `settle` and `postpone` of something that is not queued do nothing; `postpone` returns the
      attempts so far, 0 if it is not queued.
    - Relays are named by URL. Calls come one at a time, from any thread. StoreError is raised for
      what the disk does.
    """

    def put(self, relays: Collection[str], event: VerifiedEvent) -> int:
        """Queue the event for each relay; return how many older entries were dropped."""
        ...

    def due(self, relay: str, *, limit: int) -> list[Entry]:
        """Return up to `limit` entries to send next."""
        ...

    def settle(self, relay: str, event_id: str) -> None:
        """Remove an entry: acknowledged, or refused for good."""
        ...

    def postpone(self, relay: str, event_id: str) -> int:
        """Move an entry behind those that were tried less often."""
        ...

    def count(self, relay: str) -> int:
        """Return how many entries wait for a relay."""
        ...

    def retain(self, relays: Collection[str]) -> int:
        """Drop the queues of all other relays; return how many entries that were."""
        ...

    def close(self) -> None:
        """Release files; the outbox is not used afterwards."""
        ...


class MemoryOutbox:
    """The contract in its plainest form, durable only as long as the process; for tests."""

    def __init__(self, *, events_max: int = limits.OUTBOX_EVENTS_MAX) -> None:
        self._events_max = events_max
        self._queues: dict[str, dict[str, Entry]] = {}

    def put(self, relays: Collection[str], event: VerifiedEvent) -> int:
        """Queue the event for each relay; return how many older entries were dropped."""
        entry = Entry(event_id=event.id, event_json=event.to_json())
        dropped = 0
        for relay in relays:
            queue = self._queues.setdefault(relay, {})
            queue.setdefault(event.id, entry)
            while len(queue) > self._events_max:
                del queue[next(iter(queue))]
                dropped += 1
        return dropped

    def due(self, relay: str, *, limit: int) -> list[Entry]:
        """Return up to `limit` entries to send next."""
        waiting = self._queues.get(relay, {}).values()
        return sorted(waiting, key=lambda entry: entry.attempts)[:limit]

    def settle(self, relay: str, event_id: str) -> None:
        """Remove an entry: acknowledged, or refused for good."""
        self._queues.get(relay, {}).pop(event_id, None)

    def postpone(self, relay: str, event_id: str) -> int:
        """Move an entry behind those that were tried less often."""
        queue = self._queues.get(relay, {})
        if event_id not in queue:
            return 0
        queue[event_id] = replace(queue[event_id], attempts=queue[event_id].attempts + 1)
        return queue[event_id].attempts

    def count(self, relay: str) -> int:
        """Return how many entries wait for a relay."""
        return len(self._queues.get(relay, {}))

    def retain(self, relays: Collection[str]) -> int:
        """Drop the queues of all other relays; return how many entries that were."""
        gone = [relay for relay in self._queues if relay not in relays]
        return sum(len(self._queues.pop(relay)) for relay in gone)

    def close(self) -> None:
        """Nothing is held."""
