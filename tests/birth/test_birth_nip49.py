import hashlib
import json
from pathlib import Path

import pytest
from embit import bech32

from genesis.core import nip49
from genesis.core.errors import InvalidNcryptsec, WrongPassphrase
from genesis.core.nip49 import KeySecurity, decrypt, encrypt

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/nostr/nip49.vectors.json").read_text())
SPEC = VECTORS["spec"][0]
CHEAP = VECTORS["decrypt"][0]
SECRET, SALT, NONCE = bytes(range(32)), b"s" * 16, b"n" * 24


def raw(text: str) -> bytearray:
    data = [bech32.CHARSET.find(char) for char in text[10:-6]]
    return bytearray(bech32.convertbits(data, 5, 8, False))


def text_of(
    blob: bytes, *, prefix: str = "ncryptsec", encoding: int = bech32.Encoding.BECH32
) -> str:
    return bech32.bech32_encode(encoding, prefix, bech32.convertbits(blob, 8, 5))


@pytest.mark.parametrize("vector", VECTORS["decrypt"], ids=range(len(VECTORS["decrypt"])))
def test_nostr_tools_vectors_open_and_are_made_again(vector):
    opened = decrypt(vector["ncryptsec"], vector["password"], log_n_min=1)
    assert opened.secret.hex() == vector["secret_key_hex"]
    assert (opened.log_n, opened.security) == (vector["log_n"], vector["key_security_byte"])
    blob = raw(vector["ncryptsec"])
    again = encrypt(
        opened.secret,
        vector["password"],
        salt=bytes(blob[2:18]),
        nonce=bytes(blob[18:42]),
        log_n=opened.log_n,
        security=opened.security,
    )
    assert again == vector["ncryptsec"]


def test_the_vector_of_the_spec_opens_with_default_bounds():
    assert decrypt(SPEC["ncryptsec"], SPEC["password"]).secret.hex() == SPEC["secret_key_hex"]
    assert len(SPEC["ncryptsec"]) == nip49.TEXT_CHARS


def test_passphrases_are_normalised():
    typed = "".join(chr(int(code, 16)) for code in VECTORS["nfkc"]["input_codepoints"])
    composed = "".join(chr(int(code, 16)) for code in VECTORS["nfkc"]["output_codepoints"])
    assert typed != composed
    text = encrypt(SECRET, typed, salt=SALT, nonce=NONCE, log_n=1)
    assert decrypt(text, composed, log_n_min=1).secret == SECRET


@pytest.mark.parametrize("log_n", [1, 15, 21, 22, 255, 0])
def test_a_cost_outside_the_bounds_is_refused_before_any_work(log_n, monkeypatch):
    monkeypatch.delattr(hashlib, "scrypt")  # whoever calls it now fails otherwise
    blob = raw(SPEC["ncryptsec"])
    blob[1] = log_n
    with pytest.raises(InvalidNcryptsec, match=f"log_n is {log_n}, expected 16 to 20"):
        decrypt(text_of(bytes(blob)), SPEC["password"])


@pytest.mark.parametrize("log_n", [0, 21])
def test_nothing_is_made_that_cannot_be_opened(log_n):
    with pytest.raises(InvalidNcryptsec, match=f"log_n is {log_n}, expected 1 to 20"):
        encrypt(SECRET, "x", salt=SALT, nonce=NONCE, log_n=log_n)


def malformed():
    text, blob = CHEAP["ncryptsec"], raw(CHEAP["ncryptsec"])
    last = "q" if text[-1] != "q" else "p"
    yield "changed character", text[:-1] + last, "checksum does not match"
    yield "mixed case", text[:80] + text[80:].upper(), "mixed case"
    yield "truncated", text[:-1], "161 characters"
    yield "extended", text + "q", "163 characters"
    yield "empty", "", "0 characters"
    yield "foreign alphabet", text[:40] + "b" + text[41:], "not of the bech32 alphabet"
    yield "not ascii", text[:40] + "é" + text[41:], "outside ASCII"
    yield "another prefix", text_of(bytes(blob), prefix="ncryptsex"), "prefix is 'ncryptsex'"
    yield "no prefix", "q" * 162, "prefix is ''"
    yield "bech32m", text_of(bytes(blob), encoding=bech32.Encoding.BECH32M), "checksum"
    yield "version 1", text_of(b"\x01" + bytes(blob[1:])), "version 1, expected 2"
    yield "security byte 3", text_of(bytes(blob[:42]) + b"\x03" + bytes(blob[43:])), "byte is 3"
    data = bech32.convertbits(bytes(blob), 8, 5)
    data[-1] |= 1
    padded = bech32.bech32_encode(bech32.Encoding.BECH32, "ncryptsec", data)
    yield "padding", padded, "padding bits"


@pytest.mark.parametrize(("text", "message"), [pytest.param(t, m, id=n) for n, t, m in malformed()])
def test_malformed_text_is_named(text, message):
    with pytest.raises(InvalidNcryptsec, match=message):
        decrypt(text, CHEAP["password"], log_n_min=1)


def test_upper_case_is_the_same_text():
    opened = decrypt(CHEAP["ncryptsec"].upper(), CHEAP["password"], log_n_min=1)
    assert opened.secret.hex() == CHEAP["secret_key_hex"]


@pytest.mark.parametrize("index", [2, 17, 18, 41, 42, 43, 74, 75, 90])
def test_every_tampered_field_fails_to_open(index):
    blob = raw(CHEAP["ncryptsec"])
    blob[index] ^= 1
    with pytest.raises(WrongPassphrase):
        decrypt(text_of(bytes(blob)), CHEAP["password"], log_n_min=1)


@pytest.mark.parametrize("passphrase", ["", "nostr ", ".ksjabdk.aselqwE", "\udc80"])
def test_wrong_passphrases_do_not_open(passphrase):
    with pytest.raises(WrongPassphrase):
        decrypt(CHEAP["ncryptsec"], passphrase, log_n_min=1)


def test_opened_hides_its_secret():
    opened = decrypt(CHEAP["ncryptsec"], CHEAP["password"], log_n_min=1)
    assert repr(opened.secret) not in repr(opened)
    assert opened.security is KeySecurity.HANDLED_INSECURELY
