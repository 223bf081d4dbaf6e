"""The vectors of docs/spec, run on our code: good ones pass, bad ones fail for the reason named."""

import base64
import io
import json
import re

import pytest

from genesis.core.birth import parse_genesis
from genesis.core.errors import InvalidGenesis, UnprovenKey
from ledger.core import merkle
from ledger.core.checkpoint import open_checkpoint
from ledger.core.codec import decode, encode
from ledger.core.errors import (
    InvalidEvent,
    InvalidNote,
    InvalidProof,
    InvalidStatement,
    TimmyError,
)
from ledger.core.event import Event, Record, content_commitment, payload_commitment
from ledger.core.note import key_id
from ledger.core.state import State
from ledger.core.statement import open_statement
from node.verifier import verify_bundle
from tests.spec import make_vectors

FOLDER = make_vectors.FOLDER
MAX = 2**20

CBOR = (
    r"not decodable|tags are not|not part of|out of range|nested|is not the det|not the det|map key"
)
REASONS = {
    "cbor": (TimmyError, CBOR),
    "size": (TimmyError, r"\d+ bytes, at most \d+ allowed"),
    "event.envelope": (InvalidEvent, r"envelope|type|schema|stream|ts_ms|cause|key|commitment is|of \d+ b"),
    "event.salt": (InvalidEvent, r"salt is not 32 bytes"),
    "event.payload": (InvalidEvent, r"payload does not match"),
    "event.content": (InvalidEvent, r"content and its salt|content without|content does not match"),
    "event.map": (InvalidEvent, r"is not a map"),
    "genesis": (InvalidGenesis, r"^genesis: (?!.*does not verify)"),
    "genesis.signature": (UnprovenKey, r"signature does not verify"),
    "tree": (InvalidProof, r""),
    "note": (InvalidNote, r"^(?!.*checkpoint)"),
    "note.signature": (InvalidNote, r"^(no signature of|the signature of .* fails)"),
    "checkpoint": (InvalidNote, r"checkpoint|32 bytes each|out of range"),
    "statement": (InvalidStatement, r"payload lacks|statement is not|fields of"),
    "statement.signature": (InvalidStatement, r"the signature of"),
    "statement.ledger": (InvalidStatement, r"is for ledger"),
    "statement.body": (InvalidStatement, r"body does not match"),
}  # fmt: skip
"""Failure class to our error and what its message says. `tree` has one error for all."""

LINKS = {
    "bundle": r"truncated|not a timmy|record|header|path|bytes follow|purpose|(export|backup|salvage) holds|fields|wrong type",
    "event": r"event \d+|payload does not match",
    "identity": r"identity|event 0 is not|^genesis",
    "checkpoint": r"no signature of|of another log",
    "root": r"events lead to root",
    "inclusion": r"inclusion leads|are too (few|many)|hash of",
    "duplicate": r"two records for",
    "missing": r"not here|no signed checkpoint|no events|are here|MISSING|not proven|no consistency|name the opening",
    "redaction": r"redacted content|target",
    "diverged": r"two signed roots",
    "rewritten": r"does not continue|(?:keeps|is of) another history",
    "epoch": r"epoch",
    "seal": r".",
    "salvage": r"subtree|nor a hash|attachment has no|a head signs|two records say",
}  # fmt: skip
"""Failure class of a bundle to what the report's failing link says."""


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def cases(name):
    return [pytest.param(case, id=case["name"]) for case in load(name)["cases"]]


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def refused(case, call):
    """Whether the case is a bad one; then `call` fails for its reason."""
    if case["class"] is None:
        return False
    kind, reason = REASONS[case["class"]]
    with pytest.raises(kind) as caught:
        call()
    assert re.search(reason, str(caught.value)), (case["class"], str(caught.value))
    return True


def test_the_vectors_are_what_the_script_makes():
    """Byte for byte: who changes a format sees it here, and changes the pages with it."""
    made = make_vectors.build()
    assert sorted(made) == sorted(path.name for path in FOLDER.iterdir())
    for name, data in made.items():
        assert (FOLDER / name).read_bytes() == data, f"{name}: python -m tests.spec.make_vectors"


@pytest.mark.parametrize("case", cases("cbor"))
def test_cbor(case):
    data = unhex(case["cbor"])
    if not refused(case, lambda: decode(data, bytes_max=MAX)):
        assert encode(decode(data, bytes_max=MAX)) == data


def record_of(case):
    parts = ("envelope", "salt", "payload", "content_salt", "content")
    return Record(position=0, **{name: unhex(case[name]) for name in parts})


@pytest.mark.parametrize("case", cases("events"))
def test_events(case):
    record = record_of(case)
    if refused(case, lambda: Event.open(record).content):
        return
    event = Event.open(record)
    assert event.id.hex() == case["id"]
    assert merkle.leaf_hash(record.envelope).hex() == case["leaf"]
    assert payload_commitment(record.salt, record.payload).hex() == case["payload_commitment"]
    assert event.envelope.payload_commitment.hex() == case["payload_commitment"]
    assert event.payload.get("content") == unhex(case["content_commitment"])
    if record.content is not None:
        found = content_commitment(record.content_salt, record.content)
        assert found.hex() == case["content_commitment"]


def test_each_layer_has_its_bound():
    """Cases too large for a file."""
    good = record_of(load("events")["cases"][0])
    for changes in ({"envelope": bytes(16385)}, {"payload": bytes(65537)}):
        fields = good._asdict() | changes
        with pytest.raises(InvalidEvent):
            Event.open(Record(**fields))
    note = load("example")["checkpoint"]["note"] + "— x " + "AAAA" * 17000 + "\n"
    with pytest.raises(InvalidNote, match="at most 65536"):
        open_checkpoint(note.encode(), bytes(32))


@pytest.mark.parametrize("case", cases("genesis"))
def test_genesis(case):
    payload = decode(unhex(case["payload"]), bytes_max=MAX)
    if not refused(case, lambda: parse_genesis(payload)):
        assert parse_genesis(payload).to_payload() == payload


@pytest.mark.parametrize("case", cases("roots"))
def test_roots(case):
    tree, _ = make_vectors.tree_of(case["size"])
    assert tree.root().hex() == case["root"]


@pytest.mark.parametrize("case", cases("inclusion"))
def test_inclusion(case):
    path = [unhex(item) for item in case["path"]]
    leaf, root = unhex(case["leaf"]), unhex(case["root"])
    arguments = (leaf, case["index"], case["size"], path, root)
    if not refused(case, lambda: merkle.verify_inclusion(*arguments)):
        merkle.verify_inclusion(*arguments)


@pytest.mark.parametrize("case", cases("consistency"))
def test_consistency(case):
    path = [unhex(item) for item in case["path"]]
    arguments = (case["size1"], case["size2"], path, unhex(case["root1"]), unhex(case["root2"]))
    if not refused(case, lambda: merkle.verify_consistency(*arguments)):
        merkle.verify_consistency(*arguments)


@pytest.mark.parametrize("case", cases("checkpoints"))
def test_checkpoints(case):
    data, key = case["note"].encode(), unhex(case["log_key"])
    if refused(case, lambda: open_checkpoint(data, key)):
        return
    opened = open_checkpoint(data, key)
    checkpoint = opened.checkpoint
    assert (checkpoint.epoch, checkpoint.size) == (case["epoch"], case["size"])
    assert (checkpoint.ledger_id.hex(), checkpoint.root.hex()) == (case["ledger"], case["root"])
    assert key_id(checkpoint.origin, key).hex() == case["key_id"]
    assert opened.anchor_digest().hex() == case["anchor_digest"]


@pytest.mark.parametrize("case", cases("statements"))
def test_statements(case):
    payload = decode(unhex(case["payload"]), bytes_max=MAX)
    body = None if case["body"] is None else decode(unhex(case["body"]), bytes_max=MAX)

    def opened():
        return open_statement(payload, body, ledger_id=unhex(case["ledger"]))

    if not refused(case, opened):
        assert opened().type == "patch.approve"


@pytest.mark.parametrize("case", cases("state"))
def test_state(case):
    entries = decode(unhex(case["entries"]), bytes_max=MAX)
    assert State.restore((), entries, case["size"]).digest().hex() == case["digest"]


BUNDLES = load("bundles")
CHUNKS = [base64.b64decode(chunk) for chunk in BUNDLES["chunks"]]


def bundle_of(case):
    """The bytes of a bundle and the SOUL.md to verify it with."""
    soul = unhex(BUNDLES["soul"])
    data = b"".join(CHUNKS[index] for index in case["bundle"])
    return data, {"same": soul, "other": soul + b"x", None: None}[case["soul"]]


@pytest.mark.parametrize("case", cases("bundles"))
def test_bundles(case):
    data, soul = bundle_of(case)
    report = verify_bundle(io.BytesIO(data), soul)
    standing = None if report.standing is None else report.standing.name.lower()
    assert (report.verdict, standing) == (case["verdict"], case["standing"])
    link = dict(report.lines).get("failing link")
    if report.purpose == "salvage" and report.verdict == "INCOMPLETE":
        link = "not proven"  # no link of it fails: that much is left
    assert report.good == (case["class"] is None) == (link is None)
    if link is not None:
        assert re.search(LINKS[case["class"]], link), link


def test_every_class_is_tried_and_every_verdict_but_the_dearest():
    """UNBROKEN-FINAL takes a hundred blocks of mainnet's work: nobody makes that up."""
    found = {
        case["class"] for path in FOLDER.iterdir() for case in load(path.stem).get("cases", [])
    }
    assert found == {None, *REASONS, *LINKS}
    verdicts = {case["verdict"] for case in BUNDLES["cases"]}
    assert verdicts == {
        *("UNBROKEN-PENDING", "RECOVERED", "TEST", "INCOMPLETE"),
        *("REWRITTEN", "DIVERGED", "BROKEN"),
    }
