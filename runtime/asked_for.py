"""Whether a reply of the turn asked for a call of a tool: this tool, with these arguments, once.

A model asks for a call, the agent's process passes it on, the host makes it. What stands between
the two can be patched, so the host compares: a call is of a reply of its turn, which its `id`
names, and says what the reply says. A call without an id is held against all that the turn's
replies asked for. Rules of permission come on top: they say what may be done, not who wished it.

Not covered: a call that was asked for and is not made, which the next prompt shows the model; what
a process of the agent's tells the model that it should ask for.
"""

from collections.abc import Iterator
from typing import Final

from ledger.core import types
from ledger.core.event import Event
from runtime.asking import calls_of
from runtime.core import calls
from runtime.journal import Journal
from runtime.steps import Asked

NOT_ASKED: Final = "not what the reply asked: nothing was done"
ALREADY: Final = "not what the reply asked: this call of it was made already"


def why_not(journal: Journal, asked: Asked, args: calls.ToolArgs) -> str | None:
    """Return why no reply asked for this call, in words for the model, or None if one did."""
    wished = [
        call.id
        for reply in _replies(journal, asked)
        for call in calls_of(reply)
        if (call.name, call.arguments) == (args.name, args.arguments)
    ]
    if not wished or args.id not in (None, *wished):
        return NOT_ASKED
    made = [event.payload.get("id") for event in _requested(journal, asked, args)]
    taken = {one for one in made if one in wished}
    none_left = len(taken) + made.count(None) >= len(wished)
    return ALREADY if args.id in taken or none_left else None


def _replies(journal: Journal, asked: Asked) -> Iterator[Event]:
    opened = journal.turns.open.get(asked.turn)
    for number, step in () if opened is None else opened.steps.items():
        if number < asked.step and step.op == "model" and step.result is not None:
            event = journal.log.read(step.result)
            if event.type == types.MODEL_REPLIED.name:
                yield event


def _requested(journal: Journal, asked: Asked, args: calls.ToolArgs) -> Iterator[Event]:
    """Yield earlier requests of the turn for this call. One whose words are gone may be of it."""
    for number in range(asked.step):
        event = journal.log.find(calls.step_key(asked.turn, number, "tool"))
        if event is None or event.payload["name"] != args.name:
            continue
        if event.content is None or event.content["arguments"] == args.arguments:
            yield event
