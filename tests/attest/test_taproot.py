"""BIP-341's wallet vectors, BIP-340's signatures, and the SOUL in the key."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
from coincurve import PrivateKey

from attest.address import p2tr_address
from attest.core.errors import InvalidKey, InvalidTransaction
from attest.core.taproot import (
    internal_key,
    key_path_sighash,
    p2tr_script,
    seal_output_key,
    soul_leaf,
    tweak_public,
    tweak_secret,
    verify_key_path,
)
from attest.core.transaction import TxOut, parse_transaction
from ledger.core.hashing import tagged

VECTORS = Path(__file__).parents[1] / "vectors"
BIP341 = json.loads((VECTORS / "bitcoin/bip-0341/wallet-test-vectors.json").read_text())
BIP340 = [
    case
    for case in csv.DictReader((VECTORS / "nostr/bip340-test-vectors.csv").read_text().splitlines())
    if len(case["message"]) == 64  # a sighash has 32 bytes
]
SPENDING = BIP341["keyPathSpending"][0]
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize("case", BIP341["scriptPubKey"])
def test_output_key_script_and_address(case):
    intermediary, expected = case["intermediary"], case["expected"]
    root = bytes.fromhex(intermediary["merkleRoot"] or "")
    output_key, _ = tweak_public(bytes.fromhex(case["given"]["internalPubkey"]), root)
    assert output_key.hex() == intermediary["tweakedPubkey"]
    assert p2tr_script(output_key).hex() == expected["scriptPubKey"]
    assert p2tr_address(output_key, "bc") == expected["bip350Address"]


@pytest.mark.parametrize("case", SPENDING["inputSpending"])
def test_tweaked_secret(case):
    given = case["given"]
    root = bytes.fromhex(given["merkleRoot"] or "")
    secret = bytes.fromhex(given["internalPrivkey"])
    assert internal_key(secret).hex() == case["intermediary"]["internalPubkey"]
    assert tweak_secret(secret, root).hex() == case["intermediary"]["tweakedPrivkey"]


def test_sighash_default_of_the_vectors():
    default = [c for c in SPENDING["inputSpending"] if c["given"]["hashType"] == 0]
    assert default
    transaction = parse_transaction(bytes.fromhex(SPENDING["given"]["rawUnsignedTx"]))
    spent = [
        TxOut(value_sat=u["amountSats"], script=bytes.fromhex(u["scriptPubKey"]))
        for u in SPENDING["given"]["utxosSpent"]
    ]
    for case in default:
        sighash = key_path_sighash(transaction, case["given"]["txinIndex"], spent)
        assert sighash.hex() == case["intermediary"]["sigHash"]
        secret = bytes.fromhex(case["intermediary"]["tweakedPrivkey"])
        signature = PrivateKey(secret).sign_schnorr(sighash, bytes(32))
        assert [signature.hex()] == case["expected"]["witness"]


def test_every_other_hash_type_of_the_vectors_is_refused():
    """Six of the seven are signed with one: a byte more, or another digest. Refused either way."""
    signed = parse_transaction(bytes.fromhex(SPENDING["auxiliary"]["fullySignedTx"]))
    spent = [
        TxOut(value_sat=u["amountSats"], script=bytes.fromhex(u["scriptPubKey"]))
        for u in SPENDING["given"]["utxosSpent"]
    ]
    verdicts = {}
    for case in SPENDING["inputSpending"]:
        index = case["given"]["txinIndex"]
        [signature] = signed.inputs[index].witness
        assert [signature.hex()] == case["expected"]["witness"]
        digest = key_path_sighash(signed, index, spent)
        output_key = spent[index].script[2:]
        verdicts[case["given"]["hashType"]] = verify_key_path(output_key, digest, signature)
        assert not verify_key_path(output_key, digest, signature[:63] + b"\x00")
        if len(signature) == 65:
            assert not verify_key_path(output_key, digest, signature[:64])
    assert verdicts == {0: True} | dict.fromkeys([1, 2, 3, 129, 130, 131], False)


def test_sighash_needs_every_spent_output():
    transaction = parse_transaction(bytes.fromhex(SPENDING["given"]["rawUnsignedTx"]))
    with pytest.raises(InvalidTransaction, match="1 spent outputs for 9 inputs"):
        key_path_sighash(transaction, 0, [TxOut(value_sat=1, script=b"")])


@pytest.mark.parametrize("case", BIP340, ids=lambda case: case["index"])
def test_bip340_verification(case):
    message = bytes.fromhex(case["message"])
    key, signature = bytes.fromhex(case["public key"]), bytes.fromhex(case["signature"])
    expected = case["verification result"] == "TRUE"
    assert verify_key_path(key, message, signature) is expected, case["comment"]


@pytest.mark.parametrize(
    "case", [case for case in BIP340 if case["secret key"]], ids=lambda case: case["index"]
)
def test_bip340_signing(case):
    secret, message, auxiliary = (
        bytes.fromhex(case[name]) for name in ("secret key", "message", "aux_rand")
    )
    assert internal_key(secret).hex() == case["public key"].lower()
    assert PrivateKey(secret).sign_schnorr(message, auxiliary).hex() == case["signature"].lower()


def test_the_output_key_commits_to_the_soul():
    soul = hashlib.sha256(b"a").digest()
    key = internal_key(b"\x07" * 32)
    # By hand, from BIP-341's text.
    leaf = tagged("TapLeaf", b"\xc0" + bytes([34]) + b"\x6a\x20" + soul)
    assert soul_leaf(soul) == leaf
    assert seal_output_key(key, soul) == tweak_public(key, leaf)[0]
    assert seal_output_key(key, hashlib.sha256(b"b").digest()) != seal_output_key(key, soul)
    assert seal_output_key(internal_key(b"\x08" * 32), soul) != seal_output_key(key, soul)


@pytest.mark.parametrize("secret", [b"", bytes(32), GROUP_ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_impossible_secrets(secret):
    with pytest.raises(InvalidKey):
        internal_key(secret)


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, bytes(31) + b"\x05"])
def test_impossible_public_keys(key):
    with pytest.raises(InvalidKey):
        tweak_public(key, b"")
