"""Consensus-critical: the reducer of questions to the operator that wait for an answer.

A question is open from `approval.asked` until `approval.answered`, or until the turn that asked it
is over: then nobody needs the answer any more. An event with a shape this version does not write
is passed over, never an error.

    approvals             positions of the open questions, oldest first
    approval/<position>   [message, turn, name of the tool, deadline in ms since 1970, conversation]
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change

_OPEN: Final = "approvals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An open question. `position` is that of its `approval.asked`."""

    position: int
    message: int
    turn: bytes
    name: str
    deadline_ms: int
    conversation: str


def approval_key(position: int) -> str:
    """Entry of a question."""
    return f"approval/{position}"


def questions(entries: Mapping[str, Any]) -> list[Question]:
    """Return the open questions, oldest first."""
    found = []
    for position in entries.get(_OPEN) or ():
        message, turn, name, deadline_ms, conversation = entries[approval_key(position)]
        found.append(
            Question(
                position=position, message=message, turn=turn, name=name,
                deadline_ms=deadline_ms, conversation=conversation,
            )
        )  # fmt: skip
    return found


def reduce_approvals(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    payload = event.payload
    match event.type:
        case types.APPROVAL_ASKED.name:
            return _asked(entries, event)
        case types.APPROVAL_ANSWERED.name:
            return _without(entries, [payload.get("approval")])
        case types.TURN_FINISHED.name | types.POLICY_DECIDED.name:
            message = payload.get("message")
            over = [q.position for q in questions(entries) if q.message == message]
            return _without(entries, over)
    return ()


_SHAPE: Final = {
    "message": int, "turn": bytes, "name": str, "deadline_ms": int, "conversation": str,
}  # fmt: skip


def _asked(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    if any(type(event.payload.get(name)) is not kind for name, kind in _SHAPE.items()):
        return ()
    return (
        (_OPEN, [*(entries.get(_OPEN) or ()), event.position]),
        (approval_key(event.position), [event.payload[name] for name in _SHAPE]),
    )


def _without(entries: Mapping[str, Any], positions: list[Any]) -> Iterable[Change]:
    known = entries.get(_OPEN) or []
    gone = [position for position in known if position in positions]
    if not gone:
        return ()
    left = [position for position in known if position not in gone]
    return ((_OPEN, left or None), *((approval_key(position), None) for position in gone))
