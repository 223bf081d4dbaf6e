"""Consensus-critical: the reducer of messages that other members of the fleet are to answer.

A gateway keeps such a message in its ledger, parked (`runtime.core.agenda`), until an answer is
there. This remembers whom it asked. Whoever was asked and did not give the answer that was
delivered is told so, and says what it did: nothing, or a second answer, a *duplicate*.

Entries (ledgers are ids of 32 bytes, positions are of this log):

    routed                  parked messages, oldest first
    routed/<position>       [ledgers that were asked, and are still to be settled with; ledger whose
                            answer was delivered, empty before, and for this node's own]
    unsettled               messages that were answered, while somebody asked is to be settled with
    duplicates              [how many there were, the newest of them: [message, ledger, position]]
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.agenda import parked_key, pending_key

DUPLICATE: Final = "duplicate"
"""A second answer was made. Other outcomes: nothing was, the turn was ended, the member is gone."""
OUTCOMES: Final = (DUPLICATE, "withdrawn", "gone")
_SHOWN_MAX: Final = 16
"""Of the newest duplicates: what a person looks at; all are in the ledger."""
Entries: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A second answer to `message`: at `position` of `ledger`."""

    message: int
    ledger: bytes
    position: int


def routed(entries: Entries) -> list[int]:
    """Return the messages that wait for another member's answer, oldest first."""
    return list(entries.get("routed", ()))


def asked(entries: Entries, message: int) -> list[bytes]:
    """Return who was asked, and is still to be settled with."""
    return list(entries.get(routed_key(message), ([], b""))[0])


def delivered_by(entries: Entries, message: int) -> bytes:
    """Return whose answer to an unsettled message was delivered; empty for this node's."""
    found: bytes = entries.get(routed_key(message), ([], b""))[1]
    return found


def unsettled(entries: Entries) -> list[int]:
    """Return the answered messages about which somebody is still to be asked."""
    return list(entries.get("unsettled", ()))


def duplicates(entries: Entries) -> tuple[int, list[Duplicate]]:
    """Return how many second answers there were, and the newest."""
    count, newest = entries.get("duplicates", (0, ()))
    return count, [Duplicate(message=at, ledger=of, position=there) for at, of, there in newest]


def routed_key(message: int) -> str:
    """Entry of a message."""
    return f"routed/{message}"


def reduce_routed(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _received(entries: Entries, event: Event) -> Iterable[Change]:
    if parked_key(event.position) in entries:
        yield "routed", [*routed(entries), event.position]
        yield routed_key(event.position), [[], b""]


def _forwarded(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"message": int(at), "to": bytes(to)} if at is not True and at in routed(entries):
            if to not in asked(entries, at):
                yield routed_key(at), [[*asked(entries, at), to], b""]


def _taken(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"message": int(at)} if at is not True and at in routed(entries):
            yield "routed", [one for one in routed(entries) if one != at] or None


def _sent(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"message": int(at)} if _is_open(entries, at):
            by = event.payload.get("answered_by")
            ledger = by.get("ledger") if isinstance(by, dict) else None
            yield routed_key(at), [asked(entries, at), ledger if isinstance(ledger, bytes) else b""]


def _closed(entries: Entries, event: Event) -> Iterable[Change]:
    """A turn is over, or the screen answered: the agenda, which folds first, says so."""
    match event.payload:
        case {"message": int(at)} if _is_open(entries, at):
            if parked_key(at) in entries or pending_key(at) in entries:
                return
            ledger = delivered_by(entries, at)
            owed = [one for one in asked(entries, at) if one != ledger]
            yield "routed", [one for one in routed(entries) if one != at] or None
            yield routed_key(at), [owed, ledger] if owed else None
            if owed:
                yield "unsettled", [*unsettled(entries), at]


def _is_open(entries: Entries, message: int) -> bool:
    return routed_key(message) in entries and message not in unsettled(entries)


def _settled(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"message": int(at), "ledger": bytes(ledger)} if ledger in asked(entries, at):
            if at not in unsettled(entries):
                return
            owed = [one for one in asked(entries, at) if one != ledger]
            yield routed_key(at), [owed, delivered_by(entries, at)] if owed else None
            if not owed:
                yield "unsettled", [one for one in unsettled(entries) if one != at] or None
            position = event.payload.get("position")
            if event.payload.get("outcome") == DUPLICATE and type(position) is int:
                count, newest = entries.get("duplicates", (0, ()))
                yield "duplicates", [count + 1, [*newest, [at, ledger, position]][-_SHOWN_MAX:]]


_HANDLERS: Final[Mapping[str, Callable[[Entries, Event], Iterable[Change]]]] = {
    types.MESSAGE_RECEIVED.name: _received,
    types.ROUTE_FORWARDED.name: _forwarded,
    types.ROUTE_TAKEN.name: _taken,
    types.MESSAGE_SENT.name: _sent,
    types.TURN_FINISHED.name: _closed,
    types.POLICY_DECIDED.name: _closed,
    types.ROUTE_SETTLED.name: _settled,
}
