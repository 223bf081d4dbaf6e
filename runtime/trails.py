"""What a turn did with tools, so that later turns of its conversation can be shown it.

An answer carries its *trail*: the last replies of its turn that called tools, each with the results
that came, by position, and how many bytes of words they have together. The agent chooses what of
it a prompt has room for. A round is told whole or not at all: providers refuse a call without its
result, and one of them was erased for a reason.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from runtime.journal import Journal
from runtime.recall import words_of

TRAIL: Final = "trail"
"""In the payload of an answer: [[reply, bytes, [result, ...]], ...], oldest first."""
ROUNDS_MAX: Final = 8
"""Of one turn. What came before them has gone into what came after."""


def trail_of(journal: Journal, turn: bytes) -> dict[str, Any]:
    """The payload's `trail` of the answer of a turn that is open; empty if it called no tool."""
    opened = journal.turns.open.get(turn)
    rounds: list[list[Any]] = []
    for _, step in sorted(opened.steps.items()) if opened is not None else ():
        event = None if step.result is None else journal.log.read(step.result)
        if event is None:
            continue
        if event.type == types.MODEL_REPLIED.name and event.payload.get("calls"):
            rounds.append([event.position, _size(event), []])
        elif event.type == types.TOOL_RETURNED.name and rounds:
            rounds[-1][1] += _size(event)
            rounds[-1][2].append(event.position)
    return {TRAIL: rounds[-ROUNDS_MAX:]} if rounds else {}


def tellable(payload: Mapping[str, Any], read: Callable[[int], Event]) -> dict[str, Any]:
    """Return an answer's payload without the rounds of which something was erased since."""
    rounds = [
        one
        for one in payload.get(TRAIL, ())
        if all(read(position).content is not None for position in (one[0], *one[2]))
    ]
    return {**payload, TRAIL: rounds} if TRAIL in payload else dict(payload)


def _size(event: Event) -> int:
    return len((words_of(event) or "").encode())
