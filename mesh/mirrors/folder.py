"""Where a mirror lies: a folder that commands read like a home.

    ledger.db            the copy
    state/<id>/head      its newest complete head, where a home has its guard
    pursued              the head that is being copied: what is stored is proven by one of the two
    mirror               marks the folder; JSON, why copying ended, if it did
    SOUL.md              once a source gave the one that genesis names
    views.db             search, made by whoever searches; deleted when something is erased
    given-up-<epoch>/    what a recovery of that log gave up; what is redacted is erased here, too

Of leaf hashes only (`LeafFolder`), in place of the copy, of SOUL.md and of search:

    leaves, leaves.size  the hashes (`ledger.leaves`)
    leaves.damaged       what was found damaged, the last time; the hashes were fetched again
    shown                event 0 and the records of lineage, which say who signs the heads

A crash at any point leaves a prefix of the log and at least one head that it belongs to: a head is
written before the first event that it proves.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import StoreUnmade
from ledger.core.event import Event
from ledger.core.genesis import Genesis, check_soul
from ledger.core.lineage import Lineage
from ledger.core.tiles import Tree
from ledger.files import sync_folder, write_atomically
from ledger.mirror import MirrorLog
from ledger.release import GuardFile
from ledger.sqlite import SqliteStore
from mesh.core.mirrors.copying import Kept, Store, StoreLeaves
from mesh.core.mirrors.pursuit import Pursuit
from mesh.core.mirrors.replica import Replica
from mesh.mirrors.offer import LeafOffer, Offer

MARK: Final = "mirror"

Machine: TypeAlias = Pursuit[Any, Any]


class Treed(Kept, Protocol):
    """What a mirror keeps of a log, open."""

    @property
    def tree(self) -> Tree:
        """The tree over all that is stored. Read only."""

    def lineage(self) -> Lineage | None:
        """Which keys were in charge when, as far as it is known; None where nothing is."""

    def close(self) -> None:
        """Release every resource."""


L = TypeVar("L", bound=Treed)


@dataclass(frozen=True, slots=True)
class Folder(ABC, Generic[L]):
    """The folder of the mirror of one ledger, of whatever depth. Nothing is made before `open`."""

    path: Path
    ledger_id: bytes
    depth: ClassVar[str]
    """A word for people."""
    given_up: ClassVar[tuple[str, ...]]
    """What is set aside when a recovery of the log gave it up."""
    discards: ClassVar[bool] = False
    """Whether a damaged copy is put aside and fetched again: there are no words to lose."""

    # ---- a depth says -----------------------------------------------------------------------

    @abstractmethod
    def open(self) -> L:
        """Open the copy as its one writer; make it if it is not there. Raises StoreError."""

    @abstractmethod
    def machine(
        self, log: L, sources: Iterable[str], jitter: Iterator[float], near: int
    ) -> Machine:
        """What decides how the copy grows, from what is here; `near` is the machine's."""

    @abstractmethod
    def store(self, log: L, action: Store | StoreLeaves) -> None:
        """Carry out an action of that. Raises StoreError, OSError."""

    @abstractmethod
    def offer(self, log: L, head: Callable[[], SignedCheckpoint]) -> LeafOffer:
        """What of the copy others may have."""

    def keep_shown(self, log: L, shown: tuple[Event, ...]) -> None:
        """Keep who signs the heads, if the copy itself does not say it."""

    def discard(self) -> None:
        """Put a damaged copy aside, where `discards`."""

    @property
    def lacks_soul(self) -> bool:
        """Whether SOUL.md is wanted."""
        return False

    def keep_soul(self, soul: bytes, genesis: Genesis) -> None:
        """Keep SOUL.md. Raises SoulChanged for any other than the agent's."""

    def forget_words(self) -> None:
        """Delete what was made of the events for search: erased words may be in it."""

    # ---- the same for all -------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """What a home has in its state directory."""
        return self.path / "state"

    def _make(self) -> None:
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        if not self._mark.exists():
            write_atomically(self._mark, b"{}\n")

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

    def set_aside(self, epoch: int) -> None:
        """Put a closed copy away, which epoch `epoch` does not continue, and begin with none."""
        aside = self.path / f"given-up-{epoch}"
        aside.mkdir(mode=0o700, exist_ok=True)
        self.forget_words()
        for name in self.given_up:
            if (self.path / name).exists():
                (self.path / name).rename(aside / name)
        head = self._guard.path
        if head.exists():
            head.rename(aside / "head")
        sync_folder(self.path)


class MirrorFolder(Folder[MirrorLog]):
    """That of a copy with its words."""

    depth = "words"
    given_up = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.erasing", "pursued")

    @property
    def ledger(self) -> Path:
        """The copy."""
        return self.path / "ledger.db"

    @property
    def soul(self) -> Path:
        """SOUL.md."""
        return self.path / "SOUL.md"

    def open(self) -> MirrorLog:
        """Open the copy as its one writer; make it if it is not there. Raises StoreError.

        What an erasing that a crash cut short had left is finished, search included.
        """
        self._make()
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

    def machine(
        self, log: MirrorLog, sources: Iterable[str], jitter: Iterator[float], near: int
    ) -> Machine:
        """See Folder."""
        pursued = self.pursued or self.complete
        return Replica(
            self.ledger_id, log, sources, lineage=log.lineage(), pursued=pursued, jitter=jitter,
            near=near,
        )  # fmt: skip

    def store(self, log: MirrorLog, action: Store | StoreLeaves) -> None:
        """Store events, and erase what they redact."""
        assert isinstance(action, Store)
        if action.erase:  # before, for a crash in between; after, for whoever searched meanwhile
            self.forget_words()
            self.erase_aside({at: _envelope(log, action, at) for at in action.erase})
        log.take(action.events, action.erase)
        if action.erase:
            self.forget_words()

    def offer(self, log: MirrorLog, head: Callable[[], SignedCheckpoint]) -> LeafOffer:
        """See Folder."""
        return Offer(log=log, head=head)

    @property
    def lacks_soul(self) -> bool:
        """Whether no source gave it yet."""
        return not self.soul.exists()

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


def _holds(log: MirrorLog, position: int, envelope: bytes) -> bool:
    """Whether a copy has this event, and its content."""
    if position >= log.size:
        return False
    [record] = log.records(position, position + 1)
    return record.content is not None and record.envelope == envelope


def _envelope(log: MirrorLog, action: Store, position: int) -> bytes:
    """Of an event that is stored, or about to be."""
    if position >= log.size:
        return action.events[position - log.size][0].envelope
    [record] = log.records(position, position + 1)
    return record.envelope
