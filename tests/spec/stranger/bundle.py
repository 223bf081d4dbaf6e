"""Verification of a bundle: export, backup and proof (bundle.md)."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.spec.stranger import aggregate
from tests.spec.stranger.chain import AGGREGATE, Step, best_standing, parse_opening, tenure_of
from tests.spec.stranger.codec import Refusal, demand, sha256
from tests.spec.stranger.container import frames
from tests.spec.stranger.event import Event, open_event
from tests.spec.stranger.genesis import check_genesis
from tests.spec.stranger.lineage import RECORDS, Lineage
from tests.spec.stranger.note import Checkpoint, Head, parse_checkpoint, signed_head
from tests.spec.stranger.reading import Ended, Reading, Result, Shown
from tests.spec.stranger.tree import continues, included, leaf, root

HEADS_MAX = 1000
PROOF_RECORDS_MAX = 10000
PROOF_EVENT_BYTES_MAX = 8388608


def identity(reading: Reading) -> None:
    """Step I; the lineage begins with the genesis that passes it."""
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
    reading.lineage = Lineage(reading.ledger, reading.genesis)


def parsed_notes(reading: Reading) -> Iterator[Checkpoint]:
    for note in reading.notes:
        try:
            parsed = parse_checkpoint(note)
        except Refusal as error:
            raise Refusal("checkpoint", str(error)) from error
        demand(parsed.ledger == reading.ledger, "checkpoint", "head of another ledger")
        yield parsed


def signed_by(note: Checkpoint, log_key: bytes) -> Head:
    try:
        return signed_head(note, log_key)
    except Refusal as error:
        raise Refusal("checkpoint", str(error)) from error


def succeed(reading: Reading, event: Event, position: int) -> None:
    try:
        reading.lineage.take(event, position)
    except Refusal as error:
        raise Refusal("lineage", str(error)) from error


def opened_head(note: Checkpoint, lineage: Lineage) -> Head:
    """Step H1, for one head."""
    demand(note.epoch <= lineage.last.epoch, "checkpoint", "epoch above the last one")
    tenure = lineage.signer(note.epoch, note.size)
    demand(tenure is not None, "checkpoint", "no key signs heads of that epoch and size")
    try:
        return signed_by(note, tenure.keys["log"])
    except Refusal:
        for older in lineage.tenures:
            if older.number < tenure.number and _holds(note, older.keys["log"]):
                raise Ended("DIVERGED", "diverged") from None
        raise


def _holds(note: Checkpoint, log_key: bytes) -> bool:
    try:
        signed_head(note, log_key)
    except Refusal:
        return False
    return True


def heads_of(reading: Reading) -> list[Head]:
    """Step H."""
    heads = ordered([opened_head(note, reading.lineage) for note in parsed_notes(reading)])
    if not heads:
        raise Ended("INCOMPLETE", "missing")
    demand(heads[-1].epoch == reading.lineage.last.epoch, "checkpoint", "no head of the last epoch")
    reading.show(heads)
    return heads


def ordered(heads: list[Head]) -> list[Head]:
    """Step H2."""
    heads = sorted(heads, key=lambda head: (head.epoch, head.size))
    for one, two in itertools.pairwise(heads):
        if (one.epoch, one.size) == (two.epoch, two.size) and one.root != two.root:
            raise Ended("DIVERGED", "diverged")
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
        if event.type in RECORDS:
            succeed(self.reading, event, position)
            kept = event.payload["kept_size"], event.payload["kept_root"]
            if kept != (position, root(self.leaves)):
                raise Ended("REWRITTEN", "rewritten")
        if event.type == "ledger.redacted":
            targets_of(event)
        self.streams[event.stream] = earlier + 1
        self.ts_ms = event.ts_ms
        self.ids.append(event.id)
        self.leaves.append(leaf(event.envelope))


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
    demand(reading.epoch == reading.lineage.last.epoch, "lineage", "epoch of the header")
    heads = heads_of(reading)
    same = all(head.epoch == reading.epoch for head in heads)
    demand(same, "checkpoint", "head of an older epoch")
    head = heads[-1]
    if len(log.leaves) != head.size:
        raise Ended("INCOMPLETE", "missing")
    demand(root(log.leaves) == head.root, "root", "root of the events")
    for other in heads[:-1]:
        if root(log.leaves[: other.size]) != other.root:
            raise Ended("REWRITTEN", "rewritten")
    reading.show_leaves(dict(enumerate(log.leaves)), whole=True)
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
    slotted: list | dict | None = None
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
        elif kind == "attachment" and record[1] == "aggregate":
            demand(self.slotted is None, "duplicate", "aggregate twice")
            self.slotted = record[2]
        elif kind == "subject":
            self.subject = record[1]


def _check_continuity(proof: Proof, heads: list[Head]) -> None:
    """Step P6."""
    for one, two in itertools.pairwise(heads):
        if (one.size, one.root) == (two.size, two.root):
            continue
        start = one.size, one.root
        end = two.size, two.root
        if one.epoch < two.epoch:
            position, _, kept_root = proof.reading.lineage.kept[one.epoch + 1]
            if one.size > position:
                start, end = (position, kept_root), start
        _tied(proof, *start, *end)


def _tied(proof: Proof, size1: int, root1: bytes, size2: int, root2: bytes) -> None:
    path = proof.consistencies.get((size1, size2))
    if path is None:
        raise Ended("INCOMPLETE", "missing")
    _continue_or_rewritten(size1, size2, path, root1, root2)


def _continue_or_rewritten(size1: int, size2: int, path: list, root1: bytes, root2: bytes) -> None:
    try:
        continues(size1, size2, path, root1, root2)
    except Refusal as error:
        raise Ended("REWRITTEN", "rewritten") from error


def _check_kept(proof: Proof, roots: dict[int, bytes]) -> None:
    """Step P7."""
    for position, event in records_of(proof.reading):
        kept, size = event.payload["kept_size"], proof.inclusions[position][0]
        if kept != position:
            raise Ended("REWRITTEN", "rewritten")
        _tied(proof, kept, event.payload["kept_root"], size, roots[size])


def records_of(reading: Reading) -> list[tuple[int, Event]]:
    """The records of the lineage, by position."""
    return [item for item in sorted(reading.events.items()) if item[1].type in RECORDS]


def verify_proof(records: Iterator[list], reading: Reading) -> Result:
    proof = Proof(reading=reading)
    for record in records:
        proof.take(record)
    events, subject = reading.events, proof.subject
    if 0 not in events or subject is None or subject not in events:
        raise Ended("INCOMPLETE", "missing")
    identity(reading)
    for position, event in records_of(reading):
        succeed(reading, event, position)
    if reading.lineage.last.epoch != reading.epoch:
        raise Ended("INCOMPLETE", "missing")
    heads = heads_of(reading)
    roots = {head.size: head.root for head in heads if head.epoch == reading.epoch}
    for position, event in events.items():
        size, path = proof.inclusions.get(position, (None, []))
        if size is None or size not in roots:
            raise Ended("INCOMPLETE", "missing")
        try:
            included(leaf(event.envelope), position, size, path, roots[size])
        except Refusal as error:
            raise Refusal("inclusion", str(error)) from error
    _check_continuity(proof, heads)
    _check_kept(proof, roots)
    leaves = {position: leaf(event.envelope) for position, event in events.items()}
    reading.show_leaves(leaves, whole=False).consistencies = proof.consistencies
    if proof.seal is not None:
        return _verify_seal(proof, heads)
    verdict = "RECOVERED" if reading.epoch else "UNBROKEN-PENDING"
    if proof.slotted is not None:
        _verify_time(proof, heads)
        verdict = verdict if reading.genesis["network"] == "mainnet" else "TEST"
    return Result(verdict)


def _verify_time(proof: Proof, heads: list[Head]) -> None:
    """aggregate.md, "Time"."""
    value, reading = proof.slotted, proof.reading
    fields = {"epoch", "size", "link", "slot"}
    demand(type(value) is dict and set(value) == fields, "slot", "fields")
    place = value["epoch"], value["size"]
    demand(all(type(number) is int for number in place), "slot", "epoch or size")
    head = by_place(heads).get(place)
    if head is None or not _covers(head, proof.subject, reading.lineage):
        raise Ended("INCOMPLETE", "missing")
    aggregate.check_time(value, reading.ledger, head.anchor_digest, reading.genesis["network"])


def _verify_seal(proof: Proof, heads: list[Head]) -> Result:
    """Steps S1 to S8."""
    reading, seal = proof.reading, proof.seal
    demand(type(seal) is dict, "seal", "not a map")
    links, sizes = seal.get("links"), seal.get("sizes")
    demand(type(links) is list and type(sizes) is list, "seal", "links or sizes")
    openings = [item for item in reading.events.items() if item[1].type == "seal.opened"]
    if len(openings) != 1:
        raise Ended("INCOMPLETE", "missing")
    position, event = openings[0]
    opening = event.payload.get("opening")
    parse_opening(opening)
    anchored = _anchored(seal, sizes, heads, reading.epoch)
    demand(bool(sizes) and all(position < size for size in sizes), "seal", "sizes")
    demand(len(links) == len(sizes), "seal", "number of links")
    own = aggregate.verify_own(opening, links, _step(proof, anchored), reading.genesis)
    shown = _delegations(proof, heads, anchored)
    try:
        found = aggregate.verify_delegated(own, reading.ledger, shown)
    except aggregate.Missing as error:
        raise Ended("INCOMPLETE", "missing") from error
    dated = [*anchored, *(head for one in shown for head in one["heads"])]
    standing = best_standing(
        [
            one
            for one, head in zip(found, dated, strict=True)
            if head is not None and _covers(head, proof.subject, reading.lineage)
        ]
    )
    if reading.genesis["network"] != "mainnet":
        return Result("TEST", standing)
    if reading.epoch:
        return Result("RECOVERED", standing)
    return Result("UNBROKEN-FINAL" if standing == "final" else "UNBROKEN-PENDING", standing)


def _step(proof: Proof, anchored: list[Head]) -> Step:
    """What each own link commits to: a head, or the root of a tree with that head."""
    reading, links = proof.reading, proof.seal["links"]
    slots = proof.seal.get("slots", [None] * len(links))
    demand(type(slots) is list and len(slots) == len(links), "seal", "slots")

    def step(number: int, kind: int) -> tuple[bytes, bytes]:
        head, slot = anchored[number], slots[number]
        demand((kind == AGGREGATE) == (slot is not None), "seal", "slot of a link")
        digest = head.anchor_digest
        if slot is not None:
            digest = aggregate.slot_root(slot, reading.ledger)
            same = aggregate.digest_in(slot, reading.ledger) == head.anchor_digest
            demand(same, "seal", "own slot")
        return digest, tenure_of(kind, head, reading.lineage).keys["seal"]

    return step


def _delegations(proof: Proof, heads: list[Head], anchored: list[Head]) -> list[dict]:
    """By link; `heads` in place of what names them."""
    entries, places = proof.seal.get("delegations", []), by_place(heads)
    demand(type(entries) is list, "seal", "delegations")
    found = []
    for entry in entries:
        fields = {"link", "event", "segment", "heads"}
        demand(type(entry) is dict and set(entry) == fields, "seal", "delegation")
        at = entry["link"]
        demand(type(at) is int and 0 <= at < len(anchored), "seal", "link of a delegation")
        demand(type(entry["event"]) is int and type(entry["heads"]) is list, "seal", "fields")
        demand(all(one["link"] != at for one in found), "seal", "two of one link")
        aggregate.check_records(entry["segment"])
        event = proof.reading.events.get(entry["event"])
        if event is None or event.type != "seal.delegated":
            raise Ended("INCOMPLETE", "missing")
        under = _covers(anchored[at], entry["event"], proof.reading.lineage)
        demand(under, "seal", "delegated before it was named")
        delegation = event.payload.get("delegation")
        aggregate.parse_delegation(delegation)
        slotted = [None if place is None else _slotted(place, places) for place in entry["heads"]]
        digests = [None if head is None else head.anchor_digest for head in slotted]
        found.append({**entry, "delegation": delegation, "heads": slotted, "digests": digests})
    return sorted(found, key=lambda one: one["link"])


def _slotted(place: object, places: dict[tuple[int, int], Head]) -> Head:
    numbers = type(place) is list and len(place) == 2 and all(type(n) is int for n in place)
    demand(numbers, "seal", "head of a slot")
    if tuple(place) not in places:
        raise Ended("INCOMPLETE", "missing")
    return places[tuple(place)]


def by_place(heads: list[Head]) -> dict[tuple[int, int], Head]:
    return {(head.epoch, head.size): head for head in heads}  # the last of these stands


def _anchored(seal: dict, sizes: list, heads: list[Head], epoch: int) -> list[Head]:
    """Step S4: the head of each link."""
    epochs = seal.get("epochs", [epoch] * len(sizes))
    demand(type(epochs) is list and len(epochs) == len(sizes), "seal", "epochs")
    last = by_place(heads)
    pairs = list(zip(epochs, sizes, strict=True))
    if not all(type(e) is int and type(s) is int and (e, s) in last for e, s in pairs):
        raise Ended("INCOMPLETE", "missing")
    return [last[pair] for pair in pairs]


def _covers(head: Head, subject: int, lineage: Lineage) -> bool:
    """Step S7."""
    following = lineage.kept.get(head.epoch + 1)
    return subject < head.size and (following is None or subject < following[1])


def verify(data: bytes, soul: bytes | None = None, held: bytes | None = None) -> Result:
    """The verdict on a file, given the bytes of a SOUL.md or none, and what is held or nothing."""
    from tests.spec.stranger.held import beside

    result, shown = read(data, soul)
    if held is None or result.kind is not None:
        return result
    assert shown is not None
    return beside(result, shown, held)


def read(data: bytes, soul: bytes | None) -> tuple[Result, Shown | None]:
    """The verdict on a file by itself, and what it shows of its history."""
    reading = None
    try:
        records = (record for _, record in frames(data))
        header = next(records)
        reading = Reading(ledger=header[2], epoch=header[3], soul=soul)
        result = _verify(header[1], records, reading)
    except Refusal as error:
        result = Result("BROKEN", None, "bundle" if error.kind in ("cbor", "size") else error.kind)
    except Ended as ended:
        result = Result(ended.verdict, None, ended.kind)
    return result, None if reading is None else reading.shown


def _verify(purpose: str, records: Iterator[list], reading: Reading) -> Result:
    from tests.spec.stranger.salvage import verify_salvage

    match purpose:
        case "export" | "backup":
            return export(records, reading, attachments=purpose == "backup")
        case "proof":
            return verify_proof(records, reading)
        case "salvage":
            return verify_salvage(records, reading)
        case "equivocation":
            return _verify_equivocation(records, reading)
    raise Refusal("bundle", "purpose")


def _verify_equivocation(records: Iterator[list], reading: Reading) -> Result:
    from tests.spec.stranger.equivocation import prove

    def introduce(data: bytes) -> str:
        result, shown = read(data, reading.soul)
        if shown is not None and shown.lineage is not None:
            reading.lineage = shown.lineage
        return result.verdict

    def open_head(note: bytes) -> Head:
        reading.notes = [note]
        [parsed] = parsed_notes(reading)
        return opened_head(parsed, reading.lineage)

    prove(records, reading, introduce, open_head)
    raise AssertionError
