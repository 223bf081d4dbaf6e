"""What may leave the node: a head is released only in one order.

    1. every event under it is durable            (the log's commit)
    2. the guard names it, fsynced, outside home  (this module)
    3. only then it is published, anchored, exported or answered

The guard is written for released heads only. It lies in the state directory, keyed by ledger id, so
that a home restored from a backup, or copied, does not bring its own guard along: then the log may
be behind what the world has seen, and signing on would fork it. What this does not see: a whole
machine rolled back, guard included. Only peers can tell: until one has answered, whoever asks them
holds the release (`hold`). Then the log takes events, and no head leaves that did not before.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from ledger.core.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    open_checkpoint,
    origin,
    sign_checkpoint,
)
from ledger.core.errors import (
    GuardMissing,
    InvalidNote,
    Refused,
    RolledBack,
    StoreError,
    StoreFull,
)
from ledger.core.keys import Signer
from ledger.core.note import parse_note
from ledger.core.tiles import Tree
from ledger.files import write_atomically
from ledger.log import Log

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_GUARD_FILE: Final = "head"
_LOCK_FILE: Final = "lock"
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_RECOVER: Final = (
    "bring the newest ledger and state directory back, or fetch what is missing from a node that "
    "mirrors this ledger: timmy recover --from-mirror URL; if all is lost, begin a new epoch: "
    "timmy recover --kit FILE"
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
            raise self._unwritable(error) from error

    def swap(self, old: bytes, new: bytes) -> None:
        """Replace the guard that this process knows, `old`. Raises RolledBack for another one.

        Two nodes on copies of one home, sharing a state directory, would otherwise take turns in
        signing two histories.
        """
        with self._alone():
            found = self.read()
            if found not in (None, old):
                raise RolledBack(
                    f"the guard {self.path} was changed by another node",
                    hint="stop the copy of this home that runs with the same state directory",
                )
            self.write(new)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path.with_name(_LOCK_FILE), _LOCK_FLAGS, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _unwritable(self, error: OSError) -> StoreError:
        kind = StoreFull if error.errno in _FULL else StoreError
        return kind(
            f"the guard {self.path} cannot be written: {error.strerror}",
            hint="nothing is released before the guard is written",
        )

    def read(self) -> bytes | None:
        """Return the last released note, or None if there is no guard."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"the guard {self.path} cannot be read: {error}") from error


KeyAt: TypeAlias = Callable[[int], bytes]
"""The log key that signs heads of a size, in the epoch that goes on: `Lineage.key_at`."""


@dataclass(slots=True)
class Release:
    """Signs and releases heads of one log. Make one with `open`, or `begin` at birth."""

    log: Log
    guard: GuardFile
    signer: Signer
    epoch: int
    newest: SignedCheckpoint
    key_at: KeyAt
    held: str = ""
    """Why nothing new is released; "" if it is. Set by `hold` and `let_go`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(
        cls, log: Log, state: Path, signer: Signer, *, epoch: int = 0, size: int | None = None
    ) -> "Release":
        """Write the first guard of a log (or of a new epoch) over its present head.

        Or over that of `size`, for a beginning that was cut short.
        """
        guard = GuardFile(state, log.ledger_id)
        newest = _sign(log, signer, epoch, size)
        guard.write(newest.encode())
        return cls(log, guard, signer, epoch, newest, lambda _: signer.public)

    @classmethod
    def open(
        cls,
        log: Log,
        state: Path,
        signer: Signer,
        *,
        epoch: int = 0,
        key_at: KeyAt | None = None,
    ) -> "Release":
        """Compare guard and log. Raises GuardMissing or RolledBack, and releases nothing then.

        Without `key_at` the log has had one key, the signer's.
        """
        guard = GuardFile(state, log.ledger_id)
        keys = key_at or (lambda _: signer.public)
        newest = check_guard(guard, log.tree, log.ledger_id, keys, epoch)
        return cls(log, guard, signer, epoch, newest, keys)

    def head(self) -> SignedCheckpoint:
        """Return a signed checkpoint of everything durable now, guarded and free to leave.

        While it is held: the last one that was released. May be called from any thread: the guard
        never goes back.
        """
        with self._lock:
            if self.log.size > self.newest.size and not self.held:
                self._check_in_charge(self.log.size)
                newest = _sign(self.log, self.signer, self.epoch)
                self.guard.swap(self.newest.encode(), newest.encode())
                self.newest = newest
            return self.newest

    def last_head(self, size: int) -> SignedCheckpoint:
        """Return the head of this size, guarded: the last of a key that hands over.

        Nothing above it is signed, whatever the log holds by now. Raises as `head`.
        """
        with self._lock:
            if size > self.newest.size:
                self._check_free(size)
                self._check_in_charge(size)
                newest = _sign(self.log, self.signer, self.epoch, size)
                self.guard.swap(self.newest.encode(), newest.encode())
                self.newest = newest
            return self.newest

    def earlier_head(self, signer: Signer, *, epoch: int, size: int) -> SignedCheckpoint:
        """Sign a head of an earlier tenure: nothing that the newest head does not cover already.

        The guard stays as it is. The caller knows that `signer` was in charge at that epoch and
        size, and that no other history of that size was ever released.
        """
        if size > self.newest.size:
            raise Refused(
                f"a head of {size} events for an earlier key, {self.newest.size} are released",
                hint="restart the node: timmy run",
            )
        return _sign(self.log, signer, epoch, size)

    def hold(self, reason: str) -> None:
        """Release nothing new from now on, whatever the log takes."""
        with self._lock:
            self.held = reason

    def let_go(self) -> None:
        """Release again."""
        with self._lock:
            self.held = ""

    def _check_free(self, size: int) -> None:
        if self.held:
            raise Refused(
                f"the head of {size} events is not released: {self.held}",
                hint="see who has to answer: timmy mesh witness",
            )

    def _check_in_charge(self, size: int) -> None:
        """A key that has handed over must not sign on: that would be proof of DIVERGED."""
        if self.key_at(size) != self.signer.public:
            raise Refused(
                f"this log key does not sign heads of size {size}: another is in charge",
                hint="restart the node: timmy run",
            )


def _sign(log: Log, signer: Signer, epoch: int, size: int | None = None) -> SignedCheckpoint:
    tree = log.tree
    size = tree.size if size is None else size
    checkpoint = Checkpoint(ledger_id=log.ledger_id, epoch=epoch, size=size, root=tree.root(size))
    return sign_checkpoint(checkpoint, signer)


def check_guard(
    guard: GuardFile,
    tree: Tree,
    ledger_id: bytes,
    key_at: KeyAt,
    epoch: int,
    *,
    note: bytes | None = None,
) -> SignedCheckpoint:
    """Return the last released head if `tree` continues it.

    A reader beside a running node gives the `note` that it read before it looked at the log: a
    guard that is read after it may be of events that the log did not have then.
    """
    note = guard.read() if note is None else note
    if note is None:
        raise GuardMissing(
            f"the guard {guard.path} is missing: this may be a copied or restored home",
            hint=_RECOVER,
        )
    try:
        named = Checkpoint.parse(parse_note(note).text)
        if named.origin != origin(ledger_id, epoch):
            raise RolledBack(
                f"the guard is of {named.origin}, the ledger of {origin(ledger_id, epoch)}",
                hint=_RECOVER,
            )
        newest = open_checkpoint(note, key_at(named.size))
    except InvalidNote as error:
        raise GuardMissing(f"the guard {guard.path} is damaged: {error}", hint=_RECOVER) from error
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
