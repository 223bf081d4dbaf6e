"""One turn: recall, ask the model, answer.

A turn is a generator: it yields what it asks of the host and is sent what came back, or thrown
`Refused`. It must be deterministic in what it is sent and was told before, since a turn that is
given again after a crash has to ask for the same steps. So: no clock, no randomness.
"""

from collections.abc import Generator
from typing import Any, TypeAlias

from . import prompt
from .memory import Memory

Asked: TypeAlias = "tuple[str, dict[str, Any]]"
Turn: TypeAlias = "Generator[Asked, dict[str, Any], None]"

RECENT = 20
RECALLED = 6
NOTES = 8
MAX_TOKENS = 1024
QUERY_CHARS = 300

NO_WORDS = "I was given no words to answer with. Your message is kept; please ask again."


class Refused(Exception):
    """The host did not carry out a call."""


def answer(position: int, *, memory: Memory, name: str, soul: str) -> Turn:
    """Answer the message at `position`."""
    words = memory.text(position)
    if not words.strip():
        yield "fail", {"reason": "no_words"}
        return
    recalled = yield from _recall(words[:QUERY_CHARS])
    talk = [(said.role, said.position) for said in memory.before(position, RECENT)]
    shown = {at for _, at in talk} | {position}
    items = prompt.build(
        name=name,
        soul=soul,
        notes=[
            note.position for note in memory.notes(position, NOTES) if note.position not in shown
        ],
        recalled=[at for at in recalled if at not in shown],
        talk=talk,
        message=position,
    )
    yield "answer", {"text": (yield from _ask(items)) or NO_WORDS}


def _recall(query: str) -> Generator[Asked, dict[str, Any], list[int]]:
    try:
        found = yield "recall", {"query": query, "limit": RECALLED}
    except Refused:
        return []
    return [hit["position"] for hit in found["hits"]]


def _ask(items: list[dict[str, Any]]) -> Generator[Asked, dict[str, Any], str]:
    try:
        reply = yield "model", {"items": items, "max_tokens": MAX_TOKENS}
    except Refused:
        return ""
    return str(reply["text"]).strip()
