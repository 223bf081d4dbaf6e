"""What the agent and the responder may find in the ledger: words by position, or by search.

The index is somebody else's (`search` gives positions, best first); the words are always read from
the log, so that an erased text cannot come back from a stale index. Words withheld by the crisis
screen are never shown. Not covered yet: who may see whose conversation; every turn may recall all.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ledger.core.errors import NotFound
from ledger.core.event import Event
from runtime.core.limits import HIT_CHARS_MAX
from runtime.journal import Journal

Search: TypeAlias = Callable[[str, int], Awaitable[Sequence[int]]]
"""`await search(query, limit)` gives at most `limit` positions, best first."""


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


class Recall:
    """Reads words through the journal, never around the screen."""

    def __init__(self, journal: Journal, search: Search) -> None:
        self._journal = journal
        self._search = search

    def words(self, position: int) -> str | None:
        """Return the text at `position`: None if none, erased or withheld. Raises NotFound."""
        if position in self._journal.turns.withheld:
            return None
        return words_of(self._journal.log.read(position))

    def hits(self, positions: Sequence[int]) -> list[Hit]:
        """Return the readable events among `positions`, in that order."""
        return [hit for position in positions if (hit := self._hit(position)) is not None]

    async def find(self, query: str, limit: int, *, before: int) -> list[Hit]:
        """Return at most `limit` hits older than position `before`, best first."""
        found = [at for at in await self._search(query, limit + 1) if at < before]
        return self.hits(found)[:limit]

    def _hit(self, position: int) -> Hit | None:
        try:
            event = self._journal.log.read(position)
        except NotFound:
            return None
        text = self.words(position)
        if text is None:
            return None
        return Hit(position=position, type=event.type, ts_ms=event.ts_ms, text=text[:HIT_CHARS_MAX])
