"""Replay: fold a log from event 0 (or a snapshot) and compare with what was attested on the way.

A `state.attested` event carries {size, reducers, digest, parts, code}. On replay all of it is
computed again at that size; a difference is loud, and names the events in which it began, the parts
of the state and their reducers (`ledger.attested`). Where other code attested, a difference is a
finding for whoever asks, and no error: a newer version may well fold otherwise.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ledger.attested import Comparison, Difference, Kept, ReplayDiffers, code_of, sources
from ledger.core import hashing, types
from ledger.core.checkpoint import Checkpoint
from ledger.core.codec import encode
from ledger.core.errors import InvalidData, StoreDamaged
from ledger.core.event import Draft, Event, Record
from ledger.core.merkle import fold_peaks, leaf_hash, perfect_root, push
from ledger.core.state import BASIC_OWNERS, Owners, Reducer, State
from ledger.core.tiles import TILE_LEVELS, TILE_WIDTH
from ledger.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Outcome of a replay: the state, its reducers' hash, and what came of the attestations.

    `agreed`: those of the same code that agree. `foreign`: those of other code, of which `alike`
    agree, and `silent` do not say enough to be compared. `differences`: from other code, where each
    was first seen. `unsettled`: those that no later attestation of the same code has settled.
    """

    state: State
    reducers: bytes
    agreed: int
    foreign: int
    alike: int = 0
    silent: int = 0
    differences: tuple[Difference, ...] = ()
    unsettled: tuple[Difference, ...] = ()


def reducers_hash(reducers: Iterable[Reducer]) -> bytes:
    """Digest of the reducers' names and modules: two states compare only if this is equal.

    The whole module, because a reducer is more than its first function; a changed comment costs
    one fold from the beginning.
    """
    return hashing.digest(hashing.REDUCERS, encode(sources(reducers)))


def proven(log: Log, head: Checkpoint) -> Iterator[Event]:
    """Yield every event of `log`, every commitment and the root at `head` checked.

    Events under a head that this node signed were looked at in every detail when they came in;
    here the root vouches for that, which takes half the time. Events after it are opened as
    strictly as ever. Raises StoreDamaged, when the head's size is reached, if what was yielded is
    not what was signed: fold into something that can be thrown away.
    """
    peaks: list[bytes] = []
    records = iter(log.records(0, head.size))
    while tile := list(islice(records, TILE_WIDTH)):
        yield from _opened(tile)
        leaves = [leaf_hash(record.envelope) for record in tile]
        if len(leaves) == TILE_WIDTH:
            push(peaks, tile[0].position >> TILE_LEVELS, perfect_root(leaves))
            continue
        for at, leaf in enumerate(leaves):
            push(peaks, at, leaf)
    if fold_peaks(peaks) != head.root:
        raise _damaged(None, f"the first {head.size} events are not those that were signed")
    yield from log.events(head.size)


def _opened(records: list[Record]) -> Iterable[Event]:
    """All at once; if that fails, one by one up to the event that is not what was appended."""
    try:
        return Event.open_together(records)
    except InvalidData:
        return _one_by_one(records)


def _one_by_one(records: list[Record]) -> Iterator[Event]:
    for record in records:
        try:
            event = Event.open_again(record)
        except InvalidData as error:
            raise _damaged(record.position, str(error)) from error
        yield event


def _damaged(position: int | None, why: str) -> StoreDamaged:
    where = "" if position is None else f"event {position}: "
    return StoreDamaged(f"{where}{why}", position=position, hint="run: timmy doctor")


def attestation(state: State, reducers: bytes) -> Draft:
    """Return the event that fixes `state` in the ledger."""
    return Draft(
        type=types.STATE_ATTESTED.name,
        stream=types.NODE_STREAM,
        payload={
            "size": state.size,
            "reducers": reducers,
            "digest": state.digest(),
            "parts": state.parts(),
            "code": code_of(state.reducers),
        },
    )


def replay(
    events: Iterable[Event],
    reducers: tuple[Reducer, ...],
    *,
    owners: Owners = BASIC_OWNERS,
    kept: Kept | None = None,
) -> Replayed:
    """Fold `events` from position 0 and check every attestation on the way.

    Raises ReplayDiffers, when all are folded, for a state that the same code attested otherwise.
    """
    return replay_from(State(reducers), events, owners=owners, kept=kept)


def replay_from(
    state: State,
    events: Iterable[Event],
    *,
    owners: Owners = BASIC_OWNERS,
    kept: Kept | None = None,
) -> Replayed:
    """Fold on from `state`, which may be a snapshot's. `owners`, `kept`: to name what differs."""
    mine = reducers_hash(state.reducers)
    seen = Comparison(state.reducers, mine, state.size, owners, kept)
    attested = types.STATE_ATTESTED.name
    for event in events:
        if event.envelope.type == attested:
            seen.look(event, state)
        state.apply(event)
    for difference in seen.differences:
        if not difference.changed:
            raise difference.error()
    return Replayed(
        state=state,
        reducers=mine,
        agreed=seen.agreed,
        foreign=seen.foreign,
        alike=seen.alike,
        silent=seen.silent,
        differences=tuple(seen.differences),
        unsettled=tuple(seen.differences[seen.settled :]),
    )


__all__ = [
    "ReplayDiffers", "Replayed", "attestation", "proven", "reducers_hash", "replay", "replay_from",
]  # fmt: skip
