"""One turn: recall, ask the model, call the tools it asks for, ask again, answer.

A turn is a generator: it yields what it asks of the host and is sent what came back, or thrown
`Refused`. It may yield a list of asks, which the host works on side by side, and is then sent a
list of what came, in the same order, refusals among it. It must be deterministic in what it is sent
and was told before, since a turn that is given again after a crash has to ask for the same steps.
So: no clock, no randomness.
"""

from collections.abc import Generator
from typing import Any, TypeAlias

from . import prompt
from .memory import Memory, Said


class Refused(Exception):
    """The host did not carry out a call."""


Asked: TypeAlias = tuple[str, dict[str, Any]]
Came: TypeAlias = dict[str, Any] | Refused
Turn: TypeAlias = Generator[Asked | list[Asked], Any, None]
Steps: TypeAlias = Generator[Asked | list[Asked], Any, str]

RECENT = 24
RECALLED = 6
NOTES = 8
MAX_TOKENS = 2048
"""Of a reply: a page and a half, or a file of that length as an argument of a call."""
QUERY_CHARS = 300
TRAIL_ITEMS = 300
"""Replies and results of one turn in a prompt; of more, the oldest rounds are left out, whole."""
DONE_ITEMS = 12
DONE_BYTES = 24_000
"""What was done with tools for earlier answers, in a prompt: a quarter of a small context."""
ANY_TOOL = ["*"]

NO_WORDS = "I was given no words to answer with. Your message is kept; please ask again."
CUT_SHORT = "I stopped before I was done: {reason}."


def answer(position: int, *, memory: Memory, name: str, soul: str, given: dict[str, Any]) -> Turn:
    """Answer the message at `position`. `given`: skin, context files, skills, project."""
    words = memory.text(position)
    if not words.strip():
        yield "fail", {"reason": "no_words"}
        return
    recalled = yield from _recall(words[:QUERY_CHARS])
    said = memory.before(position, RECENT)
    summary = memory.summary(position)
    shown = {one.position for one in said} | {position}
    notes = memory.notes(position, NOTES, given.get("project"))
    items = prompt.build(
        name=name,
        soul=soul,
        skin=given.get("skin"),
        files=given.get("files", ()),
        skills=given.get("skills"),
        notes=[note.position for note in notes if note.position not in shown],
        recalled=[at for at in recalled if at not in shown],
        talk=_talk(said),
        summary=None if summary is None else summary.position,
        message=position,
    )
    yield "answer", {"text": (yield from _ask(items)) or NO_WORDS}


def _talk(said: list[Said]) -> list[dict[str, Any]]:
    """What was said, and before an answer what was done for it, the newest as far as it fits."""
    done: dict[int, list[dict[str, Any]]] = {}
    items, size = DONE_ITEMS, DONE_BYTES
    for one in reversed(said):
        for made in reversed(one.trail):
            items, size = items - 1 - len(made.results), size - made.size
            if items < 0 or size < 0:
                return _woven(said, done)
            done.setdefault(one.position, [])[:0] = [
                prompt.ref("assistant", made.reply),
                *(prompt.ref("tool", at) for at in made.results),
            ]
    return _woven(said, done)


def _woven(said: list[Said], done: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        item
        for one in said
        for item in (*done.get(one.position, ()), prompt.ref(one.role, one.position))
    ]


def _recall(query: str) -> Generator[Asked, dict[str, Any], list[int]]:
    try:
        found = yield "recall", {"query": query, "limit": RECALLED}
    except Refused:
        return []
    return [hit["position"] for hit in found["hits"]]


def _ask(items: list[dict[str, Any]]) -> Steps:
    """Ask, call what the reply asks for, and ask again, until a reply asks for nothing."""
    rounds: list[list[dict[str, Any]]] = []
    said = ""
    while True:
        trail = [item for one in rounds for item in one]
        args = {"items": items + trail, "max_tokens": MAX_TOKENS, "tools": ANY_TOOL}
        try:
            reply = yield "model", args
        except Refused as refused:
            return _cut_short(said, str(refused)) if rounds else ""
        said = str(reply["text"]).strip() or said
        calls = reply.get("calls") or []
        if not calls:
            return said
        came = yield [("tool", _call(call)) for call in calls]
        rounds.append([prompt.ref("assistant", reply["position"]), *_results(came)])
        while len(rounds) > 1 and sum(map(len, rounds)) > TRAIL_ITEMS:
            del rounds[0]


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {"name": call["name"], "arguments": call["arguments"], "id": call["id"]}


def _results(came: list[Came]) -> list[dict[str, Any]]:
    """Refer to each result. What was refused has none, and the host says so to the model."""
    return [prompt.ref("tool", one["position"]) for one in came if isinstance(one, dict)]


def _cut_short(said: str, reason: str) -> str:
    end = CUT_SHORT.format(reason=reason.rstrip("."))
    return f"{said}\n\n{end}" if said else end
