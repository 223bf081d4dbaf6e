"""Memories wired: the services beside the turns, and `project_memory`, the view of what is known.

The view has the columns of Hermes v2.0 and some more. It is computed from the state whenever it is
asked for; nothing is stored. Its relevance falls with age, so two looks differ, and the ledger does
not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.core import hashing, types
from ledger.core.errors import NotFound
from ledger.core.event import Draft, Event
from ledger.core.types import MEMORY_STREAM
from node import console
from node.agent.models import privacy_of
from node.agent.tools import project_of
from node.open import now_ms
from node.opened import Opened
from runtime.chain import Chain
from runtime.compaction import Compactor
from runtime.core.agenda import withheld_key
from runtime.core.errors import MessageRefused
from runtime.core.jobspec import Kind
from runtime.core.markers import parse_marker, to_marker
from runtime.core.memories import FORGOTTEN, PPM, SUPERSEDED, Memories, Memory
from runtime.core.skills import Skill, Skills
from runtime.dreamer import Dreamer
from runtime.historian import Historian
from runtime.hybrid import Clock, ask, hybrid
from runtime.journal import Journal, Log
from runtime.recall import words_of
from runtime.scheduler import Runner

ROWS_MAX: Final = 1_000
EXPIRED: Final = "expired"
_ENDED: Final = frozenset({SUPERSEDED, FORGOTTEN, EXPIRED})
"""What counts no more. Erased and withheld ones are still listed."""
REASON_CHARS_MAX: Final = 200
"""A sentence; it stays in the ledger for good."""
_SEARCH_LOOK: Final = 200
"""Hits of a search that are looked at for memories among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembering:
    """The services. The first two are runs of standing jobs."""

    historian: Historian
    dreamer: Dreamer
    compactor: Compactor

    @property
    def runs(self) -> dict[Kind, Runner]:
        """What the scheduler runs."""
        return {Kind.HISTORIAN: self.historian, Kind.DREAMER: self.dreamer}


def make_remembering(opened: Opened, journal: Journal, chain: Chain) -> Remembering:
    """Make the services of a node."""
    privacy = privacy_of(opened.config)
    key = hashing.digest(hashing.STEP_KEY, opened.keys.log.secret)
    return Remembering(
        historian=Historian(
            journal=journal,
            chain=chain,
            privacy=privacy,
            digest_key=key,
            clock=now_ms,
            project=project_of(opened),
        ),
        dreamer=Dreamer(journal=journal, chain=chain, privacy=privacy, clock=now_ms),
        compactor=Compactor(journal=journal, chain=chain, privacy=privacy),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The view, of a log and of entries folded from all of it."""

    log: Log
    entries: Any
    now_s: int

    def rows(
        self,
        *,
        last: int,
        kind: str | None = None,
        project: bytes | None = None,
        ended: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the newest memories that fit, oldest of them first.

        `ended`: also those that count no more.
        """
        found = []
        for row in self._rows():
            fits = kind in (None, row["memory_type"])
            fits = fits and (project is None or row["project_hash"] == project.hex())
            if fits and (ended or row["status"] not in _ENDED):
                found.append(row)
            if len(found) >= min(last, ROWS_MAX):
                break
        return found[::-1]

    def _rows(self) -> Iterator[dict[str, Any]]:
        return (self.row(memory) for memory in Memories(self.entries).newest())

    def row(self, memory: Memory) -> dict[str, Any]:
        """One memory: the event as scripts know it, and the columns of project_memory."""
        event = self.log.read(memory.position)
        text = words_of(event)
        marker = None if text is None else parse_marker(text)
        brought = marker is not None and memory.by == "operator"
        kind = marker.kind if marker is not None and brought else memory.kind
        return console.row(event) | {
            "project_hash": None if memory.project is None else memory.project.hex(),
            "memory_type": kind,
            "source_session_id": memory.conversation,
            "promoted_at": event.ts_ms / 1000,
            "relevance_score": memory.relevance_ppm(self.now_s) / PPM,
            "expires_at": memory.expires_s,
            "by": memory.by,
            "confidence": memory.confidence / 1000,
            "importance": memory.importance / 1000,
            "status": self._status(memory, event),
            "ended_by": None if memory.ended is None else memory.ended[0],
            "contradicts": list(memory.contradicts),
            "sources": [cause.position for cause in event.envelope.causes],
            "marker": None if text is None else _marker(kind, text, memory, event),
        }

    def _status(self, memory: Memory, event: Event) -> str:
        if memory.ended is not None:
            return memory.ended[1]
        if event.redacted:
            return "erased"
        if withheld_key(memory.position) in self.entries:
            return "withheld"
        expired = memory.expires_s is not None and self.now_s >= memory.expires_s
        return EXPIRED if expired else "counts"

    def get(self, position: int) -> dict[str, Any]:
        """Return one memory. Raises NotFound."""
        memory = Memories(self.entries).get(position)
        if memory is None:
            raise NotFound(f"event {position} is no memory", hint="timmy memory list")
        return self.row(memory)

    def search(self, views: Path, words: str, *, limit: int) -> list[dict[str, Any]]:
        """Return memories that count and bear on the words, best first; for a thread.

        Raises StoreDamaged, StoreError.
        """
        clock = Clock(times=lambda position: self.log.read(position).ts_ms, size=self.log.size)
        asked = ask(words, before=self.log.size, clock=clock)
        memories = Memories(self.entries)
        rows = (
            self.row(memory)
            for at in hybrid(views, asked, limit=_SEARCH_LOOK)
            if (memory := memories.get(at)) is not None
        )
        return [row for row in rows if row["status"] == "counts"][: min(limit, ROWS_MAX)]

    def skills(self) -> list[dict[str, Any]]:
        """Return every draft of a skill, oldest first."""
        return [self.skill_row(skill) for skill in Skills(self.entries)]

    def skill_row(self, skill: Skill) -> dict[str, Any]:
        """One draft, with its words."""
        event = self.log.read(skill.position)
        withheld = withheld_key(skill.position) in self.entries
        gone = event.redacted or withheld
        return {
            "position": skill.position,
            "name": skill.name,
            "by": skill.by,
            "seen": skill.seen,
            "status": skill.verdict or ("erased" if gone else "draft"),
            "ts_ms": event.ts_ms,
            "sources": [cause.position for cause in event.envelope.causes],
            "text": None if withheld else words_of(event),
        }

    def skill(self, position: int) -> dict[str, Any]:
        """Return one draft. Raises NotFound."""
        found = Skills(self.entries).get(position)
        if found is None:
            raise NotFound(f"event {position} is no draft of a skill", hint="timmy skills list")
        return self.skill_row(found)


def _marker(kind: str, text: str, memory: Memory, event: Event) -> str:
    if parse_marker(text) is not None:
        return text
    source = memory.conversation or f"event {event.position}"
    return to_marker(kind, text, source)


def forgetting(entries: Any, position: int, *, by: str, why: str) -> Draft:
    """Return what makes a memory count no more. Raises NotFound, MessageRefused."""
    memory = Memories(entries).get(position)
    if memory is None:
        raise NotFound(f"event {position} is no memory", hint="timmy memory list")
    if memory.ended is not None:
        raise MessageRefused(
            f"memory {position} is {memory.ended[1]} since event {memory.ended[0]}",
            hint=f"to erase its words: timmy redact {position}",
        )
    if len(why) > REASON_CHARS_MAX:
        raise MessageRefused(
            f"a reason of {len(why)} characters, at most {REASON_CHARS_MAX}",
            hint="it stays in the ledger for good: say why without saying what",
        )
    payload = {"memory": position, "by": by, "why": why}
    return Draft(type=types.MEMORY_FORGOTTEN.name, stream=MEMORY_STREAM, payload=payload)
