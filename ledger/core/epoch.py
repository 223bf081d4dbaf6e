"""Consensus-critical: the record that starts a log anew after a loss.

A log whose guard is lost or ahead of it must not go on signing: it might contradict heads it has
released. With the recovery key, which is kept off the node, it may begin epoch + 1: the record
names the size and root that are kept, and the new epoch is part of every later head's origin, so
that a recovered log can be told from one that equivocates. Two different records for one epoch are
proof of DIVERGED. Where keys were lost or stolen, the record names new ones too, without the old
ones' signatures: the verdict is then RECOVERED, never "handed over". Record: docs/spec/lineage.md.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.codec import encode
from ledger.core.errors import InvalidEvent
from ledger.core.keys import Signer
from ledger.core.successor import Successor, check_signature

TAG: Final = "timmy/epoch/v1"


_KINDS: Final = {
    "epoch": int,
    "kept_size": int,
    "kept_root": bytes,
    "key": bytes,
    "signature": bytes,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """Epoch `epoch` of a log keeps its first `kept_size` events, whose root is `kept_root`.

    With a `successor`, new keys take over; without one, those before stay.
    """

    ledger_id: bytes
    epoch: int
    kept_size: int
    kept_root: bytes
    successor: Successor | None = None

    def message(self) -> bytes:
        """The bytes that the recovery key signs, and each new key."""
        facts = [self.ledger_id, self.epoch, self.kept_size, self.kept_root]
        return encode(facts if self.successor is None else [*facts, self.successor.to_value()])

    def to_payload(
        self, recovery: Signer, reason: str, *, new: Mapping[str, Signer] | None = None
    ) -> dict[str, Any]:
        """The payload of a `ledger.epoch` event; `new` are the successor's signers by role."""
        payload = {
            "epoch": self.epoch,
            "kept_size": self.kept_size,
            "kept_root": self.kept_root,
            "key": recovery.public,
            "signature": recovery.sign(TAG, self.message()),
            "reason": reason,
        }
        if self.successor is not None:
            assert new is not None
            payload["successor"] = self.successor.to_value()
            payload["proofs"] = self.successor.prove(new, TAG, self.message())
        return payload


def open_epoch(
    payload: Mapping[str, Any], *, ledger_id: bytes, recovery_key_digest: bytes
) -> EpochRecord:
    """Verify the payload of a `ledger.epoch` event. Raises InvalidEvent.

    The signing key must be the one whose SHA-256 genesis announced.
    """
    for name, kind in _KINDS.items():
        if type(payload.get(name)) is not kind:
            raise InvalidEvent(f"epoch record: {name} is not of type {kind.__name__}")
    if ("successor" in payload) != ("proofs" in payload):
        raise InvalidEvent("epoch record: a successor and its proofs stand together")
    successor = Successor.from_value(payload["successor"]) if "successor" in payload else None
    record = EpochRecord(
        ledger_id=ledger_id,
        epoch=payload["epoch"],
        kept_size=payload["kept_size"],
        kept_root=payload["kept_root"],
        successor=successor,
    )
    if hashlib.sha256(payload["key"]).digest() != recovery_key_digest:
        raise InvalidEvent("epoch record: not signed by the recovery key of genesis")
    check_signature(payload["key"], TAG, record.message(), payload["signature"], "recovery key")
    if successor is not None:
        successor.check(payload["proofs"], TAG, record.message())
    return record
