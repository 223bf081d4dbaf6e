"""A voter's grants on disk (`grants.db`): what it granted it grants to nobody else, ever after.

Every answer comes out of one transaction: the grant is in the file, synced, before the voter's word
of it leaves. A crash between the two costs the asker an answer, never a second grant. Pages carry
checksums (ledger/sql.py): a flipped bit is an error, not another member's grant.

A file that is new knows nothing of what this voter granted before, if it had another one. So it
begins with a floor beyond SKEW_S_MAX ahead of the clock: a voter grants no run earlier than that
before its time, so none that is planned later can have been granted already. It costs a voter that
lost its file an hour. Who opens it as `fresh` says that this voter never had one; then there is no
floor. A second process on the same file cannot grant what the first did: the row is there.
With them is what it promised when it signed a manifest that names other voters (`Voter.promise`).

An old copy of the file has forgotten grants. The file names the start of the node under which it
was open last (`wake`); a ledger that has had a start since says that it is old. That a copy of file
*and* ledger is old, others have to say (`lost`). In both cases the floor goes an hour ahead, too.
Not covered: an old copy of the file alone, put back in the run of the node that it is from.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ledger.core.errors import StoreError
from ledger.sql import check_application, check_schema, connect, translated
from mesh.core.fleet.duty import SKEW_S_MAX, Ask, Grant, Refusal, Voter

APPLICATION_ID: Final = 0x544D4752  # "TMGR"
VERSION: Final = 3
_SCHEMA: Final = """
CREATE TABLE grants (
    run       BLOB PRIMARY KEY,
    member    BLOB NOT NULL,
    planned_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_planned ON grants (planned_s);
CREATE TABLE floor (one INTEGER PRIMARY KEY CHECK (one = 1), floor_s INTEGER NOT NULL) STRICT;
"""
_PROMISE: Final = """
CREATE TABLE promise (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    number  INTEGER NOT NULL,
    since_s INTEGER NOT NULL
) STRICT;
"""
"""Since version 2."""
_WOKE: Final = """
CREATE TABLE woke (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    start    BLOB NOT NULL,
    begins_s INTEGER NOT NULL
) STRICT;
INSERT INTO woke VALUES (1, x'', 0);
"""
"""Since version 3: under which start of the node the file was open last, b"" if under none; and
`Voter.begins_s`."""
_GRANT: Final = """
INSERT INTO grants VALUES (?1, ?2, ?3)
ON CONFLICT (run) DO UPDATE SET planned_s = ?3 WHERE member = ?2
"""


def forget(path: Path, now_s: int) -> None:
    """Of a voter that does not run, and is found to be an old copy of itself: `GrantBook.lost`.

    Without a file there is nothing to do: a new one has its floor. Raises StoreError.
    """
    if path.exists():
        book = GrantBook(path, me=b"", now_s=now_s)
        try:
            book.lost(now_s)
        finally:
            book.close()


class GrantBook:
    """One voter and its file. May be used from any thread; a question is one transaction."""

    def __init__(self, path: Path, *, me: bytes, now_s: int, fresh: bool = False) -> None:
        """Open or create the file. Raises ledger.core.errors.StoreError.

        `fresh`: if it is created, this voter has granted nothing before, in no file that is gone.
        """
        self._what = path.name
        self._lock = threading.Lock()
        with translated(self._what):
            self._db = connect(path, create=True)
            try:
                self._db.execute("pragma synchronous=FULL")
                self._make(0 if fresh else now_s + SKEW_S_MAX + 1)
                self._voter = self._load(me)
            except BaseException:
                self._db.close()
                raise

    def _make(self, floor_s: int) -> None:
        with self._db:
            if not self._db.pragma("schema_version"):
                self._db.execute(_SCHEMA)
                self._db.execute("INSERT INTO floor VALUES (1, ?)", (floor_s,))
                self._db.pragma("application_id", APPLICATION_ID)
                self._db.pragma("user_version", 1)
            version = check_application(self._db, self._what, APPLICATION_ID)
            for number, more in ((2, _PROMISE), (3, _WOKE)):
                if version < number:
                    self._db.execute(more)
                    self._db.pragma("user_version", number)
        check_schema(self._db, self._what, APPLICATION_ID, VERSION)

    def _load(self, me: bytes) -> Voter:
        rows = self._db.execute("SELECT run, member, planned_s FROM grants")
        granted = {run: (member, planned_s) for run, member, planned_s in rows}
        floor_s = self._db.execute("SELECT floor_s FROM floor").get
        promised = self._db.execute("SELECT number, since_s FROM promise").fetchone()
        begins_s = self._db.execute("SELECT begins_s FROM woke").get
        return Voter(me, granted, floor_s, promised, begins_s)

    @property
    def granted(self) -> dict[bytes, tuple[bytes, int]]:
        """Of each run that is remembered, who has it and its planned time."""
        with self._lock:
            return dict(self._voter.granted)

    @property
    def promises_s(self) -> int:
        """The earliest time that `promise` takes."""
        with self._lock:
            return self._voter.promises_s

    @property
    def begins_s(self) -> int:
        """As Voter.begins_s."""
        with self._lock:
            return self._voter.begins_s

    def wake(self, start: bytes, before: bytes, now_s: int) -> bool:
        """Go on in a run of the node, of which the event `start` tells; False if the file is old.

        `before` is the start before that in the ledger, b"" if there is none. Raises StoreError.
        """
        with self._lock, translated(self._what):
            known = self._db.execute("SELECT start FROM woke").get
        old = known not in (b"", before, start)
        if old:
            self.lost(now_s)
        with self._lock, translated(self._what), self._db:
            self._db.execute("UPDATE woke SET start = ?", (start,))
        return not old

    def lost(self, now_s: int) -> None:
        """Take it as Voter.lost that grants are forgotten; on disk on return. Raises StoreError."""
        with self._lock:
            self._voter.lost(now_s)
            try:
                with translated(self._what), self._db:
                    self._db.execute("UPDATE floor SET floor_s = ?", (self._voter.floor_s,))
                    self._db.execute("UPDATE woke SET begins_s = ?", (self._voter.begins_s,))
            except BaseException:
                self._again()
                raise

    def promise(self, number: int, since_s: int) -> bool:
        """Promise as Voter.promise; it is on disk before the answer. Raises StoreError."""
        with self._lock:
            held = self._voter.promise(number, since_s)
            if held and self._voter.promised is not None:
                try:
                    with translated(self._what), self._db:
                        self._db.execute(
                            "INSERT OR REPLACE INTO promise VALUES (1, ?, ?)", self._voter.promised
                        )
                except BaseException:
                    self._again()
                    raise
            return held

    def asked(
        self,
        ask: Ask,
        now_s: int,
        *,
        manifest: bytes,
        members: Iterable[bytes],
        number: int = 0,
        held: bool = False,
    ) -> Grant | Refusal:
        """Answer as Voter.asked; what it changed is on disk. On StoreError say nothing."""
        with self._lock:
            voter = self._voter
            floor_s, known = voter.floor_s, voter.granted.get(ask.run)
            answer = voter.asked(
                ask, now_s, manifest=manifest, members=members, number=number, held=held
            )
            new = voter.granted.get(ask.run)
            if new != known or voter.floor_s != floor_s:
                try:
                    self._write(voter.floor_s, ask.run, new)
                except BaseException:
                    self._again()
                    raise
            return answer

    def _write(self, floor_s: int, run: bytes, new: tuple[bytes, int] | None) -> None:
        with translated(self._what), self._db:
            self._db.execute("UPDATE floor SET floor_s = max(floor_s, ?)", (floor_s,))
            self._db.execute("DELETE FROM grants WHERE planned_s < ?", (floor_s,))
            if new is None:
                return
            self._db.execute(_GRANT, (run, *new))
            if self._db.changes() != 1:
                raise StoreError(f"{self._what}: another process granted this run")

    def _again(self) -> None:
        """Go back to what the file holds, after a write that failed."""
        with translated(self._what):
            self._voter = self._load(self._voter.me)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
