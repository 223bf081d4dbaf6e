"""Consensus-critical: transactions as frozen values, parsed strictly (BIP-141, BIP-144).

A transaction has one serialisation here: shortest lengths, a witness marker only where there is a
witness, nothing behind the lock time. Txids and block hashes are in internal byte order everywhere
in attest; only `display` and the RPC client turn them round.

Not covered: scripts are never run (that is a full node's work); only their bytes are compared.
`attest.opinion` asks a second implementation before anything is signed or sent.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from attest.core import limits
from attest.core.errors import InvalidTransaction, SixtyFourByteTransaction

HASH_BYTES: Final = 32
WITNESS_SCALE_FACTOR: Final = 4
MERKLE_NODE_BYTES: Final = 64
"""Two hashes side by side: a transaction of this size could pass for an inner tree node."""

_UINT32_MAX: Final = 2**32 - 1
_MARKER_AND_FLAG: Final = b"\x00\x01"
_LENGTHS: Final = {0xFD: (2, 0xFD), 0xFE: (4, 2**16), 0xFF: (8, 2**32)}
"""First byte of a longer compact size: how many bytes follow, and the least they may say."""
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

    @property
    def serialized(self) -> bytes:
        """Amount and script, as they stand in a transaction."""
        return struct.pack("<q", self.value_sat) + string(self.script)


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
        if not any(entry.witness for entry in self.inputs):
            return self.stripped
        head, body, tail = self._parts()
        witnesses = b"".join(_strings(entry.witness) for entry in self.inputs)
        return head + _MARKER_AND_FLAG + body + witnesses + tail

    @property
    def stripped(self) -> bytes:
        """The serialisation without witness, which the txid covers."""
        return b"".join(self._parts())

    @property
    def txid(self) -> bytes:
        """32 bytes, internal order."""
        return double_sha256(self.stripped)

    @property
    def vsize(self) -> int:
        """Virtual bytes, rounded up (BIP-141)."""
        weight = len(self.stripped) * (WITNESS_SCALE_FACTOR - 1) + len(self.raw)
        return -(-weight // WITNESS_SCALE_FACTOR)

    def _parts(self) -> tuple[bytes, bytes, bytes]:
        """Version; inputs and outputs; lock time."""
        inputs = [
            entry.outpoint.txid
            + struct.pack("<I", entry.outpoint.index)
            + string(entry.script_sig)
            + struct.pack("<I", entry.sequence)
            for entry in self.inputs
        ]
        outputs = [output.serialized for output in self.outputs]
        body = [compact_size(len(inputs)), *inputs, compact_size(len(outputs)), *outputs]
        return struct.pack("<i", self.version), b"".join(body), struct.pack("<I", self.lock_time)


def parse_transaction(raw: bytes) -> Transaction:
    """Return the transaction whose one serialisation is `raw`.

    Raises InvalidTransaction (too long, truncated, trailing bytes, non-minimal lengths, a witness
    marker without witness, impossible values) or SixtyFourByteTransaction.
    """
    if len(raw) > limits.TRANSACTION_BYTES_MAX:
        raise InvalidTransaction(
            f"{len(raw)} bytes, at most {limits.TRANSACTION_BYTES_MAX} allowed"
        )
    transaction = _Reader(raw).transaction()
    if len(transaction.stripped) == MERKLE_NODE_BYTES:
        raise SixtyFourByteTransaction(
            f"{MERKLE_NODE_BYTES} bytes without witness, the size of two tree nodes"
        )
    return transaction


def compact_size(number: int) -> bytes:
    """A count or length as Bitcoin writes it: 1, 3, 5 or 9 bytes, the shortest that holds it."""
    if number < 0xFD:
        return bytes([number])
    for first, (length, _) in _LENGTHS.items():
        if number < 1 << 8 * length:
            return bytes([first]) + number.to_bytes(length, "little")
    raise InvalidTransaction(f"{number} is longer than any length")


def string(data: bytes) -> bytes:
    """Bytes behind their length."""
    return compact_size(len(data)) + data


def _strings(items: tuple[bytes, ...]) -> bytes:
    return compact_size(len(items)) + b"".join(map(string, items))


class _Reader:
    """Reads one serialisation from its first byte to its last."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def transaction(self) -> Transaction:
        version = self._int32()
        segwit = self._raw[self._at : self._at + 2] == _MARKER_AND_FLAG
        if segwit:
            self._at += 2
        plain = [self._input() for _ in range(self._count())]
        outputs = tuple(self._output() for _ in range(self._count()))
        witnesses = [self._witness() for _ in plain] if segwit else [()] * len(plain)
        if segwit and not any(witnesses):
            raise InvalidTransaction("a witness marker and no witness")
        lock_time = self._uint32()
        if self._at != len(self._raw):
            raise InvalidTransaction(f"{len(self._raw) - self._at} bytes after the lock time")
        return Transaction(
            version=version,
            inputs=tuple(
                TxIn(outpoint=outpoint, script_sig=script, sequence=sequence, witness=witness)
                for (outpoint, script, sequence), witness in zip(plain, witnesses, strict=True)
            ),
            outputs=outputs,
            lock_time=lock_time,
        )

    def _input(self) -> tuple[OutPoint, bytes, int]:
        outpoint = OutPoint(txid=self._take(HASH_BYTES), index=self._uint32())
        return outpoint, self._string(), self._uint32()

    def _output(self) -> TxOut:
        value_sat = int.from_bytes(self._take(8), "little", signed=True)
        return TxOut(value_sat=value_sat, script=self._string())

    def _witness(self) -> tuple[bytes, ...]:
        return tuple(self._string() for _ in range(self._count()))

    def _string(self) -> bytes:
        return self._take(self._count())

    def _count(self) -> int:
        """A compact size. Nothing of `count` items fits in fewer bytes, so it bounds memory too."""
        first = self._take(1)[0]
        number = first
        if first in _LENGTHS:
            length, least = _LENGTHS[first]
            number = int.from_bytes(self._take(length), "little")
            if number < least:
                raise InvalidTransaction(f"{number} is written in {length + 1} bytes")
        if number > len(self._raw) - self._at:
            raise InvalidTransaction(f"truncated: {number} announced at byte {self._at}")
        return number

    def _uint32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _int32(self) -> int:
        return int.from_bytes(self._take(4), "little", signed=True)

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._raw):
            raise InvalidTransaction(f"truncated at byte {len(self._raw)}")
        data = self._raw[self._at : end]
        self._at = end
        return data
