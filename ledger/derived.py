"""What came of some events: where their words may still stand after they are erased.

Two sources. *Causes* and the turns that tie them: what was written from an event, answers it, or
was written when a prompt or a search had shown it. *Words*: what repeats a passage of it
(`ledger.core.quotation` says what that finds and what not). Causes reach much that says nothing of
it, words miss what was paraphrased; so every finding says how it was found, and `TAKEN` names the
kinds that hold the words for certain, or were made to hold them.

Words that an earlier event had are not the target's: repeating them is no quotation of it. That
event is named (EARLIER) and left to the reader of the findings. Payloads cannot be erased; one that
repeats words is named too (FACT).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ledger.core import types
from ledger.core.event import Event
from ledger.core.quotation import Passages
from ledger.log import Log
from ledger.views import texts, words_of


class How(StrEnum):
    """How a finding is tied to what is to be erased."""

    QUOTES = "quotes"
    CITES = "cites"
    DERIVED = "derived"
    ANSWERS = "answers"
    SHOWN = "shown"
    FOLLOWS = "follows"
    EARLIER = "earlier"
    FACT = "fact"


TAKEN: Final = frozenset({How.QUOTES, How.CITES, How.DERIVED})
"""Quotations, answers that name the passage they were given, notes and summaries made of it."""
DOWNSTREAM: Final = TAKEN | {How.ANSWERS, How.SHOWN, How.FOLLOWS}
"""Everything later that came of it, whether it repeats a word or not."""

_TALK: Final = frozenset(
    kind.name
    for kind in (
        types.MESSAGE_RECEIVED,
        types.MESSAGE_SENT,
        types.MODEL_REPLIED,
        types.TOOL_REQUESTED,
        types.TOOL_DECIDED,
        types.TOOL_RETURNED,
        types.APPROVAL_ASKED,
        types.STATEMENT_RECEIVED,
        types.PATCH_PROPOSED,
        types.PATCH_REFUSED,
        types.PATCH_COMMENTED,
        types.PATCH_WITHDRAWN,
    )
)
"""Caused by what was said before, and not made of it; any other type with content is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One event, how it is tied to event `of`, and how many words in a row they share (or 0)."""

    position: int
    type: str
    how: How
    of: int
    words: int = 0


@dataclass(slots=True)
class _Search:
    """One walk over a log, in order."""

    passages: Passages
    targets: dict[int, bytes | None]
    """Positions to be erased, with the turn each belongs to."""
    made: set[int] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)
    shown: dict[bytes, set[int]] = field(default_factory=dict)
    answering: dict[bytes, int] = field(default_factory=dict)

    def look(self, event: Event) -> list[Finding]:
        """Take in the next event and return what is to be said of it."""
        turn = _turn(event)
        near = {c.position for c in event.envelope.causes if c.ledger is None}
        if turn is not None:
            self._note_turn(turn, event, near)
        ties = near | self.shown.get(turn or b"", set())
        if event.position in self.targets:
            return []
        if ties & self.reached or ties & self.targets.keys():
            self.reached.add(event.position)
        found = self._fact(event)
        words = words_of(event)
        if words:
            found += self._words(event, words, turn, near)
        return found

    def _note_turn(self, turn: bytes, event: Event, near: set[int]) -> None:
        message = event.payload.get("message")
        if type(message) is int:
            self.answering[turn] = message
        hits = event.payload.get("hits") if event.type == types.RECALLED.name else None
        seen = {at for at in hits if type(at) is int} if isinstance(hits, list) else set()
        if event.type == types.MODEL_REQUESTED.name:
            seen |= near
        tied = seen & (self.reached | self.targets.keys())
        if tied:
            self.shown.setdefault(turn, set()).update(tied)

    def _fact(self, event: Event) -> list[Finding]:
        quote = self.passages.find(" \n ".join(texts(event.payload)))
        return [] if quote is None else [_finding(event, How.FACT, quote.of, quote.words)]

    def _words(self, event: Event, words: str, turn: bytes | None, near: set[int]) -> list[Finding]:
        found: list[Finding] = []
        quote = self.passages.find(words, after=event.position) or self.passages.find(words)
        if quote is not None:
            own = turn is not None and turn == self.targets[quote.of]  # a model's draft of it
            if own or quote.of < event.position:
                return [_finding(event, How.QUOTES, quote.of, quote.words)]
            found.append(_finding(event, How.EARLIER, quote.of, quote.words))
            self.passages.discount(words)
        tie = self._tie(event, words, turn, near)
        return found if tie is None else [*found, tie]

    def _tie(self, event: Event, words: str, turn: bytes | None, near: set[int]) -> Finding | None:
        shown = self.shown.get(turn or b"", set()) & self.targets.keys()
        for at in sorted(shown):
            if f"[{at}]" in words:
                return _finding(event, How.CITES, at)
        made_of = near & (self.targets.keys() | self.made)
        if made_of and event.type not in _TALK:
            self.made.add(event.position)
            return _finding(event, How.DERIVED, min(made_of))
        message = self.answering.get(turn or b"", event.payload.get("message"))
        if type(message) is int and message in self.targets:
            return _finding(event, How.ANSWERS, message)
        if shown:
            return _finding(event, How.SHOWN, min(shown))
        if event.position in self.reached:
            return _finding(event, How.FOLLOWS, min(self.targets))
        return None


def _turn(event: Event) -> bytes | None:
    turn = event.payload.get("turn")
    return turn if type(turn) is bytes else None


def _finding(event: Event, how: How, of: int, words: int = 0) -> Finding:
    return Finding(position=event.position, type=event.type, how=how, of=of, words=words)


def find_derived(log: Log, positions: Iterable[int]) -> list[Finding]:
    """Return what came of the events at `positions`, in the order of the log.

    Reads the whole log once. An event may have several findings. Raises NotFound, StoreDamaged.
    """
    targets, passages = {}, Passages()
    for position in sorted(set(positions)):
        event = log.read(position)
        targets[position] = _turn(event)
        passages.add(position, words_of(event))
    search = _Search(passages, targets)
    return [finding for event in log.events() for finding in search.look(event)]


def repeats(log: Log, positions: Collection[int], text: str) -> int:
    """Return how many words in a row `text` has of what the events at `positions` say."""
    passages = Passages()
    for position in sorted(positions):
        passages.add(position, words_of(log.read(position)))
    quote = passages.find(text)
    return 0 if quote is None else quote.words
