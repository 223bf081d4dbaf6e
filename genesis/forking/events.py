"""The events below a head as a sequence, read when they are asked for: a million are never held.

A slice is a view as well. Not covered: steps other than 1.
"""

from collections.abc import Iterator, Sequence
from typing import overload

from ledger.core.event import Event
from ledger.upcasting import UpcastLog


class Events(Sequence[Event]):
    """Events `start` to `stop` of a log; they are there for as long as it is open."""

    def __init__(self, log: UpcastLog, stop: int, start: int = 0) -> None:
        self._log = log
        self._start = start
        self._stop = stop

    def __len__(self) -> int:
        """How many there are."""
        return self._stop - self._start

    def __iter__(self) -> Iterator[Event]:
        """Yield them in order."""
        return iter(self._log.events(self._start, self._stop))

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> "Events": ...
    def __getitem__(self, at: int | slice) -> "Event | Events":
        """Read one, or look at a part. Raises IndexError, ValueError for a step."""
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                raise ValueError(f"events are read one by one, not with a step of {step}")
            return Events(self._log, self._start + max(start, stop), self._start + start)
        index = at + len(self) if at < 0 else at
        if not 0 <= index < len(self):
            raise IndexError(f"event {at} of {len(self)}")
        return self._log.read(self._start + index)
