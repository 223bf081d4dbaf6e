"""A witness with a memory: heads of other logs in `witness.db`, put there before a yes leaves.

    read what is known, judge, write what is known then     one transaction, FULL
    cosign                                                  only after it is on disk

The file lies in the state directory, beside the guard and outside the home: a witness that came
back from a backup of its home would otherwise cosign again what it had already seen the end of.
`mesh.core.witnesses.witness` decides; this holds its state, and the file that proves a conflict.

Logs are known by an *introduction*, a file that shows who a ledger id is and which keys were in
charge when. The one that is held is replaced only by one that goes on from it.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from ledger.core.checkpoint import Checkpoint
from ledger.core.cosignature import Ed25519Sign, Witness, cosign
from ledger.core.equivocation import Equivocation
from ledger.core.lineage import Lineage
from ledger.core.note import Note, parse_note
from mesh.core.errors import InvalidIntroduction, InvalidRequest, Refused
from mesh.core.witnesses.add_checkpoint import AddCheckpoint
from mesh.core.witnesses.witness import HEADS_MAX, Answer, Known, Seen, Verdict, judge, named_in
from mesh.database import errors_as_ours, open_database, transaction

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE logs (
    ledger       BLOB PRIMARY KEY,
    introduction BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE heads (
    ledger BLOB NOT NULL,
    epoch  INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    root   BLOB NOT NULL,
    note   BLOB NOT NULL,
    PRIMARY KEY (ledger, epoch, size)
) STRICT, WITHOUT ROWID;
CREATE TABLE frozen (
    ledger BLOB NOT NULL,
    epoch  INTEGER NOT NULL,
    proof  BLOB NOT NULL,
    PRIMARY KEY (ledger, epoch)
) STRICT, WITHOUT ROWID;
"""
INTRODUCTION_BYTES_MAX: Final = 1024 * 1024
"""A genesis is 2 kB, a handoff 1 kB; links in Bitcoin are no part of it."""
LOGS_MAX: Final = 1024
"""A fleet and its friends: 4,096 heads each are 1.5 MB."""

Introduce = Callable[[bytes], Lineage]
"""Verify an introduction. Raises InvalidIntroduction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A log and epoch that signed two histories, and the file that proves it."""

    ledger_id: bytes
    epoch: int
    proof: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the file."""
        return hashlib.sha256(self.proof).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered over HTTP. `frozen` is there if this very request proved a conflict."""

    verdict: Verdict
    body: str
    frozen: Frozen | None = None


class WitnessFile:
    """`witness.db`. May be used from any thread; every method is one transaction."""

    def __init__(
        self,
        path: Path,
        introduce: Introduce,
        *,
        admits: Callable[[bytes], bool] = lambda _: True,
        heads_max: int = HEADS_MAX,
    ) -> None:
        """Open or create the file. `admits` tells which ledgers are witnessed at all."""
        self._path = path
        self._admits = admits
        self._introduce = introduce
        self._heads_max = heads_max
        self._lock = threading.Lock()
        self._lineages: dict[bytes, Lineage] = {}
        self._opened: apsw.Connection | None = None
        self._epochs: dict[bytes, int] | None = None
        """The last frozen epoch of each log; None if that has to be read."""

    @property
    def _db(self) -> apsw.Connection:
        """Opened when it is needed first: most nodes are nobody's witness."""
        if self._opened is None:
            self._opened = open_database(
                self._path, schema=_SCHEMA, version=_VERSION, synchronous="FULL"
            )
        return self._opened

    def introduce(self, ledger_id: bytes, data: bytes) -> Lineage:
        """Take who a log is, or what followed since. Raises InvalidIntroduction or Refused."""
        if len(data) > INTRODUCTION_BYTES_MAX:
            raise InvalidIntroduction(
                f"introduction of {len(data)} bytes, at most {INTRODUCTION_BYTES_MAX}"
            )
        new = self._introduce(data)
        if new.ledger_id != ledger_id:
            raise InvalidIntroduction(f"it is of ledger {new.ledger_id.hex()}")
        with self._lock, transaction(self._db, self._path):
            old = self._lineage(ledger_id)
            if old is None:
                self._check_room()
            elif new.tenures[: len(old.tenures)] != old.tenures:
                _check_older(old, new)
                return old
            self._db.execute(
                "INSERT INTO logs VALUES (?, ?) ON CONFLICT DO UPDATE SET introduction = ?2",
                (ledger_id, data),
            )
        self._lineages[ledger_id] = new
        return new

    def _check_room(self) -> None:
        if int(self._db.execute("SELECT count(*) FROM logs").get) >= LOGS_MAX:
            raise Refused(f"{LOGS_MAX} logs are witnessed here already")

    def judge(self, request: AddCheckpoint) -> tuple[Verdict, Frozen | None]:
        """Judge one head and keep what follows from it, durably. Raises StoreError."""
        try:
            named = named_in(request)
        except InvalidRequest as error:
            return Verdict(answer=Answer.MALFORMED, reason=str(error)), None
        with self._lock, transaction(self._db, self._path):
            verdict = judge(request, self._known(named))
            if verdict.accepted is not None:
                self._keep(named, verdict.accepted)
            if verdict.conflict is None:
                return verdict, None
            return verdict, self._freeze(named, verdict.conflict)

    def _known(self, named: Checkpoint) -> Known:
        place = (named.ledger_id, named.epoch)
        frozen = self._db.execute("SELECT 1 FROM frozen WHERE ledger = ? AND epoch = ?", place).get
        return Known(
            lineage=self._lineage(named.ledger_id) if self._admits(named.ledger_id) else None,
            latest=self._seen("ORDER BY size DESC LIMIT 1", place),
            frozen=frozen is not None,
            at=lambda size: self._seen("AND size = ?", (*place, size)),
        )

    def _seen(self, clause: str, bindings: tuple[object, ...]) -> Seen | None:
        query = f"SELECT size, root, note FROM heads WHERE ledger = ? AND epoch = ? {clause}"  # noqa: S608 - two clauses of ours
        row = self._db.execute(query, bindings).fetchone()
        return None if row is None else Seen(size=row[0], root=row[1], note=row[2])

    def _keep(self, named: Checkpoint, seen: Seen) -> None:
        place = (named.ledger_id, named.epoch)
        self._db.execute(
            "INSERT INTO heads VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*place, seen.size, seen.root, seen.note),
        )
        self._db.execute(
            "DELETE FROM heads WHERE ledger = ?1 AND epoch = ?2 AND size <= (SELECT size FROM heads"
            " WHERE ledger = ?1 AND epoch = ?2 ORDER BY size DESC LIMIT 1 OFFSET ?3)",
            (*place, self._heads_max),
        )

    def _freeze(self, named: Checkpoint, notes: tuple[bytes, bytes]) -> Frozen:
        """Keep the proof of a conflict; the first one stays."""
        introduction = self._introduction(named.ledger_id)
        assert introduction is not None
        return self._keep_proof(
            Equivocation(
                ledger_id=named.ledger_id, epoch=named.epoch, introduction=introduction, notes=notes
            )
        )

    def freeze(self, proof: Equivocation) -> Frozen:
        """Keep a proof that came from elsewhere and was verified: the log is frozen here, too."""
        with self._lock, transaction(self._db, self._path):
            return self._keep_proof(proof)

    def _keep_proof(self, proof: Equivocation) -> Frozen:
        place, self._epochs = (proof.ledger_id, proof.epoch), None
        self._db.execute(
            "INSERT INTO frozen VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (*place, proof.encode())
        )
        [found] = [one for one in self._frozen() if (one.ledger_id, one.epoch) == place]
        return found

    def _lineage(self, ledger_id: bytes) -> Lineage | None:
        if ledger_id not in self._lineages:
            data = self._introduction(ledger_id)
            if data is None:
                return None
            self._lineages[ledger_id] = self._introduce(data)
        return self._lineages[ledger_id]

    def _introduction(self, ledger_id: bytes) -> bytes | None:
        found: bytes | None = self._db.execute(
            "SELECT introduction FROM logs WHERE ledger = ?", (ledger_id,)
        ).get
        return found

    def _frozen(self) -> list[Frozen]:
        rows = self._db.execute("SELECT ledger, epoch, proof FROM frozen ORDER BY ledger, epoch")
        return [Frozen(ledger_id=row[0], epoch=row[1], proof=row[2]) for row in rows]

    def frozen(self) -> list[Frozen]:
        """Every log and epoch that was proven to have signed two histories."""
        if self._opened is None and not self._path.exists():
            return []  # nobody's witness, and nothing was ever proven to it
        with self._lock, errors_as_ours(self._path):
            return self._frozen()

    def frozen_epoch(self, ledger_id: bytes) -> int:
        """The last epoch of a log that is frozen; -1 without one. From memory, but for once."""
        if self._opened is None and not self._path.exists():
            return -1
        epochs = self._epochs
        if epochs is None:
            with self._lock, errors_as_ours(self._path):
                epochs = self._epochs = {one.ledger_id: one.epoch for one in self._frozen()}
        return epochs.get(ledger_id, -1)

    def latest(self) -> list[tuple[bytes, int, Seen]]:
        """Ledger id, epoch, and the largest head of each log that was cosigned."""
        if self._opened is None and not self._path.exists():
            return []
        query = (
            "SELECT ledger, epoch, size, root, note FROM heads AS one WHERE size ="
            " (SELECT max(size) FROM heads WHERE ledger = one.ledger AND epoch = one.epoch)"
        )
        with self._lock, errors_as_ours(self._path):
            rows = list(self._db.execute(query))
        return [(row[0], row[1], Seen(size=row[2], root=row[3], note=row[4])) for row in rows]

    def newest(self, ledger_id: bytes) -> Seen | None:
        """The largest head of a log's last epoch; None if it is frozen, or nothing was cosigned."""
        with self._lock, errors_as_ours(self._path):
            lineage = self._lineage(ledger_id)
            if lineage is None:
                return None
            place = (ledger_id, lineage.epoch)
            frozen = any((one.ledger_id, one.epoch) == place for one in self._frozen())
            return None if frozen else self._seen("ORDER BY size DESC LIMIT 1", place)

    def close(self) -> None:
        """Close the file, once nobody reads it."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()


def _check_older(old: Lineage, new: Lineage) -> None:
    """An older introduction changes nothing; one that branches off is refused."""
    if old.tenures[: len(new.tenures)] != new.tenures:
        raise Refused(
            "the introduction tells of other handoffs or recoveries than the one before it",
            hint="verify the one beside the other: timmy verify NEW --held OLD",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigner:
    """Answers `add-checkpoint`: judges, keeps, and only then signs."""

    file: WitnessFile
    witness: Witness
    sign: Ed25519Sign
    clock: Callable[[], int]
    """Unix seconds now."""

    def newest(self, ledger_id: bytes) -> bytes | None:
        """The newest head of a log that was cosigned, cosigned now; None if there is none, or if
        that log signed two histories.
        """
        seen = self.file.newest(ledger_id)
        if seen is None:
            return None
        note = parse_note(seen.note)
        line = cosign(note.text, self.witness, max(1, self.clock()), self.sign)
        return Note(text=note.text, signatures=(*note.signatures, line)).encode()

    def answer(self, data: bytes) -> Reply:
        """Answer one request's body. Raises StoreError, and then nothing was signed."""
        try:
            request = AddCheckpoint.parse(data)
        except InvalidRequest as error:
            verdict = Verdict(answer=Answer.MALFORMED, reason=str(error))
            return Reply(verdict=verdict, body=f"{verdict.reason}\n")
        verdict, frozen = self.file.judge(request)
        if verdict.answer is Answer.COSIGNED:
            text = parse_note(request.note).text
            line = cosign(text, self.witness, max(1, self.clock()), self.sign)
            return Reply(verdict=verdict, body=line.line())
        stale = verdict.answer is Answer.STALE
        body = f"{verdict.size}\n" if stale else f"{verdict.reason}\n"
        return Reply(verdict=verdict, body=body, frozen=frozen)
