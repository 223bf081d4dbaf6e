"""`views.db`: what can be computed again from the ledger, kept for speed: search, ids, snapshots.

Durability class: rebuildable. A missing, damaged or foreign file is deleted and filled from the
ledger. The cursor moves in the transaction of the rows it covers, so a crash costs nothing.

Erased words are found no more as soon as `catch_up` has met the redaction. Their bytes are gone
after `purge`, and a mark beside the file says that one is owed. Deleting rows is not enough, not
with FTS5's secure-delete and secure_delete pages: the index keeps the beginnings of words that
divided its pages, and a page whose rows were moved elsewhere keeps them where no row is. So the
index is made anew, the file rewritten, and its log emptied.

Its schema is never migrated: another one is thrown away and computed again. So it is when this
version reads other types than the one that filled it: the words of an opaque event are not taken
in, since nobody here knows what they are.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from ledger.core.snippet import SCAN_CHARS_MAX, folded_words, snippet
from ledger.core.upcast import UPCASTERS, Upcasters
from ledger.files import clear_mark, read_mark, set_mark
from ledger.log import Log
from ledger.sql import ERASING, check_schema, connect, translated, truncate_wal

APPLICATION_ID: Final = 0x54494D56
SCHEMA_VERSION: Final = 2
"""2: files of version 1 may hold bytes of what was redacted, and are made anew."""
_CHUNK: Final = 2000
"""Events a transaction: a rebuild of 100k events commits fifty times."""
HITS_MAX: Final = 200
"""More rows than a person or a prompt reads."""
_QUERY_CHARS_MAX: Final = 1000
_QUERY_TERMS_MAX: Final = 32
"""Each costs a walk over all its matches; the question is clear by then."""
_SNIPPET_WORDS_MAX: Final = 64

_SCHEMA: Final = """
create table cursor (
    ledger blob not null, size integer not null, reads blob not null
) strict;
create table id (prefix integer not null, position integer not null) strict;
create index id_by_prefix on id (prefix);
create virtual table words using fts5(text, tokenize = "unicode61 remove_diacritics 2");
insert into words (words, rank) values ('secure-delete', 1);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result: where, and the words around the match."""

    position: int
    snippet: str


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


def _fts_query(text: str, joint: str) -> str:
    """Every word once, as a quoted prefix: no user text is FTS5 syntax."""
    terms = text[:_QUERY_CHARS_MAX].replace('"', " ").replace("\0", " ").lower().split()
    return joint.join(f'"{term}"*' for term in list(dict.fromkeys(terms))[:_QUERY_TERMS_MAX])


class Views:
    """Open views of a log. `catch_up` before asking."""

    def __init__(self, path: Path, log: Log, *, upcasters: Upcasters = UPCASTERS) -> None:
        self._path = path
        self._log = log
        self._upcasters = upcasters
        self._mark = path.with_suffix(ERASING)
        self._purging = threading.Lock()
        self._connection = self._open()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Raise our errors. A table that is gone is damage: somebody put another file in place."""
        with translated(str(self._path)):
            try:
                yield
            except apsw.SQLError as error:
                raise StoreDamaged(f"{self._path} is not ours any more: {error}") from error

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
        with suppress(apsw.Error):
            self._connection.close()
        self._delete_files()
        self._connection = self._open()

    def catch_up(self) -> None:
        """Take in every event the ledger has and these views have not.

        During a `purge` nothing is taken in: what is asked meanwhile is answered as of before.
        """
        if self._purging.locked():
            return
        try:
            with self._guarded():
                self._catch_up()
        except StoreDamaged as error:
            if error.position is not None:  # an event of the ledger: no rebuilding helps
                raise
            self._start_anew()
            with self._guarded():
                self._catch_up()

    def _catch_up(self) -> None:
        while self._cursor() < self._log.size:
            # Another process may be filling the same views: look again under the lock.
            self._connection.execute("begin immediate")
            try:
                start = self._cursor()
                self._take_all(start, min(start + _CHUNK, self._log.size))
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("rollback")
                raise

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

    def _take_all(self, start: int, stop: int) -> None:
        """Take in [start, stop), or what can be read of it: then the ledger's error comes next."""
        erased, taken = False, start
        try:
            for event in self._log.events(start, stop):
                erased |= self._take(event)
                taken = event.position + 1
        except LedgerError:
            if taken == start:
                raise
        self._connection.execute("update cursor set size = max(size, ?)", (taken,))
        if erased:  # the mark comes before the commit: what it announces may be done, never not
            set_mark(self._mark, str(taken).encode())

    @property
    def size(self) -> int:
        """Number of events taken in."""
        return self._cursor()

    def _cursor(self) -> int:
        size: int = self._connection.execute("select size from cursor").get
        return size

    def _take(self, event: Event) -> bool:
        self._connection.execute("insert into id values (?,?)", (_prefix(event.id), event.position))
        words = "" if self._upcasters.read(event).standing.opaque else words_of(event)
        if words:
            self._connection.execute(
                "insert into words (rowid, text) values (?,?)", (event.position, words)
            )
        if event.type != types.REDACTED.name:
            return False
        erased = 0
        for target in targets(event):
            self._connection.execute("delete from words where rowid = ?", (target,))
            erased += self._connection.changes()
        return erased > 0

    def search(
        self, text: str, *, limit: int = 20, snippet_tokens: int = 24, any_word: bool = False
    ) -> list[Hit]:
        """Return the best matches of all words (as prefixes), or of any of them, best first."""
        query = _fts_query(text, " OR " if any_word else " ")
        if not query:
            return []
        rows = self._query(
            "select rowid, substr(text, 1, ?) from words where words match ?"
            " order by rank, rowid desc limit ?",
            (SCAN_CHARS_MAX + 1, query, min(limit, HITS_MAX)),
        )
        starts = folded_words(text[:_QUERY_CHARS_MAX])[:_QUERY_TERMS_MAX]
        words = min(snippet_tokens, _SNIPPET_WORDS_MAX)
        return [
            Hit(position=position, snippet=snippet(found, starts, words=words))
            for position, found in rows
        ]

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
        """Release the file."""
        self._connection.close()


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
