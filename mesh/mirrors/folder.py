"""Where a mirror lies: a folder that commands read like a home.

    ledger.db            the copy
    state/<id>/head      its newest complete head, where a home has its guard
    pursued              the head that is being copied: what is stored is proven by one of the two
    mirror               marks the folder; JSON, why copying ended, if it did
    SOUL.md              once a source gave the one that genesis names
    views.db             search, made by whoever searches; deleted when something is erased
    given-up-<epoch>/    what a recovery of that log gave up; what is redacted is erased here, too

A crash at any point leaves a prefix of the log and at least one head that it belongs to: a head is
written before the first event that it proves.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.core.errors import StoreUnmade
from ledger.core.genesis import Genesis, check_soul
from ledger.files import sync_folder, write_atomically
from ledger.mirror import MirrorLog
from ledger.release import GuardFile
from ledger.sqlite import SqliteStore

MARK: Final = "mirror"
_GIVEN_UP: Final = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.erasing", "pursued")


@dataclass(frozen=True, slots=True)
class MirrorFolder:
    """The folder of the mirror of one ledger. Nothing is made before `open`."""

    path: Path
    ledger_id: bytes

    @property
    def ledger(self) -> Path:
        """The copy."""
        return self.path / "ledger.db"

    @property
    def soul(self) -> Path:
        """SOUL.md."""
        return self.path / "SOUL.md"

    @property
    def state(self) -> Path:
        """What a home has in its state directory."""
        return self.path / "state"

    def open(self) -> MirrorLog:
        """Open the copy as its one writer; make it if it is not there. Raises StoreError.

        What an erasing that a crash cut short had left is finished, search included.
        """
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        if not self._mark.exists():
            write_atomically(self._mark, b"{}\n")
        if self.ledger.with_suffix(".erasing").exists():
            self.forget_words()
        return MirrorLog(self._store())

    def _store(self) -> SqliteStore:
        if self.ledger.exists():
            try:
                return SqliteStore.open(self.ledger)
            except StoreUnmade:  # its making was cut short
                for end in ("", "-wal", "-shm"):
                    Path(f"{self.ledger}{end}").unlink(missing_ok=True)
        return SqliteStore.create(self.ledger)

    # ---- heads ------------------------------------------------------------------------------

    @property
    def pursued(self) -> bytes | None:
        """The note of the head that is being copied, or was."""
        path = self.path / "pursued"
        return path.read_bytes() if path.exists() else None

    def pursue(self, note: bytes) -> None:
        """Keep the note of a head, durably."""
        write_atomically(self.path / "pursued", note)

    @property
    def complete(self) -> bytes | None:
        """The note of the newest head under which everything is here."""
        return self._guard.read()

    def completed(self, note: bytes) -> None:
        """Keep the note of a complete head, durably."""
        self._guard.write(note)

    @property
    def _guard(self) -> GuardFile:
        return GuardFile(self.state, self.ledger_id)

    # ---- the rest ---------------------------------------------------------------------------

    @property
    def _mark(self) -> Path:
        return self.path / MARK

    @property
    def ended(self) -> dict[str, Any] | None:
        """Why copying ended for good: `why`, and, of two histories, both notes."""
        if not self._mark.exists():
            return None
        found = json.loads(self._mark.read_text())
        return found if isinstance(found, dict) and found.get("why") else None

    def end(self, why: str, *notes: bytes) -> None:
        """Keep, durably, that copying ended."""
        value = {"why": why, "notes": [note.decode(errors="replace") for note in notes]}
        write_atomically(self._mark, json.dumps(value).encode())

    def keep_soul(self, soul: bytes, genesis: Genesis) -> None:
        """Keep SOUL.md. Raises SoulChanged for any other than the agent's."""
        check_soul(soul, genesis)
        write_atomically(self.soul, soul, mode=0o644)

    def forget_words(self) -> None:
        """Delete what was made of the events for search: erased words may be in it."""
        for found in self.path.glob("views.*"):
            found.unlink(missing_ok=True)

    def erase_aside(self, envelopes: Mapping[int, bytes]) -> None:
        """Erase contents in the copies that were set aside, too. Raises StoreError.

        `envelopes` are those of the events by position: where a copy has another event, that was
        given up, and nobody redacted it.
        """
        for path in sorted(self.path.glob("given-up-*/ledger.db")):
            log = MirrorLog(SqliteStore.open(path))
            try:
                if same := [at for at in envelopes if _holds(log, at, envelopes[at])]:
                    log.take((), same)
            finally:
                log.close()

    def set_aside(self, epoch: int) -> None:
        """Put a closed copy away, which epoch `epoch` does not continue, and begin with none."""
        aside = self.path / f"given-up-{epoch}"
        aside.mkdir(mode=0o700, exist_ok=True)
        self.forget_words()
        for name in _GIVEN_UP:
            if (self.path / name).exists():
                (self.path / name).rename(aside / name)
        head = self._guard.path
        if head.exists():
            head.rename(aside / "head")
        sync_folder(self.path)


def _holds(log: MirrorLog, position: int, envelope: bytes) -> bool:
    """Whether a copy has this event, and its content."""
    if position >= log.size:
        return False
    [record] = log.records(position, position + 1)
    return record.content is not None and record.envelope == envelope
