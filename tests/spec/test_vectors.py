"""The vectors of docs/spec, run on our code: good ones pass, bad ones fail for the reason named."""

import base64
import io
import json
import re
from types import SimpleNamespace

import pytest

from attest.core.aggregate import SlotProof
from attest.core.anchor import Step
from attest.core.delegation import Delegated, Delegation, Segment, verify_delegated, verify_own
from attest.core.errors import InvalidProof as InvalidAnchor
from attest.core.errors import InvalidRecord, InvalidSlot, MissingSlot, WrongSlot
from attest.core.header import REGTEST
from attest.core.proof import AnchorProof, SealOpening
from attest.verify.bundle import verify_bundle
from ledger.core import merkle
from ledger.core.checkpoint import open_checkpoint
from ledger.core.codec import decode, encode
from ledger.core.descent import check_child, check_parent, open_certificate
from ledger.core.errors import (
    InvalidCertificate,
    InvalidEvent,
    InvalidGenesis,
    InvalidNote,
    InvalidProof,
    InvalidStatement,
    TimmyError,
    UnprovenKey,
)
from ledger.core.event import Event, Record, content_commitment, payload_commitment
from ledger.core.genesis import parse_genesis
from ledger.core.lineage import Lineage
from ledger.core.note import key_id
from ledger.core.state import State
from ledger.core.statement import open_statement
from tests.spec import make_lineage, make_vectors

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
    "lineage.form": (InvalidEvent, r"not of type|fields are not|: version|not 32 bytes|handoff -?\d+ after|reason of|successor: |stand together"),
    "lineage.key": (InvalidEvent, r"not signed by the (next|recovery) key"),
    "lineage.signature": (InvalidEvent, r"the signature of the .* key does not verify"),
    "lineage.place": (InvalidEvent, r"(handoff|epoch) -?\d+ follows|another tenure|another SOUL"),
    "lineage.twice": (InvalidEvent, r"had a role before"),
    "statement": (InvalidStatement, r"payload lacks|statement is not|fields of"),
    "statement.signature": (InvalidStatement, r"the signature of"),
    "statement.ledger": (InvalidStatement, r"is for ledger"),
    "statement.body": (InvalidStatement, r"body does not match"),
    "child.form": (InvalidCertificate, r"^certificate: "),
    "child.signature": (InvalidCertificate, r"log key does not verify"),
    "child.place": (InvalidCertificate, r"at position|certificate is (about|by|not by)"),
    "slot": ((InvalidSlot, WrongSlot, InvalidRecord), r""),
}  # fmt: skip
"""Failure class to our error and what its message says. `tree` has one error for all."""

LINKS = {
    "bundle": r"truncated|not a timmy|record|heads, expected 2|header|path|bytes follow|purpose|(export|backup|salvage) holds|fields|wrong type",
    "event": r"event \d+|payload does not match",
    "identity": r"identity|introduction is|event 0 is not|^genesis|it is of ledger",
    "checkpoint": r"neither a bundle nor|no signature of|of another log|is signed by log key|the signature of .* fails|no tenure of|no checkpoint here is of|a head is of",
    "root": r"events lead to root",
    "inclusion": r"inclusion leads|are too (few|many)|hash of",
    "duplicate": r"two records for",
    "missing": r"not here|no signed head|neither every event|not proven under|no signed checkpoint|no events|are here|MISSING|not proven|no consistency|name the opening|without this ledger's slot",
    "redaction": r"redacted content|target",
    "equivocation": r"two heads of two sizes|both heads have one root|the paths are not",
    "diverged": r"and another under that of size|two signed (?:roots|records)|is signed by log key",
    "rewritten": r"does not continue|(?:keeps|is of|events of) another history|gave up|another one there",
    "stale": r"are held, this file is",
    "lineage": r"handoff|epoch|the signature of the|successor",
    "seal": r".",
    "slot": r"slot|expected a map of epoch, size, link",
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


def opened(parts):
    bytes_of = {name: unhex(value) for name, value in parts.items() if name != "position"}
    return Event.open(Record(**bytes_of, position=parts["position"], content_salt=None, content=None))  # fmt: skip


@pytest.mark.parametrize("case", cases("lineage"))
def test_lineage(case):
    lineage = Lineage.of(opened(load("lineage")["genesis"]))
    events = [opened(parts) for parts in case["records"]]
    for event in events[:-1]:
        lineage = lineage.add(event)
    if not refused(case, lambda: [lineage.add(event) for event in events[-1:]]):
        for event in events[-1:]:
            lineage = lineage.add(event)
        assert make_lineage.shown(lineage) == case["tenures"]


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


@pytest.mark.parametrize("case", cases("children"))
def test_children(case):
    payload = decode(unhex(case["payload"]), bytes_max=MAX)
    ledger, soul, at = unhex(case["ledger"]), unhex(case["soul"]), case["position"]

    def opened():
        certificate = open_certificate(payload)
        if case["side"] == "parent":
            key = unhex(case["log_key"])
            check_parent(certificate, ledger_id=ledger, soul=soul, log_key=key, position=at)
        else:
            keys = {role: unhex(key) for role, key in case["keys"].items()}
            born = SimpleNamespace(soul=SimpleNamespace(sha256=soul), keys=keys)
            check_child(certificate, born, ledger_id=ledger, position=at)
        return certificate

    if not refused(case, opened):
        assert opened().signed_value() == payload["certificate"]


@pytest.mark.parametrize("case", cases("state"))
def test_state(case):
    entries = decode(unhex(case["entries"]), bytes_max=MAX)
    state = State.restore((), entries, case["size"])
    assert state.digest().hex() == case["digest"]
    assert state.parts() == decode(unhex(case["parts"]), bytes_max=MAX)


@pytest.mark.parametrize("case", cases("aggregate"))
def test_aggregate(case):
    ledger, root = unhex(case["ledger"]), unhex(case["root"])

    def shown():
        proof = SlotProof.from_value(decode(unhex(case["slot"]), bytes_max=MAX))
        if proof.root(ledger) != root or proof.digest_of(ledger) != unhex(case["digest"]):
            raise WrongSlot("another root or digest")
        return proof

    if not refused(case, shown):
        assert encode(shown().to_value()) == unhex(case["slot"])


EVIDENCE = {"missing": MissingSlot, "slot": WrongSlot, "seal": InvalidAnchor}
"""Failure class of a delegation to our error; those of the first two are none of the third."""


def evidence_of(case):
    value = decode(unhex(case["evidence"]), bytes_max=MAX)
    delegations = {
        one["link"]: Delegated(
            delegation=Delegation.from_value(one["delegation"]),
            segment=Segment.from_value(one["segment"]),
            digests=tuple(one["digests"]),
        )
        for one in value["delegations"]
    }
    own = verify_own(
        opening=SealOpening.from_value(value["opening"]),
        links=[AnchorProof.from_value(link) for link in value["links"]],
        steps=[Step(digest=digest, seal_key=key) for digest, key in value["steps"]],
        soul_digest=value["soul_sha256"],
        network=REGTEST,
    )
    return verify_delegated(own=own, ledger=value["ledger"], delegations=delegations)


@pytest.mark.parametrize("case", cases("delegated"))
def test_delegated(case):
    if case["class"] is None:
        assert evidence_of(case).periods
        return
    with pytest.raises(EVIDENCE[case["class"]]) as caught:
        evidence_of(case)
    if case["class"] == "seal":
        assert not isinstance(caught.value, MissingSlot | WrongSlot)


BUNDLES, EQUIVOCATIONS = load("bundles"), load("equivocations")
CHUNKS = {
    id(file): [base64.b64decode(chunk) for chunk in file["chunks"]]
    for file in (BUNDLES, EQUIVOCATIONS)
}


def bundle_of(case, file=BUNDLES):
    """The bytes of a bundle and the SOUL.md to verify it with."""
    soul = unhex(file["soul"])
    data = b"".join(CHUNKS[id(file)][index] for index in case["bundle"])
    return data, {"same": soul, "other": soul + b"x", None: None}[case["soul"]]


@pytest.mark.parametrize("case", cases("bundles"))
def test_bundles(case):
    as_named(case, *bundle_of(case))


@pytest.mark.parametrize("case", cases("equivocations"))
def test_equivocations(case):
    as_named(case, *bundle_of(case, EQUIVOCATIONS))


def as_named(case, data, soul):
    report = verify_bundle(io.BytesIO(data), soul)
    standing = None if report.standing is None else report.standing.name.lower()
    assert (report.verdict, standing) == (case["verdict"], case["standing"])
    link = dict(report.lines).get("failing link")
    if report.purpose == "salvage" and report.verdict == "INCOMPLETE":
        link = "not proven"  # no link of it fails: that much is left
    assert report.good == (case["class"] is None) == (link is None)
    if link is not None:
        assert re.search(LINKS[case["class"]], link), link


HELD = load("held")
HELD_CHUNKS = [base64.b64decode(chunk) for chunk in HELD["chunks"]]


def held_of(case):
    """The bytes of a bundle, and of what is held beside it."""
    return tuple(
        b"".join(HELD_CHUNKS[index] for index in case[name]) for name in ("bundle", "held")
    )


@pytest.mark.parametrize("case", cases("held"))
def test_held(case):
    data, held = held_of(case)
    assert verify_bundle(io.BytesIO(data), None).good
    report = verify_bundle(io.BytesIO(data), None, held=io.BufferedReader(io.BytesIO(held)))
    standing = None if report.standing is None else report.standing.name.lower()
    assert (report.verdict, standing) == (case["verdict"], case["standing"])
    link = dict(report.lines).get("failing link")
    assert report.good == (case["class"] is None) == (link is None)
    if link is not None:
        assert link.startswith("held: ")
        assert re.search(LINKS[case["class"]], link), link


def test_every_class_is_tried_and_every_verdict_but_the_dearest():
    """UNBROKEN-FINAL takes a hundred blocks of mainnet's work: see test_final.py."""
    found = {
        case["class"] for path in FOLDER.iterdir() for case in load(path.stem).get("cases", [])
    }
    assert found == {None, *REASONS, *LINKS}
    verdicts = {case["verdict"] for case in (*BUNDLES["cases"], *HELD["cases"])}
    assert verdicts == {
        *("UNBROKEN-PENDING", "RECOVERED", "TEST", "INCOMPLETE", "STALE"),
        *("REWRITTEN", "DIVERGED", "BROKEN"),
    }
