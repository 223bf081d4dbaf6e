"""Consensus-critical: the commitment output, `OP_RETURN "TMY" type digest`.

36 bytes of payload make a scriptPubKey of 38: within the strictest relay policy in use (Knots, 42
bytes), so every node passes it on. It stands at vout[0], and no other output of the transaction
may carry the magic: which commitment counts is never a matter of opinion.
"""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

from attest.core.errors import InvalidTransaction, NoCommitment, TwoCommitments, WrongKind
from attest.core.transaction import HASH_BYTES, Transaction, TxOut

MAGIC: Final = b"TMY"
PAYLOAD_BYTES: Final = len(MAGIC) + 1 + HASH_BYTES
_OP_RETURN: Final = 0x6A
_SCRIPT_PREFIX: Final = bytes([_OP_RETURN, PAYLOAD_BYTES]) + MAGIC
SCRIPT_BYTES: Final = 2 + PAYLOAD_BYTES


@unique
class Kind(IntEnum):
    """The type byte: what the transaction does to the seal.

    An aggregate commits to the root of a tree of ledgers, a delegation to a head as an anchor does.
    """

    OPENING = 0
    ANCHOR = 1
    HANDOFF = 2
    RECOVERY = 3
    AGGREGATE = 4
    DELEGATION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What a seal transaction says: its kind and the 32-byte digest it commits to."""

    kind: Kind
    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != HASH_BYTES:
            raise InvalidTransaction(f"digest has {len(self.digest)} bytes, expected {HASH_BYTES}")

    @property
    def output(self) -> TxOut:
        """The output of 38 script bytes and no value."""
        return TxOut(value_sat=0, script=_SCRIPT_PREFIX + bytes([self.kind]) + self.digest)


def commitment_of(transaction: Transaction) -> Commitment:
    """Return the transaction's one commitment.

    Raises NoCommitment, TwoCommitments, or WrongKind for a type byte nobody has defined.
    """
    script = transaction.outputs[0].script
    if len(script) != SCRIPT_BYTES or not script.startswith(_SCRIPT_PREFIX):
        raise NoCommitment("vout[0] is not a commitment output")
    for index, output in enumerate(transaction.outputs[1:], start=1):
        if _carries_magic(output.script):
            raise TwoCommitments(f"vout[{index}] carries the magic beside vout[0]")
    kind = script[len(_SCRIPT_PREFIX)]
    if kind not in set(Kind):
        raise WrongKind(f"type byte {kind} is not defined")
    return Commitment(kind=Kind(kind), digest=script[-HASH_BYTES:])


def _carries_magic(script: bytes) -> bool:
    """True for any OP_RETURN script with the magic anywhere: no push form can hide a second."""
    return script[:1] == bytes([_OP_RETURN]) and MAGIC in script
