"""The relay's store in SQLite (`relay.db`, a cache that can be rebuilt).

One row per event with its JSON as sent, one row per indexed tag value. WAL with synchronous
NORMAL: a kill loses nothing that was committed, a power cut may lose the last commits, which
publishers and subscribers bring again.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from mesh.core import kinds, limits
from mesh.core.filter import Filter
from mesh.core.nip01 import VerifiedEvent, is_indexed
from mesh.database import errors_as_ours, open_database, transaction
from mesh.store import Outcome, Row, cut_to_bytes

_VERSION: Final = 1
_SCHEMA: Final = """
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
"""

_Value: TypeAlias = str | int | bytes

_Ranked: TypeAlias = tuple[int, bytes, str]
"""Negated created_at, id, JSON: sorts in the order of NIP-01."""


class SqliteEventStore:
    """EventStore (mesh/store.py) on one SQLite file."""

    def __init__(self, path: Path, *, events_max: int = limits.STORE_EVENTS_MAX) -> None:
        self._path = path
        self._events_max = events_max
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION, synchronous="NORMAL")
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
            seq, created_at, old_id = old
            if not kinds.supersedes((event.created_at, event.id), (created_at, old_id.hex())):
                return Outcome.SUPERSEDED
            self._remove(seq)
        elif self._count >= self._events_max:
            return Outcome.FULL
        self._insert(event, event_id, address[2] if address else None)
        return Outcome.STORED

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
        if values:
            rows = ((name, value, seq) for name, value in values)
            self._db.executemany("INSERT INTO tag (name, value, seq) VALUES (?, ?, ?)", rows)
        self._count += 1

    def _remove(self, seq: int) -> None:
        self._db.execute("DELETE FROM tag WHERE seq = ?", (seq,))
        self._db.execute("DELETE FROM event WHERE seq = ?", (seq,))
        self._count -= 1

    def query(
        self, filters: Sequence[Filter], *, now: int, bytes_max: int = limits.REPLY_BYTES_MAX
    ) -> list[Row]:
        """Return the stored events that the filters ask for."""
        with transaction(self._db, self._path):  # one snapshot for all filters
            merged = heapq.merge(*(self._rows(one, now) for one in filters))
            unique = ((event_id.hex(), json) for (_, event_id, json), _ in groupby(merged))
            return cut_to_bytes(unique, bytes_max)

    def _rows(self, one: Filter, now: int) -> Iterator[_Ranked]:
        sql, values = _select(one, now)
        return iter(self._db.execute(sql, values))

    def purge(self, *, now: int) -> int:
        """Remove expired events and return how many there were."""
        with transaction(self._db, self._path):
            expired = "(SELECT seq FROM event WHERE expires <= ?)"
            self._db.execute(f"DELETE FROM tag WHERE seq IN {expired}", (now,))  # noqa: S608 - the constant above
            self._db.execute("DELETE FROM event WHERE expires <= ?", (now,))
            gone = self._db.changes()
            self._count -= gone
        return gone

    def count(self) -> int:
        """Return the number of stored events, expired ones included."""
        return self._count

    def close(self) -> None:
        """Close the file."""
        with suppress(apsw.Error):
            self._db.execute("PRAGMA optimize")
        self._db.close()


def _select(one: Filter, now: int) -> tuple[str, list[_Value]]:
    """Return the query of a filter: parameters only, no text of a stranger in the SQL."""
    where = ["(expires IS NULL OR expires > ?)"]
    values: list[_Value] = [now]

    def is_in(column: str, wanted: Iterable[_Value]) -> str:
        listed = list(wanted)
        values.extend(listed)
        return f"{column} IN ({','.join('?' * len(listed))})"

    if one.ids is not None:
        where.append(is_in("id", map(bytes.fromhex, one.ids)))
    if one.authors is not None:
        where.append(is_in("pubkey", map(bytes.fromhex, one.authors)))
    if one.kinds is not None:
        where.append(is_in("kind", one.kinds))
    for name, wanted in one.tags:
        values.append(name)
        matching = is_in("value", wanted)
        where.append(f"seq IN (SELECT seq FROM tag WHERE name = ? AND {matching})")  # noqa: S608 - only question marks are put in
    if one.since is not None:
        where.append("created_at >= ?")
        values.append(one.since)
    if one.until is not None:
        where.append("created_at <= ?")
        values.append(one.until)
    values.append(one.rows_max)
    sql = (
        "SELECT -created_at, id, json FROM event WHERE "  # noqa: S608 - only question marks are put in
        f"{' AND '.join(where)} ORDER BY created_at DESC, id LIMIT ?"
    )
    return sql, values
