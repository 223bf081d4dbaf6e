"""NKeys: the pair of NATS's own documentation, a slow CRC beside ours, and seeds that are none."""

import base64

import pytest
from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.errors import InvalidNKey
from mesh.core.fleet.nkeys import UserKey, crc16, read_public

# docs.nats.io, "NKeys" (CC BY 4.0): the example of a user's seed and its public key.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_the_pair_of_the_documentation():
    key = UserKey.read(SEED)
    assert (key.seed, key.public) == (SEED, PUBLIC)
    assert "A" not in repr(key)


def test_the_checksum_is_crc16_xmodem():
    assert crc16(b"123456789") == 0x31C3  # the check value of the catalogue of CRCs


@given(st.binary(max_size=40))
def test_the_checksum_is_that_of_long_division(data):
    value = int.from_bytes(data) << 16
    for bit in range(value.bit_length() - 1, 15, -1):
        if value >> bit & 1:
            value ^= 0x11021 << bit - 16
    assert crc16(data) == value


@given(st.binary(min_size=32, max_size=32), st.text(max_size=40))
def test_a_key_reads_back_and_its_signature_holds(seed, nonce):
    key = UserKey(seed)
    assert UserKey.read(key.seed) == key
    public = ECC.construct(curve="Ed25519", seed=seed).public_key()
    assert read_public(key.public) == public.export_key(format="raw")
    signature = key.sign_nonce(nonce)
    eddsa.new(public, "rfc8032").verify(nonce.encode(), base64.urlsafe_b64decode(signature + b"=="))


@given(st.integers(0, 57), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567a1 =\n"))
def test_a_seed_with_another_letter_is_refused_and_not_repeated(place, letter):
    text = SEED[:place] + letter + SEED[place + 1 :]
    if text == SEED:
        return
    with pytest.raises(InvalidNKey) as caught:
        UserKey.read(text)
    assert text not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(max_size=60))
def test_any_text_is_a_key_or_refused(text):
    for read in (UserKey.read, read_public):
        with pytest.raises(InvalidNKey):
            read(text)


def test_keys_of_other_roles_are_refused():
    def seed(prefix: int, role: int) -> str:
        body = bytes([prefix | role >> 5, (role & 31) << 3]) + bytes(32)
        return base64.b32encode(body + crc16(body).to_bytes(2, "little")).decode().rstrip("=")

    assert UserKey.read(seed(18 << 3, 20 << 3)) == UserKey(bytes(32))
    for role in (0, 2 << 3, 13 << 3, 14 << 3):
        with pytest.raises(InvalidNKey, match="not a user's"):
            UserKey.read(seed(18 << 3, role))
    with pytest.raises(InvalidNKey, match="not the seed"):
        UserKey.read(seed(15 << 3, 20 << 3))
    with pytest.raises(InvalidNKey, match="seed of 31 bytes"):
        UserKey(bytes(31))
