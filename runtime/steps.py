"""What all steps of a turn have in common: their facts, their keys, and how they end."""

from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Draft
from runtime.core import calls
from runtime.core.agenda import STEPPED
from runtime.core.privacy import reach_of
from runtime.core.turns import Message
from runtime.journal import Journal

_BOUND: Final = frozenset({types.MODEL_REQUESTED.name, types.TOOL_RETURNED.name})
"""Events of a step that say how far what the turn was told may travel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call gave; `ended` if the turn is over with it."""

    value: dict[str, Any]
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call with everything its events have in common. `digest`: keyed, of its arguments."""

    message: Message
    turn: bytes
    step: int
    op: str
    digest: bytes

    def facts(self, **more: Any) -> dict[str, Any]:
        """Return the payload of an event of this step."""
        return {"turn": self.turn, "step": self.step, "op": self.op, "args": self.digest, **more}

    def key(self, part: str) -> bytes:
        """Return the idempotency key of an event of this step."""
        return calls.step_key(self.turn, self.step, part)


def turn_reach(journal: Journal, turn: bytes) -> dict[str, str]:
    """The payload's `reach` of words that a turn made: the least of all that it was told.

    That is of every prompt, every reply and every result of a tool. Empty if it had none: then its
    conversation alone says how far its words may travel.
    """
    opened = journal.turns.open.get(turn)
    told = []
    for step in () if opened is None else opened.steps.values():
        for at in (step.asked, step.result):
            event = None if at is None else journal.log.read(at)
            if event is not None and (event.type in _BOUND or "reach" in event.payload):
                told.append(reach_of(event.payload))
    return {"reach": min(told).word} if told else {}


async def record_step(journal: Journal, asked: Asked, more: dict[str, Any]) -> Outcome:
    """Record a result that is in no other event: a status, a refusal."""
    await journal.append(
        Draft(
            type=STEPPED,
            stream=asked.message.stream,
            payload=asked.facts(**more),
            causes=(asked.message.cause,),
            idempotency_key=asked.key("result"),
        )
    )
    return Outcome(value=more.get("value", {}))
