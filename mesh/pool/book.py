"""What is known of relays and of where people are, on disk (`relays.db`): lost, it is asked again.

Limits of a relay are believed for BOOK_SECONDS_MAX after they last changed, relay lists (NIP-65)
until a newer one comes; both are capped, the oldest go. Only lists whose signature was checked are
kept, and they are checked again when they are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.core import limits
from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import Event, VerifiedEvent, verify
from mesh.core.pool.relay_limits import RelayLimits
from mesh.database import errors_as_ours, open_database, transaction

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE relay (
    url     TEXT PRIMARY KEY,
    limits  TEXT NOT NULL,
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE route (
    author  TEXT PRIMARY KEY,
    learnt  INTEGER NOT NULL,
    json    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a book holds: limits by relay, and relay lists, the one learnt last at the end."""

    limits: Mapping[str, RelayLimits]
    lists: tuple[VerifiedEvent, ...] = ()


class RelayBook:
    """The book in one SQLite file; `path` None keeps it in memory. Raises StoreError."""

    def __init__(self, path: Path | None) -> None:
        self._path = path or Path(":memory:")
        self._db = open_database(self._path, schema=_SCHEMA, version=_VERSION, synchronous="NORMAL")

    def read(self, *, now: int) -> Known:
        """Return everything that is still believed."""
        since = now - limits.BOOK_SECONDS_MAX
        with errors_as_ours(self._path):
            rows = self._db.execute("SELECT url, limits FROM relay WHERE changed >= ?", (since,))
            found = {url: RelayLimits.from_json(text) for url, text in rows}
            lists = self._db.execute("SELECT json FROM route ORDER BY learnt").fetchall()
        return Known(
            limits=found, lists=tuple(filter(None, (_checked(str(text)) for (text,) in lists)))
        )

    def note(self, url: str, known: RelayLimits, *, now: int) -> None:
        """Remember the limits of a relay."""
        with transaction(self._db, self._path):
            put = "INSERT OR REPLACE INTO relay (url, limits, changed) VALUES (?, ?, ?)"
            self._db.execute(put, (url, known.to_json(), now))
            self._db.execute(
                "DELETE FROM relay WHERE url IN"
                " (SELECT url FROM relay ORDER BY changed DESC, url LIMIT -1 OFFSET ?)",
                (limits.BOOK_RELAYS_MAX,),
            )

    def learn(self, event: VerifiedEvent, *, now: int) -> None:
        """Remember a relay list; that it is newer than the last one is the caller's to check."""
        with transaction(self._db, self._path):
            put = "INSERT OR REPLACE INTO route (author, learnt, json) VALUES (?, ?, ?)"
            self._db.execute(put, (event.pubkey, now, event.to_json()))
            self._db.execute(
                "DELETE FROM route WHERE author IN"
                " (SELECT author FROM route ORDER BY learnt DESC, author LIMIT -1 OFFSET ?)",
                (limits.ROUTE_AUTHORS_MAX,),
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _checked(text: str) -> VerifiedEvent | None:
    try:
        return verify(Event.from_json(text))
    except InvalidEvent:
        return None
