"""The parsers of attest: what a bundle carries about Bitcoin, and the anchorer's stored records."""

import asyncio
import json
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

from attest import bitcoind
from attest.core.aggregate import AggregateTree, SlotProof
from attest.core.anchor import Step, verify_chain
from attest.core.commitment import Kind, commitment_of
from attest.core.delegation import Delegated, Delegation, Segment
from attest.core.errors import InvalidProof, InvalidTimestamp, NodeError, StateDamaged
from attest.core.header import REGTEST, parse_header, verify_headers
from attest.core.ots_file import encode_timestamp, parse_file, parse_timestamp
from attest.core.proof import AnchorProof, SealOpening
from attest.core.submission import Shown, Submission
from attest.core.transaction import parse_transaction
from attest.records import LinkRecord, Mined, OpeningRecord, Variant
from attest.stamps import CalendarRecord, StampRecord
from attest.state import FileState
from attest.status import link_status
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from node.anchors.aggregating import log_key_of
from tests.attest import delegations
from tests.spec import agent, life

from .engine import Target, same

BYTES_MAX = 2**20
VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"


def run_transaction(data):
    transaction = parse_transaction(data)
    same(data, transaction.raw)
    assert len(transaction.txid) == 32
    assert transaction.vsize <= len(data)
    commitment_of(transaction)


def transactions():
    found = agent.anchored_ledger().transactions
    return [data for tx in found for data in (tx.raw, tx.stripped)]


def run_header(data):
    run = verify_headers(REGTEST, 1, data)
    assert run.first == parse_header(data[:80])
    assert len(run.hashes) * 80 == len(data)


def headers():
    blocks = agent.block_of(bytes(32), blocks=3)
    return [*blocks, struct.pack("<i32s32sIII", 1, bytes(32), bytes(32), 0, 0x1D00FFFF, 0)]


def value_of(data):
    return decode(data, bytes_max=BYTES_MAX)


def run_anchor_proof(data):
    value = value_of(data)
    same(data, encode(AnchorProof.from_value(value).to_value()))


def run_opening(data):
    same(data, encode(SealOpening.from_value(value_of(data)).to_value()))


def run_chain(data):
    """Opening and links as a bundle hands them over; accepted only with all digests right."""
    match value_of(data):
        case [opening, list(links), list(digests)] if all(type(d) is bytes for d in digests):
            verify_chain(
                opening=SealOpening.from_value(opening),
                links=[AnchorProof.from_value(link) for link in links],
                steps=[Step(digest=one, seal_key=agent.SEAL.public) for one in digests],
                soul_digest=agent.SEAL.soul_digest,
                network=REGTEST,
            )


def chains():
    chain = agent.anchored_ledger()
    digests = [chain.ledger.head(size).anchor_digest() for size in chain.sizes]
    links = [link.to_value() for link in chain.links]
    return [encode([agent.OPENING.to_value(), links, digests])]


def run_link_record(data):
    """A stored link: read, written again, and asked what the anchorer asks of it."""
    value = value_of(data)
    record = LinkRecord.from_value(value)
    same(data, encode(record.to_value()))
    assert record.seal.output is not None
    assert record.current.fee_sat is not None
    assert link_status(record, None).txid


def link_records():
    chain = agent.anchored_ledger()
    found = []
    for transaction, number, kind in zip(
        chain.transactions, (10, 11), (Kind.OPENING, Kind.ANCHOR), strict=True
    ):
        variant = Variant(
            transaction=transaction,
            digest=commitment_of(transaction).digest,
            coins=(agent.coin(number),),
            txid=transaction.txid,
        )
        mined = Mined(txid=transaction.txid, height=5, block_hash=bytes(32))
        facts = {"kind": kind, "variants": (variant,), "since_height": 3, "since_hash": bytes(32)}
        found += [LinkRecord(**facts), LinkRecord(**facts, mined=mined)]
    return [encode(record.to_value()) for record in found]


def run_stamp_record(data):
    """A stored stamp: read, written again, and asked for the proofs of its two digests."""
    record = StampRecord.from_value(value_of(data))
    same(data, encode(record.to_value()))
    for timestamp, message in (
        (record.note_timestamp(), record.digest),
        (record.root_timestamp(), record.checkpoint.root),
    ):
        assert timestamp is None or list(timestamp.leaves(message))


def stamp_records():
    note = agent.anchored_ledger().ledger.head(3).anchor_preimage()
    answer = parse_file(next(VECTORS.glob("ots/two-calendars.txt.ots")).read_bytes()).timestamp
    parts = (
        CalendarRecord(url="https://a.example", timestamp=answer, next_s=7),
        CalendarRecord(url="http://127.0.0.1:7000", tries=3, trouble="no answer"),
    )
    nonces = (bytes(16), bytes(range(16)))
    record = StampRecord(note=note, nonces=nonces, asked_s=1, calendars=parts)
    return [encode(record.to_value())]


def run_opening_record(data):
    same(data, encode(OpeningRecord.from_value(value_of(data)).to_value()))


def opening_records():
    record = OpeningRecord(opening=agent.OPENING, coins=(agent.coin(10),), digest=bytes(32))
    return [encode(record.to_value())]


def run_state_file(data):
    """A record's file, as it is found after a crash of the disk."""
    with tempfile.TemporaryDirectory() as folder, FileState(Path(folder) / "s") as state:
        (Path(folder) / "s" / "key.cbor").write_bytes(data)
        record = asyncio.run(state.get("key"))
        same(data, encode(record))


def run_answer(data):
    """What a Bitcoin node answers: a JSON-RPC reply, its fields taken as every method does."""
    try:
        answer = json.loads(data, parse_float=bitcoind.Decimal)
    except (ValueError, RecursionError):
        return
    result = bitcoind._result("m", answer)
    mapping = bitcoind._mapping(result)
    for name, take in (("height", bitcoind._integer), ("hash", bitcoind._hash),
                       ("raw", bitcoind._bytes), ("list", bitcoind._sequence),
                       ("value", bitcoind._satoshi)):  # fmt: skip
        take(mapping.get(name))
    bitcoind._output(mapping)


def answers():
    result = {
        "height": 7, "hash": "ab" * 32, "raw": "00ff", "list": [1, {}], "value": 0.5,
        "amount": 0.25, "scriptPubKey": {"hex": "0014"},
    }  # fmt: skip
    good = {"result": result, "error": None, "id": 1}
    bad = {"result": None, "error": {"code": -8, "message": "no"}, "id": 1}
    return [json.dumps(value).encode() for value in (good, bad)]


def run_ots(data):
    """A .ots of a stranger: read, written again, walked, merged."""
    found = parse_file(data)
    same(data, found.encode())
    for leaf in found.timestamp.leaves(found.digest):
        assert leaf.message != b""
    assert found.timestamp.merged(found.timestamp).heights == found.timestamp.heights


def ots_files():
    return [path.read_bytes() for path in sorted(VECTORS.glob("ots/**/*.ots"))]


def run_ots_answer(data):
    """What a calendar answers: a bare timestamp of 32 bytes."""
    timestamp = parse_timestamp(data, 32)
    same(data, encode_timestamp(timestamp))
    assert len(list(timestamp.leaves(bytes(32)))) == len(timestamp.paths)


def ots_answers():
    return [encode_timestamp(parse_file(data).timestamp) for data in ots_files()[:4]]


OTS_HEAD = bytes.fromhex("004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e8929401")
OTS_LEAF = b"\x00unknown!\x04"
OTS_BULK = {
    "attestations": lambda n: OTS_HEAD + b"\x08" + bytes(32)
    + b"".join(b"\xff" + OTS_LEAF + k.to_bytes(4, "big") for k in range(n // 16))
    + OTS_LEAF + b"last",
    "attestations far down": lambda n: OTS_HEAD + b"\x08" + bytes(32) + b"\x08" * 100
    + b"".join(b"\xff" + OTS_LEAF + k.to_bytes(4, "big") for k in range(n // 16))
    + OTS_LEAF + b"last",
    "arguments": lambda n: OTS_HEAD + b"\x08" + bytes(32)
    + (b"\xf0\xe0\x1e" + bytes(3936) + b"\x08") * (n // 3940) + OTS_LEAF + b"last",
    "forks": lambda n: OTS_HEAD + b"\x08" + bytes(32) + b"\xff\x08" * n,
    "claimed payload": lambda n: OTS_HEAD + b"\x08" + bytes(32) + b"\x00unknown!\x80\x40" + bytes(n),
}  # fmt: skip


def counted(n, size):
    """A count of three bytes, and that many zeroed items of `size` bytes: n bytes or more."""
    count = max(0xFD, n // size)
    return b"\xfd" + count.to_bytes(2, "little") + bytes(count * size + 5)


ONE_INPUT = b"\x02\0\0\0\x01" + bytes(36) + b"\0" + bytes(4)
TX_BULK = {
    "inputs": lambda n: b"\x02\0\0\0" + counted(n, 41),
    "outputs": lambda n: ONE_INPUT + counted(n, 9),
    "claimed inputs": lambda n: b"\x02\0\0\0\xff" + b"\xff" * 8 + bytes(n),
    "witness": lambda n: transactions()[0][:-4] + bytes(n),
    "long script": lambda n: b"\x02\0\0\0\x01" + bytes(36) + b"\xfd"
    + n.to_bytes(2, "little") + bytes(n + 20),
}  # fmt: skip

LEDGER_ID = delegations.OWN.ledger


def run_slot(data):
    proof = SlotProof.from_value(value_of(data))
    same(data, encode(proof.to_value()))
    if proof.digest_of(LEDGER_ID) is None:
        assert proof.end is None or proof.end.ledger != LEDGER_ID
    assert len(proof.root(LEDGER_ID)) == 32


def slots():
    digests = {bytes([n]) * 32: bytes(32) for n in range(20)}
    trees = (
        AggregateTree({}),
        AggregateTree(digests),
        AggregateTree(digests | {LEDGER_ID: b"d" * 32}),
    )
    return [encode(tree.prove(LEDGER_ID).to_value()) for tree in trees]


def run_segment(data):
    """A delegation and its segment, as a bundle hands them over beside a good own chain."""
    good = delegations.good()
    match value_of(data):
        case [delegation, segment]:
            shown = Delegated(
                delegation=Delegation.from_value(delegation),
                segment=Segment.from_value(segment),
                digests=good.delegations[2].digests,
            )
            same(data, encode([shown.delegation.to_value(), shown.segment.to_value()]))
            replace(good, delegations={2: shown}).verify()


def segments():
    shown = delegations.good().delegations[2]
    return [encode([shown.delegation.to_value(), shown.segment.to_value()])]


def run_submission(data):
    submission = Submission.decode(data)
    same(data, submission.encode())
    log_key = submission.log_key(log_key_of)
    if log_key is not None:
        submission.check_records(submission.opened(log_key))


def submissions():
    ledger = agent.anchored_ledger().ledger
    birth = shown(ledger, 0, 5)
    note = ledger.head(5).encode()
    first = Submission(note=note, birth=birth, since=0, consistency=())
    later = Submission(
        note=note, birth=None, since=3, consistency=tuple(ledger.tree.consistency(3, 5))
    )
    handed = life.Life.born().hand_over().say("on")
    number = handed.ledger.tree.size
    moved = Submission(
        note=handed.head().encode(),
        birth=shown(handed.ledger, 0, number),
        lineage=tuple(shown(handed.ledger, at, number) for at in handed.records),
        since=0,
        consistency=(),
    )
    return [first.encode(), later.encode(), moved.encode()]


def shown(ledger, at, size):
    record = ledger.records[at]
    return Shown(
        position=at,
        envelope=record.envelope,
        salt=record.salt,
        payload=record.payload,
        path=tuple(ledger.tree.inclusion(at, size)),
    )


PROOF = (InvalidCbor, InvalidProof)
STORED = (InvalidCbor, StateDamaged)
TARGETS = [
    Target(name="transaction", run=run_transaction, errors=(InvalidProof,), bulk=TX_BULK,
           specimens=transactions),
    Target(name="header", run=run_header, errors=(InvalidProof,), specimens=headers),
    Target(name="anchor-proof", run=run_anchor_proof, errors=PROOF, kind="cbor",
           specimens=lambda: [encode(link.to_value()) for link in agent.anchored_ledger().links]),
    Target(name="seal-opening", run=run_opening, errors=PROOF, kind="cbor",
           specimens=lambda: [encode(agent.OPENING.to_value())]),
    Target(name="seal-chain", run=run_chain, errors=PROOF, kind="cbor", specimens=chains,
           weight=3),
    Target(name="slot-proof", run=run_slot, errors=PROOF, kind="cbor", specimens=slots),
    Target(name="segment", run=run_segment, errors=PROOF, kind="cbor", specimens=segments,
           weight=8),
    Target(name="submission", run=run_submission, errors=(InvalidProof,), kind="cbor",
           specimens=submissions),
    Target(name="link-record", run=run_link_record, errors=STORED, kind="cbor",
           specimens=link_records),
    Target(name="stamp-record", run=run_stamp_record, kind="cbor", specimens=stamp_records,
           errors=(InvalidCbor, StateDamaged, InvalidTimestamp)),
    Target(name="opening-record", run=run_opening_record, errors=STORED, kind="cbor",
           specimens=opening_records),
    Target(name="state-file", run=run_state_file, errors=(StateDamaged,), kind="cbor", weight=5,
           specimens=lambda: [encode({"links": [1, {"a": b"x"}]})]),
    Target(name="ots-file", run=run_ots, errors=(InvalidTimestamp,), bulk=OTS_BULK,
           specimens=ots_files),
    Target(name="ots-answer", run=run_ots_answer, errors=(InvalidTimestamp,),
           specimens=ots_answers),
    Target(name="bitcoind-answer", run=run_answer, errors=(NodeError,), kind="json",
           specimens=answers),
]  # fmt: skip
