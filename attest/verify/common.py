"""What every verification of a file asks first: whose is it, and which heads did its key sign."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, TypeAlias

from attest.core.anchor import LinkResult
from attest.core.transaction import display
from attest.verify.history import History
from attest.verify.report import (
    BROKEN,
    DIVERGED,
    INCOMPLETE,
    REWRITTEN,
    Report,
)
from ledger.core.bundle import (
    Attachment,
    Consistency,
    Inclusion,
    Item,
    SignedHead,
    Subject,
)
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidEvent, InvalidNote, SoulChanged, TimmyError
from ledger.core.event import Event, Record
from ledger.core.genesis import check_soul
from ledger.core.lineage import LINEAGE_TYPES, Cause, Lineage, Tenure
from ledger.core.note import parse_note

SEAL_ATTACHMENT: Final = "seal"
AGGREGATE_ATTACHMENT: Final = "aggregate"
_EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Payloads and contents of a proof together. Decoded they may take fifty times as much memory."""

Place: TypeAlias = tuple[int, int]
"""Epoch and size of a head."""


class Failed(TimmyError):
    """The verdict is negative; the message names the failing link."""

    def __init__(self, verdict: str, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


def identify(report: Report, first: Event, soul: bytes | None) -> Lineage:
    """Say whose ledger this is, by event 0 and, if given, by SOUL.md. Raises Failed."""
    report.question = "identity"
    if first.position != 0 or first.id != report.ledger_id:
        raise Failed(BROKEN, "event 0 is not the one this ledger is named after")
    lineage = Lineage.of(first)
    genesis = lineage.genesis
    report.lineage, report.name = lineage, genesis.name
    if soul is None:
        text = f"agent {genesis.name!r}, ledger {first.id.hex()}; no SOUL.md was given to compare"
    else:
        try:
            check_soul(soul, genesis)
        except SoulChanged as error:
            raise Failed(BROKEN, f"identity: {error}") from error
        text = f"agent {genesis.name!r}, ledger {first.id.hex()}; SOUL.md is its own"
    report.say("identity", text)
    report.question = "integrity"
    return lineage


def succeed(lineage: Lineage, report: Report, event: Event) -> Lineage:
    """Check the next handoff or epoch record and say what it changed. Raises InvalidEvent."""
    after = report.lineage = lineage.add(event)
    tenure = after.newest
    if tenure.cause is Cause.HANDOFF:
        text = f"{tenure.number} at event {event.position}: signed by old, next and new keys"
        report.say("handoff", text)
    else:
        keys = ", with new keys" if tenure.cause is Cause.RECOVERY else ""
        text = f"epoch {tenure.epoch} began at event {event.position}, by the recovery key{keys}"
        report.say("recovery", text)
    return after


def open_heads(
    lineage: Lineage, report: Report, heads: Iterable[SignedHead]
) -> list[SignedCheckpoint]:
    """Return the heads that the log's keys signed, by epoch and size. Raises Failed.

    At least one must be of the newest epoch: those are what the report's history goes by.
    """
    opened = [open_head(lineage, head.note) for head in heads]
    return _in_order(report, lineage, opened, lineage.epoch)


def open_salvaged_heads(
    lineage: Lineage, report: Report, heads: Iterable[SignedHead], epoch: int
) -> list[SignedCheckpoint]:
    """Return the heads of a salvage, whose lineage records may be lost. Raises Failed."""
    opened = []
    for head in heads:
        named = Checkpoint.parse(parse_note(head.note).text)
        if (named.ledger_id, named.epoch) != (lineage.ledger_id, epoch):
            raise Failed(BROKEN, f"checkpoint {named.origin} is of another log")
        tenure = lineage.tenure_before(named.size)
        opened.append(open_checkpoint(head.note, tenure.keys["log"]))
    return _in_order(report, lineage, opened, epoch)


def _in_order(
    report: Report, lineage: Lineage, opened: list[SignedCheckpoint], epoch: int
) -> list[SignedCheckpoint]:
    opened.sort(key=lambda head: (head.checkpoint.epoch, head.size))
    for older, newer in pairwise(opened):
        if older.checkpoint.origin != newer.checkpoint.origin:
            continue
        if older.size == newer.size and older.root != newer.root:
            raise Failed(DIVERGED, f"two signed roots at size {older.size}")
    newest = tuple(head for head in opened if head.checkpoint.epoch == epoch)
    if not opened:
        raise Failed(INCOMPLETE, "no signed checkpoint")
    if not newest:
        raise Failed(BROKEN, f"no checkpoint here is of epoch {epoch}, which the records lead to")
    report.history = History(ledger_id=lineage.ledger_id, epoch=epoch, heads=newest)
    return opened


def open_head(lineage: Lineage, note: bytes) -> SignedCheckpoint:
    """Open a note by the key that was in charge; name an old key that signs above its takeover."""
    named = Checkpoint.parse(parse_note(note).text)
    if named.ledger_id != lineage.ledger_id or named.epoch > lineage.epoch:
        raise Failed(BROKEN, f"checkpoint {named.origin} is of another log")
    tenure = lineage.tenure_at(named.epoch, named.size)
    try:
        return open_checkpoint(note, tenure.keys["log"])
    except InvalidNote:
        for other in lineage.tenures:
            if other.keys != tenure.keys and _is_by(note, other):
                verdict = DIVERGED if other.number < tenure.number else BROKEN
                raise Failed(
                    verdict,
                    f"the head of size {named.size} is signed by log key {other.number}; "
                    f"from size {tenure.start} on key {tenure.number} is in charge",
                ) from None
        raise


def _is_by(note: bytes, tenure: Tenure) -> bool:
    try:
        open_checkpoint(note, tenure.keys["log"])
    except InvalidNote:
        return False
    return True


def check_kept(event: Event, size: int, root: bytes) -> None:
    """Compare what an epoch record says it kept with what is there. Raises Failed."""
    if (event.payload["kept_size"], event.payload["kept_root"]) != (size, root):
        raise Failed(REWRITTEN, f"event {event.position} keeps another history than this one")


def by_place(heads: Iterable[SignedCheckpoint]) -> dict[Place, SignedCheckpoint]:
    """The heads by epoch and size."""
    return {(head.checkpoint.epoch, head.size): head for head in heads}


def covers(head: SignedCheckpoint, position: int, kept: Mapping[int, int]) -> bool:
    """Tell whether the event at `position` is under `head`, and was kept by the next epoch."""
    return position < min(head.size, kept.get(head.checkpoint.epoch + 1, head.size))


def moment(link: LinkResult) -> str:
    """When a link's block shows its head to have existed, as people write it."""
    return datetime.fromtimestamp(link.time_s + 7200, tz=UTC).strftime("%Y-%m-%d %H:%M")


def check_pins(report: Report, pins: Mapping[int, bytes]) -> bool:
    """Compare the blocks here with those the verifier knows; tell whether one is among them.

    A pin that nothing here can be compared with is a requirement that is not met.
    """
    for height, pinned in pins.items():
        found = report.blocks.get(height)
        if found is None:
            report.met = False
            report.say("pin", f"block {height} is not among the headers here")
        elif found != pinned:
            raise Failed(
                BROKEN, f"block {height} is {display(found)}, the pinned one is {display(pinned)}"
            )
        else:
            report.say("pin", f"block {height} is the pinned one")
    return any(report.blocks.get(height) == pinned for height, pinned in pins.items())


@dataclass(slots=True)
class Parts:
    """A proof's records, sorted by kind."""

    subject: int = -1
    event_bytes: int = 0
    events: dict[int, Event] = field(default_factory=dict)
    inclusions: dict[int, Inclusion] = field(default_factory=dict)
    consistencies: dict[tuple[int, int], Consistency] = field(default_factory=dict)
    heads: list[SignedHead] = field(default_factory=list)
    attachments: dict[str, Any] = field(default_factory=dict)

    @property
    def lineage(self) -> list[Event]:
        """The handoffs and epoch records among the events."""
        return [event for event in self.events.values() if event.type in LINEAGE_TYPES]

    def add(self, item: Item) -> None:
        """Take one record; a second one for the same thing is refused."""
        match item:
            case Record():
                self.event_bytes += len(item.payload) + len(item.content or b"")
                if self.event_bytes > _EVENT_BYTES_MAX:
                    raise Failed(BROKEN, f"events of more than {_EVENT_BYTES_MAX} bytes")
                _once(self.events, item.position, _open(item))
            case Inclusion():
                _once(self.inclusions, item.position, item)
            case Consistency():
                _once(self.consistencies, (item.size1, item.size2), item)
            case SignedHead():
                self.heads.append(item)
            case Attachment(name=name) if name in (SEAL_ATTACHMENT, AGGREGATE_ATTACHMENT):
                _once(self.attachments, name, item.value)
            case Attachment():
                pass  # evidence for somebody else: not kept, so that it cannot fill memory
            case Subject():
                self.subject = item.position
            case _:
                raise Failed(BROKEN, "a proof holds a second header")


def _open(record: Record) -> Event:
    try:
        event = Event.open(record)
        _ = event.content  # decoded: words that are no map are refused, whoever asks for them
    except InvalidEvent as error:
        raise Failed(BROKEN, f"event {record.position}: {error}") from error
    return event


def _once(table: dict[Any, Any], key: object, value: object) -> None:
    if key in table:
        raise Failed(BROKEN, f"two records for {key}")
    table[key] = value
