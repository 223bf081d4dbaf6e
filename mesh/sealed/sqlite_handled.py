"""Seen sealed messages in SQLite (`sealed-N.db`, a cache): a power cut may take the last ones."""

from pathlib import Path
from typing import Final

from mesh.core import limits
from mesh.database import errors_as_ours, open_database, transaction

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE handled (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;
"""


class SqliteHandled:
    """Handled (mesh/sealed/handled.py) on one SQLite file."""

    def __init__(self, path: Path, *, events_max: int = limits.HANDLED_WRAPS_MAX) -> None:
        self._path = path
        self._events_max = events_max
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION, synchronous="NORMAL")

    def add(self, created_at: int, event_id: str) -> None:
        """Remember an event."""
        with transaction(self._db, self._path):
            self._db.execute(
                "INSERT INTO handled (id, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (bytes.fromhex(event_id), created_at),
            )
            self._db.execute(
                "DELETE FROM handled WHERE seq <= (SELECT max(seq) FROM handled) - ?",
                (self._events_max,),
            )

    def known(self) -> list[tuple[int, str]]:
        """Return what is remembered."""
        with errors_as_ours(self._path):
            rows = self._db.execute("SELECT created_at, id FROM handled ORDER BY seq")
            return [(created_at, event_id.hex()) for created_at, event_id in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()
