"""Asking the model chain beside the turns: for the historian, compaction and the dreamer.

The chain, its gate, budget and reach hold as in a turn. What a reply cost is on record
(`model.replied`) before anything is made of it, and the words it was made of are its causes. If any
of those is erased or withheld by then, or if no event can hold the reply, the cost alone is on
record and there is no reply. Nor is there if no model but the responder answers: each of the three
has a form without a model.
"""

from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Cause, Draft
from runtime.asking import Completes
from runtime.core.chat import ModelRequest, Reach, Reply
from runtime.core.claims import encodes
from runtime.core.errors import ModelFailed
from runtime.journal import Journal
from runtime.responder import Responder

CAUSES_MAX: Final = 64
"""The ledger's bound of causes to an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is asked. `stream` is where the reply is recorded."""

    task: str
    """The task class, which picks the links: historian, compaction, dreamer."""
    instructions: str
    words: str
    reach: Reach
    max_tokens: int
    stream: bytes
    causes: tuple[Cause, ...]


async def ask_aside(journal: Journal, chain: Completes, aside: Aside) -> str | None:
    """Return what a model replied, on record; None if none but the responder would."""
    request = ModelRequest(
        messages=(("system", aside.instructions), ("user", aside.words)),
        max_tokens=aside.max_tokens,
        before=journal.log.size,
        reach=aside.reach,
        task=aside.task,
    )
    try:
        reply = await chain.complete(request)
    except ModelFailed:
        return None
    if Responder.name in {reply.link, reply.model}:
        return None
    async with journal.deciding:
        gone = not encodes(reply.text) or any(_gone(journal, c.position) for c in aside.causes)
        await journal.append(_replied(aside, reply, None if gone else {"text": reply.text}))
    return None if gone else reply.text


def _gone(journal: Journal, position: int) -> bool:
    """Whether the words of an event were erased or withheld."""
    return position in journal.turns.withheld or journal.log.read(position).redacted


def _replied(aside: Aside, reply: Reply, content: dict[str, Any] | None) -> Draft:
    return Draft(
        type=types.MODEL_REPLIED.name,
        stream=aside.stream,
        payload={
            "beside": aside.task,
            "link": reply.link,
            "model": reply.model,
            "finish": reply.finish,
            "tokens_in": reply.tokens_in,
            "tokens_out": reply.tokens_out,
            "estimated": reply.estimated,
            "microusd": reply.microusd,
            "tried": [one.to_value() for one in reply.tried],
            "reach": aside.reach.word,
        },
        content=content,
        causes=aside.causes[:CAUSES_MAX],
    )
