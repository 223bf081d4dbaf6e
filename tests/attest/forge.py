"""Regtest headers and links out of thin air: there the work is two hashes."""

import struct
from collections.abc import Sequence

from attest.core.header import REGTEST, target_of
from attest.core.merkle import MerklePath
from attest.core.proof import AnchorProof
from attest.core.transaction import Transaction, TxOut, double_sha256


def grind_raw(
    *,
    previous: bytes = bytes(32),
    root: bytes = bytes(32),
    time_s: int = 1_700_000_000,
    bits: int = REGTEST.pow_limit_bits,
) -> bytes:
    prefix = struct.pack("<i32s32sII", 2, previous, root, time_s, bits)
    nonce = 0
    while True:
        raw = prefix + struct.pack("<I", nonce)
        if int.from_bytes(double_sha256(raw), "little") <= target_of(bits):
            return raw
        nonce += 1


def forge_link(
    transaction: Transaction | bytes,
    *,
    height: int,
    previous: bytes = bytes(32),
    spent: Sequence[TxOut] = (),
    root: bytes | None = None,
) -> AnchorProof:
    """A link in a block of its own, made for the occasion."""
    raw = transaction if isinstance(transaction, bytes) else transaction.raw
    if root is None:
        assert isinstance(transaction, Transaction)
        root = transaction.txid
    header = grind_raw(previous=previous, root=root)
    return AnchorProof(
        transaction=raw,
        spent=tuple(spent),
        path=MerklePath(index=0, siblings=()),
        height=height,
        headers=(header,),
    )
