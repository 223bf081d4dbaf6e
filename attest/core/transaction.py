"""Consensus-critical: transactions as frozen values, parsed strictly (BIP-141, BIP-144).

The one door to python-bitcoinlib: its objects are mutable, untyped and lenient, so they live for
the length of one function here and nothing of them leaves. Txids and block hashes are in internal
byte order everywhere in attest; only `display` and the RPC client turn them round.

Not covered: scripts are never run (that is a full node's work); only their bytes are compared.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from bitcoin.core import (
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
)
from bitcoin.core.script import CScript, CScriptWitness
from bitcoin.core.serialize import SerializationError

from attest.core import limits
from attest.core.errors import InvalidTransaction, SixtyFourByteTransaction

HASH_BYTES: Final = 32
WITNESS_SCALE_FACTOR: Final = 4
MERKLE_NODE_BYTES: Final = 64
"""Two hashes side by side: a transaction of this size could pass for an inner tree node."""

_UINT32_MAX: Final = 2**32 - 1
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


def double_sha256(data: bytes) -> bytes:
    """SHA-256 twice: Bitcoin's txid, block hash and tree node."""
    return sha256(sha256(data).digest()).digest()


def display(digest: bytes) -> str:
    """A txid or block hash as people and RPC write it: hex of the reversed bytes."""
    return digest[::-1].hex()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class OutPoint:
    """Which output of which transaction."""

    txid: bytes
    index: int

    def __post_init__(self) -> None:
        if len(self.txid) != HASH_BYTES:
            raise InvalidTransaction(f"txid has {len(self.txid)} bytes, expected {HASH_BYTES}")
        if not 0 <= self.index <= _UINT32_MAX:
            raise InvalidTransaction(f"output index {self.index} out of range")

    def __str__(self) -> str:
        return f"{display(self.txid)}:{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TxIn:
    """An input: what it spends and the witness that may."""

    outpoint: OutPoint
    sequence: int
    script_sig: bytes = b""
    witness: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.sequence <= _UINT32_MAX:
            raise InvalidTransaction(f"sequence {self.sequence} out of range")


@dataclass(frozen=True, slots=True, kw_only=True)
class TxOut:
    """An output: how much, and the script that guards it."""

    value_sat: int
    script: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.value_sat <= limits.MONEY_SAT_MAX:
            raise InvalidTransaction(
                f"output of {self.value_sat} sat, at most {limits.MONEY_SAT_MAX} exist"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction that could be in a block, as far as its own bytes tell."""

    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    lock_time: int = 0

    def __post_init__(self) -> None:
        if not _INT32_MIN <= self.version <= _INT32_MAX:
            raise InvalidTransaction(f"version {self.version} out of range")
        if not 0 <= self.lock_time <= _UINT32_MAX:
            raise InvalidTransaction(f"lock time {self.lock_time} out of range")
        if not self.inputs or not self.outputs:
            raise InvalidTransaction(
                f"{len(self.inputs)} inputs and {len(self.outputs)} outputs, one of each is needed"
            )
        if len({entry.outpoint for entry in self.inputs}) != len(self.inputs):
            raise InvalidTransaction("an outpoint is spent twice")
        total_sat = sum(output.value_sat for output in self.outputs)
        if total_sat > limits.MONEY_SAT_MAX:
            raise InvalidTransaction(
                f"outputs sum to {total_sat} sat, at most {limits.MONEY_SAT_MAX} exist"
            )

    @property
    def raw(self) -> bytes:
        """The serialisation with witness (BIP-144)."""
        return bytes(_to_library(self).serialize())

    @property
    def stripped(self) -> bytes:
        """The serialisation without witness, which the txid covers."""
        return bytes(_to_library(self).serialize({"include_witness": False}))

    @property
    def txid(self) -> bytes:
        """32 bytes, internal order."""
        return double_sha256(self.stripped)

    @property
    def vsize(self) -> int:
        """Virtual bytes, rounded up (BIP-141)."""
        weight = len(self.stripped) * (WITNESS_SCALE_FACTOR - 1) + len(self.raw)
        return -(-weight // WITNESS_SCALE_FACTOR)


def parse_transaction(raw: bytes) -> Transaction:
    """Return the transaction whose one serialisation is `raw`.

    Raises InvalidTransaction (too long, truncated, trailing bytes, non-minimal lengths, a witness
    marker without witness, impossible values) or SixtyFourByteTransaction.
    """
    if len(raw) > limits.TRANSACTION_BYTES_MAX:
        raise InvalidTransaction(
            f"{len(raw)} bytes, at most {limits.TRANSACTION_BYTES_MAX} allowed"
        )
    try:
        parsed = CTransaction.deserialize(raw)
    except (SerializationError, ValueError, struct.error, OverflowError) as error:
        raise InvalidTransaction(f"not a transaction: {type(error).__name__}") from error
    transaction = _from_library(parsed)
    if transaction.raw != raw:
        raise InvalidTransaction("not the one serialisation of this transaction")
    if len(transaction.stripped) == MERKLE_NODE_BYTES:
        raise SixtyFourByteTransaction(
            f"{MERKLE_NODE_BYTES} bytes without witness, the size of two tree nodes"
        )
    return transaction


def _from_library(parsed: Any) -> Transaction:
    witnesses = [tuple(bytes(item) for item in w.scriptWitness) for w in parsed.wit.vtxinwit]
    witnesses += [()] * (len(parsed.vin) - len(witnesses))
    return Transaction(
        version=parsed.nVersion,
        inputs=tuple(
            TxIn(
                outpoint=OutPoint(txid=bytes(entry.prevout.hash), index=entry.prevout.n),
                sequence=entry.nSequence,
                script_sig=bytes(entry.scriptSig),
                witness=witness,
            )
            for entry, witness in zip(parsed.vin, witnesses, strict=True)
        ),
        outputs=tuple(
            TxOut(value_sat=output.nValue, script=bytes(output.scriptPubKey))
            for output in parsed.vout
        ),
        lock_time=parsed.nLockTime,
    )


def _to_library(transaction: Transaction) -> Any:
    return CTransaction(
        [
            CTxIn(
                COutPoint(entry.outpoint.txid, entry.outpoint.index),
                CScript(entry.script_sig),
                entry.sequence,
            )
            for entry in transaction.inputs
        ],
        [CTxOut(output.value_sat, CScript(output.script)) for output in transaction.outputs],
        transaction.lock_time,
        transaction.version,
        CTxWitness(
            [CTxInWitness(CScriptWitness(list(entry.witness))) for entry in transaction.inputs]
        ),
    )
