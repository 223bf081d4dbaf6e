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
from tests.spec.stranger.bitcoin import (
    Transaction,
    hash256,
    key_path_digest,
    parse_transaction,
    serialised,
    varint,
)
from tests.spec.stranger.bitcoin import blob as sized
from tests.spec.stranger.codec import decode, derive, encode, sha256, tagged
from tests.spec.stranger.container import MAGIC
from tests.spec.stranger.event import CONTENT, EVENT_ID, PAYLOAD
from tests.spec.stranger.lineage import UNSIGNED
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


TENURES = 4
RENEWED = ("log", "seal", "funding")


def named(role: str, number: int) -> str:
    """The name of a tenure's key."""
    return f"{role} {number}" if number else role


NAMES = {
    public(name): name
    for name in (
        *ROLES,
        "recovery",
        *(named(role, n) for role in (*RENEWED, "next") for n in range(TENURES)),
    )
}
"""Whose each key is that the vectors know."""


def signature_of(key: object, digest: bytes, fallback: object) -> object:
    """A true signature by the holder of `key`, if the vectors know him."""
    name = NAMES.get(key) if isinstance(key, bytes) else None
    return fallback if name is None else signature(name, digest)


def closed(records: list[Any]) -> bytes:
    """A file of these records (values, or raw bytes), with a closing record that fits."""
    data = MAGIC
    for record in records:
        body = record if isinstance(record, bytes) else encode(record)
        data += len(body).to_bytes(4, "big") + body
    end = encode(["end", len(records), sha256(data)])
    return data + len(end).to_bytes(4, "big") + end


def note(ledger: bytes, epoch: int, size: int, root: bytes, by: str = "log") -> bytes:
    from base64 import b64encode

    origin = f"timmy/{ledger.hex()}/{epoch}"
    text = f"{origin}\n{size}\n{b64encode(root).decode()}\n"
    digest = tagged("timmy/note/v1", text.encode())
    signed = key_id(origin, public(by)) + signature(by, digest)
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
    tenures: list[tuple[int, int, str]] = field(default_factory=lambda: [(0, 0, "log")])
    """Epoch, first size and log key of each, as the records say, true or not."""
    previous: bytes | None = None
    """The record of the last of them."""

    def signer(self, size: int) -> str:
        fits = [by for _, start, by in self.tenures if start <= size]
        return fits[-1]

    def sizes(self, chance: Random, *, low: int) -> list[int]:
        """The size of the whole, and others that mostly have a key in the last epoch."""
        count = len(self.records)
        began = min(start for epoch, start, _ in self.tenures if epoch == self.tenures[-1][0])
        low = max(low, min(began, count)) if chance.random() < 0.9 else low
        return [count, *chance.choices(range(low, count + 1), k=chance.randrange(3))]

    @property
    def id(self) -> bytes:
        return derive(EVENT_ID, self.records[0][2])

    def root(self, size: int) -> bytes:
        return tree.root(self.leaves[:size])

    def head(self, size: int, chance: Random) -> Record:
        root = self.root(size) if chance.random() < 0.97 else bytes(32)
        epoch = self.epoch if chance.random() < 0.97 else self.epoch + chance.choice((1, -1))
        by = self.signer(size) if chance.random() < 0.96 else chance.choice(self.tenures)[2]
        return ["checkpoint", note(self.id, max(epoch, 0), size, root, by)]

    def header(self, purpose: str) -> Record:
        return ["header", purpose, self.id, self.epoch]

    def export(self, purpose: str, chance: Random) -> list[Record]:
        heads = [self.head(size, chance) for size in self.sizes(chance, low=0)]
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
        sizes = sorted(set(self.sizes(chance, low=1)))
        subject = chance.randrange(count)
        types = (b"ledger.epoch", b"soul.handed_off")
        epochs = [at for at, one in enumerate(self.records) if any(t in one[2] for t in types)]
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
        sizes = sorted(set(self.sizes(chance, low=0)))
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
        if position and isinstance(payload, dict):
            renewed = _resign_record(log, payload, position, true_epochs=true_epochs)
        else:
            renewed = False
        _renamed_causes(parts.fields, old)
        record = parts.record(position)
        old[before] = derive(EVENT_ID, record[2])
        log.records.append(record)
        log.leaves.append(tree.leaf(record[2]))
        if renewed or position == 0:
            log.previous = old[before]
    return log


def _resign_record(log: Log, payload: Any, position: int, *, true_epochs: bool) -> bool:
    """Sign a record of the lineage again; tells whether it put new keys in charge."""
    if true_epochs and "kept_root" in payload:
        payload |= {"kept_size": position, "kept_root": tree.root(log.leaves)}
    if "old_signature" in payload:
        if true_epochs:
            payload["previous"] = log.previous
        unsigned = {k: v for k, v in payload.items() if k not in UNSIGNED}
        digest = tagged("timmy/handoff/v1", encode([log.id, unsigned]))
        payload["old_signature"] = signature(log.tenures[-1][2], digest)
        payload["next_signature"] = signature_of(
            payload.get("key"), digest, payload.get("next_signature")
        )
        by = _resign_proofs(payload, digest) or log.tenures[-1][2]
        log.tenures.append((log.epoch, position + 2, by))
        return True
    if type(payload.get("epoch")) is not int:
        return False
    names = ("epoch", "kept_size", "kept_root")
    message = [log.id, *(payload.get(name) for name in names)]
    message += [payload["successor"]] if "successor" in payload else []
    digest = tagged("timmy/epoch/v1", encode(message))
    payload["signature"] = signature("recovery", digest)
    by = _resign_proofs(payload, digest)
    log.epoch = max(payload["epoch"], 0)
    log.tenures.append((log.epoch, position + 1, by or log.tenures[-1][2]))
    return by is not None


def _resign_proofs(payload: Any, digest: bytes) -> str | None:
    """The new keys sign, those that are known; gives the name of the new log key."""
    successor, proofs = payload.get("successor"), payload.get("proofs")
    keys = successor.get("keys") if isinstance(successor, dict) else None
    if not isinstance(keys, dict):
        return None
    if isinstance(proofs, dict):
        for role in proofs:
            proofs[role] = signature_of(keys.get(role), digest, proofs[role])
    log = keys.get("log")
    return NAMES.get(log) if isinstance(log, bytes) else None


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


ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def seal_secrets(soul_sha256: bytes) -> dict[bytes, bytes]:
    """The secret behind the script of each tenure's seal, and of the recovery seal."""
    leaf = tagged("TapLeaf", b"\xc0" + sized(b"\x6a\x20" + soul_sha256))
    found = {b"\x51\x20" + public("recovery output"): secret("recovery output")}
    for number in range(TENURES):
        key = coincurve.PrivateKey(secret(named("seal", number)))
        point = key.public_key.format(compressed=True)
        own = int.from_bytes(key.secret, "big")
        own = ORDER - own if point[0] == 3 else own
        tweak = int.from_bytes(tagged("TapTweak", point[1:] + leaf), "big")
        made = ((own + tweak) % ORDER).to_bytes(32, "big")
        script = b"\x51\x20" + coincurve.PrivateKey(made).public_key.format(compressed=True)[1:]
        found[script] = made
    return found


def resigned(raw: bytes, before: list[bytes], spent: list[Any], soul_sha256: bytes) -> bytes:
    """The transaction with true signatures of every seal that it spends."""
    transaction, first = parse_transaction(raw), parse_transaction(before[0])
    recovers = transaction.outputs[0][1][5:6] == b"\x03"
    seal = first.outputs[2] if recovers else parse_transaction(before[-1]).outputs[1]
    outputs = [seal, *((one[0], one[1]) for one in spent)]
    known, witness = seal_secrets(soul_sha256), list(transaction.witness)
    for index, (_, script) in enumerate(outputs[: len(witness)]):
        if script in known:
            digest = key_path_digest(transaction, outputs, index)
            made = coincurve.PrivateKey(known[script]).sign_schnorr(digest, bytes(32))
            witness[index] = [made]
    return written(transaction, witness)


def written(transaction: Transaction, witness: list[list[bytes]]) -> bytes:
    inputs = [one.outpoint + sized(one.script) + one.sequence for one in transaction.inputs]
    outputs = [serialised(one) for one in transaction.outputs]
    items = [varint(len(stack)) + b"".join(map(sized, stack)) for stack in witness]
    lists = [varint(len(inputs)), *inputs, varint(len(outputs)), *outputs, *items]
    return transaction.version + b"\x00\x01" + b"".join(lists) + transaction.lock_time


def rewoven(links: list[Any], soul_sha256: bytes | None) -> None:
    """Make Merkle roots, previous hashes and work of changed links true again, and with the SOUL
    its signatures.
    """
    before: list[bytes] = []
    previous = None
    for link in links:
        if before and soul_sha256 is not None:
            link["transaction"] = resigned(link["transaction"], before, link["spent"], soul_sha256)
        before.append(link["transaction"])
        node, index = parse_transaction(before[-1]).txid, link["index"]
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
