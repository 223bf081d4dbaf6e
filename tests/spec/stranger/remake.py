"""A log made again with other facts in it, and every file that can be written of it.

The vectors' keys are known (`secret`), so a changed event can be committed to, its genesis and
epochs signed, its root signed, its proofs made. What is false in such a file is false at the depth
of the change, behind signatures that hold.
"""

import itertools
from dataclasses import dataclass, field
from random import Random
from typing import Any

import coincurve

from tests.spec.stranger import tree
from tests.spec.stranger.bitcoin import blob as sized
from tests.spec.stranger.bitcoin import (
    hash256,
    key_path_digest,
    parse_transaction,
    serialised,
    varint,
)
from tests.spec.stranger.codec import decode, derive, encode, sha256, tagged
from tests.spec.stranger.container import MAGIC
from tests.spec.stranger.event import CONTENT, EVENT_ID, PAYLOAD
from tests.spec.stranger.note import key_id

ROLES = ("log", "nostr", "seal", "funding", "operator", "recovery output")
BYTES_MAX = 2**22
Record = list[Any]


def secret(name: str) -> bytes:
    return sha256(f"timmy specification vectors: {name}".encode())


def signature(name: str, digest: bytes) -> bytes:
    return coincurve.PrivateKey(secret(name)).sign_schnorr(digest, bytes(32))


def public(name: str) -> bytes:
    return coincurve.PrivateKey(secret(name)).public_key.format(compressed=True)[1:]


LOG_KEY = public("log")


def closed(records: list[Any]) -> bytes:
    """A file of these records (values, or raw bytes), with a closing record that fits."""
    data = MAGIC
    for record in records:
        body = record if isinstance(record, bytes) else encode(record)
        data += len(body).to_bytes(4, "big") + body
    end = encode(["end", len(records), sha256(data)])
    return data + len(end).to_bytes(4, "big") + end


def note(ledger: bytes, epoch: int, size: int, root: bytes) -> bytes:
    from base64 import b64encode

    origin = f"timmy/{ledger.hex()}/{epoch}"
    text = f"{origin}\n{size}\n{b64encode(root).decode()}\n"
    signed = key_id(origin, LOG_KEY) + signature("log", tagged("timmy/note/v1", text.encode()))
    return f"{text}\n\u2014 {origin} {b64encode(signed).decode()}\n".encode()


@dataclass(slots=True)
class Parts:
    """One event as values, to be changed and committed to again."""

    fields: Any
    salt: bytes
    payload: Any
    content_salt: bytes | None
    content: Any

    @classmethod
    def of(cls, record: Record) -> "Parts":
        content = None if record[6] is None else decode(record[6], BYTES_MAX)
        envelope, payload = decode(record[2], BYTES_MAX), decode(record[4], BYTES_MAX)
        return cls(envelope, record[3], payload, record[5], content)

    def record(self, position: int) -> Record:
        """The event with commitments that fit, as far as its shape still allows."""
        content = None if self.content is None else encode(self.content)
        can_commit = isinstance(self.payload, dict) and "content" in self.payload
        if can_commit and content is not None and isinstance(self.content_salt, bytes):
            self.payload["content"] = derive(CONTENT, self.content_salt + content)
        payload = encode(self.payload)
        if (
            isinstance(self.fields, list)
            and len(self.fields) == 10
            and isinstance(self.salt, bytes)
        ):
            self.fields[8:] = [derive(PAYLOAD, self.salt + payload), len(payload)]
        envelope = encode(self.fields)
        return ["event", position, envelope, self.salt, payload, self.content_salt, content]


def sign_genesis(payload: Any) -> None:
    body = encode({key: value for key, value in payload.items() if key != "signatures"})
    digest = tagged("timmy/genesis/v1", body)
    made = {role.replace(" ", "_"): signature(role, digest) for role in ROLES}
    payload["signatures"] = made


@dataclass(slots=True)
class Log:
    """Events of a log, made again so that what was not meant to be false is true."""

    records: list[Record]
    epoch: int = 0
    leaves: list[bytes] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        return derive(EVENT_ID, self.records[0][2])

    def root(self, size: int) -> bytes:
        return tree.root(self.leaves[:size])

    def head(self, size: int, chance: Random) -> Record:
        root = self.root(size) if chance.random() < 0.97 else bytes(32)
        epoch = self.epoch if chance.random() < 0.97 else self.epoch + 1
        return ["checkpoint", note(self.id, epoch, size, root)]

    def header(self, purpose: str) -> Record:
        return ["header", purpose, self.id, self.epoch]

    def export(self, purpose: str, chance: Random) -> list[Record]:
        count = len(self.records)
        sizes = [count, *chance.choices(range(count + 1), k=chance.randrange(3))]
        heads = [self.head(size, chance) for size in sizes]
        extra = [["attachment", "file", {"path": "SOUL.md"}]] if purpose == "backup" else []
        return [self.header(purpose), *extra, *self.records, *heads]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        path, low, count = [], 0, size
        while count > 1:
            half = 1 << ((count - 1).bit_length() - 1)
            right = index - low >= half
            other = (low, half) if right else (low + half, count - half)
            path.append(tree.root(self.leaves[other[0] : sum(other)]))
            low, count = (low + half, count - half) if right else (low, half)
        return path[::-1]

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        path, low, count, whole = [], 0, size2, True
        while size1 != count:
            half = 1 << ((count - 1).bit_length() - 1)
            if size1 <= half:
                path.append(tree.root(self.leaves[low + half : low + count]))
                count = half
            else:
                path.append(tree.root(self.leaves[low : low + half]))
                low, count, size1, whole = low + half, count - half, size1 - half, False
        if not whole:
            path.append(tree.root(self.leaves[low : low + count]))
        return path[::-1]

    def proof(self, chance: Random) -> list[Record]:
        count = len(self.records)
        sizes = sorted({count, *chance.choices(range(1, count + 1), k=chance.randrange(3))})
        subject = chance.randrange(count)
        epochs = [at for at, one in enumerate(self.records) if b"ledger.epoch" in one[2]]
        shown = {0, subject, *epochs, *chance.choices(range(count), k=chance.randrange(2))}
        made: list[Record] = [self.header("proof"), ["subject", subject]]
        pairs = set(itertools.pairwise(sizes))
        for at in sorted(shown):
            size = min(size for size in sizes if size > at)
            made += [self.records[at], ["inclusion", at, size, self.inclusion(at, size)]]
            if at in epochs and at:
                pairs.add((at, size))
        made += [["consistency", a, b, self.consistency(a, b)] for a, b in sorted(pairs)]
        return made + [self.head(size, chance) for size in sizes]

    def salvage(self, chance: Random) -> list[Record]:
        """Some of the events, heads, and the subtrees over what is left out."""
        count = len(self.records)
        here = {at for at in range(count) if at == 0 or chance.random() < 0.8}
        if chance.random() < 0.3:
            here = set(range(count))
        sizes = sorted({count, *chance.choices(range(count + 1), k=chance.randrange(3))})
        total = count + chance.choice([0, 0, 0, 1])
        made: list[Record] = [self.header("salvage"), ["attachment", "salvage", {"events": total}]]
        made += [self.records[at] for at in sorted(here)]
        for size in sizes:
            hashes: list[Any] = []
            self._lost(0, size, here, hashes)
            if hashes or chance.random() < 0.3:
                made.append(["attachment", "subtrees", {"size": size, "hashes": hashes}])
            made.append(self.head(size, chance))
        return made

    def _lost(self, start: int, count: int, here: set[int], found: list[Any]) -> None:
        inside = [at for at in range(start, start + count) if at in here]
        if count and not inside and count & (count - 1) == 0:
            level = count.bit_length() - 1
            root = tree.root(self.leaves[start : start + count])
            found.append([level, start >> level, root])
        elif count > 1 and len(inside) < count:
            half = 1 << ((count - 1).bit_length() - 1)
            self._lost(start, half, here, found)
            self._lost(start + half, count - half, here, found)


def remade(events: list[Parts], *, true_epochs: bool) -> Log:
    """Commit to every event again, in order; causes, genesis and epochs follow the changes."""
    log = Log([])
    old: dict[bytes, bytes] = {}
    for position, parts in enumerate(events):
        before = derive(EVENT_ID, encode(parts.fields))
        payload = parts.payload
        if position == 0 and isinstance(payload, dict):
            sign_genesis(payload)
        if true_epochs and isinstance(payload, dict) and "kept_root" in payload:
            payload |= {"kept_size": position, "kept_root": tree.root(log.leaves)}
        if isinstance(payload, dict) and type(payload.get("epoch")) is int and position:
            names = ("epoch", "kept_size", "kept_root")
            message = encode([log.id, *(payload.get(name) for name in names)])
            payload["signature"] = signature("recovery", tagged("timmy/epoch/v1", message))
            log.epoch = max(payload["epoch"], 0)
        _renamed_causes(parts.fields, old)
        record = parts.record(position)
        old[before] = derive(EVENT_ID, record[2])
        log.records.append(record)
        log.leaves.append(tree.leaf(record[2]))
    return log


def _renamed_causes(fields: Any, old: dict[bytes, bytes]) -> None:
    causes = fields[6] if isinstance(fields, list) and len(fields) > 6 else None
    for cause in causes if isinstance(causes, list) else []:
        if isinstance(cause, list) and cause and isinstance(cause[-1], bytes):
            cause[-1] = old.get(cause[-1], cause[-1])


# ---- a seal's links -------------------------------------------------------------------------


def mined(header: bytes) -> bytes:
    """The header with a nonce that does, on regtest; as it was where no nonce soon does."""
    bits = int.from_bytes(header[72:76], "little")
    goal = (bits & 0x7FFFFF) << max(0, 8 * ((bits >> 24) - 3))
    for nonce in range(64):
        made = header[:76] + nonce.to_bytes(4, "little")
        if int.from_bytes(hash256(made), "little") <= goal:
            return made
    return header


def resigned(raw: bytes, before: bytes, spent: list[Any], soul_sha256: bytes) -> bytes:
    """The transaction with a true signature of the seal in vin[0]."""
    transaction = parse_transaction(raw)
    seal = parse_transaction(before).outputs[1]
    digest = key_path_digest(transaction, [seal, *((one[0], one[1]) for one in spent)])
    key = coincurve.PrivateKey(secret("seal"))
    point = key.public_key.format(compressed=True)
    leaf = tagged("TapLeaf", b"\xc0" + sized(b"\x6a\x20" + soul_sha256))
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    number = int.from_bytes(key.secret, "big")
    number = order - number if point[0] == 3 else number
    tweak = int.from_bytes(tagged("TapTweak", point[1:] + leaf), "big")
    made = coincurve.PrivateKey(((number + tweak) % order).to_bytes(32, "big"))
    witness = [[made.sign_schnorr(digest, bytes(32))], *transaction.witness[1:]]
    inputs = [one.outpoint + sized(one.script) + one.sequence for one in transaction.inputs]
    outputs = [serialised(one) for one in transaction.outputs]
    items = [varint(len(stack)) + b"".join(map(sized, stack)) for stack in witness]
    lists = [varint(len(inputs)), *inputs, varint(len(outputs)), *outputs, *items]
    return transaction.version + b"\x00\x01" + b"".join(lists) + transaction.lock_time


def rewoven(links: list[Any], soul_sha256: bytes | None) -> None:
    """Make signatures (if the SOUL is given), Merkle roots, previous hashes and work of changed links true again."""
    before, previous = None, None
    for link in links:
        if before is not None and soul_sha256 is not None:
            link["transaction"] = resigned(link["transaction"], before, link["spent"], soul_sha256)
        before = link["transaction"]
        node, index = parse_transaction(before).txid, link["index"]
        for sibling in link["siblings"]:
            node = hash256(sibling + node) if index & 1 else hash256(node + sibling)
            index >>= 1
        raw, made = link["headers"], b""
        for at in range(0, len(raw), 80):
            header = raw[at : at + 80]
            parent = previous if previous is not None else header[4:36]
            root = node if at == 0 else header[36:68]
            made += mined(header[:4] + parent + root + header[68:])
            previous = hash256(made[-80:])
        link["headers"] = made
        previous = hash256(made[:80]) if len(made) >= 80 else None
