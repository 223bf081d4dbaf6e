"""The root of every error this software raises on purpose, and those of the ledger.

Split by fault: `InvalidData` is in bytes somebody gave us, `Refused` is a request we will not
carry out, `StoreError` is in the files or the machine beneath us. Anything else is our bug.
"""

from typing import Final

SALVAGE: Final = (
    "see what is wrong: timmy doctor; save what is whole: timmy doctor --salvage -o FILE"
)
"""The way out of damage, said with every error about it that names no better one."""


class TimmyError(Exception):
    """An error with a way out. `hint` is one line, lower case, no full stop, or None."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class LedgerError(TimmyError):
    """Base of the ledger's errors."""


class InvalidData(LedgerError):
    """Bytes from outside do not say what they must."""


class InvalidCbor(InvalidData):
    """Not the one deterministic encoding of a value of the profile."""


class InvalidEvent(InvalidData):
    """An envelope, payload or content breaks a rule of docs/spec/event.md."""


class InvalidCertificate(InvalidData):
    """A parent's certificate over a child breaks a rule of docs/spec/child.md."""


class InvalidStatement(InvalidData):
    """A foreign author's statement is malformed or not his."""


class InvalidProof(InvalidData):
    """A Merkle proof does not lead to the root it claims."""


class InvalidNote(InvalidData):
    """A signed note or checkpoint is malformed or its signature fails."""


class InvalidBundle(InvalidData):
    """A bundle file is malformed, truncated or contradicts itself."""


class InvalidGenesis(InvalidData):
    """A genesis payload is malformed or contradicts itself."""


class UnprovenKey(InvalidGenesis):
    """A key named in a genesis did not sign it. `role` says which."""

    def __init__(self, role: str) -> None:
        super().__init__(f"genesis: the {role} key's signature does not verify")
        self.role = role


class SoulChanged(InvalidData):
    """A SOUL.md is not the one this agent was born with."""


class Refused(LedgerError):
    """A request that makes sense and is not carried out."""


class NotFound(Refused):
    """No such event, stream or range."""


class Moved(Refused):
    """The log grew before the append that wanted it to be of one size: look again."""


class IdempotencyConflict(Refused):
    """The same idempotency key came with another body."""


class StoreError(LedgerError):
    """The files or the machine beneath the ledger."""


class StoreFull(StoreError):
    """The disk takes no more: nothing was appended, reading goes on."""


class StoreDamaged(StoreError):
    """Stored bytes contradict their own hashes. Carries the first bad position if known."""

    def __init__(
        self, message: str, *, position: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint or SALVAGE)
        self.position = position


class StoreSchema(StoreError):
    """The database was written by another program or another version of this one."""


class StoreOld(StoreSchema):
    """An older version of this program wrote it: its next start brings it forward."""


class StoreUnmade(StoreSchema):
    """The database is empty: its making was cut short, or it was emptied."""


class StoreLocked(StoreError):
    """Another process is the writer of this home."""


class GuardError(StoreError):
    """Base: what was released to the world and what the store holds do not agree."""


class GuardMissing(GuardError):
    """The record of the last released head is gone: this may be a copied home."""


class RolledBack(GuardError):
    """The store is older than, or different from, the head it has already released."""
