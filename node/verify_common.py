"""What every verification of a file asks first: whose is it, and which heads did its key sign."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from genesis.core.birth import Genesis, parse_genesis
from genesis.core.errors import SoulChanged
from genesis.soul import check_soul
from ledger.core.bundle import (
    Attachment,
    Consistency,
    Inclusion,
    Item,
    SignedHead,
    Subject,
)
from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.epoch import open_epoch
from ledger.core.errors import InvalidEvent, TimmyError
from ledger.core.event import Event, Record
from node.report import (
    BROKEN,
    DIVERGED,
    INCOMPLETE,
    REWRITTEN,
    Report,
)

SEAL_ATTACHMENT: Final = "seal"
_EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Payloads and contents of a proof together. Decoded they may take fifty times as much memory."""


class Failed(TimmyError):
    """The verdict is negative; the message names the failing link."""

    def __init__(self, verdict: str, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


def identify(report: Report, first: Event, soul: bytes | None) -> Genesis:
    """Say whose ledger this is, by event 0 and, if given, by SOUL.md. Raises Failed."""
    report.question = "identity"
    if first.position != 0 or first.id != report.ledger_id:
        raise Failed(BROKEN, "event 0 is not the one this ledger is named after")
    genesis = parse_genesis(first.payload)
    report.name, report.genesis = genesis.name, genesis
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
    return genesis


def open_heads(
    genesis: Genesis, report: Report, heads: Iterable[SignedHead], epoch: int
) -> list[SignedCheckpoint]:
    """Return the heads that the log's key signed, smallest first. Raises Failed."""
    opened = [open_checkpoint(head.note, genesis.keys["log"]) for head in heads]
    for head in opened:
        if head.checkpoint.ledger_id != report.ledger_id or head.checkpoint.epoch != epoch:
            raise Failed(BROKEN, f"checkpoint {head.checkpoint.origin} is of another log")
    opened.sort(key=lambda head: head.size)
    for older, newer in pairwise(opened):
        if older.size == newer.size and older.root != newer.root:
            raise Failed(DIVERGED, f"two signed roots at size {older.size}")
    if not opened:
        raise Failed(INCOMPLETE, "no signed checkpoint")
    return opened


def next_epoch(genesis: Genesis, report: Report, event: Event, epoch: int) -> int:
    """Check an epoch record and return its epoch, which follows `epoch`."""
    record = open_epoch(
        event.payload,
        ledger_id=report.ledger_id or b"",
        recovery_key_digest=genesis.recovery_key_digest,
    )
    if record.epoch != epoch + 1:
        raise Failed(BROKEN, f"epoch {record.epoch} follows epoch {epoch}")
    report.say(
        "recovery", f"epoch {record.epoch} began at event {event.position}, by the recovery key"
    )
    return record.epoch


def check_kept(event: Event, size: int, root: bytes) -> None:
    """Compare what an epoch record says it kept with what is there. Raises Failed."""
    if (event.payload["kept_size"], event.payload["kept_root"]) != (size, root):
        raise Failed(REWRITTEN, f"event {event.position} keeps another history than this one")


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
            case Attachment(name=name) if name == SEAL_ATTACHMENT:
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
