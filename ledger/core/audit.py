"""Consensus-critical: what a sequence of records shows when every byte of it is checked.

`Audit` takes the records of a log in order, from position 0, and recomputes everything: the
commitments, the stream sequences, the causes, the tree. It says of every content: present, redacted
by a later event, or MISSING, which is the verdict on content dropped silently.
"""

from dataclasses import dataclass, field

from ledger.core import types
from ledger.core.errors import InvalidEvent
from ledger.core.event import Event, Record
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree


@dataclass(slots=True)
class Audit:
    """Feed records with `add`; ask `missing`, `redacted`, `tree` afterwards."""

    tree: Tree
    ids: bytearray = field(default_factory=bytearray)
    contents: int = 0
    _erased: set[int] = field(default_factory=set)
    _redacted_by: dict[int, int] = field(default_factory=dict)
    _lengths: dict[bytes, int] = field(default_factory=dict)
    _last_ms: int = 0

    def add(self, record: Record) -> Event:
        """Check the next record and return its event. Raises InvalidEvent naming the position."""
        position = self.tree.size
        if record.position != position:
            raise InvalidEvent(f"event {record.position} where event {position} belongs")
        try:
            event = Event.open(record)
            _ = event.content  # decoded: an audit believes nothing
            self._check_place(event)
            targets = targets_of(event)
        except InvalidEvent as error:
            raise InvalidEvent(f"event {position}: {error}", hint=error.hint) from error
        self.ids += event.id
        self.tree.append(leaf_hash(record.envelope))
        self._note_content(event, targets)
        return event

    def _check_place(self, event: Event) -> None:
        expected = self._lengths.get(event.stream, 0)
        if event.envelope.stream_sequence != expected:
            raise InvalidEvent(
                f"stream sequence {event.envelope.stream_sequence}, expected {expected}"
            )
        if event.ts_ms < self._last_ms:
            raise InvalidEvent(f"time {event.ts_ms} is before its predecessor's {self._last_ms}")
        for cause in event.envelope.causes:
            if cause.ledger is None and self._id(cause.position) != cause.id:
                raise InvalidEvent(f"cause {cause.position} is not an earlier event of this log")
        self._lengths[event.stream] = expected + 1
        self._last_ms = event.ts_ms

    def _id(self, position: int) -> bytes:
        return bytes(self.ids[position * 32 : position * 32 + 32])

    def _note_content(self, event: Event, targets: list[int]) -> None:
        if event.redacted:
            self._erased.add(event.position)
        elif event.has_content:
            self.contents += 1
        for target in targets:
            self._redacted_by.setdefault(target, event.position)

    @property
    def redacted(self) -> dict[int, int]:
        """Positions whose content is gone, with the event that says so."""
        return {at: by for at, by in self._redacted_by.items() if at in self._erased}

    @property
    def missing(self) -> list[int]:
        """Positions whose content is gone though no event says so."""
        return sorted(self._erased - self._redacted_by.keys())

    @property
    def unerased(self) -> list[int]:
        """Positions whose content should be gone and is still there."""
        return sorted(self._redacted_by.keys() - self._erased)


def targets_of(event: Event) -> list[int]:
    """Return the positions that `event` redacts: none, unless it is a redaction."""
    targets = event.payload.get("targets", []) if event.type == types.REDACTED.name else []
    if type(targets) is not list or any(type(target) is not int for target in targets):
        raise InvalidEvent("targets is not an array of positions")
    return targets
