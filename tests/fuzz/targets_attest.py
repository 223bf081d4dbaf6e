"""The parsers of attest: what a bundle carries about Bitcoin, and the anchorer's stored records."""

import asyncio
import json
import struct
import tempfile
from pathlib import Path

from attest import bitcoind
from attest.core.anchor import verify_chain
from attest.core.commitment import Kind, commitment_of
from attest.core.errors import InvalidProof, NodeError, StateDamaged
from attest.core.header import REGTEST, check_work, parse_header, verify_run
from attest.core.proof import AnchorProof, SealOpening
from attest.core.transaction import parse_transaction
from attest.records import LinkRecord, Mined, OpeningRecord, Variant
from attest.state import FileState
from attest.status import link_status
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from tests.spec import agent

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
    header = parse_header(data)
    check_work(REGTEST, header)
    verify_run(REGTEST, 1, [header])


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
                digests=digests,
                seal_key=agent.SEAL.public,
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
    Target(name="link-record", run=run_link_record, errors=STORED, kind="cbor",
           specimens=link_records),
    Target(name="opening-record", run=run_opening_record, errors=STORED, kind="cbor",
           specimens=opening_records),
    Target(name="state-file", run=run_state_file, errors=(StateDamaged,), kind="cbor", weight=5,
           specimens=lambda: [encode({"links": [1, {"a": b"x"}]})]),
    Target(name="bitcoind-answer", run=run_answer, errors=(NodeError,), kind="json",
           specimens=answers),
]  # fmt: skip
