"""Replay: fold a log from event 0 (or a snapshot) and compare with what was attested on the way.

A `state.attested` event carries {size, reducers, digest}. On replay the digest is computed again at
that size; a difference is loud and names the first event after the last agreement.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from ledger.core import hashing, types
from ledger.core.checkpoint import Checkpoint
from ledger.core.codec import encode
from ledger.core.errors import InvalidData, LedgerError, StoreDamaged
from ledger.core.event import Draft, Event
from ledger.core.merkle import fold_peaks, leaf_hash, perfect_root, push
from ledger.core.state import Reducer, State
from ledger.core.tiles import TILE_LEVELS, TILE_WIDTH
from ledger.log import Log


class ReplayDiffers(LedgerError):
    """The replayed state is not the attested one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Outcome of a replay: the state, its reducers' hash, attestations that agreed or were of
    other reducers (which only the version that made them can check).
    """

    state: State
    reducers: bytes
    agreed: int
    foreign: int


def reducers_hash(reducers: Iterable[Reducer]) -> bytes:
    """Digest of the reducers' names and modules: two states compare only if this is equal.

    The whole module, because a reducer is more than its first function; a changed comment costs
    one fold from the beginning.
    """
    sources = [[r.__module__, r.__qualname__, _source(r.__module__)] for r in reducers]
    return hashing.digest(hashing.REDUCERS, encode(sources))


@cache
def _source(module: str) -> str:
    return inspect.getsource(sys.modules[module])


def proven(log: Log, head: Checkpoint) -> Iterator[Event]:
    """Yield every event of `log`, every commitment and the root at `head` checked.

    Events under a head that this node signed were looked at in every detail when they came in;
    here the root vouches for that, which takes half the time. Events after it are opened as
    strictly as ever. Raises StoreDamaged, when the head's size is reached, if what was yielded is
    not what was signed: fold into something that can be thrown away.
    """
    peaks: list[bytes] = []
    leaves: list[bytes] = []
    for record in log.records(0, head.size):
        try:
            event = Event.open_again(record)
        except InvalidData as error:
            raise _damaged(record.position, str(error)) from error
        leaves.append(leaf_hash(record.envelope))
        if len(leaves) == TILE_WIDTH:
            push(peaks, record.position >> TILE_LEVELS, perfect_root(leaves))
            leaves.clear()
        yield event
    for at, leaf in enumerate(leaves):
        push(peaks, at, leaf)
    if fold_peaks(peaks) != head.root:
        raise _damaged(None, f"the first {head.size} events are not those that were signed")
    yield from log.events(head.size)


def _damaged(position: int | None, why: str) -> StoreDamaged:
    where = "" if position is None else f"event {position}: "
    return StoreDamaged(f"{where}{why}", position=position, hint="run: timmy doctor")


def attestation(state: State, reducers: bytes) -> Draft:
    """Return the event that fixes `state` in the ledger."""
    return Draft(
        type=types.STATE_ATTESTED.name,
        stream=types.NODE_STREAM,
        payload={"size": state.size, "reducers": reducers, "digest": state.digest()},
    )


def replay(events: Iterable[Event], reducers: tuple[Reducer, ...]) -> Replayed:
    """Fold `events` from position 0 and check every attestation on the way.

    Raises ReplayDiffers naming the range in which the first difference lies.
    """
    return replay_from(State(reducers), events)


def replay_from(state: State, events: Iterable[Event]) -> Replayed:
    """Fold on from `state`, which may be a snapshot's."""
    mine = reducers_hash(state.reducers)
    agreed = foreign = 0
    last_good = state.size
    for event in events:
        if event.type == types.STATE_ATTESTED.name:
            if event.payload.get("reducers") != mine:
                foreign += 1
            elif event.payload.get("size") == event.position:
                _compare(event, state.digest(), last_good)
                agreed, last_good = agreed + 1, event.position
        state.apply(event)
    return Replayed(state=state, reducers=mine, agreed=agreed, foreign=foreign)


def _compare(event: Event, found: bytes, last_good: int) -> None:
    attested = event.payload.get("digest")
    if attested != found:
        raise ReplayDiffers(
            f"state at {event.position} replays to {found.hex()}, attested {attested!r};"
            f" the first difference is in events {last_good} to {event.position - 1}",
            hint="run: timmy verify",
        )
