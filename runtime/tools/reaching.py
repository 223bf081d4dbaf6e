"""How far the words of an event may travel, for tools that read the ledger.

An event says it itself (`conversation`, and `reach` where its writer knew of less), or what it was
made from says it: a model's reply names a turn and no conversation, and its causes lead to the
message that was answered and to all that was in the prompt. The least of them holds. A memory that
the operator gave goes as far as a conversation that no pattern names. What else leads nowhere stays
at home.

Not covered: causes that were left out of an event because there were too many; the request that a
reply came of has the reach of its whole prompt.
"""

from collections.abc import Iterator
from typing import Final

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Event
from runtime.core.chat import REACHES, Reach
from runtime.core.privacy import Privacy
from runtime.core.tool import Pages

_EVENTS_MAX: Final = 256
"""Events looked at for one: a turn has some fifty steps. What takes more stays at home."""


def reach_of(event: Event, pages: Pages, privacy: Privacy) -> Reach:
    """Return how far its words may travel: the least of what it and its sources say."""
    reach, waiting, seen = Reach.PUBLIC, [event], {event.position}
    while waiting and reach is not Reach.LOCAL:
        one = waiting.pop()
        said = one.payload.get("reach")
        if said is not None or one.type == types.TOOL_RETURNED.name:
            reach = min(reach, REACHES.get(str(said), Reach.LOCAL))
        conversation = one.payload.get("conversation")
        if isinstance(conversation, str):
            reach = min(reach, privacy.of(conversation))
            continue
        if one.type == types.MEMORY_NOTED.name and "turn" not in one.payload:
            reach = min(reach, privacy.default)  # given by the operator, for every conversation
            continue
        sources = set(_sources(one))
        if not sources or len(seen | sources) > _EVENTS_MAX:
            return Reach.LOCAL
        try:
            waiting += [pages.read(at) for at in sorted(sources - seen)]
        except NotFound:
            return Reach.LOCAL
        seen |= sources
    return reach


def _sources(event: Event) -> Iterator[int]:
    """Positions of what it came of: its causes in this log, and the message that it names."""
    for cause in event.envelope.causes:
        if cause.ledger is None:
            yield cause.position
    message = event.payload.get("message")
    if type(message) is int and 0 <= message < event.position:
        yield message
