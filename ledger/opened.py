"""The newest events that were looked at, opened: half a dozen services follow a log.

Without this each reads every new event and checks it for itself; a prompt does so for two dozen
references, and the writer for each of them once more, as a cause. What is kept was read from the
store and checked, never taken from what was handed in: a reducer must see what a replay will see.

Whoever holds an event may hold words. A redaction must leave none here: `forget` puts other slots
in the place of these, so that one who began to read before it keeps his where nobody looks.

Not covered: a log that another process writes to, which may erase at any time. Nothing is kept.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from ledger.core.event import Event

OPENED_MAX: Final = 256
"""A few turns of events, and the references of their prompts."""
CONTENT_BYTES_MAX: Final = 16 * 1024
"""Of one of them: 4 MiB in all."""


Read: TypeAlias = Callable[[int, int], Iterator[Event]]
"""Read the events of [start, stop) from the store, and check them."""


class Opened:
    """What was read of one log is kept if `keeping`.

    It does not hold the log: a log that is dropped is gone at once, and its file with it.
    """

    def __init__(self, *, keeping: bool) -> None:
        self._keeping = keeping
        self._slots: list[Event | None] = [None] * OPENED_MAX

    def events(self, read: Read, start: int, stop: int) -> Iterator[Event]:
        """Yield the events of [start, stop): kept ones first, and all after them read anew."""
        position = start
        while position < stop:
            slots = self._slots  # before anything is read: see above
            event = slots[position % OPENED_MAX]
            if event is None or event.position != position:
                break
            yield event
            position += 1
        for event in read(position, stop) if position < stop else ():
            self._keep(slots, event)
            yield event

    def _keep(self, slots: list[Event | None], event: Event) -> None:
        content = event.record.content
        if self._keeping and (content is None or len(content) <= CONTENT_BYTES_MAX):
            slots[event.position % OPENED_MAX] = event

    def forget(self) -> None:
        """Keep nothing of what was opened: words were erased."""
        self._slots = [None] * OPENED_MAX
