"""Consensus-critical: state folded from events, with a digest that costs the same at any size.

A reducer turns one event into changes of keyed entries. The digest is LtHash (Bellare and
Micciancio 1997, section 5; Lewi et al. 2019): every entry is expanded to 1,024 lanes of 16 bits and
added lane by lane, so that an entry is taken out by subtracting it. The digest depends on the state
alone, not on the way to it. Lanes are touched when the digest is asked for, once per entry that
changed since: a counter that rose ten thousand times costs one. Reducers see payloads and
commitments, never content: redaction leaves every digest as it was.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ledger.core import hashing, types
from ledger.core.codec import encode
from ledger.core.event import Event

LANES: Final = 1024
_LANE_BYTES: Final = 2
_LANE_BITS: Final = 8 * _LANE_BYTES
_UNFOLDED_MAX: Final = 1 << _LANE_BITS
"""So many numbers below 2^16 stay below 2^32."""
_WIDTH_BYTES: Final = LANES * _LANE_BYTES
_EVEN: Final = int.from_bytes(b"\xff\xff\x00\x00" * (LANES // 2), "little")
_ODD: Final = _EVEN << 16
_BORROW: Final = int.from_bytes(b"\x00\x00\x01\x00" * (LANES // 2), "little")

Change: TypeAlias = tuple[str, Any]
"""(key, new value of the codec's profile, or None to remove the entry)."""

Reducer: TypeAlias = Callable[[Mapping[str, Any], Event], Iterable[Change]]


def _lanes(key: str, value: Any) -> int:
    data = hashing.xof(hashing.STATE_ENTRY, _WIDTH_BYTES, encode([key, value]))
    return int.from_bytes(data, "little")


def _add(a: int, b: int) -> int:
    """Lane-wise sum modulo 2^16: even and odd lanes apart, so that no carry crosses a lane."""
    even = (a & _EVEN) + (b & _EVEN) & _EVEN
    odd = ((a & _ODD) >> 16) + ((b & _ODD) >> 16) & _EVEN
    return even | odd << 16


def _subtract(a: int, b: int) -> int:
    """Lane-wise difference modulo 2^16: each lane borrows from a bit of its own."""
    even = ((a & _EVEN) | _BORROW) - (b & _EVEN) & _EVEN
    odd = (((a & _ODD) >> 16) | _BORROW) - ((b & _ODD) >> 16) & _EVEN
    return even | odd << 16


def _sum_of(entries: Iterable[tuple[str, Any]]) -> int:
    """Sum of many expansions. Even and odd lanes are summed apart, each in 32 bits of its own, and
    brought back to 16 only when those might overflow: a snapshot has tens of thousands of entries.
    """
    total = even = odd = count = 0
    for key, value in entries:
        lanes = _lanes(key, value)
        even += lanes & _EVEN
        odd += lanes >> _LANE_BITS & _EVEN
        count += 1
        if count == _UNFOLDED_MAX:
            total = _add(total, _packed(even, odd))
            even = odd = count = 0
    return _add(total, _packed(even, odd))


def _packed(even: int, odd: int) -> int:
    return (even & _EVEN) | (odd & _EVEN) << _LANE_BITS


@dataclass(slots=True)
class State:
    """Entries by key, and the sum of their lanes. Mutable: one owner folds it forward."""

    reducers: tuple[Reducer, ...]
    entries: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    _sum: int = 0
    _dirty: dict[str, Any] = field(default_factory=dict)
    _unsaved: set[str] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        """Fold the next event. Events come in order, without gaps."""
        if event.position != self.size:
            raise ValueError(f"event {event.position} folded into a state of size {self.size}")
        entries, dirty = self.entries, self._dirty
        for reducer in self.reducers:
            for key, value in reducer(entries, event):
                if key not in dirty:
                    dirty[key] = entries.get(key)
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = value
        self.size += 1

    def digest(self) -> bytes:
        """32 bytes: the state after `size` events."""
        entries, dirty = self.entries, self._dirty
        before = _sum_of((key, old) for key, old in dirty.items() if old is not None)
        after = _sum_of((key, entries[key]) for key in dirty if key in entries)
        self._sum = _add(_subtract(self._sum, before), after)
        self._unsaved.update(self._dirty)
        self._dirty.clear()
        lanes = self._sum.to_bytes(_WIDTH_BYTES, "little")
        return hashing.digest(hashing.STATE_ENTRY, encode([self.size, lanes]))

    def take_unsaved(self) -> dict[str, Any]:
        """Entries that changed since the last call, as of the last `digest`; None: removed."""
        keys, self._unsaved = self._unsaved, set()
        return {key: self.entries.get(key) for key in keys}

    def put_back(self, keys: Iterable[str]) -> None:
        """Count entries as unsaved again: whoever took them could not save them."""
        self._unsaved.update(keys)

    @classmethod
    def restore(cls, reducers: tuple[Reducer, ...], entries: dict[str, Any], size: int) -> "State":
        """Take up a snapshot's entries; its digest is computed, never believed."""
        state = cls(reducers, entries, size, 0, dict.fromkeys(entries))
        state.digest()
        state.take_unsaved()
        return state


def reduce_basics(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """Count what every ledger has: types, streams, the last commitment of each stream."""
    envelope = event.envelope
    by_type = f"type/{envelope.type}"
    newest = [envelope.stream_sequence + 1, envelope.payload_commitment]
    return (
        (by_type, entries.get(by_type, 0) + 1),
        (f"stream/{envelope.stream.hex()}", newest),
    )


def reduce_redactions(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """Know which events were redacted, and by which event first."""
    if event.envelope.type != types.REDACTED.name:
        return ()
    targets = dict.fromkeys(event.payload.get("targets", ()))
    named = {f"redacted/{position}": event.position for position in targets}
    return [change for change in named.items() if change[0] not in entries]


BASIC_REDUCERS: Final[tuple[Reducer, ...]] = (reduce_basics, reduce_redactions)
