"""What lies in a ledger above its last released head, checked before a node signs over it.

Whoever can write `ledger.db` while the node is stopped can append rows; nothing tells them from the
node's own. But rows that break a rule of the log must never come under a signed head: every
verifier would find that log BROKEN, for good.

The events are looked at as they pass on their way to the fold: what was never released may be long.

Not covered: whether the node wrote them (nobody can tell), and that a redaction's targets are
erased.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger.core import types
from ledger.core.errors import InvalidEvent, StoreDamaged
from ledger.core.event import Event
from ledger.core.redaction import targets
from ledger.log import Log

_IDS_MAX: Final = 65_536
"""Ids of the newest events that are kept: causes are near, and 64 Ki of them take 4 MiB."""


def check_tail(log: Log, start: int) -> None:
    """Check time, stream and causes of every event from position `start` on.

    Raises StoreDamaged, with its position, at the first event that no verifier would take.
    """
    for _ in checked(log, start, log.events(start)):
        pass


def checked(log: Log, start: int, events: Iterable[Event]) -> Iterator[Event]:
    """Pass `events` on, those from position `start` on checked as `check_tail` does.

    They follow one another up to the log's end, from `start` or an earlier one. What is wrong with
    the order of a stream may be told at the end only: what came of the events is thrown away then.
    """
    tail = _Tail(log, log.read(start - 1).ts_ms if start else 0)
    for event in events:
        if event.position >= start:
            tail.look(event)
        yield event
    tail.end()


@dataclass(slots=True)
class _Tail:
    """One walk over the tail. `filed`: for each stream the positions that must follow in it."""

    log: Log
    last_ms: int
    first: int = 0
    ids: list[bytes] = field(default_factory=list)
    filed: dict[bytes, Iterator[int]] = field(default_factory=dict)
    following: dict[bytes, int] = field(default_factory=dict)

    def look(self, event: Event) -> None:
        """Check the next event. Raises StoreDamaged."""
        if event.ts_ms < self.last_ms:
            raise _damaged(event, f"time {event.ts_ms} is before its predecessor's {self.last_ms}")
        self.last_ms = event.ts_ms
        for cause in event.envelope.causes:
            if cause.ledger is None and self._id(event, cause.position) != cause.id:
                raise _damaged(event, f"cause {cause.position} is not an earlier event of this log")
        if event.type == types.REDACTED.name:
            _check_targets(event)
        self._check_place(event)
        self._keep(event)

    def _keep(self, event: Event) -> None:
        if not self.ids:
            self.first = event.position
        self.ids.append(event.id)
        if len(self.ids) >= 2 * _IDS_MAX:
            del self.ids[:_IDS_MAX]
            self.first += _IDS_MAX

    def _id(self, event: Event, position: int) -> bytes | None:
        if position >= event.position:
            return None
        if self.ids and position >= self.first:
            return self.ids[position - self.first]
        return self.log.read(position).id

    def _check_place(self, event: Event) -> None:
        """The index has it where it says it is: after the one before it in its stream."""
        stream, sequence = event.stream, event.envelope.stream_sequence
        if stream not in self.filed:
            self.filed[stream] = iter(self.log.positions(stream, max(0, sequence - 1)))
            self.following[stream] = sequence
            if sequence and not self._follows(event, next(self.filed[stream], event.position)):
                raise self._misplaced(event)
        if sequence != self.following[stream] or next(self.filed[stream], -1) != event.position:
            raise self._misplaced(event)
        self.following[stream] = sequence + 1

    def _follows(self, event: Event, before: int) -> bool:
        """Whether the event at `before`, filed before the first one of a tail, belongs there."""
        if before >= event.position:
            return False
        envelope = self.log.read(before).envelope
        place = envelope.stream, envelope.stream_sequence + 1
        return place == (event.stream, event.envelope.stream_sequence)

    def _misplaced(self, event: Event) -> StoreDamaged:
        filed = [at for at in self.log.positions(event.stream, 0) if at < event.position]
        before = self.log.read(filed[-1]).envelope.stream_sequence if filed else -1
        told = f"stream sequence {event.envelope.stream_sequence}, expected {before + 1}"
        return _damaged(event, told)

    def end(self) -> None:
        """Nothing else is filed in these streams. Raises StoreDamaged."""
        for filed in self.filed.values():
            if (left := next(filed, None)) is not None:
                raise _damaged(self.log.read(left), "it is filed under another stream than its own")


def _check_targets(event: Event) -> None:
    try:
        targets(event)
    except InvalidEvent as error:
        raise _damaged(event, str(error)) from error


def _damaged(event: Event, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"event {event.position}: {why}", position=event.position, hint="run: timmy doctor"
    )
