"""Consensus-critical: the reducer of memories, and how much one counts at a time.

A memory is an event: `memory.noted`, given by the operator, noted by the agent in a turn, or
distilled by the historian (`runtime.historian`). It counts until it is superseded by a later one
that names it, forgotten (`memory.forgotten`), erased, or past its expiry. Entries hold whole
numbers and positions only; words stay in the events, and relevance is computed when it is asked
for, from the age: nothing changes in the ledger because time passes.

What the node noted of what somebody said is withheld from agent and models as soon as those words
are erased, whether or not the note is erased as well.

Entries (keyed by position):

    memories            how many were noted
    memories/<n>        position of the n-th
    memory/<position>   {kind, by, conversation, project, confidence, importance, noted_s,
                        expires_s, about, contradicts, ended}; absent keys are unknown
    about/<hex>         position of the newest memory with this keyed digest of its subject
    source/<position>   memories that the node made of the words there
    withheld/<position> one whose source is erased (as in `runtime.core.agenda`)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.agenda import withheld_key

PPM: Final = 1_000_000
MILLI: Final = 1_000
DAY_S: Final = 86_400
SUPERSEDED: Final = "superseded"
FORGOTTEN: Final = "forgotten"
GIVEN: Final = "given"
_LINKS_MAX: Final = 64
"""Memories that one may supersede or contradict: as many as an event may have causes."""
_ABOUT_BYTES: Final = 16

KINDS: Final[Mapping[str, int | None]] = {
    "given": None,
    "decision": 730,
    "architecture": 1460,
    "pattern": 365,
    "correction": 730,
    "fact": 730,
    "preference": 730,
    "date": 90,
    "measure": 365,
    "lesson": 60,
}
"""Kinds, and the days after which one counts half; None: it never fades. A kind that is not here
(the agent may name its own) fades as a fact does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of a memory without its words. `ended`: (position that ended it, how)."""

    position: int
    kind: str
    by: str
    noted_s: int
    conversation: str | None = None
    project: bytes | None = None
    confidence: int = MILLI
    importance: int = MILLI
    """Thousandths, both."""
    expires_s: int | None = None
    about: bytes | None = None
    contradicts: tuple[int, ...] = ()
    ended: tuple[int, str] | None = None

    def relevance_ppm(self, now_s: int) -> int:
        """How much it counts at `now_s`, in millionths: 0 once it has ended or expired."""
        if self.ended is not None or (self.expires_s is not None and now_s >= self.expires_s):
            return 0
        return decayed(self.confidence * self.importance, now_s - self.noted_s, self.kind)


def decayed(strength: int, age_s: int, kind: str) -> int:
    """Halve `strength` once per half-life of the kind, in a straight line in between. Integers."""
    days = KINDS.get(kind, KINDS["fact"])
    if days is None or age_s <= 0:
        return strength
    halvings, rest_s = divmod(age_s, days * DAY_S)
    if halvings >= strength.bit_length():
        return 0
    whole = strength >> halvings
    return whole - whole * rest_s // (2 * days * DAY_S)


class Memories:
    """Memories in the entries of a state that has `reduce_memories` among its reducers."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        count: int = self._entries.get("memories", 0)
        return count

    def __iter__(self) -> Iterator[Memory]:
        """Every memory, oldest first, ended ones among them."""
        for number in range(len(self)):
            found = self.get(self._entries[f"memories/{number}"])
            if found is not None:
                yield found

    def newest(self) -> Iterator[Memory]:
        """The same, newest first."""
        for number in range(len(self) - 1, -1, -1):
            found = self.get(self._entries[f"memories/{number}"])
            if found is not None:
                yield found

    def get(self, position: int) -> Memory | None:
        """The memory at a position."""
        entry = self._entries.get(memory_key(position))
        if entry is None:
            return None
        ended = entry.get("ended")
        return Memory(
            position=position,
            kind=entry["kind"],
            by=entry["by"],
            noted_s=entry["noted_s"],
            conversation=entry.get("conversation"),
            project=entry.get("project"),
            confidence=entry.get("confidence", MILLI),
            importance=entry.get("importance", MILLI),
            expires_s=entry.get("expires_s"),
            about=entry.get("about"),
            contradicts=tuple(entry.get("contradicts", ())),
            ended=ended and (ended[0], ended[1]),
        )

    def about(self, subject: bytes) -> Memory | None:
        """The newest memory of a subject, if it still counts."""
        position = self._entries.get(about_key(subject))
        found = None if position is None else self.get(position)
        return None if found is None or found.ended is not None else found


def memory_key(position: int) -> str:
    """Entry of a memory."""
    return f"memory/{position}"


def about_key(subject: bytes) -> str:
    """Entry of the newest memory of a subject."""
    return f"about/{subject.hex()}"


def source_key(position: int) -> str:
    """Entry of the memories that were made of an event's words."""
    return f"source/{position}"


def reduce_memories(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    if event.type == types.MEMORY_NOTED.name:
        return _noted(entries, event)
    if event.type == types.MEMORY_FORGOTTEN.name:
        position = _get(event, "memory", int)
        return () if position is None else _ended(entries, event, position, FORGOTTEN)
    if event.type == types.REDACTED.name:
        return _redacted(entries, event)
    return ()


def _noted(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    count = entries.get("memories", 0)
    yield "memories", count + 1
    yield f"memories/{count}", event.position
    known = {
        "kind": _get(event, "kind", str) or "fact",
        "by": _by(event),
        "noted_s": event.ts_ms // 1000,
        "conversation": _get(event, "conversation", str),
        "project": _get(event, "project", bytes),
        "confidence": _milli(event, "confidence"),
        "importance": _milli(event, "importance"),
        "expires_s": _get(event, "expires_s", int),
        "about": _about(event),
        "contradicts": _links(event, "contradicts") or None,
    }
    yield memory_key(event.position), {k: v for k, v in known.items() if v is not None}
    if known["about"] is not None:
        yield about_key(known["about"]), event.position
    for position in _links(event, "supersedes"):
        yield from _ended(entries, event, position, SUPERSEDED)
    if "by" in event.payload:
        for position in {c.position for c in event.envelope.causes if c.ledger is None}:
            made = entries.get(source_key(position), ())
            yield source_key(position), [*made, event.position]


def _redacted(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    named = event.payload.get("targets")
    targets = [at for at in named if type(at) is int] if type(named) is list else []
    for target in targets:
        for position in entries.get(source_key(target), ()):
            yield withheld_key(position), position


def _ended(entries: Mapping[str, Any], event: Event, position: int, how: str) -> Iterable[Change]:
    known = entries.get(memory_key(position))
    if known is None or "ended" in known or position >= event.position:
        return ()
    return ((memory_key(position), {**known, "ended": [event.position, how]}),)


def _by(event: Event) -> str:
    if _get(event, "turn", bytes) is not None:
        return "agent"
    return _get(event, "by", str) or "operator"


def _get(event: Event, name: str, kind: type) -> Any:
    value = event.payload.get(name)
    return value if type(value) is kind else None


def _milli(event: Event, name: str) -> int | None:
    value = _get(event, name, int)
    return None if value is None else max(0, min(MILLI, value))


def _about(event: Event) -> bytes | None:
    value: bytes | None = _get(event, "about", bytes)
    return value if value is not None and len(value) == _ABOUT_BYTES else None


def _links(event: Event, name: str) -> list[int]:
    value = _get(event, name, list) or []
    return [at for at in value[:_LINKS_MAX] if type(at) is int and 0 <= at < event.position]
