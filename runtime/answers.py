"""The events that end what a message began, and the fixed answers that held authors are due.

Shared by the gateway and the host services: a message has one answer and a turn one end, whoever
writes them, because their idempotency keys are made of nothing but the message.
"""

from typing import Any, Final

from ledger.core import types
from ledger.core.event import Cause, Draft
from runtime.core import calls
from runtime.core.adoptions import Adoptions
from runtime.core.agenda import HELD, HOLD, SCREEN_CRISIS, SCREEN_PASS
from runtime.core.crisis import ANSWER
from runtime.core.turns import Message
from runtime.journal import Journal

ELSEWHERE: Final = "elsewhere"
"""How a turn ends whose message another member of the fleet answers; its reason may name that."""


def decided(message: Message, action: str, *, screen: str, rule: str) -> Draft:
    """Record that the crisis screen or a hold decided about a message, and by which rule."""
    return Draft(
        type=types.POLICY_DECIDED.name,
        stream=message.stream,
        payload={
            "action": action,
            "screen": screen,
            "rule": rule,
            "message": message.position,
            "conversation": message.conversation,
            "author": message.author,
        },
        causes=(message.cause,),
    )


def sent(
    message: Message,
    turn: bytes,
    text: str,
    facts: dict[str, Any],
    causes: tuple[Cause, ...] = (),
) -> Draft:
    """Answer `message` with `text`. `facts` says which step of the turn did, if one did.

    `causes`: what it came of, the message first; nothing but that if there are none.
    """
    return Draft(
        type=types.MESSAGE_SENT.name,
        stream=message.stream,
        payload={
            **facts,
            "conversation": message.conversation,
            "author": message.author,
            "message": message.position,
        },
        content={"text": text},
        causes=causes or (message.cause,),
        idempotency_key=calls.step_key(turn, 0, "sent"),
    )


def finished(message: Message, turn: bytes, outcome: str, reason: str | None) -> Draft:
    """End the turn that answers `message`."""
    return Draft(
        type=types.TURN_FINISHED.name,
        stream=message.stream,
        payload={
            "turn": turn,
            "message": message.position,
            "outcome": outcome,
            "reason": reason,
        },
        causes=(message.cause,),
        idempotency_key=calls.step_key(turn, 0, "finished"),
    )


def turn_of(journal: Journal, message: Message) -> bytes:
    """Return the 16-byte id of the turn that answers `message` as things are."""
    moved = Adoptions(journal.state.entries).moved(message.position)
    return calls.turn_id(journal.log.ledger_id, message.cause.id, moved)


async def settle(journal: Journal) -> None:
    """Give every held author the fixed answers still due. Call inside `journal.deciding`."""
    for message in journal.turns.to_settle():
        received = journal.log.read(message.position)
        met = received.payload.get("screen") != SCREEN_PASS
        turn = turn_of(journal, message)
        rule = SCREEN_CRISIS if met else HELD
        drafts = [
            decided(message, HOLD if met else HELD, screen="input", rule=rule),
            sent(message, turn, ANSWER, {}),
        ]
        if turn in journal.turns.open:
            drafts.append(finished(message, turn, HELD, None))
        await journal.append(*drafts)
