"""The ledger in one SQLite file: `ledger.db`, durable, append-only by trigger.

WAL with synchronous FULL: one fdatasync a commit, whatever the batch. No index on a random id is in
the way of an append except that of the few events that carry an idempotency key. Streams have a
small number each, so that the index by (stream, sequence) grows nearly in order.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from ledger.core.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreOld
from ledger.core.event import Record
from ledger.files import clear_mark, set_mark
from ledger.migrations import Free, History, free_bytes, migrate
from ledger.room import Room
from ledger.schema import APPLICATION_ID, HISTORY, SCHEMA, SCHEMA_VERSION
from ledger.sql import ERASING, check_log, connect, translated, truncate_wal
from ledger.store import Batch
from ledger.whole import count_events, cut_short, newest_is_false, touch

_CHUNK: Final = 1000
"""Rows read in one go: a reader that stops half-way must not hold back the WAL for long."""
_SMALL_EVENTS: Final = 16
"""In a commit of more, syncing the file's new size is a small part of the cost of an event."""

_INSERT: Final = (
    "insert into event (stream, sequence, position, envelope, salt, payload, content_salt, content)"
    " values (?,?,?,?,?,?,?,?)"
)
_HASH_BYTES: Final = 32


def _lock(path: Path) -> int:
    """Take the one writer's lock beside the database. Raises StoreLocked."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreLocked(
            f"another node is the writer of {path.parent}",
            hint="talk to the running node, or stop it first",
        ) from error
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every writer out while the file is changed as a whole. Raises StoreLocked."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _new(path: Path) -> apsw.Connection:
    """Make the file and its schema, or nothing; return the writer's connection."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        writer = connect(path, create=True)
        writer.execute("pragma synchronous=FULL")
        writer.execute(
            f"begin immediate; pragma application_id={APPLICATION_ID};"
            f"pragma user_version={SCHEMA_VERSION}; {SCHEMA} commit"
        )
    except BaseException:
        for suffix in ("", "-wal", "-shm"):  # half a ledger would be in the next one's way
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        raise
    return writer


class SqliteStore:
    """`Store` on SQLite. Make one with `create`, `open` or `open_read_only`."""

    def __init__(self, path: Path, writer: apsw.Connection | None, lock: int | None) -> None:
        self._path = path
        self._writer = writer
        self._lock = lock
        self._readers = threading.local()
        self._all_readers: list[apsw.Connection] = []
        self._streams: dict[bytes, tuple[int, int]] = {}
        self._room = Room(path)
        self._size = 0
        self.damage: StoreDamaged | None = None
        """What opening noticed. A reader goes on with what is left; there is no writer then."""
        self._notice()
        if writer is not None:
            self.require_whole()
            with translated(self._name):
                touch(self._reader())
                self._size = self._count()

    @property
    def _name(self) -> str:
        return str(self._path)

    @classmethod
    def create(cls, path: Path) -> "SqliteStore":
        """Make a new, empty ledger. Raises StoreError if the file is there."""
        if path.exists():
            raise StoreError(f"{path} is already there")
        lock = _lock(path)
        try:
            with translated(str(path)):
                return cls(path, _new(path), lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(
        cls, path: Path, *, history: History = HISTORY, free: Free = free_bytes
    ) -> "SqliteStore":
        """Open as the one writer; a ledger of an older version is brought forward.

        Raises StoreSchema, StoreFull (for bringing it forward), StoreLocked, StoreDamaged.
        """
        if _look(path, history):  # a database that is not ours, or damaged, is not even touched
            seen = cls(path, None, None)
            seen.close()
            seen.require_whole()
        lock = _lock(path)
        try:
            check_log(path)  # SQLite would take a damaged log for one that ends there
            with translated(str(path)):
                writer = connect(path)
                writer.execute("pragma synchronous=FULL")
            if migrate(writer, path, history, free=free):
                with translated(str(path)):
                    truncate_wal(writer)  # no old page outlives the step
            return cls(path, writer, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open_read_only(cls, path: Path, *, history: History = HISTORY) -> "SqliteStore":
        """Open beside a running writer, or without one. Changes nothing, so refuses an old one."""
        if not _look(path, history):
            raise StoreOld(
                f"{path} is of an older version of timmy, and was opened for reading only",
                hint="start the node first, it brings the ledger forward: timmy run",
            )
        return cls(path, None, None)

    def _reader(self) -> apsw.Connection:
        found: apsw.Connection | None = getattr(self._readers, "connection", None)
        if found is None:
            found = connect(self._path, read_only=True)
            self._readers.connection = found
            self._all_readers.append(found)
        return found

    def _notice(self) -> None:
        """Note damage that reads would not: a file cut short, a newest event that cannot be it."""
        with translated(self._name):
            try:
                found = cut_short(self._reader(), self._path) or newest_is_false(
                    self._reader(), self._path
                )
            except (apsw.CorruptError, apsw.IOError):
                return  # whoever reads those pages is told: what is whole stays readable
        if found is not None:
            self.damage = StoreDamaged(found)
            with translated(self._name):
                known = self._count()
            self.damage = StoreDamaged(f"{found}; it held at least {known} events")

    def require_whole(self) -> None:
        """Raise what opening noticed: nothing is appended to what is left of a ledger."""
        if self.damage is not None:
            raise StoreDamaged(
                str(self.damage),
                hint="restore the newest backup or export, or first save what is whole: "
                "timmy doctor --salvage -o FILE",
            )

    def _count(self) -> int:
        return count_events(self._reader(), every_way=self.damage is not None)

    @property
    def size(self) -> int:
        """Number of events stored."""
        if self._writer is None:
            with translated(self._name):
                return self._count()
        return self._size

    def append(self, batch: Batch) -> None:
        """See Store.append."""
        writer = self._writer
        if writer is None:
            raise StoreError(f"{self._path} was opened for reading")
        if batch.erase:
            self._mark_erasing()
        with translated(self._name):
            writer.execute("begin immediate")
            try:
                streams = self._write(writer, batch)
                writer.execute("commit")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("rollback")
                raise
        if len(self._streams) + len(streams) > _STREAMS_CACHED_MAX:
            self._streams.clear()
        self._streams.update(streams)
        self._size += len(batch.events)
        if len(batch.events) < _SMALL_EVENTS:
            self._room.keep()

    def _write(self, writer: apsw.Connection, batch: Batch) -> dict[bytes, tuple[int, int]]:
        """Insert all of it; return number and length of each stream that grew."""
        newest = {envelope.stream: envelope for _, envelope in batch.events}
        numbers = {stream: self._number(writer, stream) for stream in newest}
        rows = [(numbers[of.stream], of.stream_sequence, *record) for record, of in batch.events]
        keys = [
            (of.idempotency_key, record.position)
            for record, of in batch.events
            if of.idempotency_key is not None
        ]
        writer.executemany(_INSERT, rows)
        if keys:
            writer.executemany("insert into idempotency values (?,?)", keys)
        if batch.tiles:
            writer.executemany(
                "insert into tile values (?,?,?,?)",
                [(tile.level, tile.index, tile.root, tile.hashes) for tile in batch.tiles],
            )
        if batch.erase:
            writer.executemany(
                "update event set content = null, content_salt = null where position = ?",
                [(position,) for position in batch.erase],
            )
        return {
            stream: (numbers[stream], envelope.stream_sequence + 1)
            for stream, envelope in newest.items()
        }

    def _number(self, writer: apsw.Connection, stream: bytes) -> int:
        known = self._streams.get(stream)
        if known is not None:
            return known[0]
        row = writer.execute("select number from stream where id = ?", (stream,)).get
        if row is None:
            writer.execute("insert into stream (id) values (?)", (stream,))
            row = writer.last_insert_rowid()
        return int(row)

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """See Store.records."""
        while start < stop:
            end = min(stop, start + _CHUNK)
            try:
                rows = self._rows(start, end)
            except StoreDamaged:  # go on one by one, up to the event that it is
                end = start + 1
                rows = self._row(start)
            yield from map(Record._make, rows)
            start = end

    def _rows(self, start: int, stop: int) -> list[tuple[Any, ...]]:
        with translated(self._name):
            return list(
                self._reader().execute(
                    "select position, envelope, salt, payload, content_salt, content"
                    " from event where position >= ? and position < ? order by position",
                    (start, stop),
                )
            )

    def _row(self, position: int) -> list[tuple[Any, ...]]:
        try:
            with translated(self._name):
                return list(
                    self._reader().execute(
                        "select position, envelope, salt, payload, content_salt, content"
                        " from event where position = ?",
                        (position,),
                    )
                )
        except StoreDamaged as error:
            raise StoreDamaged(
                f"event {position} cannot be read: {error}", position=position, hint=error.hint
            ) from error

    def position_of(self, idempotency_key: bytes) -> int | None:
        """See Store.position_of."""
        found: int | None = self._one(
            "select position from idempotency where key = ?", idempotency_key
        )
        return found

    def _one(self, query: str, *arguments: object) -> Any:
        with translated(self._name):
            return self._reader().execute(query, arguments).get

    def stream_length(self, stream: bytes) -> int:
        """See Store.stream_length."""
        known = self._streams.get(stream)
        if known is not None:
            return known[1]
        newest = self._one(
            "select max(sequence) from event where stream = (select number from stream"
            " where id = ?)",
            stream,
        )
        return 0 if newest is None else int(newest) + 1

    def stream_positions(self, stream: bytes, start: int, stop: int) -> list[int]:
        """See Store.stream_positions."""
        with translated(self._name):
            rows = self._reader().execute(
                "select position from event where stream = (select number from stream where id = ?)"
                " and sequence >= ? and sequence < ? order by sequence",
                (stream, start, stop),
            )
            return [row[0] for row in rows]

    def tile(self, level: int, index: int) -> bytes:
        """See Store.tile."""
        found = self._one("select hashes from tile where level = ? and number = ?", level, index)
        if not isinstance(found, bytes):
            raise StoreDamaged(f"tile {index} of level {level} is missing from {self._path}")
        if bytes(_HASH_BYTES) in found:  # a page of zeros passes its checksum
            raise StoreDamaged(f"tile {index} of level {level} holds zeros in {self._path}")
        return found

    def tile_roots(self, level: int, start: int) -> list[bytes]:
        """See Store.tile_roots."""
        with translated(self._name):
            rows = self._reader().execute(
                "select root from tile where level = ? and number >= ? order by number",
                (level, start),
            )
            return [row[0] for row in rows]

    def check(self) -> None:
        """Read every page in use and each index. Raises StoreDamaged with what SQLite found."""
        self.require_whole()
        with translated(self._name):
            found = [row[0] for row in self._reader().execute("pragma integrity_check(8)")]
            if found != ["ok"]:
                raise StoreDamaged(f"{self._path} is damaged: {'; '.join(found)}")

    def places(self, stop: int) -> Iterator[tuple[int, bytes, int]]:
        """Yield position, stream id and sequence by which events below `stop` are looked up."""
        for start in range(0, stop, _CHUNK):
            with translated(self._name):
                rows = list(
                    self._reader().execute(
                        "select position, coalesce(id, x''), sequence from event"
                        " left join stream on number = stream"
                        " where position >= ? and position < ? order by position",
                        (start, min(stop, start + _CHUNK)),
                    )
                )
            yield from rows

    def key_count(self, stop: int) -> int:
        """Number of idempotency keys that lead to events below `stop`."""
        query = "select count(*) from idempotency where position < ?"
        return int(self._one(query, stop))

    def scrub(self) -> bool:
        """See Store.scrub."""
        if self._writer is None:
            return True
        with translated(self._name):
            if not truncate_wal(self._writer):
                return False
        with self._files_refused():
            clear_mark(self._mark)
        return True

    @property
    def erasing(self) -> bool:
        """See Store.erasing."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self._path.with_suffix(ERASING)

    def _mark_erasing(self) -> None:
        """Note, before content goes, that its bytes may be left in the log until `scrub`."""
        with self._files_refused():
            set_mark(self._mark)

    @contextmanager
    def _files_refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = StoreFull if error.errno == errno.ENOSPC else StoreError
            raise kind(f"{self._mark}: {error.strerror}", hint="run: timmy doctor") from error

    def close(self) -> None:
        """Close every connection and give the writer's lock back."""
        for reader in self._all_readers:
            reader.close()
        self._all_readers.clear()
        self._readers = threading.local()
        self._room.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_STREAMS_CACHED_MAX: Final = 10_000
"""About 2 MiB. Past it the cache starts anew: a stream is one index look-up away."""


def first_unreadable(path: Path) -> int | None:
    """Return the first event that a damaged database no longer gives; None if it gives them all."""
    following = 0
    connection = connect(path, read_only=True)
    try:
        connection.execute("pragma writable_schema=on")  # or SQLite reads nothing of a cut file
        for position, *_ in connection.execute("select * from event order by position"):
            if position != following:
                break
            following += 1
        else:
            return None
    except (apsw.Error, UnicodeDecodeError):
        return following
    finally:
        connection.close()
    return following


def _look(path: Path, history: History) -> bool:
    """Tell whether the ledger is of today's version. Raises what `History.check` does."""
    _require_file(path)
    with translated(str(path)):
        reader = connect(path, read_only=True)
        try:
            return history.check(reader, str(path))
        finally:
            reader.close()


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise StoreError(f"there is no ledger at {path}", hint="be born first: timmy init")
