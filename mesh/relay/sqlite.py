"""The relay's store in SQLite (`relay.db`, a cache that can be rebuilt).

One row per event with its JSON as sent, one row per indexed tag value. WAL with synchronous FULL:
what was answered with OK outlives a power cut, and what came together shares one sync.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from mesh.core import limits
from mesh.core.errors import StoreError, TooMuchToRead
from mesh.core.negentropy import Item
from mesh.core.nip01 import VerifiedEvent, is_indexed
from mesh.core.relay import kinds
from mesh.core.relay.deletion import NONE_KEPT
from mesh.core.relay.filter import Filter
from mesh.core.relay.privacy import PRIVATE_KINDS
from mesh.database import erase, errors_as_ours, open_database, transaction
from mesh.relay.sqlite_requests import carry_out, is_asked_away, notes, remove, take_up_requests
from mesh.relay.store import NOBODY, Found, Outcome, Row, cut_to_bytes

_VERSION: Final = 3
"""2: requests to delete and to vanish are carried out. 3: what was withdrawn stays away."""
_WITHDRAWN: Final = "CREATE TABLE withdrawn (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"
_SCHEMA: Final = f"""
CREATE TABLE event (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    pubkey     BLOB NOT NULL,
    kind       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    d          TEXT,     -- address within (kind, pubkey); null for regular events
    expires    INTEGER,  -- NIP-40
    json       TEXT NOT NULL
) STRICT;
CREATE INDEX event_time ON event (created_at DESC, id);
CREATE INDEX event_kind ON event (kind, created_at DESC, id);
CREATE INDEX event_author ON event (pubkey, kind, created_at DESC, id);
CREATE UNIQUE INDEX event_address ON event (kind, pubkey, d) WHERE d IS NOT NULL;
CREATE INDEX event_expires ON event (expires) WHERE expires IS NOT NULL;
CREATE TABLE tag (
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    seq   INTEGER NOT NULL REFERENCES event (seq),
    PRIMARY KEY (name, value, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_event ON tag (seq);
{_WITHDRAWN}
"""

_NEWEST_FIRST: Final = "ORDER BY created_at DESC, id"

_STEPS_AT_ONCE: Final = 10_000
"""Between two looks at how far a query has come: half a millisecond."""

_Value: TypeAlias = str | int | bytes

_Ranked: TypeAlias = tuple[int, bytes, str]
"""Negated created_at, id, JSON: sorts in the order of NIP-01."""


class SqliteEventStore:
    """EventStore (mesh/relay/store.py) on one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        events_max: int = limits.STORE_EVENTS_MAX,
        steps_max: int = limits.QUERY_STEPS_MAX,
        kept_kinds: frozenset[int] = NONE_KEPT,
    ) -> None:
        self._path = path
        self._events_max = events_max
        self._steps_max = steps_max
        self._kept_kinds = kept_kinds
        self._db = open_database(
            path,
            schema=_SCHEMA,
            version=_VERSION,
            synchronous="FULL",
            steps={1: partial(take_up_requests, kept_kinds=kept_kinds), 2: _withdraws},
        )
        with errors_as_ours(path):
            self._count = int(self._db.execute("SELECT count(*) FROM event").get)

    def add(self, events: Sequence[VerifiedEvent], *, now: int) -> list[Outcome]:
        """Store events and say what became of each."""
        before = self._count
        try:
            with transaction(self._db, self._path):
                return [self._add(event, now) for event in events]
        except BaseException:
            self._count = before  # rolled back
            raise

    def _add(self, event: VerifiedEvent, now: int) -> Outcome:
        if kinds.is_expired(event, now):
            return Outcome.EXPIRED
        if kinds.kind_class(event.kind) is kinds.KindClass.EPHEMERAL:
            return Outcome.EPHEMERAL
        event_id = bytes.fromhex(event.id)
        if self._db.execute("SELECT 1 FROM event WHERE id = ?", (event_id,)).get:
            return Outcome.DUPLICATE
        address = kinds.address(event)
        old = self._at(address) if address else None
        if old:
            _, created_at, old_id = old
            if not kinds.supersedes((event.created_at, event.id), (created_at, old_id.hex())):
                return Outcome.SUPERSEDED
        if self._is_withdrawn(event_id) or is_asked_away(self._db, event, self._kept_kinds):
            return Outcome.DELETED
        gone = remove(self._db, [old[0]]) if old else carry_out(self._db, event, self._kept_kinds)
        self._count -= gone
        if not gone and self._count >= self._events_max:
            return Outcome.FULL
        self._insert(event, event_id, address[2] if address else None)
        return Outcome.STORED

    def _is_withdrawn(self, event_id: bytes) -> bool:
        return bool(self._db.execute("SELECT 1 FROM withdrawn WHERE id = ?", (event_id,)).get)

    def _at(self, address: kinds.Address) -> tuple[int, int, bytes] | None:
        kind, pubkey, d = address
        query = "SELECT seq, created_at, id FROM event WHERE kind = ? AND pubkey = ? AND d = ?"
        for seq, created_at, old_id in self._db.execute(query, (kind, bytes.fromhex(pubkey), d)):
            return seq, created_at, old_id
        return None

    def _insert(self, event: VerifiedEvent, event_id: bytes, d: str | None) -> None:
        self._db.execute(
            "INSERT INTO event (id, pubkey, kind, created_at, d, expires, json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                event_id,
                bytes.fromhex(event.pubkey),
                event.kind,
                event.created_at,
                d,
                kinds.expiration(event),
                event.to_json(),
            ),
        )
        seq = self._db.last_insert_rowid()
        values = {(tag[0], tag[1]) for tag in event.tags if len(tag) > 1 and is_indexed(tag[0])}
        values.update(notes(event))
        if values:
            rows = ((name, value, seq) for name, value in values)
            self._db.executemany("INSERT INTO tag (name, value, seq) VALUES (?, ?, ?)", rows)
        self._count += 1

    def query(
        self,
        filters: Sequence[Filter],
        *,
        now: int,
        keys: frozenset[str] = NOBODY,
        bytes_max: int = limits.REPLY_BYTES_MAX,
    ) -> Found:
        """Return the stored events that the filters ask for."""
        left_out: set[bytes] = set()
        with self._reading():
            merged = heapq.merge(*(self._rows(one, now, keys, left_out) for one in filters))
            unique = ((event_id.hex(), json) for (_, event_id, json), _ in groupby(merged))
            rows, cut = cut_to_bytes(unique, bytes_max)
        return Found(rows=rows, more=_more(rows, left_out, cut=cut))

    def _rows(
        self, one: Filter, now: int, keys: frozenset[str], left_out: set[bytes]
    ) -> Iterator[_Ranked]:
        """Yield the rows of one filter; the first beyond its limit goes to `left_out`."""
        where, values = _where(one, now, keys)
        sql = f"SELECT -created_at, id, json FROM event {where} {_NEWEST_FIRST} LIMIT ?"  # noqa: S608 - only question marks are put in
        for number, row in enumerate(self._db.execute(sql, [*values, one.rows_max + 1])):
            if number == one.rows_max:
                left_out.add(row[1])
                return
            yield row

    def count_matching(
        self,
        filters: Sequence[Filter],
        *,
        now: int,
        keys: frozenset[str] = NOBODY,
        count_max: int = limits.COUNT_MAX,
    ) -> int:
        """Return how many events match, `count_max` for that many or more."""
        parts, values = [], []
        for one in filters:
            where, given = _where(one, now, keys)
            parts.append(f"SELECT seq FROM (SELECT seq FROM event {where} LIMIT ?)")  # noqa: S608 - only question marks are put in
            values.extend([*given, count_max])
        with self._reading():
            sql = f"SELECT count(*) FROM ({' UNION '.join(parts)})"  # noqa: S608 - the constants above
            return min(int(self._db.execute(sql, values).get), count_max)

    def items(
        self, one: Filter, *, now: int, keys: frozenset[str] = NOBODY, items_max: int
    ) -> list[Item]:
        """Return what a filter matches, for reconciliation (NIP-77): at most `items_max`."""
        where, values = _where(one, now, keys)
        sql = f"SELECT created_at, id FROM event {where} {_NEWEST_FIRST} LIMIT ?"  # noqa: S608 - only question marks are put in
        limit = items_max if one.limit is None else min(one.limit, items_max)
        with self._reading():
            return [
                (second, event_id) for second, event_id in self._db.execute(sql, [*values, limit])
            ]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One snapshot, and an end to what looks through too much of it."""
        left = self._steps_max // _STEPS_AT_ONCE

        def step() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        try:
            with errors_as_ours(self._path), self._db:
                self._db.set_progress_handler(step, _STEPS_AT_ONCE)
                yield
        except StoreError as error:
            if isinstance(error.__cause__, apsw.InterruptError):
                raise TooMuchToRead("the filter looks through too many events") from error
            raise
        finally:
            self._db.set_progress_handler(None)

    def purge(self, *, now: int) -> int:
        """Remove expired events and return how many there were."""
        with transaction(self._db, self._path):
            expired = "(SELECT seq FROM event WHERE expires <= ?)"
            self._db.execute(f"DELETE FROM tag WHERE seq IN {expired}", (now,))  # noqa: S608 - the constant above
            self._db.execute("DELETE FROM event WHERE expires <= ?", (now,))
            gone = self._db.changes()
            self._count -= gone
        return gone

    def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events for good."""
        try:
            return erase(self._db, self._path, event_ids, partial(self._withdraw, event_ids))
        finally:
            with errors_as_ours(self._path):
                self._count = int(self._db.execute("SELECT count(*) FROM event").get)

    def _withdraw(self, event_ids: Collection[str]) -> None:
        rows = [(bytes.fromhex(one),) for one in event_ids]
        self._db.executemany("INSERT OR IGNORE INTO withdrawn VALUES (?)", rows)
        query = "SELECT seq FROM event WHERE id = ?"
        remove(self._db, [seq for row in rows for (seq,) in self._db.execute(query, row)])

    def count(self) -> int:
        """Return the number of stored events, expired ones included."""
        return self._count

    def close(self) -> None:
        """Close the file."""
        with suppress(apsw.Error):
            self._db.execute("PRAGMA optimize")
        self._db.close()


def _withdraws(db: apsw.Connection) -> None:
    """Step from version 2, in which nothing was withdrawn."""
    db.execute(_WITHDRAWN)


def _more(rows: Sequence[Row], left_out: set[bytes], *, cut: bool) -> bool | None:
    """Tell whether there is more than `rows`; unknown if what a filter left out came by another."""
    if cut:
        return True
    if not left_out:
        return False
    sent = {event_id for event_id, _ in rows}
    return True if any(one.hex() not in sent for one in left_out) else None


def _where(one: Filter, now: int, keys: frozenset[str]) -> tuple[str, list[_Value]]:
    """Return the condition of a filter: parameters only, no text of a stranger in the SQL."""
    where = ["(expires IS NULL OR expires > ?)"]
    values: list[_Value] = [now]

    def is_in(column: str, wanted: Iterable[_Value]) -> str:
        listed = list(wanted)
        values.extend(listed)
        return f"{column} IN ({','.join('?' * len(listed))})"

    def tagged(name: str, wanted: Iterable[_Value]) -> str:
        values.append(name)
        matching = is_in("value", wanted)
        return f"seq IN (SELECT seq FROM tag WHERE name = ? AND {matching})"  # noqa: S608 - only question marks are put in

    if one.ids is not None:
        where.append(is_in("id", map(bytes.fromhex, one.ids)))
    if one.authors is not None:
        where.append(is_in("pubkey", map(bytes.fromhex, one.authors)))
    if one.kinds is not None:
        where.append(is_in("kind", one.kinds))
    for name, wanted in one.tags:
        where.append(tagged(name, wanted))
    if one.since is not None:
        where.append("created_at >= ?")
        values.append(one.since)
    if one.until is not None:
        where.append("created_at <= ?")
        values.append(one.until)
    if one.kinds is None or not one.kinds.isdisjoint(PRIVATE_KINDS):
        public = f"NOT {is_in('+kind', PRIVATE_KINDS)}"  # the plus keeps the index for others
        mine = is_in("pubkey", map(bytes.fromhex, keys))
        where.append(f"({public} OR {mine} OR {tagged('p', keys)})")
    return f"WHERE {' AND '.join(where)}", values
