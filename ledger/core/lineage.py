"""Consensus-critical: whose log key signs a head, from birth through handoffs and recoveries.

A *tenure* is a run of heads under one log key: it begins at birth, at a handoff (after the head
that covers it) or at an epoch record. `Lineage` is built by reading a log's lineage records in
order, each verified by the keys before it; it answers which key signs a head of an epoch and size.

Whether what a record keeps, `kept_size` and `kept_root`, is this very log is for its reader to
compare.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ledger.core.epoch import open_epoch
from ledger.core.errors import InvalidEvent
from ledger.core.event import Event
from ledger.core.genesis import Genesis, key_digest, parse_genesis
from ledger.core.handoff import open_handoff
from ledger.core.successor import RENEWED_ROLES, Successor
from ledger.core.types import HANDED_OFF, LINEAGE

LINEAGE_TYPES: Final = LINEAGE


class Cause(StrEnum):
    """How a tenure began."""

    BIRTH = "birth"
    HANDOFF = "handoff"
    EPOCH = "epoch"
    """A recovery that kept the keys."""
    RECOVERY = "recovery"
    """A recovery that renewed them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """Heads of `epoch` from size `start` on are signed by `keys["log"]`.

    `number` counts the sets of keys; `record` is the id of the event that put them in charge.
    `event` and `position` are of the one that began the tenure, which may keep the keys. Keys are
    by role: log, seal, funding.
    """

    number: int
    epoch: int
    start: int
    keys: Mapping[str, bytes]
    next_key_digest: bytes
    record: bytes
    event: bytes
    position: int
    cause: Cause

    @property
    def place(self) -> tuple[int, int]:
        """Epoch, and number if a handoff began it: nobody may sign two tenures of one place."""
        return self.epoch, self.number if self.cause is Cause.HANDOFF else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The tenures of one log, oldest first; never empty."""

    genesis: Genesis
    ledger_id: bytes
    tenures: tuple[Tenure, ...]

    @classmethod
    def of(cls, first: Event) -> "Lineage":
        """Begin with the event at position 0. Raises InvalidGenesis."""
        genesis = parse_genesis(first.payload)
        birth = Tenure(
            number=0,
            epoch=0,
            start=0,
            keys={role: genesis.keys[role] for role in RENEWED_ROLES},
            next_key_digest=genesis.next_key_digest,
            record=first.id,
            event=first.id,
            position=0,
            cause=Cause.BIRTH,
        )
        return cls(genesis=genesis, ledger_id=first.id, tenures=(birth,))

    @property
    def newest(self) -> Tenure:
        """The tenure in charge now."""
        return self.tenures[-1]

    @property
    def epoch(self) -> int:
        """The log's epoch: how often it was recovered."""
        return self.newest.epoch

    @property
    def kept(self) -> Mapping[int, int]:
        """How many events the record of each epoch keeps, by epoch: its position."""
        began = (Cause.EPOCH, Cause.RECOVERY)
        return {one.epoch: one.position for one in self.tenures if one.cause in began}

    def add(self, event: Event) -> "Lineage":
        """Return the lineage with the next record of LINEAGE_TYPES. Raises InvalidEvent."""
        tenure = self._handoff(event) if event.type == HANDED_OFF.name else self._epoch(event)
        return replace(self, tenures=(*self.tenures, tenure))

    @property
    def keys(self) -> Mapping[str, bytes]:
        """The x-only keys in charge now, by role: those of genesis and what was renewed since."""
        return {**self.genesis.keys, **self.newest.keys}

    def key_at(self, size: int) -> bytes:
        """The log key that signs heads of this size in the newest epoch. Raises InvalidEvent."""
        return self.tenure_at(self.epoch, size).keys["log"]

    def with_all(self, events: Iterable[Event]) -> "Lineage":
        """Return the lineage with those records that follow one another: some may be lost."""
        found = self
        for event in events:
            with suppress(InvalidEvent):
                found = found.add(event)
        return found

    def tenure_before(self, size: int) -> Tenure:
        """The newest known tenure that may sign heads of this size, whatever epoch they name.

        For a log of which records are lost; a whole one is asked by `tenure_at`.
        """
        return next(tenure for tenure in reversed(self.tenures) if tenure.start <= size)

    def tenure_at(self, epoch: int, size: int) -> Tenure:
        """The tenure whose key signs heads of this epoch and size. Raises InvalidEvent."""
        for tenure in reversed(self.tenures):
            if tenure.epoch == epoch and tenure.start <= size:
                return tenure
        raise InvalidEvent(f"no tenure of epoch {epoch} signs heads of size {size}")

    def origin(self, tenure: Tenure) -> Tenure:
        """The tenure that put the keys of `tenure` in charge: epochs that keep them may follow."""
        return next(one for one in self.tenures if one.event == tenure.record)

    def _handoff(self, event: Event) -> Tenure:
        before = self.newest
        record = open_handoff(
            event.payload,
            ledger_id=self.ledger_id,
            log_key=before.keys["log"],
            next_key_digest=before.next_key_digest,
        )
        if record.number != before.number + 1:
            raise InvalidEvent(f"handoff {record.number} follows {before.number}")
        if record.previous != before.record:
            raise InvalidEvent("handoff: it continues another tenure than the one before it")
        if record.soul != self.genesis.soul.sha256:
            raise InvalidEvent("handoff: it names another SOUL than genesis")
        self._check_new(record.successor, revealed=record.key)
        return Tenure(
            number=record.number,
            epoch=before.epoch,
            start=event.position + 2,
            keys=record.successor.keys,
            next_key_digest=record.successor.next_key_digest,
            record=event.id,
            event=event.id,
            position=event.position,
            cause=Cause.HANDOFF,
        )

    def _epoch(self, event: Event) -> Tenure:
        before = self.newest
        record = open_epoch(
            event.payload,
            ledger_id=self.ledger_id,
            recovery_key_digest=self.genesis.recovery_key_digest,
        )
        if record.epoch != before.epoch + 1:
            raise InvalidEvent(f"epoch {record.epoch} follows epoch {before.epoch}")
        after = replace(
            before,
            epoch=record.epoch,
            start=event.position + 1,
            event=event.id,
            position=event.position,
            cause=Cause.EPOCH,
        )
        if record.successor is None:
            return after
        self._check_new(record.successor, revealed=event.payload["key"])
        return replace(
            after,
            number=before.number + 1,
            keys=record.successor.keys,
            next_key_digest=record.successor.next_key_digest,
            record=event.id,
            cause=Cause.RECOVERY,
        )

    def _check_new(self, successor: Successor, *, revealed: bytes) -> None:
        """No key serves twice, in whatever role: a swapped or stolen one is found here."""
        used = {*self.genesis.keys.values(), self.genesis.recovery_output_key, revealed}
        announced = {self.genesis.recovery_key_digest}
        for tenure in self.tenures:
            used.update(tenure.keys.values())
            announced.add(tenure.next_key_digest)
        for role, key in successor.keys.items():
            if key in used or key_digest(key) in announced:
                raise InvalidEvent(f"the new {role} key had a role before")
        known = {key_digest(key) for key in (*used, *successor.keys.values())}
        if successor.next_key_digest in announced | known:
            raise InvalidEvent("the announced next key had a role before")
