"""Consensus-critical: the record with which an agent hands its identity to new keys.

It is signed by the old log key and by the *next* key, whose digest the tenure before announced: a
thief of the node alone cannot hand over, and neither can the holder of the kit alone. Each new key
signs it too. It is the last event under the old log key: the last head of that key, of size
`kept_size + 1`, covers the record itself; every larger head is the new key's. A larger one by the
old key is proof of DIVERGED. Record: docs/spec/lineage.md.

What it does not show: that old and new are different machines, or that the old secrets are gone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.codec import encode
from ledger.core.errors import InvalidEvent
from ledger.core.keys import Signer
from ledger.core.successor import Successor, check_signature

TAG: Final = "timmy/handoff/v1"
VERSION: Final = 1
REASON_CHARS_MAX: Final = 500
"""A sentence or two, for people."""

_KINDS: Final = {
    "version": int,
    "number": int,
    "previous": bytes,
    "soul": bytes,
    "kept_size": int,
    "kept_root": bytes,
    "architecture": bytes,
    "successor": dict,
    "key": bytes,
    "reason": str,
    "old_signature": bytes,
    "next_signature": bytes,
    "proofs": dict,
}
_SIGNATURES: Final = ("old_signature", "next_signature", "proofs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Tenure `number` begins: after `kept_size` events with root `kept_root`, by these keys.

    `previous` is the id of the event that began the tenure before, `soul` SHA-256(SOUL.md), `key`
    the next key, revealed; `architecture` the digest of the tree of code that goes on. Digests and
    keys are 32 bytes.
    """

    number: int
    previous: bytes
    soul: bytes
    kept_size: int
    kept_root: bytes
    architecture: bytes
    successor: Successor
    key: bytes
    reason: str

    def __post_init__(self) -> None:
        for name in ("previous", "soul", "kept_root", "architecture", "key"):
            if len(getattr(self, name)) != 32:
                raise InvalidEvent(f"handoff: {name} is not 32 bytes")
        if self.number < 1 or self.kept_size < 1:
            raise InvalidEvent(f"handoff {self.number} after {self.kept_size} events")
        if len(self.reason) > REASON_CHARS_MAX:
            raise InvalidEvent(
                f"handoff: reason of {len(self.reason)} characters, at most {REASON_CHARS_MAX}"
            )

    def signed_value(self) -> dict[str, Any]:
        """The payload without its signatures."""
        return {
            "version": VERSION,
            "number": self.number,
            "previous": self.previous,
            "soul": self.soul,
            "kept_size": self.kept_size,
            "kept_root": self.kept_root,
            "architecture": self.architecture,
            "successor": self.successor.to_value(),
            "key": self.key,
            "reason": self.reason,
        }

    def message(self, ledger_id: bytes) -> bytes:
        """The bytes that all of them sign."""
        return encode([ledger_id, self.signed_value()])

    def to_payload(
        self, ledger_id: bytes, *, old: Signer, next_key: Signer, new: Mapping[str, Signer]
    ) -> dict[str, Any]:
        """The payload of a `soul.handed_off` event: `old` log key, next key, new keys by role."""
        message = self.message(ledger_id)
        return {
            **self.signed_value(),
            "old_signature": old.sign(TAG, message),
            "next_signature": next_key.sign(TAG, message),
            "proofs": self.successor.prove(new, TAG, message),
        }


def open_handoff(
    payload: Mapping[str, Any], *, ledger_id: bytes, log_key: bytes, next_key_digest: bytes
) -> Handoff:
    """Verify the payload of a `soul.handed_off` event by the keys before it. Raises InvalidEvent.

    That it follows the tenure before is for `Lineage` to see.
    """
    if payload.keys() != _KINDS.keys():
        raise InvalidEvent(f"handoff: fields are not exactly {', '.join(_KINDS)}")
    for name, kind in _KINDS.items():
        if type(payload[name]) is not kind:
            raise InvalidEvent(f"handoff: {name} is not of type {kind.__name__}")
    if payload["version"] != VERSION:
        raise InvalidEvent(f"handoff: version {payload['version']}, this software reads {VERSION}")
    facts = {name: payload[name] for name in _KINDS if name not in ("version", *_SIGNATURES)}
    record = Handoff(**(facts | {"successor": Successor.from_value(payload["successor"])}))
    if hashlib.sha256(record.key).digest() != next_key_digest:
        raise InvalidEvent("handoff: not signed by the next key that was announced")
    message = record.message(ledger_id)
    check_signature(log_key, TAG, message, payload["old_signature"], "old log key")
    check_signature(record.key, TAG, message, payload["next_signature"], "next key")
    record.successor.check(payload["proofs"], TAG, message)
    return record
