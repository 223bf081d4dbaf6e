"""Consensus-critical: BIP-340 signatures over typed messages.

A signer never sees a raw digest: it takes a tag that names the kind of message and the message
itself, so that a signature made for one purpose can never serve another (BIP-340, tagged hashes).
Bitcoin and Nostr prescribe their own digests; their signers live in attest/ and mesh/ and take
transactions and Nostr events.
"""

from dataclasses import dataclass, field

from coincurve import PrivateKey, PublicKeyXOnly

from ledger.core.hashing import tagged

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Signer:
    """A secret key that signs typed messages. Its repr shows the public key only."""

    secret: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """The 32-byte x-only public key."""
        return PublicKeyXOnly.from_secret(self.secret).format()

    def sign(self, tag: str, message: bytes) -> bytes:
        """Return the 64-byte BIP-340 signature of `message` under `tag`."""
        return PrivateKey(self.secret).sign_schnorr(tagged(tag, message))


def verify(public: bytes, tag: str, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is `public`'s BIP-340 signature of `message` under `tag`."""
    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return PublicKeyXOnly(public).verify(signature, tagged(tag, message))
    except ValueError:
        return False
