"""Heads that transactions are to commit to: their notes are kept in the ledger, found by a key."""

from itertools import pairwise

from ledger.core import hashing, types
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.event import Cause as EventCause
from ledger.core.event import Draft, Event
from ledger.core.lineage import Cause, Lineage, Tenure
from ledger.log import Log

_OPENING, _OPEN, _HANDOFF = b"opening", b"open", b"handoff"


def anchor_key(ledger_id: bytes, *parts: bytes) -> bytes:
    """The idempotency key of one step of anchoring, 16 bytes."""
    return hashing.digest(hashing.ANCHOR_KEY, ledger_id, *parts)[:16]


def request(
    head: SignedCheckpoint, key: bytes, *causes: EventCause, handed_in: bool = False
) -> Draft:
    """The draft that keeps the note of `head`, which a transaction is to commit to.

    One of another's seal, if it is `handed_in` to an aggregator.
    """
    return Draft(
        type=types.ANCHOR_REQUESTED.name,
        stream=types.SEAL_STREAM,
        payload={
            "size": head.size,
            "note": head.anchor_preimage(),
            "digest": head.anchor_digest(),
            **({"handed_in": True} if handed_in else {}),
        },
        causes=causes,
        idempotency_key=key,
    )


def named(log: Log) -> Event | None:
    """The event that names the outpoint of the seal's opening, or None.

    One that came to nothing (its coin was spent elsewhere) has a later one in its place.
    """
    found = log.find(opening_key(log, None))
    while found is not None:
        later = log.find(opening_key(log, found))
        if later is None:
            break
        found = later
    return found


def opening_key(log: Log, before: Event | None) -> bytes:
    """The key of the event that names an opening: the first, or one in the place of `before`."""
    return anchor_key(log.ledger_id, _OPENING, *(() if before is None else (before.id,)))


def open_key(log: Log) -> bytes:
    """The key of the head that the opening which is named commits to."""
    event = named(log)
    replacing = event is not None and "replaces" in event.payload
    return anchor_key(log.ledger_id, _OPEN, *((event.id,) if event and replacing else ()))


def takeover_key(log: Log, tenure: Tenure) -> bytes:
    """The key of the head that hands the seal over to a tenure, or recovers it for it."""
    return anchor_key(log.ledger_id, _HANDOFF, tenure.record)


def takeovers(lineage: Lineage) -> list[tuple[Tenure, Tenure]]:
    """Tenures that the seal goes to, one after the other, each with the one before it.

    Those begun by a handoff, from the last recovery with new keys on: that one leads the seal away
    from whoever has it, and comes first.
    """
    found: list[tuple[Tenure, Tenure]] = []
    for before, tenure in pairwise(lineage.tenures):
        if tenure.cause is Cause.RECOVERY:
            found = [(before, tenure)]
        elif tenure.cause is Cause.HANDOFF:
            found.append((before, tenure))
    return found


def wants_seal(log: Log, tenure: Tenure) -> bool:
    """Whether the seal was opened before this tenure, so that it has to be handed over to it."""
    opening = named(log)
    return opening is not None and opening.position < tenure.position


def delegation(log: Log) -> Event | None:
    """The event that names the aggregator whom the seal is delegated to, or is about to be.

    None again once a link that was asked for later is in a block: the return, or a recovery.
    """
    found, later = None, set[bytes]()
    for event in log.stream(types.SEAL_STREAM, last=log.size):
        payload = event.payload
        if event.type == types.SEAL_DELEGATED.name:
            found, later = event, set()
        elif found is None or "handed_in" in payload:
            continue
        elif event.type == types.ANCHOR_REQUESTED.name and found.cause not in event.envelope.causes:
            later.add(payload["digest"])
        elif event.type == types.ANCHORED.name and payload["digest"] in later:
            found = None
    return found


def opened_in_block(log: Log) -> bool:
    """Whether the ledger knows of a block with the seal's opening."""
    own = log.stream(types.SEAL_STREAM, last=log.size)
    return any(e.type == types.ANCHORED.name and e.payload["link"] == 0 for e in own)
