"""What may leave the node: a head is released only in one order.

    1. every event under it is durable            (the log's commit)
    2. the guard names it, fsynced, outside home  (this module)
    3. only then it is published, anchored, exported or answered

The guard is written for released heads only. It lies in the state directory, keyed by ledger id, so
that a home restored from a backup, or copied, does not bring its own guard along: then the log may
be behind what the world has seen, and signing on would fork it. What this does not see: a whole
machine rolled back, guard included. Only peers can tell.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.core.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    open_checkpoint,
    origin,
    sign_checkpoint,
)
from ledger.core.errors import GuardMissing, InvalidNote, RolledBack, StoreError
from ledger.core.keys import Signer
from ledger.core.tiles import Tree
from ledger.files import write_atomically
from ledger.log import Log

_GUARD_FILE: Final = "head"
_RECOVER: Final = (
    "restore the newest state directory or ledger; if it is lost for good, start a new epoch: "
    "timmy recover"
)


class GuardFile:
    """`<state>/<ledger id>/head`: the last released checkpoint note."""

    def __init__(self, state: Path, ledger_id: bytes) -> None:
        self.path = state / ledger_id.hex() / _GUARD_FILE

    def write(self, note: bytes) -> None:
        """Replace the guard, durably."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.path, note)
        except OSError as error:
            raise StoreError(f"the guard {self.path} cannot be written: {error}") from error

    def read(self) -> bytes | None:
        """Return the last released note, or None if there is no guard."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"the guard {self.path} cannot be read: {error}") from error


@dataclass(slots=True)
class Release:
    """Signs and releases heads of one log. Make one with `open`, or `begin` at birth."""

    log: Log
    guard: GuardFile
    signer: Signer
    epoch: int
    newest: SignedCheckpoint

    @classmethod
    def begin(cls, log: Log, state: Path, signer: Signer, *, epoch: int = 0) -> "Release":
        """Write the first guard of a log (or of a new epoch) over its present head."""
        guard = GuardFile(state, log.ledger_id)
        newest = _sign(log, signer, epoch)
        guard.write(newest.encode())
        return cls(log, guard, signer, epoch, newest)

    @classmethod
    def open(cls, log: Log, state: Path, signer: Signer, *, epoch: int = 0) -> "Release":
        """Compare guard and log. Raises GuardMissing or RolledBack, and releases nothing then."""
        guard = GuardFile(state, log.ledger_id)
        newest = check_guard(guard, log.tree, log.ledger_id, signer.public, epoch)
        return cls(log, guard, signer, epoch, newest)

    def head(self) -> SignedCheckpoint:
        """Return a signed checkpoint of everything durable now, guarded and free to leave."""
        if self.log.size > self.newest.size:
            newest = _sign(self.log, self.signer, self.epoch)
            self.guard.write(newest.encode())
            self.newest = newest
        return self.newest


def _sign(log: Log, signer: Signer, epoch: int) -> SignedCheckpoint:
    tree = log.tree
    checkpoint = Checkpoint(ledger_id=log.ledger_id, epoch=epoch, size=tree.size, root=tree.root())
    return sign_checkpoint(checkpoint, signer)


def check_guard(
    guard: GuardFile, tree: Tree, ledger_id: bytes, log_key: bytes, epoch: int
) -> SignedCheckpoint:
    """Return the last released head if `tree` continues it."""
    note = guard.read()
    if note is None:
        raise GuardMissing(
            f"the guard {guard.path} is missing: this may be a copied or restored home",
            hint=_RECOVER,
        )
    try:
        newest = open_checkpoint(note, log_key)
    except InvalidNote as error:
        raise GuardMissing(f"the guard {guard.path} is damaged: {error}", hint=_RECOVER) from error
    if newest.checkpoint.origin != origin(ledger_id, epoch):
        raise RolledBack(
            f"the guard is of {newest.checkpoint.origin}, the ledger of {origin(ledger_id, epoch)}",
            hint=_RECOVER,
        )
    if newest.size > tree.size:
        raise RolledBack(
            f"{newest.size} events were released to the world, this ledger holds {tree.size}",
            hint=_RECOVER,
        )
    if tree.root(newest.size) != newest.root:
        raise RolledBack(
            f"the first {newest.size} events are not those that were released", hint=_RECOVER
        )
    return newest
