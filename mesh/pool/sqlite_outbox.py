"""The pool's outbox in SQLite (`outbox.db`): synchronous FULL, `put` outlives power cuts."""

from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import apsw

from mesh.core import limits
from mesh.core.errors import Refused
from mesh.core.nip01 import VerifiedEvent
from mesh.core.pool.routes import relay_url
from mesh.database import erase, errors_as_ours, open_database, transaction
from mesh.pool.outbox import Entry, Put

_VERSION: Final = 3
_QUEUES: Final = """
CREATE TABLE outbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: order of arrival
    relay     TEXT NOT NULL,
    item      TEXT NOT NULL,                      -- what the Nostr event carries
    id        TEXT NOT NULL,
    taken     INTEGER NOT NULL DEFAULT 0,         -- 1: the relay has it, as it says
    attempts  INTEGER NOT NULL DEFAULT 0,
    minted    INTEGER NOT NULL DEFAULT 0,
    lost      INTEGER NOT NULL DEFAULT 0,
    droppable INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    json      TEXT NOT NULL,
    UNIQUE (relay, item),
    UNIQUE (relay, id)
) STRICT;
CREATE INDEX outbox_due ON outbox (relay, taken, attempts, seq);
"""
_UNDELIVERED: Final = """
CREATE TABLE undelivered (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    relay    TEXT NOT NULL,
    receiver TEXT NOT NULL,
    why      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    UNIQUE (relay, receiver)
) STRICT;
"""
_COLUMNS: Final = "id, json, item, attempts, minted, lost, droppable"


def _from_version_1(connection: apsw.Connection) -> None:
    """Version 1 knew neither items nor times, and wrote addresses as the operator had them."""
    connection.execute("DROP INDEX outbox_due")
    connection.execute("ALTER TABLE outbox RENAME TO outbox_1")
    connection.execute(_QUEUES)
    connection.execute(
        "INSERT INTO outbox (seq, relay, item, id, attempts, droppable, queued_at, json)"
        " SELECT seq, relay, id, id, attempts, 1, unixepoch(), json FROM outbox_1"
    )
    connection.execute("DROP TABLE outbox_1")
    for (relay,) in connection.execute("SELECT DISTINCT relay FROM outbox").fetchall():
        with suppress(Refused):
            move = "UPDATE OR REPLACE outbox SET relay = ? WHERE relay = ?"
            connection.execute(move, (relay_url(str(relay)), relay))


def _from_version_2(connection: apsw.Connection) -> None:
    """Version 2 forgot for whom something was given up."""
    connection.execute(_UNDELIVERED)


class SqliteOutbox:
    """Outbox (mesh/pool/outbox.py) on one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        events_max: int = limits.OUTBOX_EVENTS_MAX,
        kept_max: int = limits.UNCONFIRMED_EVENTS_MAX,
        undelivered_max: int = limits.UNDELIVERED_MAX,
    ) -> None:
        self._path = path
        self._undelivered_max = undelivered_max
        self._events_max = events_max
        self._kept_max = kept_max
        self._db = open_database(
            path,
            schema=_QUEUES + _UNDELIVERED,
            version=_VERSION,
            synchronous="FULL",
            steps=MappingProxyType({1: _from_version_1, 2: _from_version_2}),
        )

    def put(
        self,
        relays: Collection[str],
        event: VerifiedEvent,
        *,
        now: int,
        item: str = "",
        droppable: bool = False,
    ) -> Put:
        """Queue the event for each relay."""
        row = (item or event.id, event.id, int(droppable), now, event.to_json())
        with transaction(self._db, self._path):
            done = [self._put(relay, row) for relay in relays]
        full = tuple(relay for relay, room in zip(relays, done, strict=True) if room is None)
        return Put(full=full, dropped=sum(filter(None, done)))

    def _put(self, relay: str, row: tuple[str, str, int, int, str]) -> int | None:
        if self._has(relay, row[1]):
            return 0
        self._db.execute(
            "INSERT INTO outbox (relay, item, id, droppable, queued_at, json)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (relay, item) DO UPDATE SET"
            " id = excluded.id, json = excluded.json, droppable = excluded.droppable,"
            " queued_at = excluded.queued_at, taken = 0, attempts = 0, minted = 0, lost = 0",
            (relay, *row),
        )
        if self._count(relay) <= self._events_max:
            return 0
        gone = "DELETE FROM outbox WHERE seq = ({}) RETURNING 1"
        oldest = "SELECT min(seq) FROM outbox WHERE relay = ? AND taken = 0 AND droppable = 1"
        if self._db.execute(gone.format(oldest), (relay,)).get:
            return 1
        own = "SELECT seq FROM outbox WHERE relay = ? AND item = ?"
        self._db.execute(gone.format(own), (relay, row[0])).get  # noqa: B018 - runs the statement
        return None

    def _has(self, relay: str, event_id: str) -> bool:
        query = "SELECT count(*) FROM outbox WHERE relay = ? AND id = ?"
        return bool(self._db.execute(query, (relay, event_id)).get)

    def due(self, relay: str, *, limit: int) -> list[Entry]:
        """Return up to `limit` entries to send next."""
        where = "relay = ? AND taken = 0 ORDER BY attempts, seq LIMIT ?"
        return self._entries(where, (relay, limit))

    def kept(self, relay: str) -> list[Entry]:
        """Return what the relay took and was not asked about yet."""
        return self._entries("relay = ? AND taken = 1 ORDER BY seq", (relay,))

    def _entries(self, where: str, values: tuple[str | int, ...]) -> list[Entry]:
        with errors_as_ours(self._path):
            query = f"SELECT {_COLUMNS} FROM outbox WHERE {where}"  # noqa: S608 - both are ours
            return [
                Entry(
                    event_id=event_id,
                    event_json=event_json,
                    item=item,
                    attempts=attempts,
                    minted=minted,
                    lost=lost,
                    droppable=bool(droppable),
                )
                for event_id, event_json, item, attempts, minted, lost, droppable in (
                    self._db.execute(query, values)
                )
            ]

    def took(self, relay: str, event_id: str, *, keep: bool) -> None:
        """Note that the relay has an event, or never will."""
        named = "WHERE relay = ? AND id = ?"
        with transaction(self._db, self._path):
            if not keep:
                self._db.execute(f"DELETE FROM outbox {named}", (relay, event_id))  # noqa: S608 - ours
                return
            self._db.execute(f"UPDATE outbox SET taken = 1 {named}", (relay, event_id))  # noqa: S608 - ours
            self._db.execute(
                "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE relay = ?"
                " AND taken = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                (relay, self._kept_max),
            )

    def lost(self, relay: str, event_id: str) -> None:
        """Queue again what the relay took and does not have."""
        change = "taken = 0, lost = lost + 1 WHERE relay = ? AND id = ? AND taken = 1"
        self._update(change, (relay, event_id))

    def postpone(self, relay: str, event_id: str) -> int:
        """Move an entry behind those that were tried less often."""
        change = "attempts = attempts + 1 WHERE relay = ? AND id = ? AND taken = 0"
        return self._update(change + " RETURNING attempts", (relay, event_id))

    def remint(self, relay: str, event_id: str, event: VerifiedEvent) -> None:
        """Put another Nostr event of the same item in an entry's place."""
        change = "id = ?, json = ?, minted = minted + 1 WHERE relay = ? AND id = ? AND taken = 0"
        with transaction(self._db, self._path):
            if self._has(relay, event.id):
                drop = "DELETE FROM outbox WHERE relay = ? AND id = ? AND taken = 0"
                self._db.execute(drop, (relay, event_id))
                return
        self._update(change, (event.id, event.to_json(), relay, event_id))

    def give_up(self, relay: str, event_id: str, *, receiver: str, why: str, now: int) -> None:
        """Note that the relay never will have what somebody waits for."""
        with transaction(self._db, self._path):
            drop = "DELETE FROM outbox WHERE relay = ? AND id = ?"
            self._db.execute(drop, (relay, event_id))
            self._db.execute(
                "INSERT OR REPLACE INTO undelivered (relay, receiver, why, at) VALUES (?, ?, ?, ?)",
                (relay, receiver, why, now),
            )
            self._db.execute(
                "DELETE FROM undelivered WHERE seq IN"
                " (SELECT seq FROM undelivered ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                (self._undelivered_max,),
            )

    def undelivered(self) -> dict[str, dict[str, str]]:
        """Return by relay for whom something was given up, and why."""
        found: dict[str, dict[str, str]] = {}
        query = "SELECT relay, receiver, why FROM undelivered ORDER BY seq"
        with errors_as_ours(self._path):
            for relay, receiver, why in self._db.execute(query):
                found.setdefault(relay, {})[receiver] = why
        return found

    def _update(self, change: str, values: tuple[str | int, ...]) -> int:
        with transaction(self._db, self._path):
            return int(self._db.execute(f"UPDATE outbox SET {change}", values).get or 0)  # noqa: S608 - ours

    def count(self, relay: str) -> int:
        """Return how many entries wait for a relay."""
        with errors_as_ours(self._path):
            return self._count(relay)

    def _count(self, relay: str) -> int:
        query = "SELECT count(*) FROM outbox WHERE relay = ? AND taken = 0"
        return int(self._db.execute(query, (relay,)).get)

    def relays(self) -> list[str]:
        """Return the relays that something waits for."""
        query = "SELECT DISTINCT relay FROM outbox WHERE taken = 0 ORDER BY relay"
        with errors_as_ours(self._path):
            return [str(relay) for (relay,) in self._db.execute(query)]

    def retain(self, relays: Collection[str]) -> int:
        """Drop what is droppable for all other relays."""
        gone = 0
        with transaction(self._db, self._path):
            every = self._db.execute("SELECT DISTINCT relay FROM outbox").fetchall()
            for (relay,) in every:
                if relay not in relays:
                    self._db.execute("DELETE FROM outbox WHERE relay = ? AND taken = 1", (relay,))
                    drop = "DELETE FROM outbox WHERE relay = ? AND droppable = 1 RETURNING 1"
                    gone += len(self._db.execute(drop, (relay,)).fetchall())
        return gone

    def expire(self, *, before: int) -> int:
        """Drop what was queued, or given up, before that time."""
        drop = "DELETE FROM outbox WHERE queued_at < ? AND taken = ? RETURNING 1"
        with transaction(self._db, self._path):
            self._db.execute("DELETE FROM undelivered WHERE at < ?", (before,))
            self._db.execute(drop, (before, 1)).fetchall()
            return len(self._db.execute(drop, (before, 0)).fetchall())

    def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events."""
        return erase(self._db, self._path, event_ids, partial(self._withdraw, event_ids))

    def _withdraw(self, event_ids: Collection[str]) -> None:
        rows = ((one, one) for one in event_ids)
        self._db.executemany("DELETE FROM outbox WHERE id = ? OR item = ?", rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
