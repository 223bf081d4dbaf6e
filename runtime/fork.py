"""A log that goes on elsewhere: the events of another one up to a size, and its own from there.

What is appended here stays in memory and is gone with it. It is sealed like any event, so reducers,
journal and host cannot tell; but no tree covers it, no key signs it and nobody is told.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

from ledger.core.errors import NotFound
from ledger.core.event import Draft, Event, seal
from ledger.core.limits import SALT_BYTES
from runtime.journal import Log


class Fork:
    """See `runtime.journal.Log`. `clock` gives milliseconds since 1970."""

    def __init__(self, base: Log, size: int, clock: Callable[[], int]) -> None:
        self._base = base
        self._start = size
        self._clock = clock
        self._own: list[Event] = []
        self._keys: dict[bytes, Event] = {}
        self._grown = asyncio.Condition()

    @property
    def ledger_id(self) -> bytes:
        """The id of event 0."""
        return self._base.ledger_id

    @property
    def size(self) -> int:
        """Number of events, of both parts."""
        return self._start + len(self._own)

    @property
    def own(self) -> list[Event]:
        """What was appended here, in order."""
        return list(self._own)

    async def append(self, *drafts: Draft) -> list[Event]:
        """Append in memory; a known idempotency key returns its event."""
        events = [self._append(draft) for draft in drafts]
        async with self._grown:
            self._grown.notify_all()
        return events

    def _append(self, draft: Draft) -> Event:
        known = None if draft.idempotency_key is None else self.find(draft.idempotency_key)
        if known is not None:
            return known
        event = seal(
            draft,
            position=self.size,
            stream_sequence=self.size,
            ts_ms=self._clock(),
            salts=os.urandom(2 * SALT_BYTES),
        )
        self._own.append(event)
        if draft.idempotency_key is not None:
            self._keys[draft.idempotency_key] = event
        return event

    def read(self, position: int) -> Event:
        """Return the event at `position`. Raises NotFound."""
        if position < self._start:
            return self._base.read(position)
        if position >= self.size:
            raise NotFound(f"there is no event {position}", hint=f"this log has {self.size} events")
        return self._own[position - self._start]

    def events(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """Yield the events of [start, stop), of both parts."""
        end = self.size if stop is None else min(stop, self.size)
        yield from self._base.events(start, min(end, self._start))
        yield from self._own[max(0, start - self._start) : max(0, end - self._start)]

    def as_written(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """The same, for reducers."""
        end = self.size if stop is None else min(stop, self.size)
        yield from self._base.as_written(start, min(end, self._start))
        yield from self._own[max(0, start - self._start) : max(0, end - self._start)]

    def find(self, idempotency_key: bytes) -> Event | None:
        """Return the event of a key, unless it came to the other log after the fork."""
        if (known := self._keys.get(idempotency_key)) is not None:
            return known
        event = self._base.find(idempotency_key)
        return event if event is not None and event.position < self._start else None

    def stream(self, stream: bytes, *, last: int) -> list[Event]:
        """Return the newest `last` events of a stream, oldest first."""
        later = self._base.size - self._start  # so many at most came to it after the fork
        before = self._base.stream(stream, last=last + later)
        found = [event for event in before if event.position < self._start]
        return [*found, *(event for event in self._own if event.stream == stream)][-last:]

    async def follow(self, start: int = 0) -> AsyncIterator[Event]:
        """Yield every event from `start` on, then each new one."""
        while True:
            stop = self.size
            for event in self.events(start, stop):
                yield event
            start = max(start, stop)
            async with self._grown:
                while self.size <= start:
                    await self._grown.wait()
