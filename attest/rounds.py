"""The aggregator's database (`aggregate.db`): ledgers it knows, and rounds it closed.

`ledgers` pins the key of each ledger and keeps its newest head, and whether that waits for the
next round. `rounds` has a root each, `slots` what its tree holds: enough to make any of its proofs
again. Every write is one transaction with synchronous FULL: what `keep` and `close` did outlives a
power cut. About 500 bytes a ledger, and 100 a slot.

Not covered: copies. A backup of the home leaves this file out; whoever loses it must be told every
ledger anew, and can give no proofs of earlier rounds.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from attest.core import limits
from attest.core.aggregate import AggregateTree
from ledger.core.checkpoint import Checkpoint
from ledger.core.errors import StoreDamaged
from ledger.sql import check_schema, connect, translated

_APPLICATION: Final = 0x54694167
"""ASCII "TiAg"; `file` shows it."""
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE ledgers (
    id      BLOB PRIMARY KEY,
    log_key BLOB NOT NULL,
    records INTEGER NOT NULL,   -- by which it is in charge: event 0, handoffs, epochs
    epoch   INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    root    BLOB NOT NULL,
    digest  BLOB NOT NULL,
    waiting INTEGER NOT NULL,   -- 1: its digest goes into the next round
    hour    INTEGER NOT NULL,   -- since 1970, of the newest submission
    count   INTEGER NOT NULL    -- submissions in that hour
) STRICT, WITHOUT ROWID;
CREATE INDEX ledgers_waiting ON ledgers (id) WHERE waiting;
CREATE TABLE rounds (
    number    INTEGER PRIMARY KEY,
    root      BLOB NOT NULL UNIQUE,
    closed_ms INTEGER NOT NULL,
    ledgers   INTEGER NOT NULL
) STRICT;
CREATE TABLE slots (
    round  INTEGER NOT NULL,
    ledger BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (round, ledger)
) STRICT, WITHOUT ROWID;
"""
_LEDGER: Final = "log_key, records, epoch, size, root, digest, waiting, hour, count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A ledger: its pinned key, its newest head, and how often it came in the present hour.

    `records` is by how many (event 0, handoffs, epoch records) the key is in charge.
    """

    log_key: bytes
    records: int
    head: Checkpoint
    digest: bytes
    waiting: bool
    hour: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A closed round: `number` counts from 0."""

    number: int
    root: bytes
    closed_ms: int
    ledgers: int


class Rounds:
    """The file. Every method may raise StoreError, and may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tree: tuple[int, AggregateTree] | None = None
        self._mutex = threading.Lock()
        new = not path.exists()
        with translated(str(path)):
            self._db = connect(path, create=True)
            self._db.execute("pragma synchronous=FULL")
            if new or not self._db.pragma("schema_version"):
                with self._db:
                    self._db.execute(_SCHEMA)
                    self._db.pragma("application_id", _APPLICATION)
                    self._db.pragma("user_version", _VERSION)
        try:
            check_schema(self._db, str(path), _APPLICATION, _VERSION)
        except BaseException:
            self._db.close()
            raise

    @contextmanager
    def _using(self) -> Iterator[None]:
        """One thread at a time: a reader must not see half of another's transaction."""
        with self._mutex, translated(str(self._path)):
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_file()

    def close_file(self) -> None:
        """Close the database."""
        self._db.close()

    # ---- ledgers -------------------------------------------------------------------------------

    def known(self, ledger: bytes) -> Known | None:
        """The ledger as it was kept last."""
        query = f"SELECT {_LEDGER} FROM ledgers WHERE id = ?"  # noqa: S608 - our own column names
        with self._using():
            row: Any = self._db.execute(query, (ledger,)).fetchone()
        if row is None:
            return None
        log_key, records, epoch, size, root, digest, waiting, hour, count = row
        head = Checkpoint(ledger_id=ledger, epoch=epoch, size=size, root=root)
        return Known(
            log_key=log_key,
            records=records,
            head=head,
            digest=digest,
            waiting=bool(waiting),
            hour=hour,
            count=count,
        )

    def count(self) -> int:
        """How many ledgers are known."""
        with self._using():
            return int(self._db.execute("SELECT count(*) FROM ledgers").get)

    def waiting(self) -> int:
        """How many ledgers have a head for the next round."""
        with self._using():
            return int(self._db.execute("SELECT count(*) FROM ledgers WHERE waiting").get)

    def keep(self, ledgers: Iterable[Known]) -> None:
        """Replace or add these, all or none; durable when this returns."""
        rows = [
            (
                *(known.head.ledger_id, known.log_key, known.records),
                *(known.head.epoch, known.head.size),
                *(known.head.root, known.digest, int(known.waiting), known.hour, known.count),
            )
            for known in ledgers
        ]
        with self._using(), self._db:
            self._db.executemany("REPLACE INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    # ---- rounds --------------------------------------------------------------------------------

    def close(self, also: Mapping[bytes, bytes], now_ms: int) -> Round:
        """Close a round over everything that waits and the slots `also`; they win over the former.

        Durable when this returns. Of rounds before the last 10,000 the slots are forgotten.
        """
        with self._using(), self._db:
            query = "SELECT id, digest FROM ledgers WHERE waiting"
            waiting: list[Any] = self._db.execute(query).fetchall()
            digests = {**dict(waiting), **also}
            tree = AggregateTree(digests)
            number = int(self._db.execute("SELECT coalesce(max(number) + 1, 0) FROM rounds").get)
            closed = Round(number=number, root=tree.root, closed_ms=now_ms, ledgers=len(digests))
            row = (number, closed.root, closed.closed_ms, closed.ledgers)
            self._db.execute("INSERT INTO rounds VALUES (?, ?, ?, ?)", row)
            slots = ((number, ledger, digest) for ledger, digest in digests.items())
            self._db.executemany("INSERT INTO slots VALUES (?, ?, ?)", slots)
            self._db.execute("UPDATE ledgers SET waiting = 0 WHERE waiting")
            gone = number - limits.ROUNDS_KEPT_MAX
            self._db.execute("DELETE FROM slots WHERE round <= ?", (gone,))
        self._tree = (number, tree)
        return closed

    def newest(self) -> Round | None:
        """The round that was closed last."""
        return self._round("ORDER BY number DESC LIMIT 1")

    def by_root(self, root: bytes) -> Round | None:
        """The round with this root."""
        return self._round("WHERE root = ?", root)

    def _round(self, where: str, *values: bytes) -> Round | None:
        query = f"SELECT number, root, closed_ms, ledgers FROM rounds {where}"  # noqa: S608 - the clauses are this module's own
        with self._using():
            row: Any = self._db.execute(query, values).fetchone()
        if row is None:
            return None
        number, root, closed_ms, ledgers = row
        return Round(number=number, root=root, closed_ms=closed_ms, ledgers=ledgers)

    def with_slot(self, ledger: bytes, *, last: int) -> list[Round]:
        """The newest rounds, at most `last`, in which this ledger has a slot; newest first."""
        query = (
            "SELECT number, root, closed_ms, ledgers FROM rounds JOIN slots ON round = number "
            "WHERE ledger = ? ORDER BY number DESC LIMIT ?"
        )
        with self._using():
            rows: list[Any] = self._db.execute(query, (ledger, last)).fetchall()
        return [Round(number=n, root=r, closed_ms=ms, ledgers=count) for n, r, ms, count in rows]

    def tree(self, closed: Round) -> AggregateTree:
        """The tree of a closed round; the one asked for last is kept. Raises StoreDamaged."""
        if self._tree is None or self._tree[0] != closed.number:
            query = "SELECT ledger, digest FROM slots WHERE round = ?"
            with self._using():
                rows: list[Any] = self._db.execute(query, (closed.number,)).fetchall()
            digests: dict[bytes, bytes] = dict(rows)
            if len(digests) != closed.ledgers:
                raise StoreDamaged(
                    f"round {closed.number} has {len(digests)} slots, {closed.ledgers} were closed",
                    hint=f"slots of more than {limits.ROUNDS_KEPT_MAX} rounds ago are forgotten",
                )
            tree = AggregateTree(digests)
            if tree.root != closed.root:
                raise StoreDamaged(f"the slots of round {closed.number} lead to another root")
            self._tree = closed.number, tree
        return self._tree[1]
