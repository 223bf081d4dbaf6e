"""Our serialiser against python-bitcoinlib's, and what happens when they disagree."""

from dataclasses import dataclass

import pytest
from bitcoin.core import CTransaction
from hypothesis import given
from hypothesis import strategies as st

from attest.core.errors import InvalidTransaction, SigningRefused
from attest.core.transaction import OutPoint, Transaction, TxIn, TxOut, parse_transaction
from attest.opinion import check_opinion

outpoints = st.builds(
    OutPoint,
    txid=st.binary(min_size=32, max_size=32).filter(any),
    index=st.integers(0, 2**32 - 2),
)
inputs = st.builds(
    TxIn,
    outpoint=outpoints,
    sequence=st.integers(0, 2**32 - 1),
    script_sig=st.binary(max_size=300),
    witness=st.lists(st.binary(max_size=300), max_size=4).map(tuple),
)
outputs = st.builds(TxOut, value_sat=st.integers(0, 10**12), script=st.binary(max_size=300))
transactions = st.builds(
    Transaction,
    version=st.integers(-(2**31), 2**31 - 1),
    inputs=st.lists(inputs, min_size=1, max_size=4, unique_by=lambda i: i.outpoint).map(tuple),
    outputs=st.lists(outputs, min_size=1, max_size=4).map(tuple),
    lock_time=st.integers(0, 2**32 - 1),
)


@given(transactions)
def test_both_write_and_read_the_same_bytes(transaction: Transaction) -> None:
    check_opinion(transaction)
    parsed = CTransaction.deserialize(transaction.raw)
    assert bytes(parsed.serialize()) == transaction.raw
    assert bytes(parsed.GetTxid()) == transaction.txid
    if len(transaction.stripped) != 64:
        assert parse_transaction(transaction.raw) == transaction


@given(transactions, st.data())
def test_what_we_read_the_library_reads_the_same(transaction: Transaction, data: st.DataObject) -> None:  # fmt: skip
    raw = bytearray(transaction.raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = parse_transaction(bytes(raw))
    except InvalidTransaction:
        return
    assert found.raw == raw
    assert bytes(CTransaction.deserialize(bytes(raw)).GetTxid()) == found.txid


@dataclass
class Misread:
    """A transaction whose bytes are another one's."""

    meant: Transaction
    raw: bytes

    def __getattr__(self, name: str) -> object:
        return getattr(self.meant, name)


def test_a_difference_is_refused_before_anything_is_sent() -> None:
    entry = TxIn(outpoint=OutPoint(txid=bytes([7]) * 32, index=1), sequence=0)
    meant = Transaction(version=2, inputs=(entry,), outputs=(TxOut(value_sat=5, script=b"Q"),))
    other = Transaction(version=2, inputs=(entry,), outputs=(TxOut(value_sat=6, script=b"Q"),))
    with pytest.raises(SigningRefused, match="another transaction"):
        check_opinion(Misread(meant, other.raw))  # type: ignore[arg-type]
    with pytest.raises(SigningRefused, match="refuses"):
        check_opinion(Misread(meant, meant.raw[:-1]))  # type: ignore[arg-type]
