"""Bitcoin Core's own transactions, valid and not, and BIP-54's sizes, against the strict parser.

The parser reads bytes; it runs no script and knows no coin. So a row of tx_invalid.json that fails
only in its scripts must parse, and every other difference from Core has a class below.
"""

import json
from pathlib import Path

import pytest

from attest.core.errors import InvalidTransaction, SixtyFourByteTransaction
from attest.core.transaction import double_sha256, parse_transaction

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"


def rows(name: str):
    """(index of the entry, comments just before it, raw transaction, flags) of each transaction."""
    comments = []
    for index, entry in enumerate(json.loads((VECTORS / "bitcoin-core" / name).read_text())):
        if len(entry) == 1:
            comments.append(entry[0])
            continue
        yield index, comments, bytes.fromhex(entry[1]), entry[2]
        comments = []


VALID = list(rows("tx_valid.json"))
INVALID = list(rows("tx_invalid.json"))

REFUSED_AS_CORE = {
    "No outputs": "0 outputs",
    "Negative output": "-1 sat",
    "MAX_MONEY + 1 output": "2100000000000001 sat",
    "MAX_MONEY output + 1 output": "sum to",
    "Duplicate inputs": "spent twice",
}
"""What CheckTransaction refuses from the bytes alone: comment to our message."""

COINBASE_RULES = {
    "Coinbase of size 1",
    "Coinbase of size 101",
    "Null txin, but without being a coinbase (because there are two inputs)",
}
"""Looser than Core: rules for coinbases and null prevouts. No link of a seal chain is a coinbase:
vin[0] must spend a seal that an earlier link made, so such a transaction is refused there."""

STRICTER = SixtyFourByteTransaction
"""Stricter than Core: 64 bytes without witness, which pass for a node of a tree (BIP-54)."""


@pytest.mark.parametrize(("index", "comments", "raw", "flags"), VALID, ids=lambda v: str(v)[:6])
def test_valid_transactions(index, comments, raw, flags):
    transaction = parse_transaction(raw)
    assert transaction.raw == raw
    assert len(transaction.inputs) == raw_inputs(raw)
    if not any(entry.witness for entry in transaction.inputs):
        assert transaction.stripped == raw
        assert transaction.txid == double_sha256(raw)


def raw_inputs(raw: bytes) -> int:
    """The count of inputs, straight from the bytes; none of these has more than 252."""
    return raw[6] if raw[4:6] == b"\x00\x01" else raw[4]


def test_core_has_120_and_93_of_them():
    assert (len(VALID), len(INVALID)) == (120, 93)


def test_every_invalid_transaction_has_its_class():
    counts = {"as core": 0, "coinbase rules": 0, "stricter": 0, "scripts only": 0}
    for _, comments, raw, flags in INVALID:
        known = [comment for comment in comments if comment in REFUSED_AS_CORE]
        if flags != "BADTX":
            try:
                assert parse_transaction(raw).raw == raw
                counts["scripts only"] += 1
            except STRICTER:
                counts["stricter"] += 1
        elif known:
            with pytest.raises(InvalidTransaction, match=REFUSED_AS_CORE[known[0]]):
                parse_transaction(raw)
            counts["as core"] += 1
        else:
            # The second null txin has no comment of its own; it follows the first.
            assert not comments or COINBASE_RULES & set(comments)
            transaction = parse_transaction(raw)
            assert any(entry.outpoint.txid == bytes(32) for entry in transaction.inputs)
            counts["coinbase rules"] += 1
    assert counts == {"as core": 5, "coinbase rules": 4, "stricter": 1, "scripts only": 83}


BIP54 = json.loads((VECTORS / "bip-0054/txsize.json").read_text())


@pytest.mark.parametrize("case", BIP54, ids=lambda case: case["comment"])
def test_bip54_transaction_sizes(case):
    raw = bytes.fromhex(case["tx"])
    if case["valid"]:
        assert len(parse_transaction(raw).stripped) != 64
    else:
        with pytest.raises(SixtyFourByteTransaction):
            parse_transaction(raw)
