"""Strict parsing, the commitment output, and what signers refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.core import limits
from attest.core.commitment import MAGIC, Commitment, Kind, commitment_of
from attest.core.errors import (
    FeeTooHigh,
    InvalidKey,
    InvalidTransaction,
    NoCommitment,
    NotFunded,
    SigningRefused,
    SixtyFourByteTransaction,
    TwoCommitments,
    WrongKind,
)
from attest.core.seal import SEAL_INDEX, Coin, Fee, anchor_draft, opening_draft, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.transaction import OutPoint, Transaction, TxIn, TxOut, parse_transaction

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"
BIP341 = json.loads((VECTORS / "bip-0341/wallet-test-vectors.json").read_text())
RAW = bytes.fromhex(BIP341["keyPathSpending"][0]["auxiliary"]["fullySignedTx"])
SEAL = SealSigner(secret=b"\x01" * 32, soul_digest=b"\x02" * 32)
FUNDING = FundingSigner(secret=b"\x03" * 32)
DIGEST = b"\x09" * 32


def coin(value_sat: int, script: bytes, number: int = 1) -> Coin:
    outpoint = OutPoint(txid=bytes([number]) * 32, index=0)
    return Coin(outpoint=outpoint, output=TxOut(value_sat=value_sat, script=script))


def anchor(*coins: Coin, fee: Fee | None = None):
    return anchor_draft(
        seal=coin(10_000, SEAL.script),
        fee_coins=coins,
        digest=DIGEST,
        change_script=FUNDING.script,
        fee=fee or Fee(sat_per_kvb=1000),
    )


# ---- parsing -------------------------------------------------------------------------------------


def test_a_signed_transaction_round_trips():
    transaction = parse_transaction(RAW)
    assert transaction.raw == RAW
    assert len(transaction.inputs) == 9
    assert transaction.inputs[0].witness


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        RAW[:-1],
        RAW + b"\x00",
        RAW[:4] + b"\x00\x00" + RAW[6:],
        bytes(limits.TRANSACTION_BYTES_MAX + 1),
    ],
    ids=["empty", "truncated", "trailing", "wrong flag", "too long"],
)
def test_what_is_no_transaction(raw):
    with pytest.raises(InvalidTransaction):
        parse_transaction(raw)


def test_a_witness_marker_without_witness():
    plain = replace(anchor(coin(9_000, FUNDING.script, 2)).transaction)
    bare = replace(plain, inputs=tuple(replace(i, witness=()) for i in plain.inputs))
    stripped = bare.raw
    marked = stripped[:4] + b"\x00\x01" + stripped[4:-4] + b"\x00\x00" + stripped[-4:]
    with pytest.raises(InvalidTransaction, match="a witness marker and no witness"):
        parse_transaction(marked)


def test_a_length_that_is_not_minimal():
    bare = Transaction(
        version=2,
        inputs=(TxIn(outpoint=OutPoint(txid=b"\x01" * 32, index=0), sequence=0),),
        outputs=(TxOut(value_sat=1, script=b"\x51" * 30),),
    ).raw
    assert bare[4] == 1
    with pytest.raises(InvalidTransaction):
        parse_transaction(bare[:4] + b"\xfd\x01\x00" + bare[5:])


def test_sixty_four_bytes_without_witness():
    def of(script_bytes: int) -> bytes:
        return Transaction(
            version=1,
            inputs=(TxIn(outpoint=OutPoint(txid=b"\x01" * 32, index=0), sequence=0),),
            outputs=(TxOut(value_sat=1, script=b"\x51" * script_bytes),),
        ).raw

    assert len(of(4)) == 64
    with pytest.raises(SixtyFourByteTransaction):
        parse_transaction(of(4))
    assert parse_transaction(of(3)).raw == of(3)
    assert parse_transaction(of(5)).raw == of(5)


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": ()},
        {"outputs": ()},
        {"version": 2**31},
        {"lock_time": 2**32},
        {"outputs": (TxOut(value_sat=limits.MONEY_SAT_MAX, script=b""),) * 2},
        {"inputs": (TxIn(outpoint=OutPoint(txid=bytes(32), index=0), sequence=0),) * 2},
    ],
    ids=["no inputs", "no outputs", "version", "lock time", "money", "spent twice"],
)
def test_values_no_transaction_can_have(changes):
    with pytest.raises(InvalidTransaction):
        replace(parse_transaction(RAW), **changes)


def parse_or_refuse(data: bytes) -> None:
    try:
        transaction = parse_transaction(data)
    except InvalidTransaction:
        return
    assert transaction.raw == data


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data):
    parse_or_refuse(data)


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_changed_byte_parses_to_itself_or_is_refused(position, change):
    data = bytearray(RAW)
    data[position] ^= change
    parse_or_refuse(bytes(data))


# ---- commitment ----------------------------------------------------------------------------------


def with_outputs(*outputs: TxOut) -> Transaction:
    return replace(parse_transaction(RAW), outputs=outputs)


def test_the_commitment_fits_the_strictest_relay_policy():
    output = Commitment(kind=Kind.ANCHOR, digest=DIGEST).output
    assert output.script == b"\x6a\x24TMY\x01" + DIGEST
    assert len(output.script) == 38 <= 42
    assert commitment_of(with_outputs(output)).digest == DIGEST


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"\x6a\x24TMX\x01" + DIGEST,
        b"\x6a\x24TMY\x01" + DIGEST + b"\x00",
        b"\x6a\x4c\x24TMY\x01" + DIGEST,
        b"\x6a\x23TMY\x01" + DIGEST[:-1],
    ],
)
def test_what_is_no_commitment(script):
    with pytest.raises(NoCommitment):
        commitment_of(with_outputs(TxOut(value_sat=0, script=script)))


def test_a_commitment_elsewhere_does_not_count():
    output = Commitment(kind=Kind.ANCHOR, digest=DIGEST).output
    with pytest.raises(NoCommitment):
        commitment_of(with_outputs(TxOut(value_sat=1, script=SEAL.script), output))


@pytest.mark.parametrize(
    "script",
    [b"\x6a\x24TMY\x01" + bytes(32), b"\x6a\x4c\x24TMY\x01" + bytes(32), b"\x6a\x01\x00\x03TMY"],
)
def test_a_second_magic_in_any_push(script):
    output = Commitment(kind=Kind.ANCHOR, digest=DIGEST).output
    with pytest.raises(TwoCommitments):
        commitment_of(with_outputs(output, TxOut(value_sat=0, script=script)))


def test_the_magic_in_a_payment_is_no_commitment():
    output = Commitment(kind=Kind.ANCHOR, digest=DIGEST).output
    payment = TxOut(value_sat=1, script=b"\x51\x20" + MAGIC.ljust(32, b"\x01"))
    assert commitment_of(with_outputs(output, payment)).kind is Kind.ANCHOR


def test_an_undefined_type():
    with pytest.raises(WrongKind, match="type byte 6"):
        commitment_of(with_outputs(TxOut(value_sat=0, script=b"\x6a\x24TMY\x06" + DIGEST)))


# ---- building ------------------------------------------------------------------------------------


def test_an_anchor_has_its_shape_and_pays_its_fee():
    draft = anchor(coin(9_000, FUNDING.script, 2), fee=Fee(sat_per_kvb=1500))
    transaction = sign(draft, seal=SEAL, funding=FUNDING)
    assert [len(item) for i in transaction.inputs for item in i.witness] == [64, 64]
    assert {i.sequence for i in transaction.inputs} == {0xFFFFFFFD}
    assert transaction.outputs[SEAL_INDEX] == TxOut(value_sat=10_000, script=SEAL.script)
    assert transaction.outputs[2].script == FUNDING.script
    assert transaction.vsize == draft.transaction.vsize == 259
    assert draft.fee_sat == -(-259 * 1500 // 1000)
    assert sign(draft, seal=SEAL, funding=FUNDING) == transaction


def test_change_below_dust_goes_to_the_miner():
    with_change = 259 + limits.DUST_SAT
    assert len(anchor(coin(with_change, FUNDING.script, 2)).transaction.outputs) == 3
    draft = anchor(coin(with_change - 1, FUNDING.script, 2))
    assert len(draft.transaction.outputs) == 2
    assert draft.fee_sat == with_change - 1


def test_too_little_money():
    assert anchor(coin(216, FUNDING.script, 2)).fee_sat == 216
    with pytest.raises(NotFunded, match="1 sat are missing"):
        anchor(coin(215, FUNDING.script, 2))
    with pytest.raises(NotFunded, match="no coins"):
        opening_draft(
            coins=[],
            digest=DIGEST,
            seal=TxOut(value_sat=10_000, script=SEAL.script),
            recovery=None,
            change_script=FUNDING.script,
            fee=Fee(sat_per_kvb=1),
        )


def test_the_fee_cap_is_hard():
    rich = coin(10_000_000, FUNDING.script, 2)
    assert anchor(rich, fee=Fee(sat_per_kvb=1, sat_min=limits.FEE_SAT_MAX))
    with pytest.raises(FeeTooHigh):
        anchor(rich, fee=Fee(sat_per_kvb=1, sat_min=limits.FEE_SAT_MAX + 1))


# ---- signers -------------------------------------------------------------------------------------


def test_signers_show_no_secret():
    assert "01" * 16 not in repr(SEAL)
    assert r"\x01\x01" not in repr(SEAL)
    assert r"\x03\x03" not in repr(FUNDING)


def test_bad_secrets_are_refused_at_once():
    for make in (
        lambda: SealSigner(secret=bytes(32), soul_digest=bytes(32)),
        lambda: SealSigner(secret=b"\x01" * 32, soul_digest=bytes(31)),
        lambda: FundingSigner(secret=b"\xff" * 32),
    ):
        with pytest.raises(InvalidKey):
            make()


def test_the_seal_signs_nothing_but_its_anchors():
    draft = anchor(coin(9_000, FUNDING.script, 2))
    spent, transaction = draft.spent, draft.transaction
    assert len(SEAL.sign(transaction, 0, spent)) == 64
    commitment, seal, change = transaction.outputs
    thief = replace(seal, script=FUNDING.script)
    for outputs, message in (
        ((change, seal), "not a seal transaction"),
        ((commitment, thief, change), "not the next seal"),
        ((commitment, replace(seal, value_sat=9_999), change), "not the next seal"),
        ((commitment,), "not the next seal"),
        ((Commitment(kind=Kind.OPENING, digest=DIGEST).output, seal), "kind opening"),
        ((Commitment(kind=Kind.HANDOFF, digest=DIGEST).output, seal), "kind handoff"),
    ):
        with pytest.raises(SigningRefused, match=message):
            SEAL.sign(replace(transaction, outputs=outputs), 0, spent)


def test_signers_refuse_each_others_inputs():
    draft = anchor(coin(9_000, FUNDING.script, 2))
    with pytest.raises(SigningRefused):
        SEAL.sign(draft.transaction, 1, draft.spent)
    with pytest.raises(SigningRefused, match="not this signer's"):
        FUNDING.sign(draft.transaction, 0, draft.spent)
    with pytest.raises(SigningRefused):
        FUNDING.sign(parse_transaction(RAW), 0, draft.spent)
    stranger = FundingSigner(secret=b"\x04" * 32)
    with pytest.raises(SigningRefused):
        sign(draft, seal=SEAL, funding=stranger)
