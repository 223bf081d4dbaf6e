"""The ledger's parsers, and the verifier of whole bundles."""

import functools
import hashlib
import io
import json
import random
from pathlib import Path

from attest.verify.bundle import verify_bundle
from ledger.core import bundle, limits
from ledger.core.audit import Audit
from ledger.core.checkpoint import Checkpoint, open_checkpoint
from ledger.core.codec import decode, encode
from ledger.core.epoch import open_epoch
from ledger.core.errors import (
    InvalidBundle,
    InvalidCbor,
    InvalidEvent,
    InvalidNote,
    InvalidProof,
    InvalidStatement,
)
from ledger.core.event import Envelope, Event, Record
from ledger.core.merkle import node_hash, root_from_inclusion, roots_from_consistency
from ledger.core.note import parse_note
from ledger.core.state import BASIC_REDUCERS, State
from ledger.core.statement import Statement, make_statement, open_statement
from ledger.core.tiles import Tree
from tests.spec import agent
from tests.spec.test_vectors import bundle_of, cases

from .engine import Target, same

VECTORS = Path(__file__).parents[1] / "vectors"
EXAMPLES = Path(__file__).parents[2] / "examples"
BYTES_MAX = 2**20


def vectors(name, field):
    found = json.loads((VECTORS / f"spec/{name}.json").read_text())["cases"]
    return [bytes.fromhex(case[field]) for case in found if case[field] is not None]


def bundles():
    made = [bundle_of(param.values[0])[0] for param in cases("bundles")]
    files = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.proof"))]
    return [data for data in made + files if len(data) < 100_000]


def frames():
    """Every kind of record of the good bundles, as CBOR, each once."""
    chain = agent.anchored_ledger()
    found = [*agent.export(chain.ledger), *chain.proof(3)]
    return list(dict.fromkeys(encode(value) for value in found))


# ---- runs ---------------------------------------------------------------------------------------


def run_cbor(data):
    same(data, encode(decode(data, bytes_max=BYTES_MAX)))


def run_envelope(data):
    envelope = Envelope.parse(data)
    same(data, envelope.encoded)
    assert len(envelope.id) == 32


def item_of(data):
    """One record of a bundle."""
    kind, fields = bundle._fields(decode(data, bytes_max=limits.BUNDLE_RECORD_BYTES_MAX))
    if kind == "end":
        raise InvalidBundle("no item")
    item = bundle._from_fields(kind, fields)
    same(data, encode(bundle._to_value(item)))
    return item


def run_record(data):
    """A record of a bundle: open it, and audit it as the next of a log that just began."""
    item = item_of(data)
    match item:
        case Record():
            event = Event.open(item)
            assert event.has_content or event.content is None
            same(item.envelope, event.envelope.encoded)
            audit = Audit(Tree(lambda *_: b""))
            audit.add(item)
            assert isinstance(audit.missing + audit.unerased, list)
            State(BASIC_REDUCERS).apply(event)
        case bundle.Inclusion():
            root_from_inclusion(bytes(32), item.position, item.size, item.path)
        case bundle.Consistency():
            roots_from_consistency(item.size1, item.size2, item.path, bytes(32))
        case bundle.SignedHead():
            open_checkpoint(item.note, agent.LOG.public)


def run_statement(data):
    same(data, Statement.parse(data).encode())


def run_statement_payload(data):
    value = decode(data, bytes_max=BYTES_MAX)
    match value:
        case [dict(payload), (dict() | None) as body]:
            open_statement(payload, body, ledger_id=b"L" * 32)


def statement_payloads():
    body = {"text": "I approve"}
    payload = make_statement(
        body, ledger_id=b"L" * 32, nonce=b"n" * 16, kind="a.b", signer=agent.STRANGER
    )
    return [encode([payload, body]), encode([payload, None])]


def run_note(data):
    same(data, parse_note(data).encode())


def run_checkpoint(data):
    signed = open_checkpoint(data, agent.LOG.public)
    assert sorted(signed.encode().split(b"\n")) == sorted(data.split(b"\n"))
    same(signed.checkpoint.text().encode(), Checkpoint.parse(signed.note.text).text().encode())


def notes():
    found = json.loads((VECTORS / "spec/checkpoints.json").read_text())["cases"]
    heads = [agent.Ledger(), agent.anchored_ledger().ledger]
    heads[0].add(agent.genesis_draft())
    return [case["note"].encode() for case in found] + [one.head().encode() for one in heads]


@functools.cache
def born():
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    return ledger


def run_epoch(data):
    value = decode(data, bytes_max=BYTES_MAX)
    if isinstance(value, dict):
        recovery = hashlib.sha256(agent.RECOVERY.public).digest()
        open_epoch(value, ledger_id=born().id, recovery_key_digest=recovery)


def epochs():
    return [encode(agent.epoch_record(born()).payload)]


def proofs():
    ledger = agent.Ledger()
    for number in range(20):
        ledger.add(agent.fact(number))
    inclusion = [["inclusion", at, 20, ledger.tree.inclusion(at, 20)] for at in (0, 7, 19)]
    between = [["consistency", at, 20, ledger.tree.consistency(at, 20)] for at in (1, 8, 13)]
    return [encode(value) for value in inclusion + between]


class Crumbs(io.RawIOBase):
    """A file that gives less than was asked for, as pipes and sockets do."""

    def __init__(self, data):
        self._rest = io.BytesIO(data)
        self._random = random.Random(len(data))

    def readable(self):
        return True

    def read(self, size=-1):
        return self._rest.read(min(size, self._random.choice([1, 2, 7, 100, 5000])))


def run_bundle(data):
    """Read in crumbs; what was accepted is written again, byte for byte."""
    reader = bundle.Reader(Crumbs(data))
    again = io.BytesIO()
    writer = bundle.Writer(again, reader.header)
    for item in reader:
        writer.add(item)
    writer.end()
    same(data, again.getvalue())


def run_verifier(data):
    report = verify_bundle(io.BytesIO(data), agent.SOUL, require="final")
    assert report.verdict
    assert report.lines


def sealed(data):
    """The bundle with its closing record made right again, so that what is in it is reached."""
    magic, at, records = len(bundle.MAGIC), len(bundle.MAGIC), []
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        records.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if data[:magic] != bundle.MAGIC or not records:
        return data
    return agent.bundle(records[:-1])


def run_verifier_sealed(data):
    """The mutated value is the list of a bundle's records: closed and framed here."""
    try:
        value = decode(data, bytes_max=BYTES_MAX)
    except InvalidCbor:
        run_verifier(sealed(data))
        return
    if isinstance(value, list):
        run_verifier(agent.bundle(value))


def bundle_values():
    return [encode(agent.open_frames(data)) for data in bundles() if framed(data)]


def framed(data):
    try:
        return list(bundle.Reader(io.BytesIO(data)))
    except InvalidBundle:
        return None


def run_state(data):
    """A snapshot's entries: digest and then another event on top."""
    value = decode(data, bytes_max=BYTES_MAX)
    if isinstance(value, dict):
        state = State.restore((), value, 7)
        assert state.digest() == State.restore((), dict(reversed(value.items())), 7).digest()


def states():
    ledger = agent.anchored_ledger().ledger
    state = State(BASIC_REDUCERS)
    for record in ledger.records:
        state.apply(Event.open(record))
    return [encode(state.entries), *vectors("state", "entries")[:4]]


def heads(count):
    return b"\x9b" + count.to_bytes(8, "big")


CBOR_BULK = {
    "long text": lambda n: encode("x" * n),
    "many items": lambda n: encode([0] * n),
    "many keys": lambda n: encode({f"{number:08d}": 0 for number in range(n // 10)}),
    "unsorted keys": lambda n: encode([f"{number:08d}" for number in range(n // 9)])[3:],
    "deep": lambda n: b"\x81" * n,
    "claimed": lambda n: heads(2**40) + b"\x00" * n,
    "deep and wide": lambda n: b"\x9f" * n,
}
NOTE_BULK = {
    "lines": lambda n: b"a\n" * (n // 2) + b"\n" + "— a AAAAAAA=\n".encode(),
    "signatures": lambda n: b"a\n\n" + "— a AAAAAAA=\n".encode() * (n // 14),
    "blanks": lambda n: b"\n" * n,
    "long name": lambda n: b"a\n\n" + "— ".encode() + b"x" * n + b" AAAAAAA=\n",
}


def proof_bulk(n):
    path = [node_hash(bytes([at]), b"") for at in range(min(n // 34, 63))]
    return encode(["inclusion", 0, 2**48, path])


TARGETS = [
    Target(name="cbor", run=run_cbor, errors=(InvalidCbor,), kind="cbor", bulk=CBOR_BULK,
           specimens=lambda: [*vectors("cbor", "cbor"), *frames()]),
    Target(name="envelope", run=run_envelope, errors=(InvalidEvent,), kind="cbor",
           bulk=CBOR_BULK, specimens=lambda: vectors("events", "envelope")),
    Target(name="record", run=run_record, kind="cbor", specimens=frames, bulk=CBOR_BULK,
           errors=(InvalidCbor, InvalidBundle, InvalidEvent, InvalidProof, InvalidNote)),
    Target(name="statement", run=run_statement, errors=(InvalidStatement,), kind="cbor",
           bulk=CBOR_BULK,
           specimens=lambda: [decode(data, bytes_max=BYTES_MAX)[0]["statement"]
                              for data in statement_payloads()]),
    Target(name="statement-payload", run=run_statement_payload, kind="cbor",
           errors=(InvalidCbor, InvalidStatement), specimens=statement_payloads),
    Target(name="note", run=run_note, errors=(InvalidNote,), kind="text", specimens=notes,
           bulk=NOTE_BULK),
    Target(name="checkpoint", run=run_checkpoint, errors=(InvalidNote,), kind="text",
           specimens=notes, bulk=NOTE_BULK),
    Target(name="epoch", run=run_epoch, errors=(InvalidCbor, InvalidEvent), kind="cbor",
           specimens=epochs),
    Target(name="merkle-proof", run=run_record, kind="cbor", specimens=proofs,
           errors=(InvalidCbor, InvalidBundle, InvalidEvent, InvalidProof, InvalidNote),
           bulk={"path": proof_bulk}),
    Target(name="bundle", run=run_bundle, errors=(InvalidBundle,), specimens=bundles, weight=4,
           bulk={"records": lambda n: agent.bundle([["header", "export", b"", 0],
                                                    *[["subject", 1]] * (n // 14)])}),
    Target(name="verifier", run=run_verifier, errors=(), specimens=bundles, weight=8),
    Target(name="verifier-sealed", run=run_verifier_sealed, errors=(), kind="cbor",
           specimens=bundle_values, weight=8),
    Target(name="state", run=run_state, errors=(InvalidCbor,), kind="cbor", specimens=states,
           weight=2, bulk=CBOR_BULK),
]  # fmt: skip
