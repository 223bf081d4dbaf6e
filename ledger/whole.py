"""Is a database whole at first sight: what opening must notice before anything is believed.

A page that is cut off in its middle reads as zeros behind the cut: SQLite fills it up, and cksumvfs
checks no page that it did not get whole. So the length of the file is compared with what SQLite
counts. A page of zeros passes its checksum, which is zero as well; as a node of a b-tree SQLite
refuses it, so the first and last leaf of each tree are visited once. Cost: about twenty pages,
whatever the size; `timmy verify` reads the rest. Not covered: zeros in the last page of a long
value, which its reader must see (`SqliteStore.tile`, the commitments of an event).
"""

import contextlib
import fcntl
import os
import struct
from pathlib import Path
from typing import Any, Final

import apsw

from ledger.core.tiles import TILE_WIDTH

PAGE_BYTES: Final = 8192
_TREES: Final = (
    ("stream", "number"),
    ("stream", "id"),
    ("event indexed by event_by_stream", "stream, sequence"),
    ("idempotency", "key"),
    ("tile", "rowid"),
    ("tile indexed by tile_by_number", "level, number, root"),
)
"""Every b-tree, as a table (or its index) and the columns of its order. The log reads `event`."""
_WAL_HEADER: Final = struct.Struct(">8I")
_WAL_FRAME: Final = struct.Struct(">6I")


def cut_short(connection: apsw.Connection, path: Path) -> str | None:
    """Say how much of the file is missing; None if every page is in it or in its log.

    Looks under a read lock, so that a running writer moves no page meanwhile.
    """
    if connection.in_transaction:
        return None
    connection.execute("begin")
    try:
        connection.execute("select count(*) from (select 1 from sqlite_schema limit 1)").get  # noqa: B018 - takes the lock
        pages = int(connection.pragma("page_count"))
        size = path.stat().st_size
        missing = set(range(size // PAGE_BYTES + 1, pages + 1))
        if missing and not missing <= _logged(path):
            return f"{path} is cut short: {size} bytes of {pages * PAGE_BYTES}"
    finally:
        connection.execute("rollback")
    return None


def is_written(path: Path) -> bool:
    """Tell whether a node holds the writer's lock of this database. Makes nothing."""
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _logged(path: Path) -> set[int]:
    """Return the numbers of pages that the write-ahead log holds."""
    found: set[int] = set()
    try:
        with path.with_name(f"{path.name}-wal").open("rb") as file:
            header = file.read(_WAL_HEADER.size)
            if len(header) < _WAL_HEADER.size:
                return found
            salts = _WAL_HEADER.unpack(header)[4:6]
            while len(frame := file.read(_WAL_FRAME.size)) == _WAL_FRAME.size:
                page, _, *rest = _WAL_FRAME.unpack(frame)
                if tuple(rest[:2]) != salts:
                    break
                found.add(page)
                file.seek(PAGE_BYTES, 1)
    except FileNotFoundError:
        return found
    return found


def touch(connection: apsw.Connection) -> None:
    """Read the first and the last leaf of each b-tree of `ledger.db`.

    Raises apsw.CorruptError or apsw.IOError for a page that is no node of a tree.
    """
    for table, columns in _TREES:
        for order in ("asc", "desc"):
            by = ", ".join(f"{column} {order}" for column in columns.split(", "))
            connection.execute(f"select {columns} from {table} order by {by} limit 1").fetchall()  # noqa: S608 - our own names


def newest_is_false(connection: apsw.Connection, path: Path) -> str | None:
    """Compare the newest event with the tiles before it, and with the index."""
    row = connection.execute(
        "select position, stream, sequence from event order by position desc limit 1"
    ).fetchall()
    newest: Any = row[0][0] if row else -1
    tiled = _by_tiles(connection)
    if newest + 1 < tiled:
        return f"{path} ends at event {newest}, its tiles are over {tiled} events"
    if row:
        listed = connection.execute(
            "select position from event indexed by event_by_stream"
            " where stream = ? and sequence = ?",
            row[0][1:],
        ).get
        if listed != newest:
            return f"{path} ends at event {newest}, which its index does not list"
    return None


def count_events(connection: apsw.Connection, *, every_way: bool) -> int:
    """Count events by the table; by index and tiles too if they may know more.

    A damaged page of the table's end is no reason not to know: then the index is asked.
    """
    if not every_way:
        with contextlib.suppress(apsw.CorruptError, apsw.IOError):
            return _by_table(connection)
        return _by_index(connection)
    counts = [0]
    for count in (_by_table, _by_index, _by_tiles):
        with contextlib.suppress(apsw.CorruptError, apsw.IOError):
            counts.append(count(connection))
    return max(counts)


def _by_table(connection: apsw.Connection) -> int:
    newest: Any = connection.execute("select max(position) from event").get
    return 0 if newest is None else int(newest) + 1


def _by_index(connection: apsw.Connection) -> int:
    by_index = "select max(position) from event indexed by event_by_stream"
    newest: Any = connection.execute(by_index).get
    return 0 if newest is None else int(newest) + 1


def _by_tiles(connection: apsw.Connection) -> int:
    """How many events the full tiles cover."""
    last: Any = connection.execute("select max(number) from tile where level = 0").get
    return 0 if last is None else (int(last) + 1) * TILE_WIDTH
