"""Frames between a judge and what folds, or takes back, in its sandbox: no whole ledger, no whole
state is in one piece.

    frame    length (4 bytes, big endian), so many bytes of CBOR
    events   [envelope, salt, payload, envelope, ...], in order, without words
    state    maps of entries, one after the other in the order of their encoded keys, all but the
             last full; then an array, which ends the state

Both ends have this file: it lies beside main.py in the sandbox, and imports nothing of ours.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""What is decoded at a time: sixty times as much in memory at worst, which a node has."""
FULL_BYTES: Final = 256 * 1024
"""A frame is closed when it holds so much, and not before: a thousand events, or entries."""
_HEAD_BYTES: Final = 4


def framed(data: bytes) -> bytes:
    """Return `data` as a frame."""
    return len(data).to_bytes(_HEAD_BYTES, "big") + data


def frames_of(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what frames hold until nothing is left. Raises ValueError for what is no frame."""
    while head := read(_HEAD_BYTES):
        size = int.from_bytes(head, "big")
        if len(head) < _HEAD_BYTES or size > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {size} bytes, at most {FRAME_BYTES_MAX}")
        data = read(size)
        if len(data) < size:
            raise ValueError(f"a frame of {size} bytes ends after {len(data)}")
        yield data


def rows_of(
    records: Iterable[tuple[bytes, bytes, bytes]], encode: Callable[[Any], bytes]
) -> Iterator[bytes]:
    """Yield events of (envelope, salt, payload), as frames."""
    row: list[bytes] = []
    room = FULL_BYTES
    for record in records:
        row += record
        room -= len(record[0]) + len(record[2])
        if room <= 0:
            yield framed(encode(row))
            row, room = [], FULL_BYTES
    if row:
        yield framed(encode(row))


def maps_of(entries: dict[str, Any], encode: Callable[[Any], bytes]) -> Iterator[bytes]:
    """Yield the maps that `entries` are handed over in, encoded."""
    some: dict[str, Any] = {}
    room = FULL_BYTES
    for key in sorted(entries, key=encode):
        some[key] = entries[key]
        room -= len(encode(entries[key]))
        if room <= 0:
            yield encode(some)
            some, room = {}, FULL_BYTES
    if some:
        yield encode(some)
