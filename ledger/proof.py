"""Making bundles: a whole log for export, or one event with what a stranger needs to check it.

The log must have been released at the checkpoint used: callers pass a SignedCheckpoint from
`ledger.release`, so that nothing leaves the node above a guarded head.
"""

import itertools
from collections.abc import Collection, Iterable
from typing import BinaryIO

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
from ledger.log import Log


def export(log: Log, head: SignedCheckpoint, file: BinaryIO) -> int:
    """Write every event under `head`, each one checked, then the checkpoint.

    Returns how many events. Raises StoreDamaged: a backup that nobody can read is none.
    """
    checkpoint = head.checkpoint
    writer = Writer(
        file, Header(purpose="export", ledger_id=checkpoint.ledger_id, epoch=checkpoint.epoch)
    )
    for event in log.events(0, head.size):
        writer.add(event.record)
    writer.add(SignedHead(note=head.encode()))
    writer.end()
    return head.size


def prove(
    log: Log,
    heads: Iterable[SignedCheckpoint],
    position: int,
    file: BinaryIO,
    *,
    also: Iterable[int] = (),
    attachments: Iterable[Attachment] = (),
    without: Collection[int] = (),
) -> None:
    """Write a proof that the event at `position` is in this log.

    The genesis event and those in `also` (the opening of a seal, say) are included. Each event is
    proven in the smallest of the released checkpoints `heads` that covers it; neighbouring heads
    are tied by consistency proofs. Content of the events in `without` is left out.
    """
    ordered = sorted({head.size: head for head in heads}.values(), key=lambda head: head.size)
    if not ordered or position >= ordered[-1].size:
        raise Refused(
            f"no released checkpoint covers event {position}",
            hint="start the node: it releases one within a second",
        )
    checkpoint = ordered[0].checkpoint
    writer = Writer(
        file, Header(purpose="proof", ledger_id=checkpoint.ledger_id, epoch=checkpoint.epoch)
    )
    writer.add(Subject(position=position))
    pairs = {(older.size, newer.size) for older, newer in itertools.pairwise(ordered)}
    for at in sorted({0, position, *also}):
        covering = next(head.size for head in ordered if head.size > at)
        event = log.read(at)
        if event.type == types.EPOCH.name:
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
