"""Consensus-critical: the reducer of drafts of skills, and what became of them.

A draft (`skill.drafted`) is words of a dreamer, in the content of its event. It is never part of a
prompt and teaches nobody anything until the operator has judged it (`skill.judged`). When words
that one was made of are erased, directly or by way of a note, it is withheld as of that very
redaction: it is not shown, nor adopted any more.

Entries:

    skills              positions of drafts, oldest first
    skill/<position>    {name, by, seen, verdict}: verdict is absent until it is judged
    skill-source/<position>    drafts that were made of the words there
    withheld/<position> a draft whose source is erased (as in `runtime.core.agenda`)
    skill-key/<hex>     position of the newest draft made of this pattern: none is drafted twice
    worked/<turn, hex>  [message, [[tool, outcome], ...]] of a turn under way that uses tools
    deeds               [[message, [[tool, outcome], ...]], ...]: turns worth a look, newest last
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.agenda import withheld_key
from runtime.core.memories import source_key

TOOL_RETURNED: Final = "tool.returned"
"""What a tool gave: {turn, name, outcome}. Another shape is passed over."""
ADOPTED: Final = "adopted"
REJECTED: Final = "rejected"
DEEDS_MAX: Final = 100
"""Turns that are kept for the dreamer, which looks once a day."""
CALLS_MAX: Final = 100
"""Calls of one turn that are remembered: a turn has at most 50 steps by default."""
_NAME_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """A draft without its words. `verdict` is None, ADOPTED or REJECTED."""

    position: int
    name: str
    by: str
    seen: int
    """How often the pattern was seen."""
    verdict: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A turn that used tools: its message, and each call with how it ended."""

    message: int
    calls: tuple[tuple[str, str], ...]


class Skills:
    """Drafts in the entries of a state that has `reduce_skills` among its reducers."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Skill]:
        """Every draft, oldest first."""
        for position in self._entries.get("skills", ()):
            entry = self._entries[_skill_key(position)]
            yield Skill(
                position=position,
                name=entry["name"],
                by=entry["by"],
                seen=entry["seen"],
                verdict=entry.get("verdict"),
            )

    def get(self, position: int) -> Skill | None:
        """The draft at a position."""
        return next((skill for skill in self if skill.position == position), None)

    def drafted(self, key: bytes) -> bool:
        """Whether there is a draft of this pattern, whatever became of it."""
        return _pattern_key(key) in self._entries

    @property
    def deeds(self) -> list[Deed]:
        """Turns that used tools, oldest first."""
        return [
            Deed(message=message, calls=tuple((name, outcome) for name, outcome in calls))
            for message, calls in self._entries.get("deeds", ())
        ]


def _skill_key(position: int) -> str:
    return f"skill/{position}"


def _pattern_key(key: bytes) -> str:
    return f"skill-key/{key.hex()}"


def _source_key(position: int) -> str:
    return f"skill-source/{position}"


def _worked_key(turn: bytes) -> str:
    return f"worked/{turn.hex()}"


def reduce_skills(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _drafted(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    name, by = _get(event, "name", str), _get(event, "by", str)
    if not name or len(name) > _NAME_CHARS_MAX or by is None:
        return
    yield "skills", [*entries.get("skills", ()), event.position]
    yield (
        _skill_key(event.position),
        {"name": name, "by": by, "seen": _get(event, "seen", int) or 1},
    )
    key = _get(event, "key", bytes)
    if key is not None:
        yield _pattern_key(key), event.position
    for position in {c.position for c in event.envelope.causes if c.ledger is None}:
        made = entries.get(_source_key(position), ())
        yield _source_key(position), [*made, event.position]


def _redacted(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    named = event.payload.get("targets")
    targets = [at for at in named if type(at) is int] if type(named) is list else []
    noted = [note for target in targets for note in entries.get(source_key(target), ())]
    for target in (*targets, *noted):
        for position in entries.get(_source_key(target), ()):
            yield withheld_key(position), position


def _judged(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    position, verdict = _get(event, "skill", int), _get(event, "verdict", str)
    known = None if position is None else entries.get(_skill_key(position))
    if known is not None and verdict in (ADOPTED, REJECTED):
        yield _skill_key(position), {**known, "verdict": verdict}


def _started(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    turn, message = _get(event, "turn", bytes), _get(event, "message", int)
    if turn is not None and message is not None and _worked_key(turn) not in entries:
        yield _worked_key(turn), [message, []]


def _returned(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    turn, name = _get(event, "turn", bytes), _get(event, "name", str)
    known = None if turn is None else entries.get(_worked_key(turn))
    if known is None or not name or len(name) > _NAME_CHARS_MAX or len(known[1]) >= CALLS_MAX:
        return
    outcome = (_get(event, "outcome", str) or "done")[:_NAME_CHARS_MAX]
    yield _worked_key(turn), [known[0], [*known[1], [name, outcome]]]


def _finished(entries: Mapping[str, Any], event: Event) -> Iterator[Change]:
    turn = _get(event, "turn", bytes)
    known = None if turn is None else entries.get(_worked_key(turn))
    if known is None:
        return
    yield _worked_key(turn), None
    if known[1]:
        yield "deeds", [*entries.get("deeds", ()), known][-DEEDS_MAX:]


def _get(event: Event, name: str, kind: type) -> Any:
    value = event.payload.get(name)
    return value if type(value) is kind else None


_HANDLERS: Final[Mapping[str, Callable[[Mapping[str, Any], Event], Iterable[Change]]]] = {
    types.SKILL_DRAFTED.name: _drafted,
    types.SKILL_JUDGED.name: _judged,
    types.TURN_STARTED.name: _started,
    TOOL_RETURNED: _returned,
    types.TURN_FINISHED.name: _finished,
    types.REDACTED.name: _redacted,
}
