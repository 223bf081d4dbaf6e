"""Which link of the chain gave an answer, read from the record: for whoever is told the answer."""

from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from ledger.log import Log
from runtime.core import calls

_BACK_MAX: Final = 100
"""Events of a conversation that are looked through for who answered before."""


def who_answered(log: Log, message: Event, answer: Event | None) -> dict[str, Any]:
    """Return {link, tried, link_before} of an answer.

    `link`: of the last reply that it was made of, None if no model was asked here (the crisis
    screen, another member of the fleet); `tried`: which links gave none before it, and why;
    `link_before`: who replied last before this message in its conversation, None if not known.
    """
    replied = None if answer is None else _reply_for(log, answer)
    tried = [] if replied is None else list(replied.payload.get("tried", ()))
    link = None if replied is None else replied.payload.get("link")
    before = None if replied is None else _before(log, message)
    return {"link": link, "tried": tried, "link_before": before}


def _reply_for(log: Log, answer: Event) -> Event | None:
    turn, step = answer.payload.get("turn"), answer.payload.get("step")
    if type(turn) is not bytes or type(step) is not int:
        return None
    for number in range(step - 1, -1, -1):
        found = log.find(calls.step_key(turn, number, "result"))
        if found is not None and found.type == types.MODEL_REPLIED.name:
            return found
    return None


def _before(log: Log, message: Event) -> str | None:
    for event in reversed(log.stream(message.stream, last=_BACK_MAX)):
        mine = event.type == types.MODEL_REPLIED.name and "beside" not in event.payload
        if mine and event.position < message.position:
            return str(event.payload.get("link"))
    return None
