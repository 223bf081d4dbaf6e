"""Blocks on any parent: coinbase, witness commitment, and a nonce (two tries on average)."""

import struct
import time
from collections.abc import Sequence

from bitcoin.core import (
    COIN,
    CMutableTransaction,
    CMutableTxIn,
    CMutableTxOut,
    COutPoint,
    CTransaction,
    CTxInWitness,
    CTxWitness,
)
from bitcoin.core.script import CScript, CScriptWitness

from tests.regtest.chain import KernelChain
from tests.regtest.encoding import compact_size, double_sha256, merkle_root

BITS = 0x207FFFFF
TARGET = 0x7FFFFF << 232
HALVING_BLOCKS = 150
_VERSION = 0x20000000
_WITNESS_MAGIC = bytes.fromhex("6a24aa21a9ed")


def build_block(
    chain: KernelChain,
    parent: bytes,
    script: bytes,
    transactions: Sequence[CTransaction],
    *,
    fees_sat: int = 0,
    extra_nonce: int = 0,
    time_s: int | None = None,
) -> bytes:
    """A block with proof of work. `extra_nonce` makes coinbases of rival branches differ."""
    height = chain.height_of(parent) + 1
    coinbase = _coinbase(height, script, transactions, fees_sat, extra_nonce)
    block = [coinbase, *transactions]
    root = merkle_root([transaction.GetTxid() for transaction in block])
    now_s = int(time.time()) if time_s is None else time_s
    prefix = struct.pack("<i", _VERSION) + parent + root
    prefix += struct.pack("<II", max(now_s, chain.median_time(parent) + 1), BITS)
    nonce = 0
    while int.from_bytes(double_sha256(prefix + struct.pack("<I", nonce)), "little") > TARGET:
        nonce += 1
    body = b"".join(transaction.serialize() for transaction in block)
    return prefix + struct.pack("<I", nonce) + compact_size(len(block)) + body


def _coinbase(
    height: int,
    script: bytes,
    transactions: Sequence[CTransaction],
    fees_sat: int,
    extra_nonce: int,
) -> CMutableTransaction:
    entry = CMutableTxIn(
        COutPoint(bytes(32), 0xFFFFFFFF),
        CScript(_push_height(height) + b"\x08" + struct.pack("<Q", extra_nonce)),
    )
    witness_root = merkle_root([bytes(32), *(double_sha256(t.serialize()) for t in transactions)])
    commitment = _WITNESS_MAGIC + double_sha256(witness_root + bytes(32))
    coinbase = CMutableTransaction(
        [entry],
        [
            CMutableTxOut((50 * COIN >> height // HALVING_BLOCKS) + fees_sat, CScript(script)),
            CMutableTxOut(0, CScript(commitment)),
        ],
    )
    coinbase.nVersion = 2
    coinbase.wit = CTxWitness([CTxInWitness(CScriptWitness([bytes(32)]))])
    return coinbase


def _push_height(height: int) -> bytes:
    """BIP-34: the height as a script number, by opcode up to 16."""
    if height <= 16:
        return bytes([0x50 + height])
    number = height.to_bytes((height.bit_length() + 8) // 8, "little")
    return bytes([len(number)]) + number
