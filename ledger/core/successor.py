"""Consensus-critical: the keys that take over from those of genesis, and the proof that they may.

A handoff and a recovery put three keys in charge: log, seal and funding. Nostr and operator keys
stay (the npub is how others know the agent). Each new key signs the record that names it, so nobody
can claim a key that is not his; together they announce the digest of the key that will sign the
*next* handoff, so that whoever takes everything from the node cannot hand it over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.errors import InvalidEvent
from ledger.core.keys import Signer, verify

RENEWED_ROLES: Final = ("log", "seal", "funding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """Three x-only keys by role and the digest of the next key, 32 bytes each."""

    keys: Mapping[str, bytes]
    next_key_digest: bytes

    def __post_init__(self) -> None:
        if self.keys.keys() != set(RENEWED_ROLES):
            raise InvalidEvent(f"successor: keys are not exactly {', '.join(RENEWED_ROLES)}")
        for name, value in (*self.keys.items(), ("next_key_digest", self.next_key_digest)):
            if type(value) is not bytes or len(value) != 32:
                raise InvalidEvent(f"successor: {name} is not 32 bytes")
        if len(set(self.keys.values())) != len(RENEWED_ROLES):
            raise InvalidEvent("successor: two roles share one key")

    def to_value(self) -> dict[str, Any]:
        """The map that stands in a record and is signed."""
        return {"keys": dict(self.keys), "next_key_digest": self.next_key_digest}

    @classmethod
    def from_value(cls, value: object) -> "Successor":
        """Read the map back. Raises InvalidEvent."""
        if not isinstance(value, dict) or value.keys() != {"keys", "next_key_digest"}:
            raise InvalidEvent("successor: not a map of keys and next_key_digest")
        if not isinstance(value["keys"], dict):
            raise InvalidEvent("successor: keys is not a map")
        return cls(keys=value["keys"], next_key_digest=value["next_key_digest"])

    def prove(self, signers: Mapping[str, Signer], tag: str, message: bytes) -> dict[str, bytes]:
        """Have each new key sign `message`; `signers` are by role."""
        return {role: signers[role].sign(tag, message) for role in RENEWED_ROLES}

    def check(self, proofs: object, tag: str, message: bytes) -> None:
        """Raise InvalidEvent unless each key has signed `message`."""
        if not isinstance(proofs, dict) or proofs.keys() != set(RENEWED_ROLES):
            raise InvalidEvent(f"successor: proofs are not exactly {', '.join(RENEWED_ROLES)}")
        for role in RENEWED_ROLES:
            check_signature(self.keys[role], tag, message, proofs[role], f"new {role} key")


def check_signature(key: bytes, tag: str, message: bytes, signature: object, whose: str) -> None:
    """Raise InvalidEvent, naming whose signature it is, unless it verifies."""
    if not isinstance(signature, bytes) or not verify(key, tag, message, signature):
        raise InvalidEvent(f"the signature of the {whose} does not verify")
