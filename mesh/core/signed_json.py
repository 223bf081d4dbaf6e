"""Consensus-critical: canonical JSON under a BIP-340 signature, for both kinds of envelopes.

One value has one text: members sorted, each once, no whitespace. The signature is over the tagged
hash (BIP-340) of that text of conversation, node and payload, the signature itself left out. What
each envelope holds, and its bounds, are its own module's: `mesh.core.envelope` for strangers,
`mesh.core.fleet.passing` for members of a fleet. Their tags differ, so neither is the other.
"""

import hashlib
from typing import Any

import msgspec
from coincurve import PrivateKey, PublicKeyXOnly

from mesh.core.nip01 import NostrSigner


def canonical(value: Any) -> bytes:
    """Return the one text of a value."""
    return msgspec.json.encode(value, order="sorted")


def digest(tag: str, conversation: str, node_id: str, payload: Any) -> bytes:
    """Return what is signed: 32 bytes."""
    signed = {"conversation_id": conversation, "node_id": node_id, "payload": payload}
    tagged = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(tagged + tagged + canonical(signed)).digest()


def sign(hashed: bytes, signer: NostrSigner, aux: bytes | None) -> str:
    """Sign 32 bytes; return the signature in hex.

    `aux` is BIP-340's auxiliary randomness, 32 bytes; without it the machine's is used.
    """
    return PrivateKey(signer.secret).sign_schnorr(hashed, aux or b"").hex()


def holds(node_id: str, signature: str, hashed: bytes) -> bool:
    """Tell whether a signature is that of a key, both in hex of their lengths."""
    try:
        return PublicKeyXOnly(bytes.fromhex(node_id)).verify(bytes.fromhex(signature), hashed)
    except ValueError:  # not a point of the curve
        return False
