"""Consensus-critical: the seal's Taproot output key and its key-path signature hash (BIP-341).

Q = P + H_TapTweak(P || leaf)G, where the leaf is the script `OP_RETURN <SHA-256(SOUL.md)>`. That
script can never succeed, so the only way to spend Q is a signature by P's owner; and whoever knows
P and SOUL.md recomputes Q: every spend of a seal attests the SOUL at no extra byte.

Not covered: script-path spends, annexes and every hash type but SIGHASH_DEFAULT. A seal spent in
any such way is refused by the verifier, so nothing here needs to hash it.
"""

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly

from attest.core.errors import InvalidKey, InvalidTransaction
from attest.core.transaction import HASH_BYTES, Transaction, TxOut, string
from ledger.core.hashing import tagged

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
SCRIPT_BYTES: Final = 34
LEAF_VERSION: Final = b"\xc0"
SIGHASH_DEFAULT: Final = b"\x00"
_EPOCH: Final = b"\x00"
_KEY_PATH_WITHOUT_ANNEX: Final = b"\x00"
_P2TR_PREFIX: Final = b"\x51\x20"
_OP_RETURN_PUSH_32: Final = b"\x6a\x20"
_EVEN: Final = 2
_GROUP_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def soul_leaf(soul_digest: bytes) -> bytes:
    """The TapLeaf hash of `OP_RETURN <soul_digest>`; the digest is 32 bytes."""
    if len(soul_digest) != HASH_BYTES:
        raise InvalidKey(f"soul digest has {len(soul_digest)} bytes, expected {HASH_BYTES}")
    return tagged("TapLeaf", LEAF_VERSION + string(_OP_RETURN_PUSH_32 + soul_digest))


def internal_key(secret: bytes) -> bytes:
    """The 32-byte x-only public key of a 32-byte secret."""
    return _xonly(_private(secret))


def tweak_public(internal: bytes, merkle_root: bytes) -> tuple[bytes, int]:
    """Return (output key, parity of its y). `merkle_root` is empty or 32 bytes (BIP-341)."""
    if len(internal) != KEY_BYTES or len(merkle_root) not in {0, HASH_BYTES}:
        raise InvalidKey(f"key of {len(internal)} and root of {len(merkle_root)} bytes")
    try:
        point = PublicKey(bytes([_EVEN]) + internal).add(_tweak(internal, merkle_root))
    except ValueError as error:
        raise InvalidKey("not the x of a point on the curve, or an impossible tweak") from error
    encoded = point.format()
    return encoded[1:], encoded[0] & 1


def tweak_secret(secret: bytes, merkle_root: bytes) -> bytes:
    """Return the secret of the output key: 32 bytes."""
    private = _private(secret)
    number = int.from_bytes(secret, "big")
    if private.public_key.format()[0] != _EVEN:
        number = _GROUP_ORDER - number
    tweak = int.from_bytes(_tweak(_xonly(private), merkle_root), "big")
    return ((number + tweak) % _GROUP_ORDER).to_bytes(KEY_BYTES, "big")


def seal_output_key(seal_key: bytes, soul_digest: bytes) -> bytes:
    """The x-only output key Q of the seal of internal key P under a SOUL."""
    return tweak_public(seal_key, soul_leaf(soul_digest))[0]


def p2tr_script(output_key: bytes) -> bytes:
    """The 34-byte scriptPubKey that pays an x-only output key."""
    if len(output_key) != KEY_BYTES:
        raise InvalidKey(f"output key has {len(output_key)} bytes, expected {KEY_BYTES}")
    return _P2TR_PREFIX + output_key


def key_path_sighash(transaction: Transaction, input_index: int, spent: Sequence[TxOut]) -> bytes:
    """The digest a SIGHASH_DEFAULT key-path signature of one input signs (BIP-341).

    `spent` are the outputs that all the inputs spend, in order: the digest covers their amounts
    and scripts, so a lie about any of them makes the signature fail.
    """
    if len(spent) != len(transaction.inputs) or not 0 <= input_index < len(spent):
        raise InvalidTransaction(
            f"{len(spent)} spent outputs for {len(transaction.inputs)} inputs, input {input_index}"
        )
    inputs = transaction.inputs
    message = (
        _EPOCH
        + SIGHASH_DEFAULT
        + struct.pack("<iI", transaction.version, transaction.lock_time)
        + _digest(i.outpoint.txid + struct.pack("<I", i.outpoint.index) for i in inputs)
        + _digest(struct.pack("<q", output.value_sat) for output in spent)
        + _digest(string(output.script) for output in spent)
        + _digest(struct.pack("<I", i.sequence) for i in inputs)
        + _digest(output.serialized for output in transaction.outputs)
        + _KEY_PATH_WITHOUT_ANNEX
        + struct.pack("<I", input_index)
    )
    return tagged("TapSighash", message)


def verify_key_path(output_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is the output key's BIP-340 signature of a sighash."""
    if len(signature) != SIGNATURE_BYTES or len(output_key) != KEY_BYTES:
        return False
    try:
        return PublicKeyXOnly(output_key).verify(signature, digest)
    except ValueError:
        return False


def _private(secret: bytes) -> PrivateKey:
    number = int.from_bytes(secret, "big")
    if len(secret) != KEY_BYTES or not 0 < number < _GROUP_ORDER:
        raise InvalidKey("not a secret key")
    return PrivateKey(secret)


def _xonly(private: PrivateKey) -> bytes:
    return private.public_key.format()[1:]


def _tweak(internal: bytes, merkle_root: bytes) -> bytes:
    return tagged("TapTweak", internal + merkle_root)


def _digest(parts: Iterable[bytes]) -> bytes:
    return sha256(b"".join(parts)).digest()
