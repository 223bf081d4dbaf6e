"""The offline verifier: what a bundle and a SOUL.md show a stranger, and what they do not.

Four separate answers, a line each: integrity (is what is here authentic), completeness (is any
thing missing from what is claimed), freshness (how new), identity (whose is it); one verdict, of
those in `attest.verify.report`.

No network, no clock, no home: bytes in, a report out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from io import BufferedReader
from itertools import pairwise
from types import MappingProxyType
from typing import BinaryIO, Final

from attest.core.anchor import Standing
from attest.core.errors import InvalidProof as InvalidAnchor
from attest.verify.aggregate import verify_time
from attest.verify.common import (
    AGGREGATE_ATTACHMENT,
    SEAL_ATTACHMENT,
    Failed,
    Parts,
    identify,
    open_heads,
    open_salvaged_heads,
    succeed,
)
from attest.verify.descent import TYPES as DESCENT
from attest.verify.descent import Descent
from attest.verify.equivocation import verify_equivocation
from attest.verify.export import verify_export
from attest.verify.held import put_beside
from attest.verify.report import (
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
from attest.verify.salvaged import verify_salvage
from attest.verify.seal import verify_seal
from attest.verify.witnessed import Policy, require_witnesses
from ledger.core.bundle import (
    Attachment,
    Item,
    Reader,
)
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.equivocation import PURPOSE as EQUIVOCATION
from ledger.core.errors import InvalidData, InvalidGenesis, InvalidProof
from ledger.core.event import Event
from ledger.core.lineage import Lineage
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.salvage import PURPOSE
from ledger.core.types import EPOCH

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
    held: BufferedReader | None = None,
    pins: Mapping[int, bytes] = MappingProxyType({}),
    witnesses: Policy | None = None,
) -> Report:
    """Read a bundle to its end and report. Never raises for what is in the file.

    `attachment` is given each attachment of a backup, and may raise InvalidBundle. With
    `importing` an export may carry content that it redacts itself, for an importer that drops it
    (docs/spec/bundle.md, "What may be stored"); nothing else is forgiven. `held` is a checkpoint
    note or a bundle of the same log, to compare the histories; `pins` are the hashes of blocks that
    the verifier knows to be on the heaviest chain, by height; `witnesses` are those he trusts.
    """
    report = Report()
    try:
        reader = Reader(file)
        report.purpose = reader.header.purpose
        report.ledger_id = reader.header.ledger_id
        _verify(report, reader, soul, attachment, pins, importing=importing)
        report.file_digest = reader.digest
        _require(report, require)
        if pins and not report.blocks:
            report.met = False
            report.say("pin", "no block is in this file: it is not anchored in Bitcoin")
    except Failed as error:
        report.fail(error.verdict, str(error))
    except (InvalidData, InvalidGenesis, InvalidAnchor) as error:
        report.fail(BROKEN, str(error))
    if witnesses is not None:
        require_witnesses(report, witnesses)
    if held is not None:
        put_beside(report, held, lambda file: verify_bundle(file, None))
    return report


def _verify(
    report: Report,
    reader: Reader,
    soul: bytes | None,
    attachment: Callable[[Attachment], None],
    pins: Mapping[int, bytes],
    *,
    importing: bool,
) -> None:
    if report.purpose in ("export", "backup"):
        verify_export(report, reader, soul, attachment, importing=importing)
    elif report.purpose == "proof":
        _verify_proof(report, reader, soul, pins)
    elif report.purpose == PURPOSE:
        _verify_salvage(report, reader, soul)
    elif report.purpose == EQUIVOCATION:
        verify_equivocation(report, reader, lambda file: verify_bundle(file, soul))
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
        lambda lineage, heads: open_salvaged_heads(lineage, report, heads, reader.header.epoch),
    )


def _bounded(items: Iterator[Item]) -> Iterator[Item]:
    for number, item in enumerate(items):
        if number >= _ITEMS_MAX:
            raise Failed(BROKEN, f"more than {_ITEMS_MAX} records")
        yield item


def _verify_proof(
    report: Report, reader: Reader, soul: bytes | None, pins: Mapping[int, bytes]
) -> None:
    parts = Parts()
    for item in _bounded(iter(reader)):
        parts.add(item)
    if 0 not in parts.events or parts.subject not in parts.events:
        raise Failed(INCOMPLETE, "the genesis event or the event in question is not here")
    lineage = identify(report, parts.events[0], soul)
    records = sorted(parts.lineage, key=lambda event: event.position)
    for record in records:
        lineage = succeed(lineage, report, record)
    if lineage.epoch != reader.header.epoch:
        raise Failed(INCOMPLETE, f"the record of epoch {reader.header.epoch} is not here")
    heads = open_heads(lineage, report, parts.heads)
    newest = {head.size: head for head in heads if head.checkpoint.epoch == lineage.epoch}
    _check_inclusions(parts, newest)
    _check_neighbours(parts, heads)
    for record in records:
        _check_kept_by_proof(parts, record, newest)
    assert report.history is not None
    report.history = replace(
        report.history,
        kept=lineage.kept,
        paths=parts.consistencies,
        leaves={at: leaf_hash(one.record.envelope) for at, one in parts.events.items()},
    )
    event = report.event = parts.events[parts.subject]
    covering = parts.inclusions[event.position].size
    report.size = heads[-1].size
    report.say(
        "integrity",
        f"event {event.position} ({event.type}) is in the log under the head of size {covering}",
    )
    _say_content(report, event)
    if event.type in DESCENT:
        Descent(report).take(event, _as_of(lineage, event))
    if SEAL_ATTACHMENT in parts.attachments:
        verify_seal(report, parts, lineage, heads, lineage.kept, pins)
        if lineage.epoch and report.verdict != TEST:
            report.verdict = RECOVERED
    else:
        report.verdict = RECOVERED if lineage.epoch else UNBROKEN_PENDING
        if AGGREGATE_ATTACHMENT in parts.attachments:
            verify_time(report, parts, lineage, heads, lineage.kept, pins)
        else:
            report.say("freshness", f"signed at size {covering}; not anchored in Bitcoin")
            report.not_shown.append(NO_TIME)
    report.not_shown.append("the other events of this log, and that what was said is true")
    report.not_shown += [OTHER_HISTORY, f"{LATER_HEAD}, and no other seal", OTHER_AGENT]


def _as_of(lineage: Lineage, event: Event) -> Lineage:
    """The lineage without what came behind an event."""
    known = tuple(one for one in lineage.tenures if one.position <= event.position)
    return replace(lineage, tenures=known)


def _check_inclusions(parts: Parts, heads: dict[int, SignedCheckpoint]) -> None:
    for position, event in parts.events.items():
        proof = parts.inclusions.get(position)
        if proof is None or proof.size not in heads:
            raise Failed(INCOMPLETE, f"event {position} is not proven under any head here")
        leaf = leaf_hash(event.record.envelope)
        verify_inclusion(leaf, position, proof.size, proof.path, heads[proof.size].root)


def _check_kept_by_proof(parts: Parts, event: Event, newest: dict[int, SignedCheckpoint]) -> None:
    """A lineage record keeps *this* history: the root it names leads to the head over it."""
    size, root = event.payload["kept_size"], event.payload["kept_root"]
    covering = parts.inclusions[event.position].size
    if size != event.position:
        raise Failed(REWRITTEN, f"event {event.position} keeps {size} events of another history")
    proof = parts.consistencies.get((size, covering))
    if proof is None:
        raise Failed(INCOMPLETE, f"no consistency proof from what event {event.position} keeps")
    try:
        verify_consistency(size, covering, proof.path, root, newest[covering].root)
    except InvalidProof as error:
        text = f"event {event.position} keeps another history: {error}"
        raise Failed(REWRITTEN, text) from error


def _check_neighbours(parts: Parts, heads: list[SignedCheckpoint]) -> None:
    """Each head goes on from the one before it, or, after a recovery, from what was kept of it."""
    epochs = {e.payload["epoch"]: e for e in parts.lineage if e.type == EPOCH.name}
    for older, newer in pairwise(heads):
        if older.size == newer.size and older.root == newer.root:
            continue
        recovered = older.checkpoint.epoch < newer.checkpoint.epoch
        began = epochs[older.checkpoint.epoch + 1] if recovered else None
        if began is not None and older.size > began.position:
            root = began.payload["kept_root"]
            _check_continues(parts, began.position, root, older.size, older.root)
        else:
            _check_continues(parts, older.size, older.root, newer.size, newer.root)


def _check_continues(parts: Parts, size1: int, root1: bytes, size2: int, root2: bytes) -> None:
    proof = parts.consistencies.get((size1, size2))
    if proof is None:
        text = f"no consistency proof between the heads of size {size1} and {size2}"
        raise Failed(INCOMPLETE, text)
    try:
        verify_consistency(size1, size2, proof.path, root1, root2)
    except InvalidProof as error:
        text = f"the head of size {size2} does not continue that of {size1}: {error}"
        raise Failed(REWRITTEN, text) from error


def _say_content(report: Report, event: Event) -> None:
    if event.redacted:
        text = "its content is not here: redacted, or left out by who made this file"
    elif event.has_content:
        text = "its content is here and matches the commitment"
    else:
        text = "it has no content, only facts"
    report.say("completeness", f"one event is shown; {text}")
