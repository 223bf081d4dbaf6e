"""Consensus-critical: the record that starts a log anew after a loss.

A log whose guard is lost or ahead of it must not go on signing: it might contradict heads it has
released. With the recovery key, which is kept off the node, it may begin epoch + 1: the record
names the size and root that are kept, and the new epoch is part of every later head's origin, so
that a recovered log can be told from one that equivocates. Two different records for one epoch are
proof of DIVERGED. Record: docs/spec/checkpoint.md, "Epochs".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.codec import encode
from ledger.core.errors import InvalidEvent
from ledger.core.keys import Signer, verify

TAG: Final = "timmy/epoch/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """Epoch `epoch` of a log keeps its first `kept_size` events, whose root is `kept_root`."""

    ledger_id: bytes
    epoch: int
    kept_size: int
    kept_root: bytes

    def message(self) -> bytes:
        """The bytes that the recovery key signs."""
        return encode([self.ledger_id, self.epoch, self.kept_size, self.kept_root])

    def to_payload(self, recovery: Signer, reason: str) -> dict[str, Any]:
        """The payload of a `ledger.epoch` event."""
        return {
            "epoch": self.epoch,
            "kept_size": self.kept_size,
            "kept_root": self.kept_root,
            "key": recovery.public,
            "signature": recovery.sign(TAG, self.message()),
            "reason": reason,
        }


def open_epoch(
    payload: Mapping[str, Any], *, ledger_id: bytes, recovery_key_digest: bytes
) -> EpochRecord:
    """Verify the payload of a `ledger.epoch` event. Raises InvalidEvent.

    The signing key must be the one whose SHA-256 genesis announced.
    """
    kinds = {"epoch": int, "kept_size": int, "kept_root": bytes, "key": bytes, "signature": bytes}
    for name, kind in kinds.items():
        if type(payload.get(name)) is not kind:
            raise InvalidEvent(f"epoch record: {name} is not of type {kind.__name__}")
    record = EpochRecord(
        ledger_id=ledger_id,
        epoch=payload["epoch"],
        kept_size=payload["kept_size"],
        kept_root=payload["kept_root"],
    )
    if hashlib.sha256(payload["key"]).digest() != recovery_key_digest:
        raise InvalidEvent("epoch record: not signed by the recovery key of genesis")
    if not verify(payload["key"], TAG, record.message(), payload["signature"]):
        raise InvalidEvent("epoch record: the signature of the recovery key fails")
    return record
