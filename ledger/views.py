"""`views.db`: what can be computed again from the ledger, kept for speed: search, ids, snapshots.

Durability class: rebuildable. A missing, damaged or foreign file is deleted and filled from the
ledger. The cursor moves in the transaction of the rows it covers, so a crash costs nothing.

Erased words are found no more as soon as `catch_up` has met the redaction. Their bytes are gone
after `purge`, and a mark beside the file says that one is owed. Deleting rows is not enough, not
with FTS5's secure-delete and secure_delete pages: the index keeps the beginnings of words that
divided its pages, and a page whose rows were moved elsewhere keeps them where no row is. So the
index is made anew, the file rewritten, and its log emptied.

Filling them from a long ledger takes minutes. A node does that in a thread beside its work, with
`fill`; meanwhile search knows of the oldest events only, and `behind` says how many are missing.
What is erased meanwhile is erased at once, ahead of the cursor.

Its schema is never migrated: another one is thrown away and computed again. So it is when this
version reads other types than the one that filled it: the words of an opaque event are not taken
in, since nobody here knows what they are.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from ledger.core import types
from ledger.core.codec import encode
from ledger.core.errors import (
    LedgerError,
    NotFound,
    StoreDamaged,
    StoreError,
    StoreLocked,
    StoreSchema,
)
from ledger.core.event import Event
from ledger.core.redaction import targets
from ledger.core.upcast import UPCASTERS, Upcasters
from ledger.files import clear_mark, read_mark, set_mark
from ledger.log import Log
from ledger.looking import Hit, guarded, look
from ledger.sql import ERASING, check_schema, connect, translated, truncate_wal

APPLICATION_ID: Final = 0x54494D56
SCHEMA_VERSION: Final = 4
"""2: files of version 1 may hold bytes of what was redacted, and are made anew. 4: `stems`."""
RECALLABLE: Final = frozenset({types.MESSAGE_RECEIVED.name, types.MEMORY_NOTED.name})
"""What people said and what was noted. The agent's own answers would only echo."""
_CHUNK: Final = 2000
"""Events a transaction: a rebuild of 100k events commits fifty times."""
NEAR: Final = _CHUNK
"""Events that are taken in while somebody waits, some tenths of a second; more is for `fill`."""
_SCHEMA: Final = """
create table cursor (
    ledger blob not null, size integer not null, reads blob not null
) strict;
create table id (prefix integer not null, position integer not null) strict;
create index id_by_prefix on id (prefix);
create virtual table words using fts5(text, tokenize = "unicode61 remove_diacritics 2");
insert into words (words, rank) values ('secure-delete', 1);
create table recallable (position integer primary key, number integer not null) strict;
create view told as
    select words.rowid as position, words.text as text
    from recallable join words on words.rowid = recallable.position;
create virtual table stems using fts5(
    text, content = told, content_rowid = position,
    tokenize = "porter unicode61 remove_diacritics 2"
);
insert into stems (stems, rank) values ('secure-delete', 1);
create virtual table vocabulary using fts5vocab(words, row);
"""
"""`words` is for people who search, `stems` for the agent that recalls (`ledger.evidence`); the
latter has no texts of its own."""


def words_of(event: Event) -> str:
    """All text of an event's content, joined: what search indexes."""
    return " ".join(texts(event.content)) if event.content is not None else ""


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a decoded value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def _prefix(event_id: bytes) -> int:
    return int.from_bytes(event_id[:8], "big", signed=True)


Progress = Callable[[int, int], None]
"""Told how many events of how many are done."""


class Views:
    """Open views of a log. `catch_up` before asking.

    With `at_most` nobody is kept waiting for more missing events than that: somebody calls `fill`.
    """

    def __init__(
        self,
        path: Path,
        log: Log,
        *,
        upcasters: Upcasters = UPCASTERS,
        at_most: int | None = None,
    ) -> None:
        self._path = path
        self._log = log
        self._upcasters = upcasters
        self._mark = path.with_suffix(ERASING)
        self._purging = threading.Lock()
        self._at_most = at_most
        self._filling = threading.Lock()
        self._closed = False
        self._connection = self._open()

    def _guarded(self) -> AbstractContextManager[None]:
        return guarded(self._path)

    def _open(self) -> apsw.Connection:
        for attempt in ("as it is", "rebuilt"):
            try:
                with self._guarded():
                    return self._prepared()
            except (StoreDamaged, StoreSchema):
                if attempt == "rebuilt":
                    raise
                self._delete_files()
        raise AssertionError("unreachable")

    def _prepared(self) -> apsw.Connection:
        new = not self._path.exists()
        if new:
            self._path.touch(mode=0o600)
        connection = connect(self._path, create=new)
        connection.execute("pragma synchronous=NORMAL")
        if new:
            connection.execute(
                f"begin immediate; pragma application_id={APPLICATION_ID};"
                f"pragma user_version={SCHEMA_VERSION}; {_SCHEMA}"
            )
            connection.execute(
                "insert into cursor values (?, 0, ?)", (self._log.ledger_id, self._reads())
            )
            connection.execute("commit")
        check_schema(connection, str(self._path), APPLICATION_ID, SCHEMA_VERSION)
        ledger, size, reads = connection.execute("select ledger, size, reads from cursor").get
        if ledger != self._log.ledger_id or size > self._log.size or reads != self._reads():
            connection.close()
            raise StoreSchema(f"{self._path} belongs to another ledger, or another version")
        return connection

    def _reads(self) -> bytes:
        """The types that may have words, with the newest schema of each."""
        known = {kind.name: kind.schema for kind in self._upcasters.types.values() if kind.content}
        return encode(known)

    def _delete_files(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        clear_mark(self._mark)

    def rebuild(self) -> None:
        """Throw everything away and compute it again."""
        self._start_anew()
        self.catch_up()

    def _start_anew(self) -> None:
        with self._filling:
            with suppress(apsw.Error):
                self._connection.close()
            self._delete_files()
            self._connection = self._open()

    def catch_up(self, progress: Progress = lambda *_: None) -> None:
        """Take in every event the ledger has and these views have not.

        During a `purge` or a `fill`, or if more are missing than `at_most`, nothing is taken in:
        what is asked meanwhile is answered as of before.
        """
        if self._purging.locked() or self._filling.locked():
            return
        try:
            with self._guarded():
                self._catch_up(progress)
        except StoreDamaged as error:
            if error.position is not None:  # an event of the ledger: no rebuilding helps
                raise
            self._start_anew()
            with self._guarded():
                self._catch_up(progress)

    def _catch_up(self, progress: Progress) -> None:
        if self._at_most is not None and self.behind > self._at_most:
            return
        while (done := self._cursor()) < self._log.size:
            progress(done, self._log.size)
            self._chunk(self._connection)

    @property
    def behind(self) -> int:
        """How many events of the log are not taken in yet."""
        return max(0, self._log.size - self.size)

    def fill(self) -> bool:
        """Take in a chunk of what is missing; False if nothing is, or a `purge` is in the way.

        For a thread beside those that search. Raises what `catch_up` does, and mends nothing.
        """
        with self._filling:
            if self._closed or self._purging.locked():
                return False
            with self._guarded():
                connection = connect(self._path)
                try:
                    connection.execute("pragma synchronous=NORMAL")
                    return self._chunk(connection)
                finally:
                    connection.close()

    def _chunk(self, connection: apsw.Connection) -> bool:
        """Take in at most `_CHUNK` events; tell whether there were any."""
        # Another process may be filling the same views: look under the lock.
        connection.execute("begin immediate")
        try:
            start = _cursor(connection)
            stop = min(start + _CHUNK, self._log.size)
            if start < stop:
                self._take_all(connection, start, stop)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:  # a full disk has rolled back already
                connection.execute("rollback")
            raise
        return start < stop

    def erase(self, positions: Iterable[int]) -> None:
        """Take the words of these events out now: the cursor may be far from their redaction.

        A `purge` is owed then. Raises StoreFull, StoreDamaged, StoreLocked or StoreError.
        """
        with self._filling, self._guarded():
            self._connection.execute("begin immediate")
            try:
                if self._delete(self._connection, positions):
                    set_mark(self._mark, b"erased %d" % self._log.size)
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def _delete(self, connection: apsw.Connection, positions: Iterable[int]) -> bool:
        erased = 0
        for position in positions:
            connection.execute(
                "insert into stems (stems, rowid, text)"
                " select 'delete', position, text from told where position = ?",
                (position,),
            )
            connection.execute("delete from recallable where position = ?", (position,))
            connection.execute("delete from words where rowid = ?", (position,))
            erased += connection.changes()
        return erased > 0

    @property
    def erasing(self) -> bool:
        """Whether bytes of erased words may be left in the file: a `purge` is owed."""
        return self._mark.exists()

    def purge(self) -> bool:
        """Leave no byte of erased words; False if somebody is in the way: ask again later.

        Takes as long as indexing all words. May run in a thread beside one that searches. Raises
        StoreFull, StoreDamaged or StoreError.
        """
        if not self.erasing:
            return True
        with self._purging, suppress(StoreLocked), translated(str(self._path)):
            return self._write_anew()
        return False

    def _write_anew(self) -> bool:
        connection = connect(self._path)
        try:
            token = read_mark(self._mark)
            connection.execute("pragma synchronous=NORMAL")
            connection.execute("insert into words (words) values ('rebuild')")
            connection.execute(
                "begin immediate; insert into stems (stems) values ('delete-all');"
                "insert into stems (rowid, text) select position, text from told; commit"
            )
            connection.execute("vacuum")
            if not truncate_wal(connection):
                return False
            connection.execute("begin immediate")  # nobody erases between the look and the removal
            if read_mark(self._mark) == token:
                clear_mark(self._mark)
            connection.execute("rollback")
        except OSError as error:
            raise StoreError(f"{self._mark}: {error.strerror}", hint="run: timmy doctor") from error
        finally:
            connection.close()
        return not self.erasing

    def _take_all(self, connection: apsw.Connection, start: int, stop: int) -> None:
        """Take in [start, stop), or what can be read of it: then the ledger's error comes next."""
        erased, taken = False, start
        try:
            for event in self._log.events(start, stop):
                erased |= self._take(connection, event)
                taken = event.position + 1
        except LedgerError:
            if taken == start:
                raise
        connection.execute("update cursor set size = max(size, ?)", (taken,))
        if erased:  # the mark comes before the commit: what it announces may be done, never not
            set_mark(self._mark, str(taken).encode())

    @property
    def size(self) -> int:
        """Number of events taken in. Raises StoreDamaged."""
        with self._guarded():
            return self._cursor()

    def _cursor(self) -> int:
        return _cursor(self._connection)

    def _take(self, connection: apsw.Connection, event: Event) -> bool:
        connection.execute("insert into id values (?,?)", (_prefix(event.id), event.position))
        words = "" if self._upcasters.read(event).standing.opaque else words_of(event)
        if words:
            connection.execute(
                "insert into words (rowid, text) values (?,?)", (event.position, words)
            )
        if words and event.type in RECALLABLE:
            connection.execute(
                "insert into recallable select ?, coalesce(max(number), 0) + 1"
                " from (select number from recallable order by position desc limit 1)",
                (event.position,),
            )
            connection.execute(
                "insert into stems (rowid, text) values (?,?)", (event.position, words)
            )
        if event.type != types.REDACTED.name:
            return False
        return self._delete(connection, targets(event))

    def search(self, text: str, *, limit: int = 20, snippet_tokens: int = 24) -> list[Hit]:
        """Return the best matches of all words (as prefixes), best first."""
        ask = partial(look, self._path, text, limit=limit, snippet_tokens=snippet_tokens)
        try:
            found = ask()
        except StoreDamaged:
            self.rebuild()
            found = ask()
        return [hit for hit in found if not self._erased(hit.position)]

    def _erased(self, position: int) -> bool:
        """Whether the ledger has erased what these views still know: they may be behind."""
        try:
            return self._log.read(position).redacted
        except StoreDamaged:
            return False  # whoever reads it is told

    def _query(self, sql: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run a query; on damage compute everything again and run it once more."""
        try:
            with self._guarded():
                return list(self._connection.execute(sql, arguments))
        except StoreDamaged:
            self.rebuild()
            with self._guarded():
                return list(self._connection.execute(sql, arguments))

    def resolve(self, reference: str) -> Event:
        """Return the event named by a position or by (the start of) an id in hex.

        Raises NotFound, also for a start of fewer than 8 digits or one that fits several ids.
        """
        if reference.isascii() and reference.isdigit() and len(reference) < 16:
            return self._log.read(int(reference))
        found = [event for event in self._candidates(reference) if _starts(event, reference)]
        if len(found) > 1:
            raise NotFound(f"{reference} fits {len(found)} events", hint="give more digits")
        if not found:
            raise NotFound(
                f"there is no event {reference}", hint="name it by position or by its id in hex"
            )
        return found[0]

    def _candidates(self, reference: str) -> Iterator[Event]:
        try:
            low = bytes.fromhex(reference[:16].ljust(16, "0"))
            high = bytes.fromhex(reference[:16].ljust(16, "f"))
        except ValueError:
            return
        if len(reference) < 8:
            return
        rows = self._query(
            "select position from id where prefix between ? and ? limit 16",
            (_prefix(low), _prefix(high)),
        )
        for (position,) in rows:
            with suppress(StoreDamaged):
                yield self._log.read(position)

    def close(self) -> None:
        """Release the file, when a chunk that is being taken in is done."""
        with self._filling:
            self._closed = True
            self._connection.close()


def _cursor(connection: apsw.Connection) -> int:
    size: int = connection.execute("select size from cursor").get
    return size


def taken(path: Path) -> int:
    """Return how many events the views at `path` have taken in: 0 if they are not there.

    Changes nothing there. Raises StoreError.
    """
    if not path.exists():
        return 0
    with translated(str(path)):
        connection = connect(path, read_only=True)
        try:
            return int(connection.execute("select size from cursor").get)
        finally:
            connection.close()


def _starts(event: Event, reference: str) -> bool:
    return event.id.hex().startswith(reference.lower())
