"""What a ledger hands to an aggregator: its head, and what shows that it continues the last."""

from attest.core.submission import Shown, Submission
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import Refused
from ledger.core.event import Event
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.types import LINEAGE_STREAM
from ledger.log import Log


def make_submission(log: Log, head: SignedCheckpoint, since: int) -> bytes:
    """The bytes that hand `head` of this ledger to an aggregator that has the head of size `since`.

    From 0 the genesis event is in it, and wherever keys have changed it is, with what changed them.
    Raises Refused for a size that the ledger does not have.
    """
    if not 0 <= since <= head.size:
        raise Refused(
            f"since {since}, and the newest head has size {head.size}",
            hint="the size that the aggregator has; 0 if it does not know this ledger",
        )
    own = log.stream(LINEAGE_STREAM, last=log.size)
    changed = [e for e in own if e.type in LINEAGE_TYPES and e.position < head.size]
    lineage = tuple(_shown(log, event, head.size) for event in changed)
    birth = _shown(log, log.read(0), head.size) if lineage or since == 0 else None
    path = tuple(log.tree.consistency(since, head.size)) if 0 < since < head.size else ()
    return Submission(
        note=head.anchor_preimage(), birth=birth, lineage=lineage, since=since, consistency=path
    ).encode()


def _shown(log: Log, event: Event, size: int) -> Shown:
    record = event.record
    return Shown(
        position=event.position,
        envelope=record.envelope,
        salt=record.salt,
        payload=record.payload,
        path=tuple(log.tree.inclusion(event.position, size)),
    )
