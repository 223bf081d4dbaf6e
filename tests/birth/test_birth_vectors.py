"""From a kit's words to its keys on the vectors of BIP-32, 39, 84 and 86.

Our entry points take 24 words without a passphrase and one path; the vectors have other lengths,
TREZOR as passphrase, and other paths. So a twin made from the BIPs' texts is held to all vectors,
and our entry points, with embit below them, to the twin.
"""

import json
import re
from pathlib import Path

import pytest
from coincurve import PrivateKey
from embit import bip32, bip39
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core.errors import InvalidPhrase
from genesis.core.recovery import (
    key_from_phrase,
    key_from_seed,
    output_key,
    output_signer,
    parse_phrase,
    phrase_from_entropy,
)
from tests.birth.dumb_bip32 import derive, node_of, public, seed_of

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"
BIP39 = json.loads((VECTORS / "bip-0039/vectors.english.json").read_text())["english"]
BIP84 = (VECTORS / "bip-0084.vectors.mediawiki").read_text()
BIP86 = (VECTORS / "bip-0086.vectors.mediawiki").read_text()
TAPROOT = {"mainnet": "m/86h/0h/0h/0/0", "signet": "m/86h/1h/0h/0/0", "regtest": "m/86h/1h/0h/0/0"}


def bip32_chains():
    """(seed, path, xprv) of test vectors 1 to 4."""
    text = (VECTORS / "bip-0032.vectors.mediawiki").read_text().split("===Test vector 5===")[0]
    for part in text.split("Seed (hex): ")[1:]:
        seed = bytes.fromhex(part.split("\n", maxsplit=1)[0])
        plain = part.replace("<sub>H</sub>", "h")
        for path, xprv in re.findall(r"\* Chain (\S+)\n.*\n\*\* ext prv: (\w+)", plain):
            yield seed, path, xprv


def test_there_are_seventeen_chains():
    assert len(list(bip32_chains())) == 17


@pytest.mark.parametrize(("seed", "path", "xprv"), list(bip32_chains()), ids=lambda v: str(v)[:24])
def test_bip32(seed, path, xprv):
    assert derive(seed, path) == node_of(xprv)
    assert bytes(bip32.HDKey.from_seed(seed).derive(path).secret) == node_of(xprv)[0]


@pytest.mark.parametrize("case", BIP39, ids=lambda case: case[0][:12] + str(len(case[0]) * 4))
def test_bip39(case):
    entropy, words, seed, xprv = case
    assert bip39.mnemonic_from_bytes(bytes.fromhex(entropy)) == words
    assert bip39.mnemonic_to_seed(words, "TREZOR").hex() == seed
    assert seed_of(words, "TREZOR").hex() == seed
    assert derive(bytes.fromhex(seed), "m") == node_of(xprv)
    for network, path in TAPROOT.items():
        key = key_from_seed(bytes.fromhex(seed), network)
        assert key.secret == derive(bytes.fromhex(seed), path)[0]
    if len(words.split()) != 24:
        with pytest.raises(InvalidPhrase, match="words, expected 24"):
            parse_phrase(words)
        return
    assert phrase_from_entropy(bytes.fromhex(entropy)) == words == parse_phrase(words.upper())
    for network, path in TAPROOT.items():
        assert key_from_phrase(words, network).secret == derive(seed_of(words), path)[0]


def test_eight_of_bip39_have_our_length():
    assert sum(len(case[1].split()) == 24 for case in BIP39) == 8


@settings(max_examples=15)  # 4096 rounds of HMAC-SHA-512 each, as BIP-39 wants it
@given(st.binary(min_size=32, max_size=32), st.sampled_from(sorted(TAPROOT)))
def test_any_kit_agrees_with_the_twin(entropy, network):
    words = phrase_from_entropy(entropy)
    assert key_from_phrase(words, network).secret == derive(seed_of(words), TAPROOT[network])[0]


def test_bip84_keys():
    """Another purpose of the same words: the twin and embit, whom the kit's path relies on."""
    words = re.search(r"mnemonic = (.*)", BIP84)[1]
    found = re.findall(r"(m/84'/0'/0'/\d/\d)\n.*\n  pubkey  = (\w+)", BIP84)
    assert len(found) == 3
    for path, key in found:
        assert public(derive(seed_of(words), path)[0]).hex() == key
        secret = bip32.HDKey.from_seed(bip39.mnemonic_to_seed(words)).derive(path).secret
        assert PrivateKey(bytes(secret)).public_key.format().hex() == key


def test_bip86_keys():
    words = re.search(r"mnemonic = (.*)", BIP86)[1]
    found = re.findall(
        r"(m/86'/0'/0'/\d/\d)\nxprv         = (\w+)\n.*\ninternal_key = (\w+)\noutput_key   = (\w+)",
        BIP86,
    )
    assert len(found) == 3
    for path, xprv, internal, output in found:
        secret = derive(seed_of(words), path)[0]
        assert secret == node_of(xprv)[0]
        assert public(secret)[1:].hex() == internal
        assert output_key(bytes.fromhex(internal)).hex() == output
    first = key_from_seed(seed_of(words), "mainnet")
    assert first.public.hex() == found[0][2]
    assert output_signer(first).public.hex() == found[0][3]
