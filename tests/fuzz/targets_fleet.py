"""Targets of the fleet and its witnesses: manifests, tokens, presences, heads, proofs."""

import io

from attest.verify.bundle import verify_bundle
from ledger.core.bundle import Reader
from ledger.core.cosignature import Witness, cosignatures, parse_lines
from ledger.core.equivocation import read_equivocation
from ledger.core.errors import InvalidBundle, InvalidNote
from ledger.core.note import parse_note
from mesh.core.errors import (
    InvalidFrame,
    InvalidGossip,
    InvalidManifest,
    InvalidPresence,
    InvalidRequest,
    InvalidToken,
    Refused,
)
from mesh.core.fleet.frame import Frame, open_frame
from mesh.core.fleet.gossip_wire import decode_messages, encode_messages
from mesh.core.fleet.joining import (
    Asking,
    Token,
    make_request,
    open_request,
    open_slice,
    parts_of,
    refusal_of,
    slice_of,
)
from mesh.core.fleet.manifest import open_manifest
from mesh.core.fleet.presence import ledger_in, open_presence
from mesh.core.witnesses.add_checkpoint import AddCheckpoint
from mesh.core.witnesses.witness import Answer, Known, judge
from tests.ledger import test_cosignature
from tests.mesh import test_gossip_wire, test_joining, test_manifest, test_witness
from tests.spec import make_equivocations

from .engine import Target, same


def run_manifest(data):
    same(data, open_manifest(data).encode())


def run_token(data):
    same(data, Token.parse(data.decode("ascii", "replace")).encode().encode("ascii"))


def run_join(data):
    open_request(data)


def run_asking(data):
    same(data, Asking.parse(data).encode())


def run_slice(data):
    parts_of(open_slice(data)[1])


def slices():
    asking = Asking(request=b"request", after=3, offset=800).encode()
    return [slice_of([b"abc", bytes(40)], 0), refusal_of("no", "ask again"), asking]


def run_presence(data):
    ledger_in(data)
    open_presence(data, test_manifest.A.nostr, now_s=test_joining.NOW)


def run_frame(data):
    who = {"me": test_manifest.B.nostr, "members": {test_manifest.A.nostr}}
    frame = open_frame(data, now_s=test_joining.NOW, **who)
    assert frame.sender == test_manifest.A.nostr


def frames():
    a, b = test_manifest.A.nostr, test_manifest.B.nostr
    made = Frame(
        sender=a, receiver=b, time_s=test_joining.NOW, asks=True, subject="duty.begun", data=b"x"
    )
    return [made.sign(test_manifest.signer("a"))]


def run_add_checkpoint(data):
    request = AddCheckpoint.parse(data)
    same(data, request.encode())
    lineage = test_witness.introduce(test_witness.introduction(test_witness.TRUE))
    verdict = judge(request, Known(lineage=lineage))
    return "accepted" if verdict.answer is Answer.COSIGNED else verdict.answer.name


def run_cosigned(data):
    known = [test_cosignature.witness(name) for name in ("one", "two")]
    cosignatures(parse_note(data), known)


def run_lines(data):
    lines = parse_lines(data.decode("utf-8", "replace"))
    same(data, "".join(line.line() for line in lines).encode())


def run_key(data):
    same(data, Witness.parse(data.decode("ascii", "replace")).encode().encode())


def run_equivocation(data):
    read_equivocation(Reader(io.BytesIO(data)))
    report = verify_bundle(io.BytesIO(data), None)
    assert not report.good
    return "accepted" if report.verdict == "DIVERGED" else report.verdict


def run_gossip(data):
    same(data, encode_messages(decode_messages(data)))


def manifests():
    first = test_manifest.sign_manifest(test_manifest.FIRST, test_manifest.OPERATOR)
    return [first.encode(), test_manifest.signed(test_manifest.FIRST.following(), "a").encode()]


TARGETS = [
    Target(name="manifest", run=run_manifest, errors=(InvalidManifest,), kind="cbor",
           specimens=manifests, weight=2),
    Target(name="join-token", run=run_token, errors=(InvalidToken,), kind="text",
           specimens=lambda: [one.encode().encode() for one in (test_joining.TOKEN, test_joining.RELAYED)]),
    Target(name="join-asking", run=run_asking, errors=(InvalidManifest,), kind="cbor", specimens=slices),
    Target(name="join-slice", run=run_slice, errors=(InvalidManifest, Refused), kind="cbor",
           specimens=slices),
    Target(name="join-request", run=run_join, errors=(InvalidManifest,), kind="cbor",
           specimens=lambda: [make_request(b"s", test_manifest.A, test_manifest.signer("a"))]),
    Target(name="gossip", run=run_gossip, errors=(InvalidGossip,), kind="cbor",
           specimens=lambda: [encode_messages(one) for one in test_gossip_wire.EXAMPLES]),
    Target(name="presence", run=run_presence, errors=(InvalidPresence,), kind="cbor",
           specimens=lambda: [test_joining.PRESENCE.sign(test_manifest.signer("a"))]),
    Target(name="bus-frame", run=run_frame, errors=(InvalidFrame,), kind="cbor", specimens=frames),
    Target(name="add-checkpoint", run=run_add_checkpoint, errors=(InvalidRequest,), kind="text",
           specimens=lambda: [test_witness.request(test_witness.TRUE, 0, 5).encode()], weight=8),
    Target(name="cosigned-note", run=run_cosigned, errors=(InvalidNote,), kind="text",
           specimens=lambda: [test_cosignature.cosigned("one", "two").encode()], weight=8),
    Target(name="cosignature-lines", run=run_lines, errors=(InvalidNote,), kind="text",
           specimens=lambda: ["".join(s.line() for s in test_cosignature.cosigned("one").signatures).encode()]),
    Target(name="verifier-key", run=run_key, errors=(InvalidNote,), kind="text",
           specimens=lambda: [test_cosignature.witness("one").encode().encode()]),
    Target(name="equivocation", run=run_equivocation, errors=(InvalidBundle,),
           specimens=lambda: [make_equivocations.ONE_SIZE.encode(), make_equivocations.TWO_SIZES.encode()],
           weight=4),
]  # fmt: skip
