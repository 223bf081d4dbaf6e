"""Consensus-critical: a head of a log that a stranger can check from the log's id alone.

It is a bundle of purpose "proof" (docs/spec/bundle.md) with event 0, every record of lineage, their
paths to one head, what each record keeps, and that head. Whoever knows the ledger id, which is the
id of event 0, learns from it which key signs that head, and that it did. With `since` it shows also
that the head continues an earlier size.

Not shown: that no newer head exists, that the same key signed no other history, and that no
handoff was left out. The last is found when the events themselves are read.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.core import limits as ledger_limits
from ledger.core.bundle import Consistency, Inclusion, Reader, SignedHead
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidData as InvalidLedgerData
from ledger.core.errors import InvalidEvent, InvalidProof
from ledger.core.event import Event, Record
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.note import parse_note
from ledger.core.types import EPOCH
from mesh.core import limits
from mesh.core.errors import InvalidPackage

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """A head whose signature holds under `lineage`; `paths` are consistency proofs by sizes.

    `kept` says of each epoch how many events, and with which root, its recovery kept; `events` are
    event 0 and the records of lineage, whatever else came with them.
    """

    head: SignedCheckpoint
    lineage: Lineage
    paths: Mapping[Pair, tuple[bytes, ...]]
    kept: Mapping[int, tuple[int, bytes]]
    events: tuple[Event, ...]


@dataclass(slots=True)
class _Parts:
    records: dict[int, Record] = field(default_factory=dict)
    inclusions: dict[int, Inclusion] = field(default_factory=dict)
    paths: dict[Pair, tuple[bytes, ...]] = field(default_factory=dict)
    notes: list[bytes] = field(default_factory=list)


def open_introduction(data: bytes, ledger_id: bytes) -> Introduction:
    """Check the bundle as one of this log. Raises InvalidPackage."""
    if len(data) > limits.INTRODUCTION_BYTES_MAX:
        raise InvalidPackage(
            f"an introduction of {len(data)} bytes, at most {limits.INTRODUCTION_BYTES_MAX}"
        )
    try:
        return _open(data, ledger_id)
    except InvalidLedgerData as error:
        raise InvalidPackage(f"introduction: {error}") from error


def _open(data: bytes, ledger_id: bytes) -> Introduction:
    parts = _read(data, ledger_id)
    named = Checkpoint.parse(parse_note(parts.notes[0]).text)
    if named.ledger_id != ledger_id:
        raise InvalidPackage(f"introduction: a head of ledger {named.ledger_id.hex()}")
    lineage, kept, events = _lineage(parts, named)
    if lineage.epoch != named.epoch:
        raise InvalidPackage(
            f"introduction: a head of epoch {named.epoch}, records up to epoch {lineage.epoch}"
        )
    key = lineage.tenure_at(named.epoch, named.size).keys["log"]
    head = open_checkpoint(parts.notes[0], key)
    return Introduction(head=head, lineage=lineage, paths=parts.paths, kept=kept, events=events)


def _read(data: bytes, ledger_id: bytes) -> _Parts:
    reader = Reader(io.BytesIO(data))
    if reader.header.purpose != "proof" or reader.header.ledger_id != ledger_id:
        raise InvalidPackage("introduction: not a proof of this ledger")
    parts = _Parts()
    for item in reader:
        match item:
            case Record():
                parts.records[item.position] = item
            case Inclusion():
                parts.inclusions[item.position] = item
            case Consistency():
                parts.paths[item.size1, item.size2] = item.path
            case SignedHead():
                parts.notes.append(item.note)
    if len(parts.notes) != 1 or len(parts.notes[0]) > ledger_limits.NOTE_BYTES_MAX:
        raise InvalidPackage(f"introduction: {len(parts.notes)} heads, expected one")
    if not 0 < len(parts.records) <= limits.INTRODUCTION_EVENTS_MAX or 0 not in parts.records:
        raise InvalidPackage(f"introduction: {len(parts.records)} events, or no event 0")
    return parts


_Told = tuple[Lineage, dict[int, tuple[int, bytes]], tuple[Event, ...]]


def _lineage(parts: _Parts, head: Checkpoint) -> _Told:
    """Read the records in order, each one proven to be in the tree and to keep it."""
    lineage, kept, events = None, {}, []
    for position in sorted(parts.records):
        event = _proven(parts, position, head)
        if lineage is None or event.type in LINEAGE_TYPES:
            events.append(event)
        if lineage is None:
            lineage = Lineage.of(event)
            if lineage.ledger_id != head.ledger_id:
                raise InvalidPackage("introduction: event 0 is another ledger's")
        elif event.type in LINEAGE_TYPES:
            lineage = lineage.add(event)
            found = _kept(parts, event, head)
            if event.type == EPOCH.name:
                kept[lineage.epoch] = found
    assert lineage is not None
    return lineage, kept, tuple(events)


def _proven(parts: _Parts, position: int, head: Checkpoint) -> Event:
    event = Event.open(parts.records[position])
    shown = parts.inclusions.get(position)
    if shown is None or shown.size != head.size:
        raise InvalidProof(f"event {position} has no path to the head")
    leaf = leaf_hash(event.record.envelope)
    verify_inclusion(leaf, position, head.size, shown.path, head.root)
    return event


def _kept(parts: _Parts, event: Event, head: Checkpoint) -> tuple[int, bytes]:
    size, root = event.payload["kept_size"], event.payload["kept_root"]
    if size != event.position:
        raise InvalidEvent(f"event {event.position} keeps {size} events, not those before it")
    path = parts.paths.get((size, head.size))
    if path is None:
        raise InvalidProof(f"no path from the {size} events that event {event.position} keeps")
    verify_consistency(size, head.size, path, root, head.root)
    return size, root
