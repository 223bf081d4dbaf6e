"""Which wraps carried what, in SQLite (`carried.db`): synchronous FULL, for power cuts."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from ledger.core.event import Cause
from mesh.core import limits
from mesh.database import errors_as_ours, open_database, transaction

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE carried (
    position INTEGER NOT NULL,
    event    BLOB NOT NULL,  -- the ledger event's id: after a recovery a position may mean another
    wrap     BLOB NOT NULL,  -- the Nostr id of the wrap
    PRIMARY KEY (position, event, wrap)
) STRICT, WITHOUT ROWID;
"""
_OF: Final = "WHERE position = ? AND event = ?"


class SqliteCarried:
    """Carried (mesh/sealed/carried.py) on one SQLite file."""

    def __init__(self, path: Path, *, wraps_max: int = limits.CARRIED_WRAPS_MAX) -> None:
        self._path = path
        self._wraps_max = wraps_max
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION, synchronous="FULL")
        with errors_as_ours(path):
            self._count = self._counted()

    def _counted(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM carried").get)

    def note(self, event: Cause, wraps: Collection[str]) -> None:
        """Remember wraps of an event."""
        rows = [(event.position, event.id, bytes.fromhex(wrap)) for wrap in wraps]
        with transaction(self._db, self._path):
            self._db.executemany("INSERT OR IGNORE INTO carried VALUES (?, ?, ?)", rows)
            self._count += len(rows)  # no less than there are: one that was known counts again
            while self._count > self._wraps_max:
                self._make_room()

    def _make_room(self) -> None:
        self._count = self._counted()
        if self._count > self._wraps_max:
            query = "SELECT position, event FROM carried ORDER BY position, event LIMIT 1"
            oldest = self._db.execute(query).fetchall()
            self._db.executemany(f"DELETE FROM carried {_OF}", oldest)  # noqa: S608 - ours
            self._count = self._counted()

    def events(self) -> list[Cause]:
        """Return the events that have wraps."""
        query = "SELECT DISTINCT position, event FROM carried ORDER BY position, event"
        with errors_as_ours(self._path):
            return [Cause(position=at, id=event) for at, event in self._db.execute(query)]

    def wraps(self, events: Collection[Cause]) -> list[str]:
        """Return the wraps of these events."""
        named = [(event.position, event.id) for event in events]
        with errors_as_ours(self._path):
            rows = self._db.executemany(f"SELECT wrap FROM carried {_OF}", named)  # noqa: S608 - ours
            return [wrap.hex() for (wrap,) in rows]

    def forget(self, events: Collection[Cause]) -> None:
        """Forget events and their wraps."""
        named = [(event.position, event.id) for event in events]
        with transaction(self._db, self._path):
            self._db.executemany(f"DELETE FROM carried {_OF}", named)  # noqa: S608 - ours

    def close(self) -> None:
        """Close the file."""
        self._db.close()
