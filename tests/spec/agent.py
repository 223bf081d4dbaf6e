"""One agent out of fixed seeds: its keys, its ledger, its anchors. Every byte is the same each time.

BIP-340 lets a signer mix in randomness; here it is 32 zero bytes, so that vectors can be made again.
"""

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

from coincurve import PrivateKey

from attest.core.header import REGTEST
from attest.core.merkle import MerklePath
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import Coin, Fee, anchor_draft, opening_draft, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.taproot import key_path_sighash, p2tr_script, soul_leaf, tweak_secret
from attest.core.transaction import OutPoint, Transaction, TxOut, double_sha256
from genesis.core.birth import sign_genesis
from genesis.core.keys import AgentKeys
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from ledger.core.codec import decode, encode
from ledger.core.epoch import EpochRecord
from ledger.core.event import Draft, Event, Record, seal
from ledger.core.genesis import GenesisFacts, SoulDigest, key_digest
from ledger.core.hashing import tagged
from ledger.core.keys import Signer
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree
from tests.attest.forge import grind_raw

SOUL = b"# Vector\n\nAn agent that exists to be verified.\n"
BORN_MS = 1_790_000_000_000
STREAM = bytes(range(16))
OTHER_STREAM = bytes(range(16, 32))
SEAL_SAT = 10_000
MAGIC = b"timmy-bundle v1\n"


class FixedSigner(Signer):
    """A signer without randomness."""

    __slots__ = ()

    def sign(self, tag, message):
        return PrivateKey(self.secret).sign_schnorr(tagged(tag, message), bytes(32))


def secret(name):
    return hashlib.sha256(f"timmy specification vectors: {name}".encode()).digest()


def signer(name):
    return FixedSigner(secret(name))


KEYS = AgentKeys(**{role: signer(role) for role in ("log", "nostr", "seal", "funding")})
OPERATOR, RECOVERY, RECOVERY_OUTPUT = (
    signer(name) for name in ("operator", "recovery", "recovery output")
)
LOG, STRANGER, WITNESS = KEYS.log, signer("stranger"), signer("witness")


def genesis_facts(**changes):
    facts = {
        "name": "Vector",
        "network": "regtest",
        "soul": SoulDigest.of(SOUL),
        "keys": {**KEYS.public(), "operator": OPERATOR.public},
        "next_key_digest": key_digest(signer("next").public),
        "recovery_key_digest": key_digest(RECOVERY.public),
        "recovery_output_key": RECOVERY_OUTPUT.public,
        "architecture": bytes(range(32)),
        "entropy": ("vectors",),
        "created_ms": BORN_MS,
    }
    return GenesisFacts(**(facts | changes))


def genesis_payload(**changes):
    return sign_genesis(
        genesis_facts(**changes), keys=KEYS, operator=OPERATOR, recovery_output=RECOVERY_OUTPUT
    ).to_payload()


def genesis_draft(**changes):
    payload = genesis_payload() | changes
    return Draft(type="genesis.born", stream=bytes(16), payload=payload)


def words(text, *, stream=STREAM, causes=(), kind="message.received", **facts):
    payload = {"author": "operator", **facts}
    return Draft(type=kind, stream=stream, payload=payload, content={"text": text}, causes=causes)


def fact(number, *, stream=STREAM, causes=()):
    return Draft(type="test.fact", stream=stream, payload={"n": number}, causes=causes)


def epoch_record(ledger, epoch=1, *, by=None, **changes):
    """The record that begins an epoch over everything in `ledger`, signed by the recovery key."""
    facts = {"kept_size": ledger.tree.size, "kept_root": ledger.tree.root()} | changes
    record = EpochRecord(ledger_id=ledger.id, epoch=epoch, **facts)
    payload = record.to_payload(RECOVERY if by is None else by, "guard lost")
    return Draft(type="ledger.epoch", stream=bytes(16), payload=payload)


def redaction(*targets):
    payload = {"targets": list(targets), "reason": "asked for", "actor": "operator"}
    return Draft(type="ledger.redacted", stream=bytes(16), payload=payload)


@dataclass
class Ledger:
    """Records and the tree over them. Nothing is checked: broken logs are made here too."""

    records: list[Record] = field(default_factory=list)
    tree: Tree = field(default_factory=lambda: Tree(lambda *_: b""))
    lengths: dict[bytes, int] = field(default_factory=dict)
    signers: list[tuple[int, Signer]] = field(default_factory=lambda: [(0, LOG)])
    """From which size on which log key signs."""

    def add(self, draft, *, ts_ms=None, stream_sequence=None) -> Event:
        position = len(self.records)
        sequence = self.lengths.get(draft.stream, 0)
        event = seal(
            draft,
            position=position,
            stream_sequence=sequence if stream_sequence is None else stream_sequence,
            ts_ms=BORN_MS + 1000 * position if ts_ms is None else ts_ms,
            salts=hashlib.sha512(b"salts %d" % position).digest(),
        )
        self.lengths[draft.stream] = sequence + 1
        self.keep(event.record)
        return event

    def keep(self, record):
        self.records.append(record)
        self.tree.append(leaf_hash(record.envelope))

    def erase(self, position):
        self.records[position] = self.records[position]._replace(content=None, content_salt=None)

    @property
    def id(self):
        return Event.open(self.records[0]).id

    def signer(self, size) -> Signer:
        return next(by for start, by in reversed(self.signers) if start <= size)

    def head(self, size=None, *, epoch=0, root=None, by=None, ledger_id=None) -> SignedCheckpoint:
        size = self.tree.size if size is None else size
        checkpoint = Checkpoint(
            ledger_id=self.id if ledger_id is None else ledger_id,
            epoch=epoch,
            size=size,
            root=self.tree.root(size) if root is None else root,
        )
        return sign_checkpoint(checkpoint, self.signer(size) if by is None else by)


# ---- bundles ------------------------------------------------------------------------------------


def frame(data):
    return len(data).to_bytes(4, "big") + data


def bundle(records):
    """Frame CBOR values (or raw bytes) and close them."""
    data = MAGIC
    for record in records:
        data += frame(record if isinstance(record, bytes) else encode(record))
    return data + frame(encode(["end", len(records), hashlib.sha256(data).digest()]))


def open_frames(data):
    """The records of a well-formed bundle as values, the closing one left out."""
    at, found = len(MAGIC), []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append(decode(data[at + 4 : at + 4 + length], bytes_max=2**22))
        at += 4 + length
    return found[:-1]


def header(ledger, purpose="export", epoch=0):
    return ["header", purpose, ledger.id, epoch]


def event_record(record):
    content = [record.content_salt, record.content]
    return ["event", record.position, record.envelope, record.salt, record.payload, *content]


def export(ledger, heads=None, *, epoch=0):
    heads = [ledger.head()] if heads is None else heads
    return [
        header(ledger, epoch=epoch),
        *map(event_record, ledger.records),
        *(["checkpoint", head.encode()] for head in heads),
    ]


def inclusion(ledger, position, size):
    return ["inclusion", position, size, ledger.tree.inclusion(position, size)]


def proof(ledger, position, sizes, *, also=(), attachments=(), epoch=0):
    """What `prove` writes: each event under the smallest head that covers it."""
    records = [header(ledger, "proof", epoch), ["subject", position]]
    for at in sorted({0, position, *also}):
        covering = min(size for size in sizes if size > at)
        records += [event_record(ledger.records[at]), inclusion(ledger, at, covering)]
    pairs = set(pairwise(sizes))
    for at in also:
        if ledger.records[at].envelope[3:].startswith((b"ledger.epoch", b"soul.handed_off")):
            pairs.add((at, min(size for size in sizes if size > at)))
    for older, newer in sorted(pairs):
        records.append(["consistency", older, newer, ledger.tree.consistency(older, newer)])
    records += [["checkpoint", ledger.head(size, epoch=epoch).encode()] for size in sizes]
    return records + [["attachment", name, value] for name, value in attachments]


# ---- Bitcoin ------------------------------------------------------------------------------------

SEAL = SealSigner(secret=KEYS.seal.secret, soul_digest=hashlib.sha256(SOUL).digest())
FUNDING = FundingSigner(secret=KEYS.funding.secret)
SEAL_OUT = TxOut(value_sat=SEAL_SAT, script=SEAL.script)
RECOVERY_OUT = TxOut(value_sat=SEAL_SAT, script=p2tr_script(RECOVERY_OUTPUT.public))
FEE = Fee(sat_per_kvb=1000)


def coin(number, value_sat=50_000):
    outpoint = OutPoint(txid=bytes([number]) * 32, index=number)
    return Coin(outpoint=outpoint, output=TxOut(value_sat=value_sat, script=FUNDING.script))


OPENING = SealOpening(
    network="regtest", outpoint=coin(10).outpoint, seal_sat=SEAL_SAT, recovery=RECOVERY_OUT
)


def opening_draft_of(digest):
    return opening_draft(
        coins=[coin(10)],
        digest=digest,
        seal=SEAL_OUT,
        recovery=RECOVERY_OUT,
        change_script=FUNDING.script,
        fee=FEE,
    )


def anchor_draft_of(parent: Transaction, digest, number):
    return anchor_draft(
        seal=Coin(outpoint=OutPoint(txid=parent.txid, index=1), output=SEAL_OUT),
        fee_coins=[coin(number)],
        digest=digest,
        change_script=FUNDING.script,
        fee=FEE,
    )


def signed(draft) -> Transaction:
    return sign(draft, seal=SEAL, funding=FUNDING)


def block_of(txid, *, sibling=None, blocks=1, previous=bytes(32), time_s=1_790_000_000):
    """Headers of a block that holds `txid` first, and of the blocks on top of it."""
    root = txid if sibling is None else double_sha256(txid + sibling)
    headers = [grind_raw(previous=previous, root=root, time_s=time_s)]
    for number in range(1, blocks):
        before = double_sha256(headers[-1])
        headers.append(grind_raw(previous=before, time_s=time_s + 600 * number))
    return tuple(headers)


def link(transaction, *, height, spent=(), siblings=(), headers, index=0):
    return AnchorProof(
        transaction=transaction.raw,
        spent=tuple(spent),
        path=MerklePath(index=index, siblings=tuple(siblings)),
        height=height,
        headers=headers,
    )


@dataclass
class Chain:
    """A ledger whose seal is open, with one anchor after the opening."""

    ledger: Ledger
    sizes: list[int]
    links: list[AnchorProof]
    opening_position: int
    transactions: list[Transaction]

    def attachment(self, *, links=None, sizes=None):
        links = [item.to_value() for item in self.links] if links is None else links
        return ("seal", {"links": links, "sizes": self.sizes if sizes is None else sizes})

    def proof(self, position, *, sizes=None, also=None, attachment=None):
        return proof(
            self.ledger,
            position,
            self.sizes if sizes is None else sizes,
            also=[self.opening_position] if also is None else also,
            attachments=[self.attachment() if attachment is None else attachment],
        )


def anchored_ledger(opening=OPENING, *, blocks=6) -> Chain:
    """Genesis, words, seal.opened; T_0 over size 3; words; an anchor over size 5; words."""
    ledger = Ledger()
    ledger.add(genesis_draft())
    ledger.add(words("before the seal"))
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload={"opening": opening.to_value()}))
    zero = signed(opening_draft_of(ledger.head().anchor_digest()))
    ledger.add(words("first anchored words"))
    ledger.add(fact(1))
    draft = anchor_draft_of(zero, ledger.head().anchor_digest(), 11)
    one = signed(draft)
    ledger.add(words("not anchored yet"))
    sibling = double_sha256(b"another transaction")
    first = block_of(zero.txid)
    second = block_of(
        one.txid, sibling=sibling, blocks=blocks, previous=double_sha256(first[0]),
        time_s=1_790_000_600,
    )  # fmt: skip
    links = [
        link(zero, height=200, headers=first),
        link(one, height=201, headers=second, spent=draft.spent[1:], siblings=[sibling]),
    ]
    assert REGTEST.name == opening.network
    return Chain(ledger, [3, 5], links, 2, [zero, one])


def tap_digest(transaction, spent):
    """What the seal's signature covers, for transactions its own signer would refuse."""
    return key_path_sighash(transaction, 0, spent)


def tap_sign(digest):
    tweaked = tweak_secret(KEYS.seal.secret, soul_leaf(hashlib.sha256(SOUL).digest()))
    return PrivateKey(tweaked).sign_schnorr(digest, bytes(32))
