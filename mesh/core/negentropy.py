"""Consensus-critical: set reconciliation by range fingerprints (NIP-77, negentropy protocol 1).

Two sides hold sets of (second, id). The initiator cuts its set into ranges and sends a fingerprint
of each; where one differs, the other side cuts the range again, or lists its ids once they are few.
So what is exchanged grows with the difference and not with the sets. A message is

    version 0x61, then ranges: upper bound, mode 0 skip | 1 fingerprint | 2 ids, payload

where a range begins at the upper bound of the one before, so ranges are disjoint, and one message
costs each side at most one pass over its set. A bound is a second, coded as the distance to the
bound before plus one (0: infinity), and as many bytes of an id as are needed to tell two neighbours
apart. Numbers are base 128, most significant group first. A fingerprint is the first 16 bytes of
SHA-256 of the sum of the ids (mod 2^256, little-endian) and their number.

Sans-I/O. What comes in is bounded before it is read, what goes out by `frame_bytes_max`; a side
that could not say everything ends with a fingerprint of the rest, and an id may then be reported
twice, which is why the results are sets. A responder holds nothing between messages. The number of
rounds is bounded too: a responder that always answers with other fingerprints ends in an error.

Not covered: lies. Ids are not proof that a side has the events; and whoever can choose many ids can
find two sets with one sum, so logs compare their Merkle roots after it, and never trust this alone.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, TypeAlias

from mesh.core import limits
from mesh.core.errors import InvalidReconciliation, UnsupportedReconciliation

VERSION: Final = 0x61
"""Protocol version 1; 0x60 to 0x6f are the versions there may ever be."""

ID_BYTES: Final = 32

FRAME_BYTES_MIN: Final = 4096
"""Below this a frame could hold no progress; the reference refuses it too."""

_TIME_BYTES: Final = 8
_KEY_BYTES: Final = _TIME_BYTES + ID_BYTES
_ZERO: Final = bytes(_TIME_BYTES)
_INFINITY: Final = b"\xff" * _TIME_BYTES
_FINGERPRINT_BYTES: Final = 16

_BUCKETS: Final = 16
"""A range is cut into so many; part of what makes messages equal byte for byte."""

_LIST_ITEMS_MAX: Final = 2 * _BUCKETS
"""A range with fewer items is listed instead of cut."""

_FRAME_RESERVE_BYTES: Final = 200
"""Kept free for a skip, the bound of a list cut short and the fingerprint of the rest (150)."""

_VARINT_BYTES_MAX: Final = 10
"""What 64 bits need; more is an attempt to make us hold a large number."""

_SUM_STEP: Final = 16
"""Sums are kept for every so many items: a fingerprint adds few ids, for 5 bytes per item."""

Item: TypeAlias = tuple[int, bytes]
"""Unix second and 32-byte id."""

_Bound: TypeAlias = bytes
"""Second in 8 bytes, big-endian, and a prefix of an id: sorts among keys as bytes do."""


class _Mode(IntEnum):
    SKIP = 0
    FINGERPRINT = 1
    IDS = 2


class IdSet:
    """An immutable set of items, sorted; 45 bytes for each. Raises ValueError for a bad item."""

    __slots__ = ("_keys", "_size", "_sums")

    def __init__(self, items: Iterable[Item]) -> None:
        keys = sorted({_key(second, event_id) for second, event_id in items})
        self._size = len(keys)
        self._keys = b"".join(keys)
        self._sums = [0]
        for start in range(0, self._size - _SUM_STEP + 1, _SUM_STEP):
            self._sums.append(self._sums[-1] + self._sum(start, start + _SUM_STEP))

    def __len__(self) -> int:
        return self._size

    def key(self, index: int) -> bytes:
        """Return second and id of an item as the 40 bytes that sort it."""
        return self._keys[index * _KEY_BYTES : (index + 1) * _KEY_BYTES]

    def ids(self, lower: int, upper: int) -> Iterator[bytes]:
        """Yield the ids of the items from index `lower` up to, not including, `upper`."""
        return (self.key(index)[_TIME_BYTES:] for index in range(lower, upper))

    def below(self, bound: _Bound, lower: int = 0) -> int:
        """Return the index of the first item, from `lower` on, that is not below `bound`."""
        return bisect_left(range(self._size), bound, lo=lower, key=self.key)

    def fingerprint(self, lower: int, upper: int) -> bytes:
        """Return the 16-byte fingerprint of the items from `lower` up to `upper`."""
        if upper - lower <= _SUM_STEP:
            total = self._sum(lower, upper)
        else:
            total = self._total(upper) - self._total(lower)
        data = (total % 2**256).to_bytes(ID_BYTES, "little") + _varint(upper - lower)
        return hashlib.sha256(data).digest()[:_FINGERPRINT_BYTES]

    def _total(self, upper: int) -> int:
        step = upper // _SUM_STEP
        return self._sums[step] + self._sum(step * _SUM_STEP, upper)

    def _sum(self, lower: int, upper: int) -> int:
        keys = self._keys
        starts = range(lower * _KEY_BYTES, upper * _KEY_BYTES, _KEY_BYTES)
        return sum(
            int.from_bytes(keys[at + _TIME_BYTES : at + _KEY_BYTES], "little") for at in starts
        )


def _key(second: int, event_id: bytes) -> bytes:
    if len(event_id) != ID_BYTES or not 0 <= second <= limits.CREATED_AT_MAX_SECONDS:
        raise ValueError(f"item with an id of {len(event_id)} bytes at {second} s")
    return second.to_bytes(_TIME_BYTES, "big") + event_id


def _varint(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


class _Reader:
    """Takes a message apart; every read is bounded by what is left of it."""

    __slots__ = ("_at", "_data", "_second")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._second = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise InvalidReconciliation(f"message ends {size - self.left} bytes early")
        self._at += size
        return self._data[self._at - size : self._at]

    def varint(self) -> int:
        number = 0
        for _ in range(_VARINT_BYTES_MAX):
            (group,) = self.take(1)
            number = number << 7 | group & 0x7F
            if not group & 0x80:
                return number
        raise InvalidReconciliation(f"number of more than {_VARINT_BYTES_MAX} bytes")

    def bound(self) -> _Bound:
        coded, size = self.varint(), self.varint()
        if size > ID_BYTES:
            raise InvalidReconciliation(f"bound with {size} bytes of an id, at most {ID_BYTES}")
        prefix = self.take(size)
        if coded == 0:
            return _INFINITY
        self._second += coded - 1
        if self._second > limits.CREATED_AT_MAX_SECONDS:
            raise InvalidReconciliation(f"bound at {self._second} s")
        return self._second.to_bytes(_TIME_BYTES, "big") + prefix

    def mode(self) -> _Mode:
        found = self.varint()
        if found > _Mode.IDS:
            raise InvalidReconciliation(f"mode {found}, expected 0, 1 or 2")
        return _Mode(found)

    def ids(self) -> list[bytes]:
        count = self.varint()
        if count * ID_BYTES > self.left:
            raise InvalidReconciliation(f"{count} ids announced, {self.left} bytes left")
        return [self.take(ID_BYTES) for _ in range(count)]


class _Writer:
    """Puts a message together; remembers the last second, against which the next is coded."""

    __slots__ = ("_second",)

    def __init__(self) -> None:
        self._second = 0

    def bound(self, bound: _Bound) -> bytes:
        if bound[:_TIME_BYTES] == _INFINITY:
            return b"\x00\x00"
        second, prefix = int.from_bytes(bound[:_TIME_BYTES], "big"), bound[_TIME_BYTES:]
        distance, self._second = second - self._second, second
        return _varint(distance + 1) + _varint(len(prefix)) + prefix

    def skip(self, upper: _Bound) -> bytes:
        return self.bound(upper) + bytes([_Mode.SKIP])

    def fingerprint(self, upper: _Bound, fingerprint: bytes) -> bytes:
        return self.bound(upper) + bytes([_Mode.FINGERPRINT]) + fingerprint

    def ids(self, upper: _Bound, ids: list[bytes]) -> bytes:
        return self.bound(upper) + bytes([_Mode.IDS]) + _varint(len(ids)) + b"".join(ids)

    def split(self, items: IdSet, lower: int, upper: int, bound: _Bound) -> bytes:
        """Return the range from item `lower` up to `bound`, listed or cut into fingerprints."""
        size = upper - lower
        if size < _LIST_ITEMS_MAX:
            return self.ids(bound, list(items.ids(lower, upper)))
        ranges = []
        per_bucket, larger = divmod(size, _BUCKETS)
        for bucket in range(_BUCKETS):
            end = lower + per_bucket + (bucket < larger)
            above = bound if end == upper else _between(items.key(end - 1), items.key(end))
            ranges.append(self.fingerprint(above, items.fingerprint(lower, end)))
            lower = end
        return b"".join(ranges)


def _between(below: bytes, above: bytes) -> _Bound:
    """Return the shortest bound that lies above one key and not above the next."""
    if below[:_TIME_BYTES] != above[:_TIME_BYTES]:
        return above[:_TIME_BYTES]
    shared = next(at for at in range(_TIME_BYTES, _KEY_BYTES) if below[at] != above[at])
    return above[: shared + 1]


class _Turn:
    """One message taken in, and the answer to it as it grows, range by range."""

    def __init__(self, items: IdSet, frame_bytes_max: int, *, initiator: bool) -> None:
        self.out = bytearray([VERSION])
        self.have: set[bytes] = set()
        self.need: set[bytes] = set()
        self._items = items
        self._writer = _Writer()
        self._room = frame_bytes_max - _FRAME_RESERVE_BYTES
        self._initiator = initiator
        self._lower = 0  # first item of the range that is looked at
        self._below: _Bound = _ZERO
        self._skipping = False  # ranges up to `_below` are settled, which is not said yet

    def take(self, message: bytes) -> None:
        """Answer each range, until one does not fit; then the rest as a whole."""
        reader = _Reader(message)
        while reader.left:
            bound = reader.bound()
            if bound < self._below:  # equal ones come: an empty rest after a list cut short
                raise InvalidReconciliation("bounds do not rise")
            upper = self._items.below(bound, self._lower)
            rest = self._range(reader, bound, upper)
            if rest is not None:
                fingerprint = self._items.fingerprint(rest, len(self._items))
                self.out += self._writer.fingerprint(_INFINITY, fingerprint)
                return
            self._lower, self._below = upper, bound

    def _range(self, reader: _Reader, bound: _Bound, upper: int) -> int | None:
        """Answer one range; return the first item of what did not fit, or None."""
        match reader.mode():
            case _Mode.SKIP:
                self._skipping = True
            case _Mode.FINGERPRINT:
                return self._compare(reader.take(_FINGERPRINT_BYTES), bound, upper)
            case _Mode.IDS:
                theirs = reader.ids()
                if not self._initiator:  # who asks for ours; theirs say nothing to us
                    return self._list(bound, upper)
                self._learn(set(theirs), upper)
        return None

    def _compare(self, theirs: bytes, bound: _Bound, upper: int) -> int | None:
        if theirs == self._items.fingerprint(self._lower, upper):
            self._skipping = True
            return None
        said = self._skip() + self._writer.split(self._items, self._lower, upper, bound)
        if len(self.out) + len(said) > self._room:
            # The reference goes on after the range it could not answer. That loses the range if
            # the other side has nothing in it and the rest is equal, so then it is counted in.
            return self._lower if theirs == self._items.fingerprint(0, 0) else upper
        self.out += said
        return None

    def _list(self, bound: _Bound, upper: int) -> int | None:
        """List our ids of the range, as many as fit."""
        fitting = max(0, self._room - len(self.out)) // ID_BYTES + 1
        end = min(upper, self._lower + fitting)
        above = bound if end == upper else self._items.key(end)
        ids = list(self._items.ids(self._lower, end))
        self.out += self._skip() + self._writer.ids(above, ids)
        return end if len(self.out) > self._room else None

    def _learn(self, theirs: set[bytes], upper: int) -> None:
        ours = set(self._items.ids(self._lower, upper))
        self.have |= ours - theirs
        self.need |= theirs - ours
        self._skipping = True

    def _skip(self) -> bytes:
        skipping, self._skipping = self._skipping, False
        return self._writer.skip(self._below) if skipping else b""


def _check_sizes(message: bytes, frame_bytes_max: int) -> None:
    if frame_bytes_max < FRAME_BYTES_MIN:
        raise ValueError(f"frames of {frame_bytes_max} bytes, at least {FRAME_BYTES_MIN} needed")
    if not 1 <= len(message) <= limits.RECONCILIATION_BYTES_MAX:
        bound = limits.RECONCILIATION_BYTES_MAX
        raise InvalidReconciliation(f"message of {len(message)} bytes, 1 to {bound} allowed")
    if message[0] >> 4 != VERSION >> 4:
        raise InvalidReconciliation(f"version {message[0]:#x}, expected {VERSION:#x}")


def respond(
    items: IdSet, message: bytes, *, frame_bytes_max: int = limits.RECONCILIATION_FRAME_BYTES
) -> bytes:
    """Return the responder's answer, of at most `frame_bytes_max` bytes.

    To another version it is our version alone. Raises InvalidReconciliation.
    """
    _check_sizes(message, frame_bytes_max)
    if message[0] != VERSION:
        return bytes([VERSION])
    turn = _Turn(items, frame_bytes_max, initiator=False)
    turn.take(message[1:])
    return bytes(turn.out)


class Initiator:
    """The side that asks, and learns the difference.

    `have` are ids that only we hold, `need` those that only the other side holds; both are final
    once `receive` returns None. At most `need_max` ids are learnt, in at most `rounds_max` rounds.
    """

    def __init__(
        self,
        items: IdSet,
        *,
        frame_bytes_max: int = limits.RECONCILIATION_FRAME_BYTES,
        need_max: int = limits.RECONCILIATION_ITEMS_MAX,
        rounds_max: int = limits.RECONCILIATION_ROUNDS_MAX,
    ) -> None:
        self._items = items
        self._frame_bytes_max = frame_bytes_max
        self._need_max = need_max
        self._rounds_left = rounds_max
        self.have: set[bytes] = set()
        self.need: set[bytes] = set()

    def open(self) -> bytes:
        """Return the first message: the whole set as 16 fingerprints, or as ids."""
        everything = _Writer().split(self._items, 0, len(self._items), _INFINITY)
        return bytes([VERSION]) + everything

    def receive(self, message: bytes) -> bytes | None:
        """Take an answer; return the next message, or None when the difference is known.

        Raises InvalidReconciliation, also beyond the bounds, and UnsupportedReconciliation if the
        other side speaks another version.
        """
        _check_sizes(message, self._frame_bytes_max)
        if message[0] != VERSION:
            raise UnsupportedReconciliation(f"version {message[0]:#x}, ours is {VERSION:#x}")
        self._rounds_left -= 1
        if self._rounds_left < 0:
            raise InvalidReconciliation("no end within the rounds allowed")
        turn = _Turn(self._items, self._frame_bytes_max, initiator=True)
        turn.take(message[1:])
        self.have |= turn.have
        self.need |= turn.need
        if len(self.need) > self._need_max:
            raise InvalidReconciliation(f"{len(self.need)} ids, at most {self._need_max} allowed")
        return bytes(turn.out) if len(turn.out) > 1 else None
