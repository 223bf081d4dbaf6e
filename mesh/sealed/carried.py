"""Which gift wraps carried the words of which events: a port, its contract, a reference in memory.

So that whoever erases an event's words also finds the wraps that they came or went in: they are
encrypted, and the key to them lies beside them. Ids only; nothing here says what was said.

Losing it costs that: wraps to this agent are opened and known again once what was dealt with is
forgotten too (`mesh.sealed.handled`), those that it sent are not.
"""

from collections.abc import Collection
from typing import Protocol

from ledger.core.event import Cause
from mesh.core import limits


class Carried(Protocol):
    """Events of our log, each with the ids, in hex, of the wraps that carried its words.

    Contract, held by one test suite for every implementation: what was noted outlives the process
    and a power cut; noting it again changes nothing; over `wraps_max` the oldest events go first;
    calls come one at a time, from any thread; StoreError is raised for what the disk does.
    """

    def note(self, event: Cause, wraps: Collection[str]) -> None:
        """Remember wraps of an event."""
        ...

    def events(self) -> list[Cause]:
        """Return the events that have wraps, oldest first."""
        ...

    def wraps(self, events: Collection[Cause]) -> list[str]:
        """Return the wraps of these events."""
        ...

    def forget(self, events: Collection[Cause]) -> None:
        """Forget events and their wraps."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


class MemoryCarried:
    """The contract in its plainest form, as durable as the process; for tests."""

    def __init__(self, *, wraps_max: int = limits.CARRIED_WRAPS_MAX) -> None:
        self._wraps_max = wraps_max
        self._wraps: dict[Cause, dict[str, None]] = {}

    def note(self, event: Cause, wraps: Collection[str]) -> None:
        """Remember wraps of an event."""
        self._wraps.setdefault(event, {}).update(dict.fromkeys(wraps))
        while sum(map(len, self._wraps.values())) > self._wraps_max:
            del self._wraps[self.events()[0]]

    def events(self) -> list[Cause]:
        """Return the events that have wraps."""
        return sorted(self._wraps, key=lambda event: (event.position, event.id))

    def wraps(self, events: Collection[Cause]) -> list[str]:
        """Return the wraps of these events."""
        return [wrap for event in events for wrap in self._wraps.get(event, ())]

    def forget(self, events: Collection[Cause]) -> None:
        """Forget events and their wraps."""
        for event in events:
            self._wraps.pop(event, None)

    def close(self) -> None:
        """Nothing is held."""
