"""What all steps of a turn have in common: their facts, their keys, what they came of, their end.

Every event of a step names the message first among its causes, then what in the turn brought it
about. An event that is on record is never written again with other causes: whoever repeats a step
after a crash looks first (a key with another body is a conflict).
"""

from dataclasses import dataclass
from typing import Any

from ledger.core import types
from ledger.core.event import Cause, Draft, Event
from runtime.core import calls
from runtime.core.agenda import STEPPED
from runtime.core.bounds import TurnBounds
from runtime.core.chat import Reach
from runtime.core.privacy import Privacy, reach_of
from runtime.core.turns import Message, Step
from runtime.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call gave; `ended` if the turn is over with it."""

    value: dict[str, Any]
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call with everything its events have in common. `digest`: keyed, of its arguments.

    `bounds`: of its turn.
    """

    message: Message
    turn: bytes
    step: int
    op: str
    digest: bytes
    bounds: TurnBounds

    def facts(self, **more: Any) -> dict[str, Any]:
        """Return the payload of an event of this step."""
        return {"turn": self.turn, "step": self.step, "op": self.op, "args": self.digest, **more}

    def key(self, part: str) -> bytes:
        """Return the idempotency key of an event of this step."""
        return calls.step_key(self.turn, self.step, part)


def told_reach(
    journal: Journal, privacy: Privacy, turn: bytes, *, results: bool = True
) -> Reach | None:
    """How far words that a turn makes may travel: the least of all that it was told.

    That is of every reply and its prompt, every result of a tool, and every event that a search
    gave it: what the agent copies of a hit is words of that event, referred to or not. None if it
    had none of them: then its conversation alone says. `results`: those of tools count; not for
    calls of one reply, which was written before any of them returned.
    """
    opened = journal.turns.open.get(turn)
    told: list[Reach] = []
    for step in () if opened is None else opened.steps.values():
        if step.result is not None and (results or step.op != "tool"):
            told += _told_by(step, journal.log.read(step.result), journal, privacy)
    return min(told, default=None)


def _told_by(step: Step, result: Event, journal: Journal, privacy: Privacy) -> list[Reach]:
    if result.type == types.RECALLED.name:
        return [privacy.of_event(journal.log.read(at).payload) for at in result.payload["hits"]]
    if result.type == types.MODEL_REPLIED.name and step.asked is not None:
        return [reach_of(journal.log.read(step.asked).payload), *_named(result)]
    return [reach_of(result.payload)] if result.type == types.TOOL_RETURNED.name else _named(result)


def _named(event: Event) -> list[Reach]:
    """The reach that an event names. Replies of earlier versions name none."""
    return [reach_of(event.payload)] if "reach" in event.payload else []


def came_of(journal: Journal, asked: Asked) -> tuple[Cause, ...]:
    """What a step came of: the message, and the newest reply that the turn had before it."""
    opened = journal.turns.open.get(asked.turn)
    results = [
        step.result
        for number, step in (() if opened is None else opened.steps.items())
        if number < asked.step and step.op == "model" and step.result is not None
    ]
    for event in map(journal.log.read, sorted(results, reverse=True)):
        if event.type == types.MODEL_REPLIED.name:
            return asked.message.cause, event.cause
    return (asked.message.cause,)


async def record_step(journal: Journal, asked: Asked, more: dict[str, Any]) -> Outcome:
    """Record a result that is in no other event: a status, a refusal."""
    await journal.append(
        Draft(
            type=STEPPED,
            stream=asked.message.stream,
            payload=asked.facts(**more),
            causes=came_of(journal, asked),
            idempotency_key=asked.key("result"),
        )
    )
    return Outcome(value=more.get("value", {}))
