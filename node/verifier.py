"""The offline verifier: what a bundle and a SOUL.md show a stranger, and what they do not.

Four separate answers, a line each: integrity (is what is here authentic), completeness (is any
thing missing from what is claimed), freshness (how new), identity (whose is it); one verdict, of
those in `node.report`.

No network, no clock, no home: bytes in, a report out.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import BinaryIO, Final

from attest.core.anchor import Standing
from attest.core.errors import InvalidProof as InvalidAnchor
from genesis.core.errors import InvalidGenesis
from ledger.core.bundle import (
    Attachment,
    Item,
    Reader,
)
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import InvalidData, InvalidProof
from ledger.core.event import Event
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.types import EPOCH
from ledger.salvage import PURPOSE
from node.report import (
    BROKEN,
    INCOMPLETE,
    LATER_HEAD,
    LEVELS,
    NO_TIME,
    OTHER_AGENT,
    OTHER_HISTORY,
    RECOVERED,
    REWRITTEN,
    TEST,
    UNBROKEN_PENDING,
    Report,
)
from node.salvaged import verify_salvage
from node.verify_common import SEAL_ATTACHMENT, Failed, Parts, identify, next_epoch, open_heads
from node.verify_export import verify_export
from node.verify_seal import verify_seal

_ITEMS_MAX: Final = 10_000
"""A proof is a handful of records and, for an anchored one, a head and a consistency an anchor. The
chain's attachment holds about 4,400 links: twelve years of daily anchors."""


def verify_bundle(
    file: BinaryIO,
    soul: bytes | None,
    *,
    require: str | None = None,
    attachment: Callable[[Attachment], None] = lambda _: None,
    importing: bool = False,
) -> Report:
    """Read a bundle to its end and report. Never raises for what is in the file.

    `attachment` is given each attachment of a backup, and may raise InvalidBundle. With
    `importing` an export may carry content that it redacts itself, for an importer that drops it
    (docs/spec/bundle.md, "What may be stored"); nothing else is forgiven.
    """
    report = Report()
    try:
        reader = Reader(file)
        report.purpose = reader.header.purpose
        report.ledger_id = reader.header.ledger_id
        _verify(report, reader, soul, attachment, importing=importing)
        report.file_digest = reader.digest
        _require(report, require)
    except Failed as error:
        report.fail(error.verdict, str(error))
    except (InvalidData, InvalidGenesis, InvalidAnchor) as error:
        report.fail(BROKEN, str(error))
    return report


def _verify(
    report: Report,
    reader: Reader,
    soul: bytes | None,
    attachment: Callable[[Attachment], None],
    *,
    importing: bool,
) -> None:
    if report.purpose in ("export", "backup"):
        verify_export(report, reader, soul, attachment, importing=importing)
    elif report.purpose == "proof":
        _verify_proof(report, reader, soul)
    elif report.purpose == PURPOSE:
        _verify_salvage(report, reader, soul)
    else:
        raise Failed(BROKEN, f"unknown purpose {report.purpose[:32]!r}")


def _require(report: Report, level: str | None) -> None:
    if level is None:
        return
    standing = report.standing or Standing.PENDING
    if standing < LEVELS[level]:
        report.met = False
        report.say("required", f"{level} was required, this is {standing.name.lower()}")


def _verify_salvage(report: Report, reader: Reader, soul: bytes | None) -> None:
    verify_salvage(
        report,
        reader,
        lambda first: identify(report, first, soul),
        lambda genesis, heads: open_heads(genesis, report, heads, reader.header.epoch),
    )


def _bounded(items: Iterator[Item]) -> Iterator[Item]:
    for number, item in enumerate(items):
        if number >= _ITEMS_MAX:
            raise Failed(BROKEN, f"more than {_ITEMS_MAX} records")
        yield item


def _verify_proof(report: Report, reader: Reader, soul: bytes | None) -> None:
    parts = Parts()
    for item in _bounded(iter(reader)):
        parts.add(item)
    if 0 not in parts.events or parts.subject not in parts.events:
        raise Failed(INCOMPLETE, "the genesis event or the event in question is not here")
    genesis = identify(report, parts.events[0], soul)
    heads = open_heads(genesis, report, parts.heads, reader.header.epoch)
    _check_inclusions(parts, {head.size: head for head in heads})
    _check_neighbours(parts, heads)
    epoch = 0
    for record in sorted(parts.events.values(), key=lambda event: event.position):
        if record.type == EPOCH.name:
            epoch = next_epoch(genesis, report, record, epoch)
            _check_kept_by_proof(parts, record, heads)
    if epoch != reader.header.epoch:
        raise Failed(INCOMPLETE, f"the record of epoch {reader.header.epoch} is not here")
    event = report.event = parts.events[parts.subject]
    covering = parts.inclusions[event.position].size
    report.size = heads[-1].size
    report.say(
        "integrity",
        f"event {event.position} ({event.type}) is in the log under the head of size {covering}",
    )
    _say_content(report, event)
    if SEAL_ATTACHMENT in parts.attachments:
        verify_seal(report, parts, genesis, heads, covering)
        if epoch and report.verdict != TEST:
            report.verdict = RECOVERED
    else:
        report.verdict = RECOVERED if epoch else UNBROKEN_PENDING
        report.say("freshness", f"signed at size {covering}; not anchored in Bitcoin")
        report.not_shown.append(NO_TIME)
    report.not_shown.append("the other events of this log, and that what was said is true")
    report.not_shown += [OTHER_HISTORY, f"{LATER_HEAD}, and no other seal", OTHER_AGENT]


def _check_inclusions(parts: Parts, heads: dict[int, SignedCheckpoint]) -> None:
    for position, event in parts.events.items():
        proof = parts.inclusions.get(position)
        if proof is None or proof.size not in heads:
            raise Failed(INCOMPLETE, f"event {position} is not proven under any head here")
        leaf = leaf_hash(event.record.envelope)
        verify_inclusion(leaf, position, proof.size, proof.path, heads[proof.size].root)


def _check_kept_by_proof(parts: Parts, event: Event, heads: list[SignedCheckpoint]) -> None:
    """An epoch record keeps *this* history: the root it names leads to the head over it."""
    size, root = event.payload["kept_size"], event.payload["kept_root"]
    covering = parts.inclusions[event.position].size
    head = next(head for head in heads if head.size == covering)
    if size != event.position:
        raise Failed(REWRITTEN, f"event {event.position} keeps {size} events of another history")
    proof = parts.consistencies.get((size, covering))
    if proof is None:
        raise Failed(INCOMPLETE, f"no consistency proof from what event {event.position} keeps")
    try:
        verify_consistency(size, covering, proof.path, root, head.root)
    except InvalidProof as error:
        text = f"event {event.position} keeps another history: {error}"
        raise Failed(REWRITTEN, text) from error


def _check_neighbours(parts: Parts, heads: list[SignedCheckpoint]) -> None:
    for older, newer in pairwise(heads):
        if older.size == newer.size:
            continue
        proof = parts.consistencies.get((older.size, newer.size))
        if proof is None:
            text = f"no consistency proof between the heads of size {older.size} and {newer.size}"
            raise Failed(INCOMPLETE, text)
        try:
            verify_consistency(older.size, newer.size, proof.path, older.root, newer.root)
        except InvalidProof as error:
            text = f"the head of size {newer.size} does not continue that of {older.size}: {error}"
            raise Failed(REWRITTEN, text) from error


def _say_content(report: Report, event: Event) -> None:
    if event.redacted:
        text = "its content is not here: redacted, or left out by who made this file"
    elif event.has_content:
        text = "its content is here and matches the commitment"
    else:
        text = "it has no content, only facts"
    report.say("completeness", f"one event is shown; {text}")
