"""The offline verifier: what a bundle and a SOUL.md show a stranger, and what they do not.

Four separate answers, a line each: integrity (is what is here authentic), completeness (is any
thing missing from what is claimed), freshness (how new), identity (whose is it); one verdict, of
those in `node.report`.

No network, no clock, no home: bytes in, a report out.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, BinaryIO, Final

from attest.core.anchor import ChainResult, Standing, verify_chain
from attest.core.errors import InvalidProof as InvalidAnchor
from attest.core.header import network_by_name
from attest.core.proof import AnchorProof, SealOpening
from attest.core.taproot import p2tr_script
from genesis.core.birth import Genesis, parse_genesis
from genesis.core.errors import InvalidGenesis, SoulChanged
from genesis.soul import check_soul
from ledger.core.audit import Audit
from ledger.core.bundle import (
    Attachment,
    Consistency,
    Inclusion,
    Item,
    Reader,
    SignedHead,
    Subject,
)
from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.epoch import open_epoch
from ledger.core.errors import InvalidData, InvalidEvent, InvalidProof, TimmyError
from ledger.core.event import Event, Record
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.tiles import Tree
from ledger.core.types import EPOCH, SEAL_OPENED
from node.report import (
    BROKEN,
    DIVERGED,
    INCOMPLETE,
    LEVELS,
    RECOVERED,
    REWRITTEN,
    TEST,
    UNBROKEN_FINAL,
    UNBROKEN_PENDING,
    Report,
)

SEAL_ATTACHMENT: Final = "seal"
_ITEMS_MAX: Final = 10_000
"""A proof is a handful of records and, for an anchored one, a head and a consistency an anchor. The
chain's attachment holds about 4,400 links: twelve years of daily anchors."""
_EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Payloads and contents of a proof together. Decoded they may take fifty times as much memory."""
_HEADS_MAX: Final = 1000
"""Heads of an export. We write one."""


class _Failed(TimmyError):
    """The verdict is negative; the message names the failing link."""

    def __init__(self, verdict: str, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


def verify_bundle(
    file: BinaryIO, soul: bytes | None, *, require: str | None = None, importing: bool = False
) -> Report:
    """Read a bundle to its end and report. Never raises for what is in the file.

    With `importing` an export may carry content that it redacts itself, for an importer that drops
    it (docs/spec/bundle.md, "What may be stored"); nothing else is forgiven.
    """
    report = Report()
    try:
        reader = Reader(file)
        report.purpose = reader.header.purpose
        report.ledger_id = reader.header.ledger_id
        if reader.header.purpose == "export":
            _verify_export(report, reader, soul, importing=importing)
        elif reader.header.purpose == "proof":
            _verify_proof(report, reader, soul)
        else:
            report.say("failing link", f"unknown purpose {reader.header.purpose[:32]!r}")
        report.file_digest = reader.digest
        _require(report, require)
    except _Failed as error:
        report.verdict = error.verdict
        report.say("failing link", str(error))
    except (InvalidData, InvalidGenesis, InvalidAnchor) as error:
        report.verdict = BROKEN
        report.say("failing link", str(error))
    return report


def _require(report: Report, level: str | None) -> None:
    if level is None:
        return
    standing = report.standing or Standing.PENDING
    if standing < LEVELS[level]:
        report.met = False
        report.say("required", f"{level} was required, this is {standing.name.lower()}")


# ---- who ----------------------------------------------------------------------------------------


def _identify(report: Report, first: Event, soul: bytes | None) -> Genesis:
    if first.position != 0 or first.id != report.ledger_id:
        raise _Failed(BROKEN, "event 0 is not the one this ledger is named after")
    genesis = parse_genesis(first.payload)
    report.name = genesis.name
    if soul is None:
        text = f"agent {genesis.name!r}, ledger {first.id.hex()}; no SOUL.md was given to compare"
    else:
        try:
            check_soul(soul, genesis)
        except SoulChanged as error:
            raise _Failed(BROKEN, f"identity: {error}") from error
        text = f"agent {genesis.name!r}, ledger {first.id.hex()}; SOUL.md is its own"
    report.say("identity", text)
    return genesis


def _open_heads(
    genesis: Genesis, report: Report, heads: Iterable[SignedHead], epoch: int
) -> list[SignedCheckpoint]:
    opened = [open_checkpoint(head.note, genesis.keys["log"]) for head in heads]
    for head in opened:
        if head.checkpoint.ledger_id != report.ledger_id or head.checkpoint.epoch != epoch:
            raise _Failed(BROKEN, f"checkpoint {head.checkpoint.origin} is of another log")
    opened.sort(key=lambda head: head.size)
    for older, newer in pairwise(opened):
        if older.size == newer.size and older.root != newer.root:
            raise _Failed(DIVERGED, f"two signed roots at size {older.size}")
    if not opened:
        raise _Failed(INCOMPLETE, "no signed checkpoint")
    return opened


# ---- exports ------------------------------------------------------------------------------------


def _verify_export(report: Report, reader: Reader, soul: bytes | None, *, importing: bool) -> None:
    tiles: dict[tuple[int, int], bytes] = {}
    audit = Audit(Tree(lambda level, index: tiles[level, index]))
    genesis: Genesis | None = None
    heads: list[SignedHead] = []
    epoch = 0
    for item in reader:
        if isinstance(item, Record):
            event = audit.add(item)
            tiles.update({(t.level, t.index): t.hashes for t in audit.tree.take_tiles()})
            genesis = genesis or _identify(report, event, soul)
            if event.type == EPOCH.name:
                epoch = _next_epoch(genesis, report, event, epoch)
                _check_kept(event, event.position, audit.tree.root(event.position))
        elif isinstance(item, SignedHead):
            heads.append(item)
            if len(heads) > _HEADS_MAX:
                raise _Failed(BROKEN, f"more than {_HEADS_MAX} heads")
        else:
            raise _Failed(BROKEN, f"an export holds no {type(item).__name__.lower()}")
    if genesis is None:
        raise _Failed(INCOMPLETE, "no events")
    if epoch != reader.header.epoch:
        raise _Failed(BROKEN, f"the file is of epoch {reader.header.epoch}, its records of {epoch}")
    *older, head = _open_heads(genesis, report, heads, epoch)
    _compare_tree(audit, head)
    for one in older:
        if audit.tree.root(one.size) != one.root:
            raise _Failed(REWRITTEN, f"the head of size {one.size} is of another history")
    report.size = head.size
    report.say("integrity", f"all {head.size} events lead to the signed root")
    report.redacted, report.carried = audit.targets, tuple(audit.carried)
    _complete(report, audit, forgiven=report.carried if importing else ())
    report.say("freshness", f"signed at size {head.size}; nothing here shows it is the newest")
    report.not_shown.append("when: nothing here is in Bitcoin")
    report.not_shown.append("that no other history was shown to somebody else")
    report.verdict = RECOVERED if epoch else UNBROKEN_PENDING


def _next_epoch(genesis: Genesis, report: Report, event: Event, epoch: int) -> int:
    """Check an epoch record and return its epoch, which follows `epoch`."""
    record = open_epoch(
        event.payload,
        ledger_id=report.ledger_id or b"",
        recovery_key_digest=genesis.recovery_key_digest,
    )
    if record.epoch != epoch + 1:
        raise _Failed(BROKEN, f"epoch {record.epoch} follows epoch {epoch}")
    report.say(
        "recovery", f"epoch {record.epoch} began at event {event.position}, by the recovery key"
    )
    return record.epoch


def _check_kept(event: Event, size: int, root: bytes) -> None:
    if (event.payload["kept_size"], event.payload["kept_root"]) != (size, root):
        raise _Failed(REWRITTEN, f"event {event.position} keeps another history than this one")


def _compare_tree(audit: Audit, head: SignedCheckpoint) -> None:
    if audit.tree.size != head.size:
        raise _Failed(
            INCOMPLETE, f"{audit.tree.size} events are here, the checkpoint signs {head.size}"
        )
    if audit.tree.root() != head.root:
        raise _Failed(
            BROKEN, f"events lead to root {audit.tree.root().hex()}, signed {head.root.hex()}"
        )


def _complete(report: Report, audit: Audit, *, forgiven: Collection[int]) -> None:
    if audit.missing:
        raise _Failed(INCOMPLETE, f"content of events {_some(audit.missing)} is MISSING")
    if unerased := [at for at in audit.unerased if at not in forgiven]:
        raise _Failed(BROKEN, f"redacted content of events {_some(unerased)} is still here")
    redacted = [f"{at} (by event {by})" for at, by in sorted(audit.redacted.items())]
    text = f"every event; content present in {audit.contents}, redacted in {len(redacted)}"
    report.say("completeness", text + (f": {_some(redacted)}" if redacted else ""))


def _some(items: Iterable[object]) -> str:
    listed = [str(item) for item in items]
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")


# ---- proofs -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Parts:
    """A proof's records, sorted by kind."""

    subject: int = -1
    event_bytes: int = 0
    events: dict[int, Event] = field(default_factory=dict)
    inclusions: dict[int, Inclusion] = field(default_factory=dict)
    consistencies: dict[tuple[int, int], Consistency] = field(default_factory=dict)
    heads: list[SignedHead] = field(default_factory=list)
    attachments: dict[str, Any] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Take one record; a second one for the same thing is refused."""
        match item:
            case Record():
                self.event_bytes += len(item.payload) + len(item.content or b"")
                if self.event_bytes > _EVENT_BYTES_MAX:
                    raise _Failed(BROKEN, f"events of more than {_EVENT_BYTES_MAX} bytes")
                _once(self.events, item.position, _open(item))
            case Inclusion():
                _once(self.inclusions, item.position, item)
            case Consistency():
                _once(self.consistencies, (item.size1, item.size2), item)
            case SignedHead():
                self.heads.append(item)
            case Attachment(name=name) if name == SEAL_ATTACHMENT:
                _once(self.attachments, name, item.value)
            case Attachment():
                pass  # evidence for somebody else: not kept, so that it cannot fill memory
            case Subject():
                self.subject = item.position
            case _:
                raise _Failed(BROKEN, "a proof holds a second header")


def _open(record: Record) -> Event:
    try:
        return Event.open(record)
    except InvalidEvent as error:
        raise _Failed(BROKEN, f"event {record.position}: {error}") from error


def _once(table: dict[Any, Any], key: object, value: object) -> None:
    if key in table:
        raise _Failed(BROKEN, f"two records for {key}")
    table[key] = value


def _bounded(items: Iterator[Item]) -> Iterator[Item]:
    for number, item in enumerate(items):
        if number >= _ITEMS_MAX:
            raise _Failed(BROKEN, f"more than {_ITEMS_MAX} records")
        yield item


def _verify_proof(report: Report, reader: Reader, soul: bytes | None) -> None:
    parts = _Parts()
    for item in _bounded(iter(reader)):
        parts.add(item)
    if 0 not in parts.events or parts.subject not in parts.events:
        raise _Failed(INCOMPLETE, "the genesis event or the event in question is not here")
    genesis = _identify(report, parts.events[0], soul)
    heads = _open_heads(genesis, report, parts.heads, reader.header.epoch)
    _check_inclusions(parts, {head.size: head for head in heads})
    _check_neighbours(parts, heads)
    epoch = 0
    for record in sorted(parts.events.values(), key=lambda event: event.position):
        if record.type == EPOCH.name:
            epoch = _next_epoch(genesis, report, record, epoch)
            _check_kept_by_proof(parts, record, heads)
    if epoch != reader.header.epoch:
        raise _Failed(INCOMPLETE, f"the record of epoch {reader.header.epoch} is not here")
    event = report.event = parts.events[parts.subject]
    covering = parts.inclusions[event.position].size
    report.size = heads[-1].size
    report.say(
        "integrity",
        f"event {event.position} ({event.type}) is in the log under the head of size {covering}",
    )
    _say_content(report, event)
    if SEAL_ATTACHMENT in parts.attachments:
        _verify_seal(report, parts, genesis, heads, covering)
        if epoch and report.verdict != TEST:
            report.verdict = RECOVERED
    else:
        report.verdict = RECOVERED if epoch else UNBROKEN_PENDING
        report.say("freshness", f"signed at size {covering}; not anchored in Bitcoin")
        report.not_shown.append("when: nothing here is in Bitcoin")
    report.not_shown.append("the other events of this log, and that what was said is true")
    report.not_shown.append("that no later head exists, and no other seal")
    report.not_shown.append("that no other agent has this SOUL: compare the ledger id")


def _check_inclusions(parts: _Parts, heads: dict[int, SignedCheckpoint]) -> None:
    for position, event in parts.events.items():
        proof = parts.inclusions.get(position)
        if proof is None or proof.size not in heads:
            raise _Failed(INCOMPLETE, f"event {position} is not proven under any head here")
        leaf = leaf_hash(event.record.envelope)
        verify_inclusion(leaf, position, proof.size, proof.path, heads[proof.size].root)


def _check_kept_by_proof(parts: _Parts, event: Event, heads: list[SignedCheckpoint]) -> None:
    """An epoch record keeps *this* history: the root it names leads to the head over it."""
    size, root = event.payload["kept_size"], event.payload["kept_root"]
    covering = parts.inclusions[event.position].size
    head = next(head for head in heads if head.size == covering)
    if size != event.position:
        raise _Failed(REWRITTEN, f"event {event.position} keeps {size} events of another history")
    proof = parts.consistencies.get((size, covering))
    if proof is None:
        raise _Failed(INCOMPLETE, f"no consistency proof from what event {event.position} keeps")
    try:
        verify_consistency(size, covering, proof.path, root, head.root)
    except InvalidProof as error:
        text = f"event {event.position} keeps another history: {error}"
        raise _Failed(REWRITTEN, text) from error


def _check_neighbours(parts: _Parts, heads: list[SignedCheckpoint]) -> None:
    for older, newer in pairwise(heads):
        if older.size == newer.size:
            continue
        proof = parts.consistencies.get((older.size, newer.size))
        if proof is None:
            text = f"no consistency proof between the heads of size {older.size} and {newer.size}"
            raise _Failed(INCOMPLETE, text)
        try:
            verify_consistency(older.size, newer.size, proof.path, older.root, newer.root)
        except InvalidProof as error:
            text = f"the head of size {newer.size} does not continue that of {older.size}: {error}"
            raise _Failed(REWRITTEN, text) from error


def _say_content(report: Report, event: Event) -> None:
    if event.redacted:
        text = "its content is not here: redacted, or left out by who made this file"
    elif event.has_content:
        text = "its content is here and matches the commitment"
    else:
        text = "it has no content, only facts"
    report.say("completeness", f"one event is shown; {text}")


# ---- Bitcoin --------------------------------------------------------------------------------


def _verify_seal(
    report: Report,
    parts: _Parts,
    genesis: Genesis,
    heads: list[SignedCheckpoint],
    covering: int,
) -> None:
    opening, links, anchored = _open_seal(parts, heads)
    chain = verify_chain(
        opening=opening,
        links=links,
        digests=[head.anchor_digest() for head in anchored],
        seal_key=genesis.keys["seal"],
        soul_digest=genesis.soul.sha256,
        network=network_by_name(genesis.network),
    )
    _check_recovery(opening, genesis)
    standing = _standing(report, chain, anchored, covering)
    report.standing = standing
    if chain.network.is_test:
        report.verdict = TEST
        report.not_shown.append(f"anything about time: {chain.network.name} blocks cost nothing")
    else:
        report.verdict = UNBROKEN_FINAL if standing is Standing.FINAL else UNBROKEN_PENDING
    report.not_shown.append("that these blocks are on the heaviest chain")


def _check_recovery(opening: SealOpening, genesis: Genesis) -> None:
    """The one-shot recovery seal must belong to the key that genesis names."""
    expected = p2tr_script(genesis.recovery_output_key)
    if opening.recovery is not None and opening.recovery.script != expected:
        raise _Failed(BROKEN, "the recovery seal does not pay the recovery key of genesis")


def _open_seal(
    parts: _Parts, heads: list[SignedCheckpoint]
) -> tuple[SealOpening, list[AnchorProof], list[SignedCheckpoint]]:
    value = parts.attachments[SEAL_ATTACHMENT]
    by_size = {head.size: head for head in heads}
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), list) for name in ("links", "sizes")
    ):
        raise _Failed(BROKEN, "the seal attachment is malformed")
    named = [e for e in parts.events.values() if e.type == SEAL_OPENED.name]
    if len(named) != 1:
        raise _Failed(INCOMPLETE, f"{len(named)} events name the opening of the seal, expected 1")
    opening = SealOpening.from_value(named[0].payload.get("opening"))
    sizes = value["sizes"]
    if any(type(size) is not int or size not in by_size for size in sizes):
        raise _Failed(INCOMPLETE, "the preimage of an anchor is not here")
    if named[0].position >= min(sizes, default=0):
        raise _Failed(BROKEN, "the seal was opened before the ledger named its outpoint")
    links = [AnchorProof.from_value(link) for link in value["links"]]
    return opening, links, [by_size[size] for size in sizes]


def _standing(
    report: Report, chain: ChainResult, anchored: list[SignedCheckpoint], covering: int
) -> Standing:
    """Say how deep the first anchor over the event is; later heads cover it as well."""
    found = [
        link for link, head in zip(chain.links, anchored, strict=True) if head.size >= covering
    ]
    if not found:
        report.say("freshness", f"signed at size {covering}; no anchor here covers it")
        return Standing.PENDING
    link = found[0]
    moment = datetime.fromtimestamp(link.time_s + 7200, tz=UTC).strftime("%Y-%m-%d %H:%M")
    report.say(
        "freshness",
        f"in {chain.network.name} block {link.height}, {link.confirmations} deep here: "
        f"existed no later than {moment} UTC",
    )
    report.say("seal chain", f"{len(chain.links)} links on one seal, unbroken since its opening")
    return max(link.standing for link in found)
