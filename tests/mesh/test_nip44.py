"""NIP-44 and NIP-04: every public vector by its failure class, both ways with rust-nostr, fuzzed."""

import base64
import contextlib
import hashlib
import json
import pathlib

import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import limits, nip04, nip44
from mesh.core.errors import InvalidPayload, TooLong, UnsupportedVersion
from mesh.core.nip01 import NostrSigner
from tests.mesh.peers import ALICE, BOB, make

FOLDER = pathlib.Path(__file__).parents[1] / "vectors/nostr"
VALID = json.loads((FOLDER / "nip44.vectors.json").read_text())["v2"]["valid"]
INVALID = json.loads((FOLDER / "nip44.vectors.json").read_text())["v2"]["invalid"]
LONG = json.loads((FOLDER / "nip44.extended.vectors.json").read_text())
KEY = nip44.conversation_key(ALICE.secret, BOB.pubkey)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)
NONCE = st.binary(min_size=32, max_size=32)


def of(vector, name):
    return bytes.fromhex(vector[name])


@pytest.mark.parametrize("vector", VALID["get_conversation_key"], ids=range(35))
def test_conversation_keys(vector):
    found = nip44.conversation_key(of(vector, "sec1"), vector["pub2"])
    assert found.hex() == vector["conversation_key"]


@pytest.mark.parametrize("vector", INVALID["get_conversation_key"], ids=lambda v: v["note"])
def test_keys_that_are_none(vector):
    with pytest.raises(InvalidPayload, match="pair of keys") as caught:
        nip44.conversation_key(of(vector, "sec1"), vector["pub2"])
    assert caught.value.__cause__ is None  # whose traceback would show the secret
    assert vector["sec1"] not in str(caught.value)


def test_message_keys():
    key = bytes.fromhex(VALID["get_message_keys"]["conversation_key"])
    for vector in VALID["get_message_keys"]["keys"]:
        keys = nip44.message_keys(key, of(vector, "nonce"))
        assert keys.cipher.hex() == vector["chacha_key"]
        assert keys.cipher_nonce.hex() == vector["chacha_nonce"]
        assert keys.mac.hex() == vector["hmac_key"]
    assert vector["hmac_key"] not in repr(keys)


@pytest.mark.parametrize("vector", VALID["calc_padded_len"], ids=str)
def test_padding(vector):
    assert nip44.padded_bytes(vector[0]) == vector[1]


@pytest.mark.parametrize("vector", VALID["encrypt_decrypt"], ids=range(10))
def test_both_ways(vector):
    key = of(vector, "conversation_key")
    other = NostrSigner(of(vector, "sec2"))
    assert nip44.conversation_key(of(vector, "sec1"), other.pubkey) == key
    assert nip44.encrypt(key, vector["plaintext"], of(vector, "nonce")) == vector["payload"]
    assert nip44.decrypt(key, vector["payload"]) == vector["plaintext"]


@pytest.mark.parametrize("vector", VALID["encrypt_decrypt_long_msg"], ids=range(3))
def test_long_messages(vector):
    key, text = of(vector, "conversation_key"), vector["pattern"] * vector["repeat"]
    payload = nip44.seal(key, text.encode(), of(vector, "nonce"))
    assert hashlib.sha256(text.encode()).hexdigest() == vector["plaintext_sha256"]
    assert hashlib.sha256(payload.encode()).hexdigest() == vector["payload_sha256"]
    assert nip44.decrypt(key, payload) == text


@pytest.mark.parametrize("vector", LONG["vectors"], ids=lambda v: v["n"])
def test_the_long_prefix_of_2026_is_read(vector):
    key, text = of(LONG, "conversation_key"), "a" * vector["n"]
    payload = nip44.seal(key, text.encode(), of(LONG, "nonce"))
    assert hashlib.sha256(payload.encode()).hexdigest() == vector["payload_sha256"]
    padded = len(base64.b64decode(payload)) - 65 - vector["prefix_bytes"]
    assert padded == vector["padded_len"]
    assert nip44.decrypt(key, payload) == text


CLASSES = {
    "unknown encryption version": UnsupportedVersion,
    "unknown encryption version 0": UnsupportedVersion,
}
MESSAGES = {
    "invalid base64": "not base64",
    "invalid MAC": "the MAC does not fit",
    "invalid padding": "length of nothing|padded bytes|plaintext of",
    "unknown encryption version": "not base64",
    "unknown encryption version 0": "version 0",
}


NOTES = [f"{at} {vector['note']}" for at, vector in enumerate(INVALID["decrypt"])]


@pytest.mark.parametrize("vector", INVALID["decrypt"], ids=NOTES)
def test_payloads_that_are_refused(vector):
    match = MESSAGES.get(vector["note"], "payload of [0-9]+ characters")
    with pytest.raises(CLASSES.get(vector["note"], InvalidPayload), match=match):
        nip44.decrypt(of(vector, "conversation_key"), vector["payload"])


@pytest.mark.parametrize("length", INVALID["encrypt_msg_lengths"])
def test_lengths_that_are_not_written(length):
    with pytest.raises(TooLong, match=f"{length} bytes to encrypt"):
        nip44.encrypt(KEY, "x" * length, bytes(32))


def test_what_is_written_ends_where_others_stop_reading():
    """rust-nostr 0.45 refuses to encrypt one byte more, and cannot read the long prefix."""
    most = limits.NIP44_WRITE_BYTES_MAX
    payload = nip44.encrypt(KEY, "x" * most, bytes(32))
    assert sdk_decrypt(BOB, ALICE, payload) == "x" * most
    with pytest.raises(TooLong):
        nip44.encrypt(KEY, "x" * (most + 1), bytes(32))
    with pytest.raises(nostr_sdk.NostrSdkError):
        sdk_encrypt(ALICE, BOB, "x" * (most + 1))


def test_what_is_read_ends_too():
    most = limits.NIP44_READ_BYTES_MAX
    assert nip44.decrypt(KEY, nip44.seal(KEY, b"x" * most, bytes(32))) == "x" * most
    with pytest.raises(InvalidPayload, match="payload of"):
        nip44.decrypt(KEY, nip44.seal(KEY, b"x" * (2 * most), bytes(32)))
    with pytest.raises(InvalidPayload, match="payload of"):
        nip44.decrypt(KEY, "A" * 10_000_000)


@pytest.mark.parametrize(
    "prefix",
    [bytes(2), bytes(6), bytes(2) + (65535).to_bytes(4), b"\0\x21", bytes(2) + b"\xff" * 4],
    ids=["nothing", "long nothing", "long of what is short", "wrong step", "4 GiB"],
)
def test_prefixes_that_lie(prefix):
    padded = prefix + bytes(2 + 32 - len(prefix))
    with pytest.raises(InvalidPayload, match=r"length of nothing|padded bytes|plaintext of"):
        nip44.decrypt(KEY, frame(padded))


def frame(padded):
    """A payload with any inside, its MAC right: as only who has the key can make it."""
    import hmac

    from Cryptodome.Cipher import ChaCha20

    keys, nonce = nip44.message_keys(KEY, bytes(32)), bytes(32)
    hidden = ChaCha20.new(key=keys.cipher, nonce=keys.cipher_nonce).encrypt(padded)
    mac = hmac.digest(keys.mac, nonce + hidden, "sha256")
    return base64.b64encode(b"\x02" + nonce + hidden + mac).decode()


def test_bytes_that_are_no_text():
    with pytest.raises(InvalidPayload, match="UTF-8"):
        nip44.decrypt(KEY, frame(b"\0\x01\xff" + bytes(31)))


def test_the_mac_is_compared_in_constant_time(monkeypatch):
    asked = []
    compare = nip44.hmac.compare_digest
    monkeypatch.setattr(
        nip44.hmac, "compare_digest", lambda a, b: asked.append((a, b)) or compare(a, b)
    )
    nip44.decrypt(KEY, nip44.encrypt(KEY, "x", bytes(32)))
    assert [len(side) for side in asked[0]] == [32, 32]


@given(TEXT, NONCE)
def test_what_is_encrypted_is_read(text, nonce):
    payload = nip44.encrypt(KEY, text, nonce)
    assert nip44.decrypt(KEY, payload) == text
    assert len(base64.b64decode(payload)) == 67 + dumb_padding(len(text.encode()))


def dumb_padding(length):
    """The words of NIP-44 as a loop: powers of two, in eighths of at least 32 bytes."""
    power = 1
    while power < length:
        power *= 2
    step = 32 if power <= 256 else power // 8
    padded = step
    while padded < length:
        padded += step
    return padded


@given(st.integers(1, 200_000))
def test_padding_beside_its_dumb_twin(length):
    assert nip44.padded_bytes(length) == -(-length // _step(length)) * _step(length)


def _step(length):
    power = 1
    while power < length:
        power *= 2
    return 32 if power <= 256 else power // 8


@given(TEXT, st.data())
def test_a_changed_bit_is_noticed(text, data):
    raw = bytearray(base64.b64decode(nip44.encrypt(KEY, text, bytes(32))))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidPayload):
        nip44.decrypt(KEY, base64.b64encode(raw).decode())


@given(st.text(max_size=400) | st.binary(max_size=300).map(lambda b: base64.b64encode(b).decode()))
def test_anything_is_read_or_refused(text):
    for reading in (
        lambda: nip44.decrypt(KEY, text),
        lambda: nip04.decrypt(BOB.secret, ALICE.pubkey, text),
    ):
        with contextlib.suppress(InvalidPayload):
            assert isinstance(reading(), str)


def keys_of(signer):
    return nostr_sdk.Keys.parse(signer.secret.hex())


def sdk_encrypt(author, reader, text):
    public = nostr_sdk.PublicKey.parse(reader.pubkey)
    secret = keys_of(author).secret_key()
    return nostr_sdk.nip44_encrypt(secret, public, text, nostr_sdk.Nip44Version.V2)


def sdk_decrypt(reader, author, payload):
    public = nostr_sdk.PublicKey.parse(author.pubkey)
    return nostr_sdk.nip44_decrypt(keys_of(reader).secret_key(), public, payload)


@settings(max_examples=25)
@given(TEXT, NONCE)
def test_rust_nostr_reads_ours_and_we_read_its(text, nonce):
    assert sdk_decrypt(BOB, ALICE, nip44.encrypt(KEY, text, nonce)) == text
    assert nip44.decrypt(KEY, sdk_encrypt(BOB, ALICE, text)) == text


# ---- kind 4 ------------------------------------------------------------------------------------


def old_message(text, tags=(("p", BOB.pubkey),)):
    public = nostr_sdk.PublicKey.parse(BOB.pubkey)
    payload = nostr_sdk.nip04_encrypt(keys_of(ALICE).secret_key(), public, text)
    return make(ALICE, kind=4, tags=tags, content=payload)


@settings(max_examples=25)
@given(TEXT)
def test_old_messages_of_rust_nostr_are_read(text):
    assert nip04.open_legacy(old_message(text), BOB) == text


def test_old_messages_for_others_are_not():
    with pytest.raises(InvalidPayload, match="expected kind 4 to us"):
        nip04.open_legacy(old_message("x"), ALICE)
    with pytest.raises(InvalidPayload, match="expected kind 4 to us"):
        nip04.open_legacy(make(kind=1, tags=(("p", BOB.pubkey),)), BOB)


@pytest.mark.parametrize(
    "payload",
    ["", "x", "AAAA?iv=AAAA", "?iv=", "A" * 70_000, f"?iv={'A' * 22}==", "AAAA" * 8],
    ids=["empty", "no base64", "short", "no blocks", "long", "only an iv", "no iv"],
)
def test_old_payloads_that_are_none(payload):
    with pytest.raises(InvalidPayload):
        nip04.decrypt(BOB.secret, ALICE.pubkey, payload)


def test_there_is_no_way_to_write_an_old_message():
    assert not [name for name in dir(nip04) if "encrypt" in name.lower()]
