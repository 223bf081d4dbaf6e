"""A second opinion on a transaction, by python-bitcoinlib, before it is stored and sent.

Our own parser and serialiser decide what a proof says; a fault in them could also make a
transaction that pays somewhere else. Another implementation reads the bytes we are about to send
and must find the same transaction in them. The one door to that library: its objects are mutable
and untyped, so they live for the length of one function.
"""

import struct
from typing import Any

from bitcoin.core import CheckTransaction, CheckTransactionError, CTransaction
from bitcoin.core.serialize import SerializationError

from attest.core.errors import SigningRefused
from attest.core.transaction import Transaction


def check_opinion(transaction: Transaction) -> None:
    """Raise SigningRefused unless the library reads the same transaction from our bytes."""
    raw = transaction.raw
    try:
        parsed = CTransaction.deserialize(raw)
        CheckTransaction(parsed)
    except (SerializationError, CheckTransactionError, ValueError, struct.error) as error:
        raise SigningRefused(f"a second implementation refuses our transaction: {error}") from error
    if _facts(parsed) != _own_facts(transaction) or bytes(parsed.serialize()) != raw:
        raise SigningRefused("a second implementation reads another transaction from our bytes")


def _facts(parsed: Any) -> list[Any]:
    witnesses = [[bytes(item) for item in w.scriptWitness] for w in parsed.wit.vtxinwit]
    witnesses += [[]] * (len(parsed.vin) - len(witnesses))
    return [
        bytes(parsed.GetTxid()),
        parsed.nVersion,
        parsed.nLockTime,
        [[bytes(i.prevout.hash), i.prevout.n, i.nSequence, bytes(i.scriptSig)] for i in parsed.vin],
        [[output.nValue, bytes(output.scriptPubKey)] for output in parsed.vout],
        witnesses,
    ]


def _own_facts(transaction: Transaction) -> list[Any]:
    return [
        transaction.txid,
        transaction.version,
        transaction.lock_time,
        [[i.outpoint.txid, i.outpoint.index, i.sequence, i.script_sig] for i in transaction.inputs],
        [[output.value_sat, output.script] for output in transaction.outputs],
        [list(entry.witness) for entry in transaction.inputs],
    ]
