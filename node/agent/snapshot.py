"""The part of a ledger that a judge is given: its newest events, which a bundle can carry too.

A verdict that another home is to reach again must rest on what that home can be shown, so the judge
of this one gets no more: the last SNAPSHOT_EVENTS_MAX events below the head, without a gap, or as
many of them as hold SNAPSHOT_BYTES_MAX. Words that are withheld here stay here. With `words` false
everybody's do, for a verdict that travels to people who may not read them.

Not covered: what lies before. A successor is told of it neither here nor there.
"""

from collections.abc import Container
from typing import Final, Protocol

from ledger.core.event import Event

SNAPSHOT_EVENTS_MAX: Final = 4_000
"""A proof holds 10,000 records, two for each event; some four hundred turns."""
SNAPSHOT_BYTES_MAX: Final = 6 * 1024 * 1024
"""Payloads and contents: a proof takes 8 MiB, and the proposal is in it, too."""


class Pages(Protocol):
    """What of a log is read here."""

    def read(self, position: int) -> Event:
        """Return the event at `position`."""


def tail(
    log: Pages,
    size: int,
    withheld: Container[int],
    *,
    proposal: int,
    words: bool = True,
    first: int | None = None,
) -> list[Event]:
    """Return the newest events below `size`, oldest first.

    `proposal` keeps its words in any case: they are what is judged. `first` is where to begin, for
    a tail that was taken before; without, the bounds say.
    """
    found: list[Event] = []
    room = SNAPSHOT_BYTES_MAX
    least = max(0, size - SNAPSHOT_EVENTS_MAX) if first is None else first
    for position in range(size - 1, least - 1, -1):
        event = log.read(position)
        if position != proposal and (not words or position in withheld):
            event = without_words(event)
        room -= len(event.record.payload) + len(event.record.content or b"")
        if first is None and room < 0:
            break
        found.append(event)
    return found[::-1]


def without_words(event: Event) -> Event:
    """Return an event as if its content had been erased."""
    if event.record.content is None:
        return event
    return event._replace(record=event.record._replace(content=None, content_salt=None))
