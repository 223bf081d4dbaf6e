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
from ledger.core.event import Envelope, Record
from ledger.files import clear_mark, set_mark
from ledger.migrations import Free, History, free_bytes, migrate
from ledger.sql import ERASING, check_log, connect, translated, truncate_wal
from ledger.store import Batch
from ledger.whole import count_events, cut_short, newest_is_false, touch

APPLICATION_ID: Final = 0x54494D59
SCHEMA_VERSION: Final = 1
_CHUNK: Final = 1000
"""Rows read in one go: a reader that stops half-way must not hold back the WAL for long."""

_INSERT: Final = (
    "insert into event (stream, sequence, position, envelope, salt, payload, content_salt, content)"
    " values (?,?,?,?,?,?,?,?)"
)
_SCHEMA: Final = """
create table stream (
    number integer primary key, id blob not null unique check (length(id) = 16)
) strict;
create table event (
    position integer primary key,
    stream integer not null references stream (number),
    sequence integer not null,
    envelope blob not null,
    salt blob not null,
    payload blob not null,
    content_salt blob,
    content blob
) strict;
create unique index event_by_stream on event (stream, sequence);
create table idempotency (
    key blob primary key, position integer not null
) strict, without rowid;
create table tile (
    level integer not null, number integer not null, root blob not null, hashes blob not null
) strict;
create unique index tile_by_number on tile (level, number, root);
create trigger event_stays before delete on event
    begin select raise(abort, 'events are never deleted'); end;
create trigger event_same before update on event
    when old.position is not new.position or old.stream is not new.stream
        or old.sequence is not new.sequence or old.envelope is not new.envelope
        or old.salt is not new.salt or old.payload is not new.payload
        or new.content is not null or new.content_salt is not null
    begin select raise(abort, 'events never change; content can only be erased'); end;
create trigger tile_stays before delete on tile
    begin select raise(abort, 'tiles are never deleted'); end;
create trigger tile_same before update on tile
    begin select raise(abort, 'tiles never change'); end;
create trigger stream_stays before delete on stream
    begin select raise(abort, 'streams are never deleted'); end;
create trigger stream_same before update on stream
    begin select raise(abort, 'streams never change'); end;
create trigger key_stays before delete on idempotency
    begin select raise(abort, 'idempotency keys are never deleted'); end;
create trigger key_same before update on idempotency
    begin select raise(abort, 'idempotency keys never change'); end;
"""
_HASH_BYTES: Final = 32

HISTORY: Final = History(
    application=APPLICATION_ID,
    version=SCHEMA_VERSION,
    steps={},
    kept={
        1: {
            "events": "select position, envelope, salt, payload, content_salt, content"
            " from event order by position",
            "streams": "select position, id, sequence from event"
            " join stream on number = stream order by position",
            "keys": "select key, position from idempotency order by key",
            "tiles": "select level, number, root, hashes from tile order by level, number, root",
        }
    },
)
"""Every released schema of `ledger.db`; a file of each is in tests/vectors/stores."""


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


class SqliteStore:
    """`Store` on SQLite. Make one with `create`, `open` or `open_read_only`."""

    def __init__(self, path: Path, writer: apsw.Connection | None, lock: int | None) -> None:
        self._path = path
        self._writer = writer
        self._lock = lock
        self._readers = threading.local()
        self._all_readers: list[apsw.Connection] = []
        self._streams: dict[bytes, tuple[int, int]] = {}
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
        with translated(str(path)):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            writer = connect(path, create=True)
            writer.execute("pragma synchronous=FULL")
            writer.execute(
                f"begin immediate; pragma application_id={APPLICATION_ID};"
                f"pragma user_version={SCHEMA_VERSION}; {_SCHEMA} commit"
            )
        return cls(path, writer, lock)

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
        streams = dict(self._streams)
        if batch.erase:
            self._mark_erasing()
        with translated(self._name):
            writer.execute("begin immediate")
            try:
                self._write(writer, batch, streams)
                writer.execute("commit")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("rollback")
                raise
        self._streams = streams if len(streams) < _STREAMS_CACHED_MAX else {}
        self._size += len(batch.events)

    def _write(
        self, writer: apsw.Connection, batch: Batch, streams: dict[bytes, tuple[int, int]]
    ) -> None:
        rows, keys = [], []
        for record, envelope in batch.events:
            number, length = self._stream(writer, envelope, streams)
            streams[envelope.stream] = (number, length + 1)
            rows.append((number, envelope.stream_sequence, *record))
            if envelope.idempotency_key is not None:
                keys.append((envelope.idempotency_key, record.position))
        writer.executemany(_INSERT, rows)
        writer.executemany("insert into idempotency values (?,?)", keys)
        writer.executemany(
            "insert into tile values (?,?,?,?)",
            [(tile.level, tile.index, tile.root, tile.hashes) for tile in batch.tiles],
        )
        writer.executemany(
            "update event set content = null, content_salt = null where position = ?",
            [(position,) for position in batch.erase],
        )

    def _stream(
        self, writer: apsw.Connection, envelope: Envelope, streams: dict[bytes, tuple[int, int]]
    ) -> tuple[int, int]:
        known = streams.get(envelope.stream)
        if known is not None:
            return known
        row = writer.execute("select number from stream where id = ?", (envelope.stream,)).get
        if row is None:
            writer.execute("insert into stream (id) values (?)", (envelope.stream,))
            row = writer.last_insert_rowid()
        return int(row), envelope.stream_sequence

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
