"""A log whose events are read as this version writes them: what interprets events is given this.

Older payloads are brought forward (`ledger.core.upcast`). An event that the reader must understand
and that is of a newer schema is an error at the read that meets it: a hold that a later version
wrote must not be lifted by an earlier one that passes over it. What nobody interprets here (an
unknown type) passes through as it is.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator

from ledger.core.errors import Refused
from ledger.core.event import Draft, Event
from ledger.core.upcast import UPCASTERS, Standing, Upcasters
from ledger.log import Log


class NewerEvent(Refused):
    """The log holds an event that only a later version understands, and it matters here."""


class UpcastLog:
    """What of `ledger.log.Log` an interpreter of events uses; see there for the contracts.

    `needed` names the types that must be understood. Raises NewerEvent for one that is not.
    """

    def __init__(
        self, log: Log, *, needed: Collection[str], upcasters: Upcasters = UPCASTERS
    ) -> None:
        self._log = log
        self._needed = needed
        self._upcasters = upcasters

    @property
    def ledger_id(self) -> bytes:
        """The id of event 0."""
        return self._log.ledger_id

    @property
    def size(self) -> int:
        """Number of durable events."""
        return self._log.size

    async def append(self, *drafts: Draft) -> list[Event]:
        """Append all drafts in one commit."""
        return await self._log.append(*drafts)

    def read(self, position: int) -> Event:
        """Return the event at `position`, brought forward."""
        return self._read(self._log.read(position))

    def events(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """Yield the events of [start, stop) in order, brought forward."""
        return map(self._read, self._log.events(start, stop))

    def as_written(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """Yield the events of [start, stop) for a reducer of the state: see `understood`."""
        return understood(self._log.events(start, stop), self._needed, self._upcasters)

    def find(self, idempotency_key: bytes) -> Event | None:
        """Return the event that was appended with this key, brought forward."""
        event = self._log.find(idempotency_key)
        return None if event is None else self._read(event)

    def stream(self, stream: bytes, *, last: int) -> list[Event]:
        """Return the newest `last` events of a stream, oldest first, brought forward."""
        return [self._read(event) for event in self._log.stream(stream, last=last)]

    async def follow(self, start: int = 0) -> AsyncIterator[Event]:
        """Yield every event from `start` on, brought forward, then each new one."""
        async for event in self._log.follow(start):
            yield self._read(event)

    def _read(self, event: Event) -> Event:
        return _understood(event, self._needed, self._upcasters)


def understood(
    events: Iterable[Event], needed: Collection[str], upcasters: Upcasters = UPCASTERS
) -> Iterator[Event]:
    """Pass events on as they were written. Raises NewerEvent for one that must be understood and
    is not. Reducers of the state know old shapes themselves: no digest may depend on an upcaster.
    """
    for event in events:
        if event.type in needed:
            _understood(event, needed, upcasters)
        yield event


def _understood(event: Event, needed: Collection[str], upcasters: Upcasters) -> Event:
    reading = upcasters.read(event)
    if reading.standing.opaque and event.type in needed:
        verb = "newer than" if reading.standing is Standing.NEWER else "unknown to"
        raise NewerEvent(
            f"event {event.position} ({event.type}) has schema {event.envelope.schema}, "
            f"{verb} this version",
            hint="upgrade timmy: reading, proving and exporting go on with this version",
        )
    return reading.event
