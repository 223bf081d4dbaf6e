"""Keys, notes, checkpoints, statements: everything that is signed."""

import contextlib
import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from coincurve import PublicKeyXOnly
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import hashing, keys, note
from ledger.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from ledger.core.errors import InvalidNote, InvalidStatement
from ledger.core.keys import Signer
from ledger.core.statement import Statement, make_statement, open_statement
from tests.ledger.makers import SIGNER

VECTORS = Path(__file__).parent.parent / "vectors"
OTHER = Signer(b"\x22" * 32)
CHECKPOINT = Checkpoint(ledger_id=b"\xab" * 32, epoch=0, size=7, root=b"\xcd" * 32)


def bip340():
    with (VECTORS / "nostr/bip340-test-vectors.csv").open() as file:
        return [pytest.param(row, id=row["index"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("row", bip340())
def test_bip340_vectors(row):
    """The library we sign with agrees with the BIP on every public vector."""
    public, message, signature = (
        bytes.fromhex(row[name]) for name in ("public key", "message", "signature")
    )
    try:
        good = PublicKeyXOnly(public).verify(signature, message)
    except ValueError:
        good = False
    assert good == (row["verification result"] == "TRUE")


def blake3_vectors():
    data = json.loads(next((VECTORS / "blake3").rglob("test_vectors.json")).read_text())
    return data["context_string"], data["cases"]


def test_blake3_derive_key_vectors():
    context, cases = blake3_vectors()
    for case in cases:
        data = bytes(n % 251 for n in range(case["input_len"]))
        assert hashing.digest(context, data).hex() == case["derive_key"][:64]
        assert hashing.xof(context, 131, data[:5], data[5:]).hex() == case["derive_key"]


def test_a_signature_serves_one_purpose_only():
    signature = SIGNER.sign("timmy/a", b"message")
    assert keys.verify(SIGNER.public, "timmy/a", b"message", signature)
    assert not keys.verify(SIGNER.public, "timmy/b", b"message", signature)
    assert not keys.verify(SIGNER.public, "timmy/a", b"another", signature)
    assert not keys.verify(OTHER.public, "timmy/a", b"message", signature)
    assert not keys.verify(b"\xff" * 32, "timmy/a", b"message", signature)
    assert not keys.verify(SIGNER.public, "timmy/a", b"message", signature[:-1])
    assert not keys.verify(SIGNER.public[1:], "timmy/a", b"message", signature)


def test_a_signer_does_not_show_its_secret():
    assert SIGNER.secret.hex() not in repr(SIGNER)
    assert repr(SIGNER.secret) not in repr(SIGNER)


# ---- notes ------------------------------------------------------------------------------------


def test_a_checkpoint_is_a_c2sp_note():
    text = sign_checkpoint(CHECKPOINT, SIGNER).encode().decode()
    lines = text.split("\n")
    assert lines[0] == "timmy/" + "ab" * 32 + "/0"
    assert lines[1] == "7"
    assert lines[3] == ""
    assert lines[4].startswith(f"— {lines[0]} ")
    assert lines[5:] == [""]


def test_a_checkpoint_opens_with_its_key_only():
    signed = sign_checkpoint(CHECKPOINT, SIGNER)
    assert open_checkpoint(signed.encode(), SIGNER.public).checkpoint == CHECKPOINT
    with pytest.raises(InvalidNote, match="no signature of"):
        open_checkpoint(signed.encode(), OTHER.public)
    forged = signed.encode().replace(b"\n7\n", b"\n8\n")
    with pytest.raises(InvalidNote, match="fails"):
        open_checkpoint(forged, SIGNER.public)


def test_cosignatures_are_kept_and_do_not_change_the_anchor():
    signed = sign_checkpoint(CHECKPOINT, SIGNER)
    cosigned = (
        signed.encode()
        + note.sign_note(CHECKPOINT.text(), "witness", OTHER).signatures[0].line().encode()
    )
    opened = open_checkpoint(cosigned, SIGNER.public)
    mine, other = opened.note.signatures
    assert (mine.name, other.name) == (CHECKPOINT.origin, "witness")
    assert opened.anchor_preimage() == signed.encode() == signed.anchor_preimage()
    first_other = (
        CHECKPOINT.text()
        + "\n"
        + opened.note.signatures[1].line()
        + opened.note.signatures[0].line()
    )
    assert open_checkpoint(first_other.encode(), SIGNER.public) == opened


GOOD = sign_checkpoint(CHECKPOINT, SIGNER).encode()
MALFORMED = {
    "empty": b"",
    "no signature block": CHECKPOINT.text().encode(),
    "no final newline": GOOD[:-1],
    "not utf-8": b"\xff" + GOOD,
    "control character": b"\x01" + GOOD,
    "too long": b"x" * 70_000,
    "ascii dash": GOOD.replace("—".encode(), b"-"),
    "bad base64": GOOD[:-3] + b"!\n",
    "empty name": GOOD.replace("— timmy".encode(), "—  timmy".encode()),
    "plus in name": GOOD.replace("— timmy/".encode(), "— timmy+".encode()),
    "no space": GOOD.replace(b"/0 ", b"/0"),
    "short signature": CHECKPOINT.text().encode() + "\n— a AAAA\n".encode(),
    "too many signatures": CHECKPOINT.text().encode() + b"\n" + "— a AAAAAAA=\n".encode() * 65,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_notes_are_refused(name):
    with pytest.raises(InvalidNote):
        open_checkpoint(MALFORMED[name], SIGNER.public)


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\nzc0=\n",
        "timmy/xx/0\n1\nzc0=\n",
        CHECKPOINT.text().replace("/0\n", "/00\n"),
        CHECKPOINT.text().replace("\n7\n", "\n07\n"),
        CHECKPOINT.text().replace("\n7\n", "\n-7\n"),
        CHECKPOINT.text().replace("\n7\n", "\n٧\n"),
        CHECKPOINT.text().replace("\n7\n", "\n999999999999999999\n"),
        CHECKPOINT.text() + "extension\n",
        CHECKPOINT.text()[:-4] + "!!!\n",
        CHECKPOINT.text()[:-6] + "\n",
    ],
)
def test_malformed_checkpoints_are_refused_even_if_signed(text):
    with pytest.raises(InvalidNote):
        Checkpoint.parse(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_refused(data):
    with contextlib.suppress(InvalidNote):
        note.parse_note(data)


def test_the_public_sample_notes_parse():
    """The samples of the C2SP texts: other signature types, kept and ignored."""
    samples = json.loads((VECTORS / "c2sp/c2sp-samples.json").read_text())
    found = [value for value in json_texts(samples) if "\n\n— " in value and "..." not in value]
    assert found
    for text in found:
        assert note.parse_note(text.encode()).signatures


def json_texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from json_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from json_texts(item)


# ---- statements ---------------------------------------------------------------------------------

LEDGER = b"L" * 32
BODY = {"text": "I approve"}


def statement():
    return make_statement(
        BODY, ledger_id=LEDGER, nonce=b"n" * 16, kind="patch.approve", signer=OTHER
    )


def test_a_statement_is_the_authors_for_this_ledger_and_body():
    opened = open_statement(statement(), BODY, ledger_id=LEDGER)
    assert opened.type == "patch.approve"
    assert open_statement(statement(), None, ledger_id=LEDGER) == opened


@pytest.mark.parametrize(
    ("payload", "body", "ledger"),
    [
        (statement(), {"text": "I refuse"}, LEDGER),
        (statement(), BODY, b"M" * 32),
        (statement() | {"author": SIGNER.public}, BODY, LEDGER),
        (statement() | {"signature": bytes(64)}, BODY, LEDGER),
        (statement() | {"statement": b"\x01"}, BODY, LEDGER),
        (statement() | {"statement": b"\xff"}, BODY, LEDGER),
        ({"author": OTHER.public}, BODY, LEDGER),
    ],
)
def test_a_statement_that_is_not_is_refused(payload, body, ledger):
    with pytest.raises(InvalidStatement):
        open_statement(payload, body, ledger_id=ledger)


def test_statement_fields_have_their_sizes():
    good = Statement.parse(statement()["statement"])
    with pytest.raises(InvalidStatement):
        replace(good, nonce=b"short")
