"""An agent out of fixed seeds that hands over and recovers: makers for the tests of lineage."""

from dataclasses import dataclass, replace

from ledger.core.epoch import EpochRecord
from ledger.core.event import Draft
from ledger.core.genesis import key_digest
from ledger.core.handoff import Handoff
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.core.successor import RENEWED_ROLES, Successor
from ledger.core.types import LINEAGE_STREAM
from tests.spec import agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """The secret side of one tenure: its keys by role, and the key that may hand it over."""

    keys: dict[str, Signer]
    next_key: Signer

    @property
    def successor(self) -> Successor:
        return Successor(
            keys={role: self.keys[role].public for role in RENEWED_ROLES},
            next_key_digest=key_digest(self.next_key.public),
        )

    def but(self, **keys: Signer) -> "Heir":
        """The same heir with other keys."""
        return replace(self, keys={**self.keys, **keys})


def heir(number: int) -> Heir:
    """The keys of tenure `number`; 0 are those of the agent's genesis."""
    if number == 0:
        keys = {role: agent.KEYS.signer(role) for role in RENEWED_ROLES}
        return Heir(keys=keys, next_key=agent.signer("next"))
    keys = {role: agent.signer(f"{role} {number}") for role in RENEWED_ROLES}
    return Heir(keys=keys, next_key=agent.signer(f"next {number}"))


def born(*texts: str) -> agent.Ledger:
    """A ledger of a genesis and some words."""
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    for text in texts:
        ledger.add(agent.words(text))
    return ledger


def lineage_of(ledger: agent.Ledger) -> Lineage:
    """Read a ledger's lineage. Raises for a record that breaks a rule."""
    from ledger.core.event import Event
    from ledger.core.lineage import LINEAGE_TYPES

    events = [Event.open(record) for record in ledger.records]
    lineage = Lineage.of(events[0])
    for event in events:
        if event.type in LINEAGE_TYPES:
            lineage = lineage.add(event)
    return lineage


def record_of(ledger: agent.Ledger, new: Heir, **changes: object) -> Handoff:
    """The true record of a handoff of `ledger` to `new`, with changes."""
    lineage = lineage_of(ledger)
    before = lineage.newest
    facts = {
        "number": before.number + 1,
        "previous": before.record,
        "soul": lineage.genesis.soul.sha256,
        "kept_size": ledger.tree.size,
        "kept_root": ledger.tree.root(),
        "architecture": lineage.genesis.architecture,
        "successor": new.successor,
        "key": heir(before.number).next_key.public,
        "reason": "another machine",
    }
    return Handoff(**(facts | changes))


def handoff(
    ledger: agent.Ledger, new: Heir, *, old: Signer | None = None, next_key: Signer | None = None,
    ledger_id: bytes | None = None, **changes: object,
) -> Draft:  # fmt: skip
    """A handoff to `new`, signed by who should, or by `old` and `next_key` instead."""
    before = heir(lineage_of(ledger).newest.number)
    signing = before.next_key if next_key is None else next_key
    record = record_of(ledger, new, **{"key": signing.public, **changes})
    payload = record.to_payload(
        ledger.id if ledger_id is None else ledger_id,
        old=before.keys["log"] if old is None else old,
        next_key=signing,
        new=new.keys,
    )
    return Draft(type="soul.handed_off", stream=LINEAGE_STREAM, payload=payload)


def recovery(
    ledger: agent.Ledger, new: Heir | None, *, epoch: int | None = None, by: Signer | None = None,
    **changes: object,
) -> Draft:  # fmt: skip
    """A recovery of `ledger`, with the keys of `new` if there is one."""
    facts = {"kept_size": ledger.tree.size, "kept_root": ledger.tree.root()} | changes
    record = EpochRecord(
        ledger_id=ledger.id,
        epoch=lineage_of(ledger).epoch + 1 if epoch is None else epoch,
        successor=None if new is None else new.successor,
        **facts,
    )
    payload = record.to_payload(
        agent.RECOVERY if by is None else by, "stolen", new=None if new is None else new.keys
    )
    return Draft(type="ledger.epoch", stream=LINEAGE_STREAM, payload=payload)
