"""Consensus-critical: state folded from events, with a digest that costs the same at any size.

A reducer turns one event into changes of keyed entries. The digest is LtHash (Bellare and
Micciancio 1997, section 5; Lewi et al. 2019): every entry is expanded to 1,024 lanes of 16 bits and
added lane by lane, so that an entry is taken out by subtracting it. The digest depends on the state
alone, not on the way to it. Lanes are touched when the digest is asked for, once per entry that
changed since: a counter that rose ten thousand times costs one. Reducers see payloads and
commitments, never content: redaction leaves every digest as it was.

A key's name up to its first slash is its *part*. The sum is the sum of its parts' sums, so that a
digest of each part costs nothing more, and tells which of them differs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Final, TypeAlias

from ledger.core import hashing, types
from ledger.core.codec import decode_together, encode
from ledger.core.event import Event

LANES: Final = 1024
_LANE_BYTES: Final = 2
_LANE_BITS: Final = 8 * _LANE_BYTES
_UNFOLDED_MAX: Final = 1 << _LANE_BITS
"""So many numbers below 2^16 stay below 2^32."""
_TOGETHER: Final = 1000
"""Entries that are decoded at a time: a long life's are not in memory twice."""
_PAIR: Final = b"\x82"
"""The head of a CBOR array of two."""
_WIDTH_BYTES: Final = LANES * _LANE_BYTES
_EVEN: Final = int.from_bytes(b"\xff\xff\x00\x00" * (LANES // 2), "little")
_ODD: Final = _EVEN << 16
PART_DIGEST_BYTES: Final = 16
"""It tells one part from another; what is attested is the digest of the whole."""
_BORROW: Final = int.from_bytes(b"\x00\x00\x01\x00" * (LANES // 2), "little")

Change: TypeAlias = tuple[str, Any]
"""(key, new value of the codec's profile, or None to remove the entry)."""

Reducer: TypeAlias = Callable[[Mapping[str, Any], Event], Iterable[Change]]

Owners: TypeAlias = Mapping[str, tuple[Reducer, ...]]
"""Which reducers write the entries of each part."""


def part_of(key: str) -> str:
    """Return the name of the part that an entry belongs to."""
    return key.partition("/")[0]


def _entry(key: str, value: Any) -> bytes:
    return encode([key, value])


def _lanes(entry: bytes) -> int:
    data = hashing.xof(hashing.STATE_ENTRY, _WIDTH_BYTES, entry)
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


def _sum_of(entries: Iterable[bytes]) -> int:
    """Sum of the expansions of many encoded entries. Even and odd lanes are summed apart, each in
    32 bits of its own, and brought back to 16 only when those might overflow: a snapshot has tens
    of thousands of entries.
    """
    total = even = odd = count = 0
    for entry in entries:
        lanes = _lanes(entry)
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
    """Entries by key, and the sum of each part's lanes. Mutable: one owner folds it forward."""

    reducers: tuple[Reducer, ...]
    entries: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    _sums: dict[str, int] = field(default_factory=dict)
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
        self._touch()
        total = 0
        for part in self._sums.values():
            total = _add(total, part)
        lanes = total.to_bytes(_WIDTH_BYTES, "little")
        return hashing.digest(hashing.STATE_ENTRY, encode([self.size, lanes]))

    def parts(self) -> dict[str, bytes]:
        """The digest of each part that has entries: PART_DIGEST_BYTES."""
        self._touch()
        return {
            part: hashing.xof(
                hashing.STATE_PART, PART_DIGEST_BYTES, total.to_bytes(_WIDTH_BYTES, "little")
            )
            for part, total in self._sums.items()
        }

    def _touch(self) -> None:
        """Bring the sums up to date with every entry that changed."""
        entries, dirty = self.entries, self._dirty
        changed: dict[str, list[str]] = {}
        for key in dirty:
            changed.setdefault(part_of(key), []).append(key)
        for part, keys in changed.items():
            before = _sum_of(_entry(key, dirty[key]) for key in keys if dirty[key] is not None)
            after = _sum_of(_entry(key, entries[key]) for key in keys if key in entries)
            total = _add(_subtract(self._sums.pop(part, 0), before), after)
            if total:
                self._sums[part] = total
        self._unsaved.update(dirty)
        dirty.clear()

    def take_unsaved(self) -> dict[str, Any]:
        """Entries that changed since the last call, as of the last `digest`; None: removed."""
        keys, self._unsaved = self._unsaved, set()
        return {key: self.entries.get(key) for key in keys}

    def put_back(self, keys: Iterable[str]) -> None:
        """Count entries as unsaved again: whoever took them could not save them."""
        self._unsaved.update(keys)

    def copy(self) -> "State":
        """Return the same state, to be folded on by another owner. Values are never changed."""
        return State(
            self.reducers,
            dict(self.entries),
            self.size,
            dict(self._sums),
            dict(self._dirty),
            set(self._unsaved),
        )

    @classmethod
    def restore(cls, reducers: tuple[Reducer, ...], entries: dict[str, Any], size: int) -> "State":
        """Take up a snapshot's entries; its digest is computed, never believed."""
        state = cls(reducers, entries, size, _dirty=dict.fromkeys(entries))
        state.digest()
        state.take_unsaved()
        return state

    @classmethod
    def restore_encoded(
        cls,
        reducers: tuple[Reducer, ...],
        encoded: Iterable[tuple[str, bytes]],
        size: int,
        *,
        bytes_max: int,
    ) -> "State":
        """`restore` of values as they were written, in a fourth of the time: none is encoded again.

        The digest is that of the bytes given. If it is one that `digest` gave, they are the
        encodings of the entries; else the entries mean nothing. Raises InvalidCbor.
        """
        entries: dict[str, Any] = {}
        sums: dict[str, int] = {}
        rest = iter(encoded)
        while some := list(islice(rest, _TOGETHER)):
            values = decode_together([value for _, value in some], bytes_max=bytes_max)
            entries.update(zip((key for key, _ in some), values, strict=True))
            for part, pairs in groupby(some, key=lambda pair: part_of(pair[0])):
                added = _sum_of(_PAIR + encode(key) + value for key, value in pairs)
                sums[part] = _add(sums.get(part, 0), added)
        return cls(reducers, entries, size, sums)


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
BASIC_OWNERS: Final[Owners] = {
    "type": (reduce_basics,),
    "stream": (reduce_basics,),
    "redacted": (reduce_redactions,),
}
