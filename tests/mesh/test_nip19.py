import json
import pathlib

import nostr_sdk
import pytest
from embit import bech32
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import nip19
from mesh.core.errors import InvalidIdentifier
from mesh.core.nip19 import AddressPointer, EventPointer, NoteId, Profile, PublicKey, SecretKey
from tests.mesh.peers import ALICE

VECTORS = json.loads(
    (pathlib.Path(__file__).parents[1] / "vectors/nostr/nip19.vectors.json").read_text()
)
HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
RELAYS = st.lists(st.text(st.characters(codec="ascii"), max_size=30), max_size=4).map(tuple)
KIND = st.integers(0, 65535)
IDENTIFIERS = st.one_of(
    HEX.map(PublicKey),
    HEX.map(NoteId),
    st.binary(min_size=32, max_size=32).map(SecretKey),
    st.builds(Profile, pubkey=HEX, relays=RELAYS),
    st.builds(EventPointer, id=HEX, relays=RELAYS, author=st.none() | HEX, kind=st.none() | KIND),
    st.builds(
        AddressPointer,
        identifier=st.text(st.characters(codec="utf-8"), max_size=60),
        pubkey=HEX,
        kind=KIND,
        relays=RELAYS,
    ),
)


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["bech32"][:24])
def test_valid_vectors(vector):
    found = nip19.decode(vector["bech32"])
    names = {"npub": PublicKey, "nsec": SecretKey, "note": NoteId, "nprofile": Profile}
    kinds = names | {"nevent": EventPointer, "naddr": AddressPointer}
    assert type(found) is kinds[vector["type"]]
    if "hex" in vector:
        value = found.secret.hex() if isinstance(found, SecretKey) else found.pubkey
        assert value == vector["hex"]
        assert nip19.encode(found) == vector["bech32"]
    for name in ("pubkey", "kind", "identifier"):
        if name in vector:
            assert getattr(found, name) == vector[name]
    if "relays" in vector:
        assert list(found.relays) == vector["relays"]
    assert nip19.decode(nip19.encode(found)) == found


@pytest.mark.parametrize("text", VECTORS["invalid"])
def test_invalid_vectors(text):
    with pytest.raises(InvalidIdentifier):
        nip19.decode(text)


@given(IDENTIFIERS)
def test_roundtrip(identifier):
    text = nip19.encode(identifier)
    assert nip19.decode(text) == identifier
    assert nip19.decode(text.upper()) == identifier


@given(IDENTIFIERS, st.data())
@settings(max_examples=200)
def test_one_wrong_character_is_noticed(identifier, data):
    text = nip19.encode(identifier)
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from(bech32.CHARSET).filter(lambda char: char != text[at]))
    with pytest.raises(InvalidIdentifier):
        nip19.decode(text[:at] + char + text[at + 1 :])


@given(st.text(max_size=100))
def test_any_text_is_an_identifier_or_invalid(text):
    with pytest.raises(InvalidIdentifier):
        nip19.decode(text)


@given(st.sampled_from(["npub", "nsec", "note", "nprofile", "nevent", "naddr"]), st.binary())
def test_any_payload_is_an_identifier_or_invalid(prefix, data):
    try:
        found = nip19.decode(nip19._bech32(prefix, data))
    except InvalidIdentifier:
        return
    assert nip19.decode(nip19.encode(found)) == found


KEY = bytes.fromhex(ALICE.pubkey)
TLV_CASES = {
    "special twice": ("nprofile", b"\0\x20" + KEY + b"\0\x20" + KEY),
    "no special": ("nprofile", b"\1\1r"),
    "record too long": ("nprofile", b"\0\x20" + KEY + b"\1\5ab"),
    "half a record head": ("nprofile", b"\0\x20" + KEY + b"\1"),
    "short key": ("nprofile", b"\0\x1f" + KEY[:31]),
    "kind of two bytes": ("nevent", b"\0\x20" + KEY + b"\3\2\0\1"),
    "kind out of range": ("nevent", b"\0\x20" + KEY + b"\3\4\0\1\0\0"),
    "naddr without kind": ("naddr", b"\0\1d\2\x20" + KEY),
    "naddr without author": ("naddr", b"\0\1d\3\4\0\0\0\1"),
    "identifier not utf-8": ("naddr", b"\0\1\xff\2\x20" + KEY + b"\3\4\0\0\0\1"),
    "relay not ascii": ("nprofile", b"\0\x20" + KEY + b"\1\1\xff"),
    "too many relays": ("nprofile", b"\0\x20" + KEY + b"\1\1r" * 17),
    "unknown prefix": ("nrelay", b"\0\1r"),
}


@pytest.mark.parametrize("name", TLV_CASES)
def test_malformed_records_are_refused(name):
    with pytest.raises(InvalidIdentifier):
        nip19.decode(nip19._bech32(*TLV_CASES[name]))


def test_unknown_records_are_skipped_in_any_order():
    text = nip19._bech32("nprofile", b"\x09\1z" + b"\1\1r" + b"\0\x20" + KEY)
    assert nip19.decode(text) == Profile(pubkey=ALICE.pubkey, relays=("r",))


def test_bech32m_is_refused():
    words = bech32.convertbits(KEY, 8, 5)
    text = bech32.bech32_encode(bech32.Encoding.BECH32M, "npub", words)
    with pytest.raises(InvalidIdentifier, match="checksum"):
        nip19.decode(text)


def test_mixed_case_is_refused():
    text = nip19.npub(ALICE.pubkey)
    with pytest.raises(InvalidIdentifier, match="one case"):
        nip19.decode(text[:-1] + text[-1].upper() + "Q")


def test_length_is_bounded_both_ways():
    with pytest.raises(InvalidIdentifier, match="at most 5000"):
        nip19.decode("npub1" + "q" * 5000)
    relays = tuple("r" * 255 for _ in range(16))
    with pytest.raises(InvalidIdentifier, match="at most 5000"):
        nip19.encode(Profile(pubkey=ALICE.pubkey, relays=relays))


def test_the_secret_is_not_in_the_repr():
    assert "\\x01" not in repr(nip19.decode(nip19.encode(SecretKey(ALICE.secret))))


def test_rust_nostr_reads_our_npub():
    key = nostr_sdk.PublicKey.parse(nip19.npub(ALICE.pubkey))
    assert key.to_hex() == ALICE.pubkey
    assert key.to_bech32() == nip19.npub(ALICE.pubkey)
