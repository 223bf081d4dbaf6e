"""Making bundles: a whole log for export, or one event with what a stranger needs to check it.

The log must have been released at the checkpoint used: callers pass a SignedCheckpoint from
`ledger.release`, so that nothing leaves the node above a guarded head.
"""

import itertools
from collections.abc import Iterable
from typing import BinaryIO

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
    """Write every event under `head`, then the checkpoint. Returns how many events."""
    checkpoint = head.checkpoint
    writer = Writer(
        file, Header(purpose="export", ledger_id=checkpoint.ledger_id, epoch=checkpoint.epoch)
    )
    for record in log.records(0, head.size):
        writer.add(record)
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
) -> None:
    """Write a proof that the event at `position` is in this log.

    `heads` are released checkpoints in ascending size; the first covers `position`. The genesis
    event and those in `also` (openings of seals, say) are included and proven the same way, in
    every head; neighbouring heads are tied by consistency proofs.
    """
    ordered = sorted(heads, key=lambda head: head.size)
    if not ordered or position >= ordered[0].size:
        raise Refused(f"no released checkpoint covers event {position}")
    checkpoint = ordered[0].checkpoint
    writer = Writer(
        file, Header(purpose="proof", ledger_id=checkpoint.ledger_id, epoch=checkpoint.epoch)
    )
    writer.add(Subject(position=position))
    first = ordered[0].size
    for at in sorted({0, position, *also}):
        covering = first if at < first else ordered[-1].size
        writer.add(log.read(at).record)
        path = log.tree.inclusion(at, covering)
        writer.add(Inclusion(position=at, size=covering, path=tuple(path)))
    for older, newer in itertools.pairwise(ordered):
        consistency = log.tree.consistency(older.size, newer.size)
        writer.add(Consistency(size1=older.size, size2=newer.size, path=tuple(consistency)))
    for head in ordered:
        writer.add(SignedHead(note=head.encode()))
    for attachment in attachments:
        writer.add(attachment)
    writer.end()
