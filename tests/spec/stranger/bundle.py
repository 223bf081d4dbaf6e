"""Verification of a bundle: export, backup and proof (bundle.md)."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.spec.stranger.chain import best_standing, parse_opening, verify_chain
from tests.spec.stranger.codec import Refusal, demand, sha256
from tests.spec.stranger.container import frames
from tests.spec.stranger.event import Event, open_event
from tests.spec.stranger.genesis import check_genesis
from tests.spec.stranger.note import Head, check_epoch, open_head
from tests.spec.stranger.tree import continues, included, leaf, root

HEADS_MAX = 1000
PROOF_RECORDS_MAX = 10000
PROOF_EVENT_BYTES_MAX = 8388608


class Ended(Exception):
    """A failure whose step names another verdict than BROKEN."""

    def __init__(self, verdict: str, kind: str) -> None:
        super().__init__(verdict)
        self.verdict, self.kind = verdict, kind


@dataclass(frozen=True, slots=True)
class Result:
    verdict: str
    standing: str | None = None
    kind: str | None = None


@dataclass(slots=True, kw_only=True)
class Reading:
    """What was read of a file so far."""

    ledger: bytes
    epoch: int
    soul: bytes | None
    events: dict[int, Event] = field(default_factory=dict)
    notes: list[bytes] = field(default_factory=list)

    @property
    def genesis(self) -> dict:
        return self.events[0].payload


def identity(reading: Reading) -> None:
    event = reading.events[0]
    try:
        demand(event.id == reading.ledger, "identity", "another ledger")
        check_genesis(event.payload)
    except Refusal as error:
        raise Refusal("identity", str(error)) from error
    if reading.soul is not None:
        soul = event.payload["soul"]
        same = (len(reading.soul), sha256(reading.soul)) == (soul["length"], soul["sha256"])
        demand(same, "identity", "another SOUL.md")


def heads_of(reading: Reading) -> list[Head]:
    """Step H."""
    heads = []
    for note in reading.notes:
        try:
            heads.append(open_head(note, reading.genesis["keys"]["log"]))
        except Refusal as error:
            raise Refusal("checkpoint", str(error)) from error
    for head in heads:
        same = (head.ledger, head.epoch) == (reading.ledger, reading.epoch)
        demand(same, "checkpoint", "head of another ledger or epoch")
    heads.sort(key=lambda head: head.size)
    for one, two in itertools.pairwise(heads):
        if one.size == two.size and one.root != two.root:
            raise Ended("DIVERGED", "diverged")
    if not heads:
        raise Ended("INCOMPLETE", "missing")
    return heads


def opened(record: list) -> Event:
    try:
        return open_event(*record[2:])
    except Refusal as error:
        raise Refusal("event", str(error)) from error


def targets_of(event: Event) -> list[int]:
    targets = event.payload.get("targets", [])
    fits = type(targets) is list and all(type(target) is int for target in targets)
    demand(fits, "redaction", "targets")
    return targets


def redacted(events: dict[int, Event]) -> list[int]:
    logs = [event for event in events.values() if event.type == "ledger.redacted"]
    return [target for event in logs for target in targets_of(event)]


@dataclass(slots=True)
class Log:
    """The rules of a whole log, and the epochs in it."""

    reading: Reading
    ids: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    streams: dict[bytes, int] = field(default_factory=dict)
    ts_ms: int = 0
    epoch: int = 0

    def take(self, record: list) -> None:
        position = len(self.ids)
        demand(record[1] == position, "event", f"position {record[1]}, not {position}")
        event = opened(record)
        earlier = self.streams.get(event.stream, 0)
        demand(event.stream_sequence == earlier, "event", "stream sequence")
        demand(event.ts_ms >= self.ts_ms, "event", "time goes back")
        for cause in event.causes:
            if len(cause) == 2:
                demand(cause[0] < position and self.ids[cause[0]] == cause[1], "event", "cause")
        self.reading.events[position] = event
        if position == 0:
            identity(self.reading)
        if event.type == "ledger.epoch":
            self._epoch(event, position)
        if event.type == "ledger.redacted":
            targets_of(event)
        self.streams[event.stream] = earlier + 1
        self.ts_ms = event.ts_ms
        self.ids.append(event.id)
        self.leaves.append(leaf(event.envelope))

    def _epoch(self, event: Event, position: int) -> None:
        facts, reading = event.payload, self.reading
        check_epoch(facts, reading.ledger, reading.genesis, self.epoch)
        if (facts["kept_size"], facts["kept_root"]) != (position, root(self.leaves)):
            raise Ended("REWRITTEN", "rewritten")
        self.epoch = facts["epoch"]


def export(records: Iterator[list], reading: Reading, *, attachments: bool) -> Result:
    log = Log(reading)
    for record in records:
        kind = record[0]
        if kind == "event":
            log.take(record)
        elif kind == "checkpoint":
            reading.notes.append(record[1])
            demand(len(reading.notes) <= HEADS_MAX, "bundle", "too many heads")
        elif kind != "end":
            demand(attachments and kind == "attachment", "bundle", f"{kind} in an export")
    if not reading.events:
        raise Ended("INCOMPLETE", "missing")
    demand(reading.epoch == log.epoch, "epoch", "epoch of the header")
    heads = heads_of(reading)
    head = heads[-1]
    if len(log.leaves) != head.size:
        raise Ended("INCOMPLETE", "missing")
    demand(root(log.leaves) == head.root, "root", "root of the events")
    for other in heads[:-1]:
        if root(log.leaves[: other.size]) != other.root:
            raise Ended("REWRITTEN", "rewritten")
    erased = {position for position, event in reading.events.items() if event.erased}
    targets = set(redacted(reading.events))
    if erased - targets:
        raise Ended("INCOMPLETE", "missing")
    demand(not targets - erased, "redaction", "target that is not erased")
    return Result("RECOVERED" if reading.epoch else "UNBROKEN-PENDING")


@dataclass(slots=True, kw_only=True)
class Proof:
    """The records of a proof, as step P1 leaves them."""

    reading: Reading
    inclusions: dict[int, tuple[int, list]] = field(default_factory=dict)
    consistencies: dict[tuple[int, int], list] = field(default_factory=dict)
    seal: list | dict | None = None
    subject: int | None = None
    records: int = 0
    bytes: int = 0

    def take(self, record: list) -> None:
        kind = record[0]
        if kind == "end":
            return
        self.records += 1
        demand(self.records <= PROOF_RECORDS_MAX, "bundle", "too many records")
        if kind == "event":
            self.bytes += len(record[4]) + len(record[6] or b"")
            demand(self.bytes <= PROOF_EVENT_BYTES_MAX, "bundle", "too many bytes of events")
            demand(record[1] not in self.reading.events, "duplicate", "event twice")
            self.reading.events[record[1]] = opened(record)
        elif kind == "inclusion":
            demand(record[1] not in self.inclusions, "duplicate", "inclusion twice")
            self.inclusions[record[1]] = (record[2], record[3])
        elif kind == "consistency":
            demand(
                (record[1], record[2]) not in self.consistencies, "duplicate", "consistency twice"
            )
            self.consistencies[record[1], record[2]] = record[3]
        elif kind == "checkpoint":
            self.reading.notes.append(record[1])
        elif kind == "attachment" and record[1] == "seal":
            demand(self.seal is None, "duplicate", "seal twice")
            self.seal = record[2]
        elif kind == "subject":
            self.subject = record[1]


def _check_continuity(proof: Proof, heads: list[Head]) -> None:
    """Step P6."""
    for one, two in itertools.pairwise(heads):
        if one.size != two.size:
            path = proof.consistencies.get((one.size, two.size))
            if path is None:
                raise Ended("INCOMPLETE", "missing")
            _continue_or_rewritten(one.size, two.size, path, one.root, two.root)


def _continue_or_rewritten(size1: int, size2: int, path: list, root1: bytes, root2: bytes) -> None:
    try:
        continues(size1, size2, path, root1, root2)
    except Refusal as error:
        raise Ended("REWRITTEN", "rewritten") from error


def _check_epochs(proof: Proof, roots: dict[int, bytes]) -> None:
    """Step P7."""
    reading, epoch = proof.reading, 0
    for position, event in sorted(reading.events.items()):
        if event.type != "ledger.epoch":
            continue
        facts = event.payload
        check_epoch(facts, reading.ledger, reading.genesis, epoch)
        epoch, kept = facts["epoch"], facts["kept_size"]
        if kept != position:
            raise Ended("REWRITTEN", "rewritten")
        size = proof.inclusions[position][0]
        path = proof.consistencies.get((kept, size))
        if path is None:
            raise Ended("INCOMPLETE", "missing")
        _continue_or_rewritten(kept, size, path, facts["kept_root"], roots[size])
    if epoch != reading.epoch:
        raise Ended("INCOMPLETE", "missing")


def verify_proof(records: Iterator[list], reading: Reading) -> Result:
    proof = Proof(reading=reading)
    for record in records:
        proof.take(record)
    events, subject = reading.events, proof.subject
    if 0 not in events or subject is None or subject not in events:
        raise Ended("INCOMPLETE", "missing")
    identity(reading)
    heads = heads_of(reading)
    roots = {head.size: head.root for head in heads}
    for position, event in events.items():
        size, path = proof.inclusions.get(position, (None, []))
        if size is None or size not in roots:
            raise Ended("INCOMPLETE", "missing")
        try:
            included(leaf(event.envelope), position, size, path, roots[size])
        except Refusal as error:
            raise Refusal("inclusion", str(error)) from error
    _check_continuity(proof, heads)
    _check_epochs(proof, roots)
    if proof.seal is not None:
        return _verify_seal(proof, heads, proof.inclusions[subject][0])
    return Result("RECOVERED" if reading.epoch else "UNBROKEN-PENDING")


def _verify_seal(proof: Proof, heads: list[Head], covering: int) -> Result:
    """Steps S1 to S8."""
    reading, seal = proof.reading, proof.seal
    demand(type(seal) is dict, "seal", "not a map")
    links, sizes = seal.get("links"), seal.get("sizes")
    demand(type(links) is list and type(sizes) is list, "seal", "links or sizes")
    openings = [item for item in reading.events.items() if item[1].type == "seal.opened"]
    if len(openings) != 1:
        raise Ended("INCOMPLETE", "missing")
    position, event = openings[0]
    opening = parse_opening(event.payload.get("opening"))
    by_size = {head.size: head for head in heads}  # the last of a size stands
    if not all(type(size) is int and size in by_size for size in sizes):
        raise Ended("INCOMPLETE", "missing")
    demand(bool(sizes) and all(position < size for size in sizes), "seal", "sizes")
    digests = [by_size[size].anchor_digest for size in sizes]
    standings = verify_chain(opening, links, digests, reading.genesis)
    standing = best_standing(
        [one for one, size in zip(standings, sizes, strict=True) if size >= covering]
    )
    if reading.genesis["network"] != "mainnet":
        return Result("TEST", standing)
    if reading.epoch:
        return Result("RECOVERED", standing)
    return Result("UNBROKEN-FINAL" if standing == "final" else "UNBROKEN-PENDING", standing)


def verify(data: bytes, soul: bytes | None = None) -> Result:
    """The verdict on a file, given the bytes of a SOUL.md or none."""
    from tests.spec.stranger.salvage import verify_salvage

    try:
        records = (record for _, record in frames(data))
        header = next(records)
        reading = Reading(ledger=header[2], epoch=header[3], soul=soul)
        match header[1]:
            case "export" | "backup":
                return export(records, reading, attachments=header[1] == "backup")
            case "proof":
                return verify_proof(records, reading)
            case "salvage":
                return verify_salvage(records, reading)
        demand(False, "bundle", "purpose")
    except Refusal as error:
        kind = "bundle" if error.kind in ("cbor", "size") else error.kind
        return Result("BROKEN", None, kind)
    except Ended as ended:
        return Result(ended.verdict, None, ended.kind)
    raise AssertionError
