"""The Ed25519 keys that a node has beside its own, derived from them one way (HKDF-SHA-256).

C2SP's witnesses know no secp256k1. A node's own cosignatures are by a key that belongs to its Nostr
key, which stays through handoffs; a head that goes to a witness carries a second signature of the
log, by a key that belongs to the log key and goes with it. Neither leads back to what it is from.
"""

from dataclasses import dataclass
from typing import Final

from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa

from genesis.core.keys import hkdf_expand, hkdf_extract

_SEED_BYTES: Final = 32


def witness_name(ledger_id: bytes) -> str:
    """The key name under which the node of a ledger cosigns."""
    return f"timmy/{ledger_id.hex()}/witness"


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A secret Ed25519 key. Its repr shows nothing of it."""

    _key: ECC.EccKey

    @classmethod
    def derive(cls, secret: bytes, purpose: str) -> "Ed25519Key":
        """The key that belongs to a secret, for one purpose."""
        root = hkdf_extract(b"timmy/ed25519/v1", secret)
        seed = hkdf_expand(root, b"timmy/ed25519/v1/" + purpose.encode(), _SEED_BYTES)
        return cls(ECC.construct(curve="Ed25519", seed=seed))  # type: ignore[arg-type]  # its stub says int, its documentation bytes

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return bytes(self._key.public_key().export_key(format="raw"))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature (RFC 8032)."""
        return bytes(eddsa.new(self._key, "rfc8032").sign(message))

    def __repr__(self) -> str:
        return f"Ed25519Key({self.public.hex()})"
