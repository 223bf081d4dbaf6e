"""The publisher's outbox in SQLite (`outbox.db`): synchronous FULL, `put` outlives power cuts."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from mesh.core import limits
from mesh.core.nip01 import VerifiedEvent
from mesh.database import errors_as_ours, open_database, transaction
from mesh.outbox import Entry

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE outbox (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: order of arrival
    relay    TEXT NOT NULL,
    id       TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    json     TEXT NOT NULL,
    UNIQUE (relay, id)
) STRICT;
CREATE INDEX outbox_due ON outbox (relay, attempts, seq);
"""


class SqliteOutbox:
    """Outbox (mesh/outbox.py) on one SQLite file."""

    def __init__(self, path: Path, *, events_max: int = limits.OUTBOX_EVENTS_MAX) -> None:
        self._path = path
        self._events_max = events_max
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION, synchronous="FULL")

    def put(self, relays: Collection[str], event: VerifiedEvent) -> int:
        """Queue the event for each relay; return how many older entries were dropped."""
        event_json = event.to_json()
        with transaction(self._db, self._path):
            return sum(self._put(relay, event.id, event_json) for relay in relays)

    def _put(self, relay: str, event_id: str, event_json: str) -> int:
        self._db.execute(
            "INSERT INTO outbox (relay, id, json) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (relay, event_id, event_json),
        )
        excess = self._count(relay) - self._events_max
        if excess <= 0:
            return 0
        self._db.execute(
            "DELETE FROM outbox WHERE seq IN"
            " (SELECT seq FROM outbox WHERE relay = ? ORDER BY seq LIMIT ?)",
            (relay, excess),
        )
        return excess

    def due(self, relay: str, *, limit: int) -> list[Entry]:
        """Return up to `limit` entries to send next."""
        query = (
            "SELECT id, json, attempts FROM outbox WHERE relay = ? ORDER BY attempts, seq LIMIT ?"
        )
        with errors_as_ours(self._path):
            return [
                Entry(event_id=event_id, event_json=event_json, attempts=attempts)
                for event_id, event_json, attempts in self._db.execute(query, (relay, limit))
            ]

    def settle(self, relay: str, event_id: str) -> None:
        """Remove an entry: acknowledged, or refused for good."""
        with transaction(self._db, self._path):
            self._db.execute("DELETE FROM outbox WHERE relay = ? AND id = ?", (relay, event_id))

    def postpone(self, relay: str, event_id: str) -> int:
        """Move an entry behind those that were tried less often."""
        update = (
            "UPDATE outbox SET attempts = attempts + 1 WHERE relay = ? AND id = ?"
            " RETURNING attempts"
        )
        with transaction(self._db, self._path):
            return int(self._db.execute(update, (relay, event_id)).get or 0)

    def count(self, relay: str) -> int:
        """Return how many entries wait for a relay."""
        with errors_as_ours(self._path):
            return self._count(relay)

    def _count(self, relay: str) -> int:
        return int(self._db.execute("SELECT count(*) FROM outbox WHERE relay = ?", (relay,)).get)

    def retain(self, relays: Collection[str]) -> int:
        """Drop the queues of all other relays; return how many entries that were."""
        with transaction(self._db, self._path):
            known = [str(relay) for (relay,) in self._db.execute("SELECT relay FROM outbox")]
            gone = [relay for relay in known if relay not in relays]
            self._db.executemany(
                "DELETE FROM outbox WHERE relay = ?", ((one,) for one in set(gone))
            )
        return len(gone)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
