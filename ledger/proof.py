"""Making bundles: a whole log for export, or one event with what a stranger needs to check it.

The log must have been released at the checkpoint used: callers pass a SignedCheckpoint from
`ledger.release`, so that nothing leaves the node above a guarded head.
"""

import itertools
from collections.abc import Collection, Iterable
from typing import BinaryIO, Protocol

from ledger.core import types
from ledger.core.bundle import (
    Attachment,
    Consistency,
    Header,
    Inclusion,
    SignedHead,
    Subject,
    Writer,
)
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import Refused
from ledger.core.event import Event
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.tiles import Tree
from ledger.log import Log


def export(
    log: Log, head: SignedCheckpoint, file: BinaryIO, *, also: Iterable[SignedCheckpoint] = ()
) -> int:
    """Write every event under `head`, each one checked, then the checkpoint, and those in `also`.

    Returns how many events. Raises StoreDamaged: a backup that nobody can read is none.
    """
    checkpoint = head.checkpoint
    writer = Writer(
        file, Header(purpose="export", ledger_id=checkpoint.ledger_id, epoch=checkpoint.epoch)
    )
    for event in log.events(0, head.size):
        writer.add(event.record)
    for one in (head, *also):
        writer.add(SignedHead(note=one.encode()))
    writer.end()
    return head.size


class Provable(Protocol):
    """A log of which at least the events that are to be proven can be read."""

    @property
    def tree(self) -> Tree:
        """The tree over all events. Read only."""

    def read(self, position: int) -> Event:
        """Return the event at `position`. Raises NotFound."""


def prove(
    log: Provable,
    heads: Iterable[SignedCheckpoint],
    position: int,
    file: BinaryIO,
    *,
    also: Iterable[int] = (),
    attachments: Iterable[Attachment] = (),
    without: Collection[int] = (),
    since: Iterable[int] = (),
) -> None:
    """Write a proof that the event at `position` is in this log.

    The genesis event and those in `also` (lineage records, the opening of a seal) are included.
    Each event is proven in the smallest of the released checkpoints `heads` of the newest epoch
    that covers it; neighbouring heads, whatever their epochs, are tied by consistency proofs.
    Content of the events in `without` is left out. From each size in `since`, which a reader holds
    a head of, a consistency proof leads to the newest head. Raises Refused if no head covers an
    event, or if a head is of what a recovery gave up.
    """
    ordered = _in_order(heads)
    wanted = sorted({0, position, *also})
    if not ordered or wanted[-1] >= ordered[-1].size:
        raise Refused(
            f"no released checkpoint covers event {wanted[-1]}",
            hint="start the node: it releases one within a second",
        )
    newest = ordered[-1].checkpoint
    sizes = [head.size for head in ordered if head.checkpoint.epoch == newest.epoch]
    writer = Writer(file, Header(purpose="proof", ledger_id=newest.ledger_id, epoch=newest.epoch))
    writer.add(Subject(position=position))
    events = [log.read(at) for at in wanted]
    pairs = _neighbours(ordered, events)
    pairs |= {(size, newest.size) for size in since if size != newest.size}
    for event in events:
        at = event.position
        covering = next(size for size in sizes if size > at)
        if event.type in LINEAGE_TYPES:
            pairs.add((at, covering))  # what the record keeps is a prefix of this history
        record = event.record
        if at in without:
            record = record._replace(content=None, content_salt=None)
        writer.add(record)
        path = log.tree.inclusion(at, covering)
        writer.add(Inclusion(position=at, size=covering, path=tuple(path)))
    for size1, size2 in sorted(pairs):
        path = log.tree.consistency(size1, size2)
        writer.add(Consistency(size1=size1, size2=size2, path=tuple(path)))
    for head in ordered:
        writer.add(SignedHead(note=head.encode()))
    for attachment in attachments:
        writer.add(attachment)
    writer.end()


def _in_order(heads: Iterable[SignedCheckpoint]) -> list[SignedCheckpoint]:
    by_place = {(head.checkpoint.epoch, head.size): head for head in heads}
    return [by_place[place] for place in sorted(by_place)]


def _neighbours(ordered: list[SignedCheckpoint], events: Iterable[Event]) -> set[tuple[int, int]]:
    """The pairs of sizes that tie each head to the next (docs/spec/bundle.md, P6)."""
    epochs = {e.payload["epoch"]: e.position for e in events if e.type == types.EPOCH.name}
    pairs = set()
    for older, newer in itertools.pairwise(ordered):
        kept = epochs.get(older.checkpoint.epoch + 1, older.size)
        if older.checkpoint.epoch < newer.checkpoint.epoch and older.size > kept:
            # From what was kept of it a path would lead through events that are not in this log.
            raise Refused(
                f"the head of {older.size} events is of a history that the recovery gave up at "
                f"{kept}",
                hint="prove it without anchors: leave --anchored out",
            )
        if older.size != newer.size:
            pairs.add((older.size, newer.size))
    return pairs
