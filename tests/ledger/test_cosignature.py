"""Ed25519 and C2SP cosignatures: public vectors, a second implementation, and every way to fail."""

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import ed25519
from ledger.core.checkpoint import open_checkpoint
from ledger.core.cosignature import (
    Witness,
    cosign,
    cosignatures,
    log_key,
    log_line,
    message,
    parse_lines,
)
from ledger.core.errors import InvalidNote
from ledger.core.note import Note, NoteSignature, parse_note
from tests.spec import agent

VECTORS = Path(__file__).parents[1] / "vectors"
RFC = json.loads((VECTORS / "ed25519/rfc8032.json").read_text())["cases"]
KEYS = json.loads((VECTORS / "c2sp/verifier-keys.json").read_text())
SAMPLES = json.loads((VECTORS / "c2sp/c2sp-samples.json").read_text())
GO = json.loads((VECTORS / "c2sp/go-sumdb-note.json").read_text())
ORDER = 2**252 + 27742317777372353535851937790883648493


def private(name):
    return ECC.construct(curve="Ed25519", seed=hashlib.sha256(name.encode()).digest())


def public(key):
    return bytes(key.public_key().export_key(format="raw"))


def sign_with(name):
    return eddsa.new(private(name), "rfc8032").sign


def witness(name):
    return Witness(name=f"{name}.example", public=public(private(name)))


def with_lines(note, lines):
    return Note(text=note.text, signatures=(*note.signatures, *lines))


LEDGER = agent.Ledger()
LEDGER.add(agent.genesis_draft())
NOTE = LEDGER.head().note


# ---- Ed25519 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", RFC, ids=lambda case: case["public"][:8])
def test_the_vectors_of_the_rfc(case):
    key, said, signature = (bytes.fromhex(case[k]) for k in ("public", "message", "signature"))
    assert ed25519.verify(key, said, signature)
    assert not ed25519.verify(key, said + b"!", signature)
    assert not ed25519.verify(bytes(32), said, signature)
    for at in (0, 31, 32, 63):
        bad = bytearray(signature)
        bad[at] ^= 1
        assert not ed25519.verify(key, said, bytes(bad))


def test_a_second_scalar_for_one_signature_is_refused():
    """S + L verifies the same equation: whoever takes it lets anybody rewrite signatures."""
    for case in RFC:
        key, said, signature = (bytes.fromhex(case[k]) for k in ("public", "message", "signature"))
        scalar = int.from_bytes(signature[32:], "little") + ORDER
        assert not ed25519.verify(key, said, signature[:32] + scalar.to_bytes(32, "little"))


def test_a_key_or_signature_of_another_length_is_refused():
    case = RFC[0]
    key, said, signature = (bytes.fromhex(case[k]) for k in ("public", "message", "signature"))
    for bad in (key + b"\0", key[:-1]):
        assert not ed25519.verify(bad, said, signature)
    for bad in (signature + b"\0", signature[:-1]):
        assert not ed25519.verify(key, said, bad)


def test_what_is_no_point_is_no_key():
    """y = 2 has no x on the curve; y = p is 0 in another encoding; S = L is 0 in another."""
    neutral = (1).to_bytes(32, "little")
    signature = neutral + bytes(32)
    assert ed25519.verify(neutral, b"m", signature)
    assert not ed25519.verify(neutral, b"m", neutral + ORDER.to_bytes(32, "little"))
    for y in (2, 2**255 - 19):
        key = y.to_bytes(32, "little")
        with pytest.raises(ValueError, match="Invalid Ed25519"):
            eddsa.import_public_key(key)
        assert ed25519._decode(key) is None
        assert not ed25519.verify(key, b"m", signature)


def test_a_point_in_another_encoding_is_refused():
    """y = 1 and y = p + 1 are one point, the neutral one, under which R = [S]B verifies anything."""
    neutral = (1).to_bytes(32, "little")
    twin = (2**255 - 19 + 1).to_bytes(32, "little")
    signature = neutral + bytes(32)
    assert ed25519.verify(neutral, b"m", signature)
    assert not ed25519.verify(twin, b"m", signature)
    assert not ed25519.verify(neutral, b"m", twin + bytes(32))
    assert not ed25519.verify((1 | 1 << 255).to_bytes(32, "little"), b"m", signature)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80), st.sampled_from("abc"), st.integers(0, 95), st.integers(0, 7))
def test_it_agrees_with_a_second_implementation(said, name, at, bit):
    key, signature = public(private(name)), sign_with(name)(said)
    assert ed25519.verify(key, said, signature)
    both = bytearray(key + signature)
    both[at] ^= 1 << bit
    bad_key, bad = bytes(both[:32]), bytes(both[32:])
    assert ed25519.verify(bad_key, said, bad) == theirs(bad_key, said, bad)


def theirs(key, said, signature):
    try:
        eddsa.new(eddsa.import_public_key(key), "rfc8032").verify(said, signature)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("vkey", ["example", "sumdb"])
def test_notes_that_others_signed_with_ed25519(vkey):
    """The notes of C2SP's and Go's own tests: type 1, without a time."""
    found = SAMPLES["vkey"] if vkey == "example" else GO["vkey"]
    note = SAMPLES["valid_note"] if vkey == "example" else f"{GO['note_text']}\n{GO['sig_line']}\n"
    parsed = parse_note(note.encode())
    key = base64.b64decode(found.split("+", 2)[2])[1:]
    [line] = parsed.signatures
    assert ed25519.verify(key, parsed.text.encode(), line.signature)


# ---- verifier keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", KEYS["keys"], ids=lambda case: case["vkey"][:30])
def test_verifier_keys_of_others(case):
    if case["class"] is None:
        assert Witness.parse(case["vkey"]).encode() == case["vkey"]
        return
    with pytest.raises(InvalidNote):
        Witness.parse(case["vkey"])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("remora", "romera"),
        lambda text: text.replace("da77ade7", "DA77ADE7"),
        lambda text: text.replace("da77ade7", "00000000"),
        lambda text: text + "=",
        lambda text: text[:-4],
        lambda text: "",
        lambda text: "a b" + text,
    ],
    ids=("name", "upper-case", "id", "padded", "short", "empty", "space"),
)
def test_a_changed_verifier_key_is_refused(change):
    with pytest.raises(InvalidNote):
        Witness.parse(change(KEYS["keys"][0]["vkey"]))


def test_a_verifier_key_may_have_a_plus_in_its_base64():
    names = (f"w{number}" for number in range(100))
    found = next(key for key in map(witness, names) if key.encode().count("+") > 2)
    assert Witness.parse(found.encode()) == found


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name", "no verifier key"),
        ("name+da77ade7", "no verifier key"),
        ("name+da77ade+BAAA", "no verifier key"),
        ("name+da77ade7+", "of type nothing, expected 04"),
        ("name+da77ade7+BQAA", "of type 05, expected 04"),
        ("name+da77ade7+BA!AA", "not base64"),
        ("name+da77ade7+BAAA", "public key of 2 bytes"),
    ],
)
def test_what_is_wrong_with_a_verifier_key_is_said(text, match):
    with pytest.raises(InvalidNote, match=match):
        Witness.parse(text)


def test_the_time_of_a_real_cosignature():
    data = base64.b64decode(KEYS["signature"])
    assert (len(data), int.from_bytes(data[4:12], "big")) == (4 + 8 + 64, KEYS["time"])


# ---- cosignatures --------------------------------------------------------------------------------


def cosigned(*names, note=NOTE, time_s=1_700_000_000):
    lines = [cosign(note.text, witness(name), time_s, sign_with(name)) for name in names]
    return with_lines(note, lines)


def by_hand(name, text, time_s):
    """The line straight from the page of C2SP, with nothing of ours."""
    key = public(private(name))
    key_id = hashlib.sha256(f"{name}.example\n".encode() + b"\x04" + key).digest()[:4]
    said = f"cosignature/v1\ntime {time_s}\n{text}".encode()
    packed = key_id + struct.pack(">Q", time_s) + sign_with(name)(said)
    return f"— {name}.example {base64.b64encode(packed).decode()}\n"


def test_a_line_is_what_the_page_says():
    line = cosign(NOTE.text, witness("one"), 1_679_315_147, sign_with("one"))
    assert line.line() == by_hand("one", NOTE.text, 1_679_315_147)
    assert parse_lines(line.line()) == [line]
    assert message("a\n", 7) == b"cosignature/v1\ntime 7\na\n"


@pytest.mark.parametrize("time_s", [1, 2**63 - 1])
def test_the_first_and_the_last_second_are_times(time_s):
    [found] = cosignatures(cosigned("one", time_s=time_s), [witness("one")])
    assert found.time_s == time_s


@pytest.mark.parametrize("time_s", [0, 2**63])
def test_what_lies_beyond_is_none(time_s):
    with pytest.raises(InvalidNote, match="is not in 1"):
        cosign(NOTE.text, witness("one"), time_s, sign_with("one"))
    [line] = parse_lines(by_hand("one", NOTE.text, time_s))
    with pytest.raises(InvalidNote, match="is not in 1"):
        cosignatures(with_lines(NOTE, [line]), [witness("one")])


def test_an_answer_may_have_lines_of_several():
    lines = [by_hand(name, NOTE.text, 5) for name in ("one", "two")]
    assert [line.name for line in parse_lines("".join(lines))] == ["one.example", "two.example"]


def test_a_head_with_more_lines_is_the_same_head():
    head = LEDGER.head()
    more = head.with_lines(cosigned("one").signatures[1:])
    assert more.checkpoint == head.checkpoint
    opened = open_checkpoint(more.encode(), agent.KEYS.log.public)
    assert opened.note.signatures == more.note.signatures


def test_a_log_s_own_ed25519_line_is_what_the_page_of_notes_says():
    key = public(private("log"))
    key_id = hashlib.sha256(b"log.example\n\x01" + key).digest()[:4]
    line = log_line(NOTE.text, "log.example", key, sign_with("log"))
    packed = base64.b64encode(key_id + sign_with("log")(NOTE.text.encode())).decode()
    assert line.line() == f"— log.example {packed}\n"
    vkey = base64.b64encode(b"\x01" + key).decode()
    assert log_key("log.example", key) == f"log.example+{key_id.hex()}+{vkey}"


def test_a_note_keeps_its_log_signature_and_its_anchor():
    signed = cosigned("one", "two")
    assert parse_note(signed.encode()) == signed
    assert signed.signatures[0] == NOTE.signatures[0]
    head = LEDGER.head()
    more = head.with_lines(signed.signatures[1:])
    assert more.with_lines(more.note.signatures) == more
    assert more.anchor_digest() == head.anchor_digest()


def test_who_cosigned_and_when():
    signed = cosigned("one", "two", time_s=1_700_000_001)
    found = cosignatures(signed, [witness("one"), witness("three"), witness("two")])
    assert [(one.witness.name, one.time_s) for one in found] == [
        ("one.example", 1_700_000_001), ("two.example", 1_700_000_001),
    ]  # fmt: skip
    assert cosignatures(NOTE, [witness("one")]) == []


def test_one_key_under_two_names_counts_once():
    twin = Witness(name="twin.example", public=witness("one").public)
    line = cosign(NOTE.text, twin, 5, sign_with("one"))
    signed = with_lines(cosigned("one"), [line])
    assert len(cosignatures(signed, [witness("one"), twin])) == 1
    assert len(cosignatures(cosigned("one"), [witness("one"), witness("one")])) == 1


def test_the_later_of_two_times_counts():
    lines = [cosign(NOTE.text, witness("one"), at, sign_with("one")) for at in (9, 7)]
    [found] = cosignatures(with_lines(NOTE, lines), [witness("one")])
    assert found.time_s == 9


def broken(change):
    line = cosigned("one").signatures[-1]
    bad = NoteSignature(name=line.name, key_id=line.key_id, signature=change(line.signature))
    return Note(text=NOTE.text, signatures=(*NOTE.signatures, bad))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s[:-1], "71 bytes, expected 72"),
        (lambda s: s + b"\0", "73 bytes, expected 72"),
        (lambda s: s[8:], "64 bytes, expected 72"),
        (lambda s: bytes(8) + s[8:], "time 0"),
        (lambda s: b"\xff" * 8 + s[8:], "2^63-1"),
        (lambda s: s[:7] + bytes([s[7] ^ 1]) + s[8:], "fails"),
        (lambda s: s[:-1] + bytes([s[-1] ^ 1]), "fails"),
    ],
    ids=("short", "long", "no time", "at 0", "at the end of time", "another time", "a bit"),
)
def test_a_failing_line_of_a_known_witness_refuses_the_note(change, says):
    with pytest.raises(InvalidNote, match=says.replace("^", r"\^")):
        cosignatures(broken(change), [witness("one")])
    assert cosignatures(broken(change), [witness("two")]) == []


def test_a_cosignature_is_of_one_text():
    other = agent.Ledger()
    other.add(agent.genesis_draft())
    other.add(agent.fact(1))
    moved = with_lines(other.head().note, [cosigned("one").signatures[-1]])
    with pytest.raises(InvalidNote, match="fails"):
        cosignatures(moved, [witness("one")])


@pytest.mark.parametrize("time_s", [0, -1, 2**63])
def test_no_time_that_no_verifier_takes(time_s):
    with pytest.raises(InvalidNote):
        cosign(NOTE.text, witness("one"), time_s, sign_with("one"))


@given(st.text(max_size=200))
def test_an_answer_is_lines_or_refused(text):
    try:
        lines = parse_lines(text)
    except InvalidNote:
        return
    assert "".join(line.line() for line in lines) == text
