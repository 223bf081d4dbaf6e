"""SQLite's pages read as bytes: the rows of one leaf, without the tree above it.

What salvage needs when SQLite refuses a file: each leaf stands for itself, and a row that goes on
in other pages is followed through a function that the caller gives. Pages have one size and one
reserve, those of `ledger.sql.connect`. Nothing here is believed by anybody: a row of a damaged page
may be nonsense, and is checked against its hashes. Format: sqlite.org/fileformat2.html, section 1.6
(b-tree pages), 1.6.1 (overflow), 2.1 (records).
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

PAGE_BYTES: Final = 8192
_USABLE: Final = PAGE_BYTES - 8
"""Each page ends in the 8 bytes of its checksum (cksumvfs)."""
_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_FILE_HEADER_BYTES: Final = 100
_PAGE_HEADER_BYTES: Final = 8
_LOCAL_MIN: Final = (_USABLE - 12) * 32 // 255 - 23
_TABLE_LOCAL_MAX: Final = _USABLE - 35
_INDEX_LOCAL_MAX: Final = (_USABLE - 12) * 64 // 255 - 23
ROW_BYTES_MAX: Final = 2 * 1024 * 1024
"""The largest event and its columns; a longer row is a length that was damaged."""
_WIDTHS: Final = (0, 1, 2, 3, 4, 6, 8)

Value: TypeAlias = int | bytes | None
Row: TypeAlias = tuple[int | None, list[Value]]
"""Row id (None in an index) and columns. No float, no text: our tables have none."""
Overflow: TypeAlias = Callable[[int], bytes | None]
"""Page number -> its bytes, if there are any."""


class _Nonsense(Exception):
    """Bytes that are no row."""


def is_table_leaf(page: bytes, number: int) -> bool:
    """Tell whether this page holds rows of a table."""
    return _kind(page, number) == _TABLE_LEAF


def is_index_leaf(page: bytes, number: int) -> bool:
    """Tell whether this page holds rows of an index."""
    return _kind(page, number) == _INDEX_LEAF


def _kind(page: bytes, number: int) -> int:
    return page[_FILE_HEADER_BYTES if number == 1 else 0]


def rows(page: bytes, number: int, overflow: Overflow) -> Iterator[Row | None]:
    """Yield the rows of a leaf, None for whatever is none. `page` is PAGE_BYTES long."""
    base = _FILE_HEADER_BYTES if number == 1 else 0
    count = int.from_bytes(page[base + 3 : base + 5], "big")
    first = base + _PAGE_HEADER_BYTES
    table = _kind(page, number) == _TABLE_LEAF
    for at in range(first, min(first + 2 * count, _USABLE - 1), 2):
        try:
            yield _row(page, int.from_bytes(page[at : at + 2], "big"), overflow, table=table)
        except (_Nonsense, IndexError):
            yield None


def _row(page: bytes, at: int, overflow: Overflow, *, table: bool) -> Row:
    length, at = _varint(page, at)
    rowid: int | None = None
    if table:
        rowid, at = _varint(page, at)
    if not 0 < length <= ROW_BYTES_MAX:
        raise _Nonsense
    local = _local_bytes(length, _TABLE_LOCAL_MAX if table else _INDEX_LOCAL_MAX)
    data = page[at : at + local]
    if at + local > _USABLE:
        raise _Nonsense
    if local < length:
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        data += _spilled(following, length - local, overflow)
    return rowid, _columns(data)


def _local_bytes(length: int, local_max: int) -> int:
    if length <= local_max:
        return length
    some = _LOCAL_MIN + (length - _LOCAL_MIN) % (_USABLE - 4)
    return some if some <= local_max else _LOCAL_MIN


def _spilled(number: int, length: int, overflow: Overflow) -> bytes:
    parts = []
    while length > 0:
        page = overflow(number) if number else None
        if page is None:
            raise _Nonsense
        parts.append(page[4 : min(_USABLE, 4 + length)])
        length -= len(parts[-1])
        number = int.from_bytes(page[:4], "big")
    return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """One to nine bytes, big-endian, seven bits each and the ninth whole."""
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def _columns(data: bytes) -> list[Value]:
    header, at = _varint(data, 0)
    if not 0 < header <= len(data):
        raise _Nonsense
    kinds = []
    while at < header:
        kind, at = _varint(data, at)
        kinds.append(kind)
    found: list[Value] = []
    for kind in kinds:
        value, at = _value(kind, data, at)
        found.append(value)
    if at != len(data):
        raise _Nonsense
    return found


def _value(kind: int, data: bytes, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if 0 < kind < len(_WIDTHS):
        end = at + _WIDTHS[kind]
        value: Value = int.from_bytes(data[at:end], "big", signed=True)
    elif kind >= 12:
        end = at + (kind - 12) // 2
        value = data[at:end]
    else:
        raise _Nonsense
    if end > len(data):
        raise _Nonsense
    return value, end
