"""Consensus-critical: the rules of a whole log, asked of events as they are copied.

What a signed head proves is which events a log holds, not that they keep docs/spec/event.md, "A log
of events": streams counted without a gap, times that do not fall, causes that are earlier events. A
log that breaks them under its own signature is broken, whoever brings it, and is not stored: the
store's own indexes stand on them, and on idempotency keys that are used once, which `Log` sees to.

Not asked: that what a redaction names had content. `timmy verify` does.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from ledger.core.errors import InvalidEvent
from ledger.core.event import Event
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.redaction import targets
from ledger.core.types import LINEAGE_STREAM
from mesh.core.mirrors.copying import Kept

_STREAMS_MAX: Final = 10_000
"""Lengths remembered; past it they are looked up again."""


class Own(Kept, Protocol):
    """What is stored of the log, with its words."""

    def id_at(self, position: int) -> bytes:
        """The id of a stored event."""

    def stream_length(self, stream: bytes) -> int:
        """How many events of a stream are stored."""

    def has_key(self, idempotency_key: bytes) -> bool:
        """Whether a stored event carries this key."""

    def newest_ms(self) -> int:
        """The time of the newest stored event; 0 without one."""


@dataclass(slots=True)
class Order:
    """Checks events one after the other, from the first that is not stored yet."""

    own: Own
    position: int = 0
    last_ms: int = 0
    _first: int = 0
    _ids: list[bytes] = field(default_factory=list)
    _lengths: dict[bytes, int] = field(default_factory=dict)
    _keys: dict[bytes, int] = field(default_factory=dict)
    """Idempotency keys of events that are not stored yet, with their positions."""

    @classmethod
    def after(cls, own: Own) -> "Order":
        """Begin behind what is stored."""
        return cls(own, own.size, own.newest_ms(), own.size)

    def check(self, event: Event) -> None:
        """Check the next event. Raises InvalidEvent with its position."""
        try:
            self._check(event)
        except InvalidEvent as error:
            raise InvalidEvent(f"event {event.position}: {error}") from error
        self._ids.append(event.id)
        self._lengths[event.stream] = event.envelope.stream_sequence + 1
        if event.envelope.idempotency_key is not None:
            self._keys[event.envelope.idempotency_key] = event.position
        self.position, self.last_ms = event.position + 1, event.ts_ms

    def stored(self) -> None:
        """Forget ids and keys of events that are stored by now."""
        done = self.own.size - self._first
        if done >= 0:
            del self._ids[:done]
            self._first = self.own.size
            self._keys = {key: at for key, at in self._keys.items() if at >= self._first}
            if len(self._lengths) > _STREAMS_MAX:
                self._lengths.clear()

    def _check(self, event: Event) -> None:
        if event.position != self.position:
            raise InvalidEvent(f"event {self.position} belongs here")
        _ = event.content  # decoded: a copy believes nothing
        expected = self._lengths.get(event.stream)
        if expected is None:
            expected = self.own.stream_length(event.stream)
        if event.envelope.stream_sequence != expected:
            raise InvalidEvent(
                f"stream sequence {event.envelope.stream_sequence}, expected {expected}"
            )
        if event.ts_ms < self.last_ms:
            raise InvalidEvent(f"time {event.ts_ms} is before its predecessor's {self.last_ms}")
        for cause in event.envelope.causes:
            if cause.ledger is None and self._id(cause.position) != cause.id:
                raise InvalidEvent(f"cause {cause.position} is not an earlier event of this log")
        key = event.envelope.idempotency_key
        if key is not None and (key in self._keys or self.own.has_key(key)):
            raise InvalidEvent("its idempotency key is that of an earlier event")
        if event.type in LINEAGE_TYPES and event.stream != LINEAGE_STREAM:
            raise InvalidEvent("a record of lineage outside its stream would not be found")
        for target in targets(event):
            if not 0 <= target < event.position:
                raise InvalidEvent(f"it redacts event {target}, which is not before it")

    def _id(self, position: int) -> bytes | None:
        if position >= self.position:
            return None
        if position >= self._first:
            return self._ids[position - self._first]
        return self.own.id_at(position)
