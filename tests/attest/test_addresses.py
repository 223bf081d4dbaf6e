"""The funding address and its script: BIP-86, BIP-350 and Bitcoin Core's own pairs of the two."""

import json
import re
from pathlib import Path

import pytest
from embit import bip32, bip39

from attest.address import p2tr_address
from attest.core.header import MAINNET, REGTEST, SIGNET
from attest.core.signer import FundingSigner
from attest.core.taproot import internal_key, p2tr_script, tweak_public

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"
BIP86 = (VECTORS / "bip-0086.vectors.mediawiki").read_text()
BIP350 = (VECTORS / "bip-0350.vectors.mediawiki").read_text()
KEY_IO = json.loads((VECTORS / "bitcoin-core/key_io_valid.json").read_text())
HRP = {"main": "bc", "test": "tb", "testnet4": "tb", "signet": "tb", "regtest": "bcrt"}
P2TR = re.compile(r"5120([0-9a-f]{64})")


def key_of(script: str) -> bytes | None:
    """The output key, if the script is what we pay to."""
    found = P2TR.fullmatch(script)
    return None if found is None else bytes.fromhex(found[1])


def bip86_addresses():
    """(path, fields) of the three addresses."""
    for path, block in re.findall(r"(m/86'/0'/0'/\d/\d)\n(.*?)\n(?:\n|</pre>)", BIP86, re.DOTALL):
        yield path, dict(re.findall(r"^(\w+) += (\S+)", block, re.MULTILINE))


@pytest.mark.parametrize(("path", "fields"), list(bip86_addresses()), ids=lambda v: str(v)[:18])
def test_bip86_from_the_words_to_the_address(path, fields):
    words = re.search(r"mnemonic = (.*)", BIP86)[1]
    key = bip32.HDKey.from_seed(bip39.mnemonic_to_seed(words)).derive(path.replace("'", "h"))
    funding = FundingSigner(secret=bytes(key.secret))
    assert internal_key(funding.secret).hex() == fields["internal_key"]
    assert tweak_public(internal_key(funding.secret), b"")[0] == funding.output_key
    assert funding.output_key.hex() == fields["output_key"]
    assert funding.script.hex() == fields["scriptPubKey"]
    assert p2tr_address(funding.output_key, MAINNET.address_hrp) == fields["address"]


def test_there_are_three_of_bip86():
    assert len(list(bip86_addresses())) == 3


def bip350_pairs():
    section = BIP350[BIP350.index("The following list gives valid segwit") :]
    section = section[: section.index("The following list gives invalid")]
    return re.findall(r"<tt>(\w+)</tt>: <tt>([0-9a-f]+)</tt>", section)


def test_bip350_addresses_of_our_kind():
    ours = [(text, key_of(script)) for text, script in bip350_pairs()]
    kept = [(text, key) for text, key in ours if key is not None]
    assert (len(ours), len(kept)) == (8, 2), "the others are of other kinds of output"
    for text, key in kept:
        assert p2tr_address(key, text[:2]) == text


def test_no_address_of_ours_is_one_that_bip350_refuses():
    section = BIP350[BIP350.index("The following list gives invalid segwit") :]
    refused = re.findall(r"<tt>(\w+)</tt>:", section)
    assert len(refused) == 15
    key = bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    made = {p2tr_address(key, hrp) for hrp in ("bc", "tb", "bcrt")}
    # Six of them encode just this key wrongly: bech32's checksum, mixed case, another version.
    assert sum(text.lower()[4:40] in {m[4:40] for m in made} for text in refused) >= 6
    assert made.isdisjoint(refused)
    assert all(text == text.lower() for text in made)


def test_cores_pairs_of_our_kind():
    kept = [
        (text, key_of(script), HRP[facts["chain"]])
        for text, script, facts in KEY_IO
        if not facts["isPrivkey"] and key_of(script) is not None
    ]
    assert {hrp for _, _, hrp in kept} == {"bc", "tb", "bcrt"}
    for text, key, hrp in kept:
        assert p2tr_address(key, hrp) == text
        assert p2tr_script(key)[2:] == key


def test_networks_have_cores_prefixes():
    found = {n.core_name: n.address_hrp for n in (MAINNET, SIGNET, REGTEST)}
    assert found == {name: HRP[name] for name in found}
