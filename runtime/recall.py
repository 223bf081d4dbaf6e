"""What the agent and the responder may find in the ledger: words by position, or by search.

The index is somebody else's (`search` gives positions, best first); the words are always read from
the log, so that an erased text cannot come back from a stale index. Words withheld by the crisis
screen are never shown. Not covered yet: who may see whose conversation; every turn may recall all.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Event
from runtime.core.limits import HIT_CHARS_MAX
from runtime.core.markers import to_marker
from runtime.core.memories import Memories
from runtime.journal import Journal

Search: TypeAlias = Callable[[str, int, int], Awaitable[Sequence[int]]]
"""`await search(query, limit, before)`: at most `limit` positions below `before`, best first."""
_LOOK: Final = 2
"""Positions asked for to each hit wanted: some are withheld, erased or forgotten."""
_SEARCHES_MAX: Final = 8
"""Newest searches whose positions are kept, one for each turn that is worked on at once: where no
model answers, the responder looks for what the agent has just looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One event found, with its words (at most HIT_CHARS_MAX characters of them)."""

    position: int
    type: str
    ts_ms: int
    text: str

    def to_value(self) -> dict[str, Any]:
        """The map that docs/spec/agent-protocol.md gives the agent."""
        return {
            "position": self.position,
            "type": self.type,
            "ts_ms": self.ts_ms,
            "text": self.text,
        }


def words_of(event: Event) -> str | None:
    """Return the text an event was written with, or None if it has none or it was erased."""
    text = None if event.content is None else event.content.get("text")
    return text if isinstance(text, str) else None


def _distilled(event: Event) -> bool:
    noted = event.type == types.MEMORY_NOTED.name and event.payload.get("by") == "historian"
    return noted and bool(event.envelope.causes)


def _marker(event: Event, text: str) -> str:
    source = f"{event.payload.get('conversation')}, event {event.envelope.causes[0].position}"
    return to_marker(str(event.payload.get("kind", "fact")), text, source)


class Recall:
    """Reads words through the journal, never around the screen."""

    def __init__(self, journal: Journal, search: Search) -> None:
        self._journal = journal
        self._search = search
        self._searches: dict[tuple[str, int], tuple[int, list[int]]] = {}

    def words(self, position: int) -> str | None:
        """Return the text at `position`: None if none, erased or withheld. Raises NotFound.

        What the historian distilled is in the form of a memory marker. A draft of a skill has no
        words for anybody but the operator.
        """
        if position in self._journal.turns.withheld:
            return None
        event = self._journal.log.read(position)
        if event.type == types.SKILL_DRAFTED.name:  # nobody has judged it, or it is a file by now
            return None
        text = words_of(event)
        return text if text is None or not _distilled(event) else _marker(event, text)

    def hits(self, positions: Sequence[int]) -> list[Hit]:
        """Return the readable events among `positions`, in that order."""
        return [hit for position in positions if (hit := self._hit(position)) is not None]

    async def find(self, query: str, limit: int, *, before: int) -> list[Hit]:
        """Return at most `limit` hits older than position `before`, best first."""
        found = await self._positions(query, _LOOK * limit, before)
        told: set[int] = set()
        kept = [at for at in found if at < before and self._counts(at, before, told)]
        return self.hits(kept)[:limit]

    async def _positions(self, query: str, limit: int, before: int) -> list[int]:
        """Search, unless that was just done: what is found depends on question and position alone.

        Words are read anew each time, and what was erased since has none.
        """
        key = query, before
        known = self._searches.pop(key, None)
        if known is None or known[0] < limit:
            known = limit, list(await self._search(query, limit, before))
        self._searches[key] = known
        while len(self._searches) > _SEARCHES_MAX:
            del self._searches[next(iter(self._searches))]
        return known[1][:limit]

    def _counts(self, position: int, before: int, told: set[int]) -> bool:
        """Whether a memory held then, and neither it nor its source is among the hits before."""
        event = self._journal.log.read(position)
        source = event.envelope.causes[0].position if _distilled(event) else position
        memory = Memories(self._journal.state.entries).get(position)
        if memory is not None:
            now_s = self._journal.log.read(min(before, self._journal.log.size) - 1).ts_ms // 1000
            over = memory.expires_s is not None and memory.expires_s <= now_s
            if over or (memory.ended is not None and memory.ended[0] < before):
                return False
        if source in told:
            return False
        told.add(source)
        return True

    def _hit(self, position: int) -> Hit | None:
        try:
            event = self._journal.log.read(position)
        except NotFound:
            return None
        text = self.words(position)
        if text is None:
            return None
        return Hit(position=position, type=event.type, ts_ms=event.ts_ms, text=text[:HIT_CHARS_MAX])
