"""Which sealed messages were dealt with already: a port, its contract, and a reference in memory.

A cache. Relays keep wraps for years and must not be asked "since" (mesh.core.nip17), so without it
every start would fetch and open all of them again. Losing it costs that and nothing else: what was
said is known again by its own id, in the ledger.
"""

from typing import Protocol

from mesh.core import limits


class Handled(Protocol):
    """Ids of Nostr events, bounded: the oldest by arrival make room.

    Contract, held by one test suite for every implementation: `add` outlives the process; an event
    that is added again is one; calls come one at a time, from any thread; StoreError is raised for
    what the disk does.
    """

    def add(self, created_at: int, event_id: str) -> None:
        """Remember an event: its date in Unix seconds, and its id in hex."""
        ...

    def known(self) -> list[tuple[int, str]]:
        """Return what is remembered, as (created_at, id), in the order of arrival."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


class MemoryHandled:
    """The contract in its plainest form, as durable as the process; for tests."""

    def __init__(self, *, events_max: int = limits.HANDLED_WRAPS_MAX) -> None:
        self._events_max = events_max
        self._events: dict[str, int] = {}

    def add(self, created_at: int, event_id: str) -> None:
        """Remember an event."""
        self._events.setdefault(event_id, created_at)
        while len(self._events) > self._events_max:
            del self._events[next(iter(self._events))]

    def known(self) -> list[tuple[int, str]]:
        """Return what is remembered."""
        return [(created_at, event_id) for event_id, created_at in self._events.items()]

    def close(self) -> None:
        """Nothing is held."""
