"""Replay: fold a log from event 0 (or a snapshot) and compare with what was attested on the way.

A `state.attested` event carries {size, reducers, digest}. On replay the digest is computed again at
that size; a difference is loud and names the first event after the last agreement.
"""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.core import hashing, types
from ledger.core.codec import encode
from ledger.core.errors import LedgerError
from ledger.core.event import Draft, Event
from ledger.core.state import Reducer, State

_STREAM: Final = bytes(16)


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
    """Digest of the reducers' source: two states compare only if this is equal."""
    sources = [f"{r.__module__}.{r.__qualname__}\n{inspect.getsource(r)}" for r in reducers]
    return hashing.digest(hashing.REDUCERS, encode(list(sources)))


def attestation(state: State, reducers: bytes) -> Draft:
    """Return the event that fixes `state` in the ledger."""
    return Draft(
        type=types.STATE_ATTESTED.name,
        stream=_STREAM,
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
