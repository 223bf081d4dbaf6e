"""The snapshot as subjects are told it, and the turns in it that can be told once more.

What is withheld or erased as of the head is told to nobody, whatever it was at the time. A turn can
be told once more if it was answered with what the model said last, no step of it was refused, and
all its words are still there.

Not covered: turns of which an older host recorded less than that; they are passed over.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genesis.core import limits
from genesis.judging.scenes import Past, Reply, Result
from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import State
from runtime.core.agenda import SCREEN_PASS, STREAMED, reduce_agenda
from runtime.core.prompting import call_id
from runtime.core.protocol import EventFrame
from runtime.core.protocol import encode as encode_frame
from runtime.core.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Retold:
    """A turn on record: its message, what went with it, what came, and what it was answered."""

    message: Event
    given: Mapping[str, Any]
    replies: tuple[Reply, ...]
    results: Mapping[str, Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Events below a head, and which of them have words that nobody is told any more."""

    events: Sequence[Event]
    withheld: frozenset[int] = frozenset()

    @classmethod
    def of(cls, events: Sequence[Event], state: State | None = None) -> "Snapshot":
        """Fold the events, as a node does, unless there is their `state`: of all of them, folded
        by `reduce_agenda` among others. Half a minute for a million: not for the event loop.
        """
        if state is None or state.size != len(events):
            state = State((reduce_agenda,))
            for event in events:
                state.apply(event)
        return cls(events=events, withheld=frozenset(Turns(state).withheld))

    @property
    def past(self) -> Past:
        """What a node would tell a starting agent, in the node's own terms."""
        return self._told(0, len(self.events), STREAMED)

    def between(self, start: int, stop: int) -> Past:
        """What is told of the events from index `start` to `stop`."""
        return self._told(start, stop, None)

    def _told(self, start: int, stop: int, worded: Container[str] | None) -> Past:
        frames = [self.frame(event) for event in self._newest(start, stop)]
        return Past(
            frames=b"".join(map(encode_frame, frames)),
            words=_Words(self, start, stop, worded),
            said={frame.position: frame for frame in frames},
        )

    def _newest(self, start: int, stop: int) -> list[Event]:
        """The newest of these events that agents are told, oldest first; read from the end."""
        found: list[Event] = []
        while stop > start and len(found) < limits.HISTORY_EVENTS_MAX:
            begin = max(start, stop - limits.HISTORY_EVENTS_MAX)
            found = [one for one in self.events[begin:stop] if one.type in STREAMED] + found
            stop = begin
        return found[-limits.HISTORY_EVENTS_MAX :]

    def place(self, position: int) -> int:
        """The index of the event at a position: they follow one another."""
        return position - (self.events[0].position if self.events else 0)

    def words(self, event: Event) -> str | None:
        """The words of an event that may be told; None for none."""
        if event.position in self.withheld or event.content is None:
            return None
        text = event.content.get("text")
        return text if isinstance(text, str) and text else None

    def frame(self, event: Event) -> EventFrame:
        """Return an event as a subject is told it."""
        return EventFrame(
            position=event.position,
            type=event.type,
            ts_ms=event.ts_ms,
            stream=event.stream,
            payload=event.payload,
            content=None if event.position in self.withheld else event.content,
        )

    def turns(self) -> list[Retold]:
        """Return what can be told once more among the newest events, oldest first."""
        reading = _Reading(self)
        for event in self.events[-limits.REPLAY_SEEN_EVENTS_MAX :]:
            reading.take(event)
        return reading.found


class _Words(Mapping[int, bool]):
    """Which positions from index `start` to `stop` have words that may be told, of these types (or
    all). A million are not looked at for the few that are asked for.
    """

    def __init__(
        self, snapshot: Snapshot, start: int, stop: int, types: Container[str] | None
    ) -> None:
        self._snapshot = snapshot
        self._start = start
        self._stop = stop
        self._types = types

    def __getitem__(self, position: int) -> bool:
        at = self._snapshot.place(position)
        if not self._start <= at < self._stop or not self._has(event := self._events[at]):
            raise KeyError(position)
        return self._snapshot.words(event) is not None

    def __iter__(self) -> Iterator[int]:
        shown = self._events[self._start : self._stop]
        return (event.position for event in shown if self._has(event))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def _events(self) -> Sequence[Event]:
        return self._snapshot.events

    def _has(self, event: Event) -> bool:
        return self._types is None or event.type in self._types


@dataclass(slots=True, kw_only=True)
class _Turn:
    message: Event
    given: Mapping[str, Any]
    replies: list[Reply] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    whole: bool = True


class _Reading:
    """Puts the events of each turn together."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._messages: dict[int, Event] = {}
        self._turns: dict[bytes, _Turn] = {}
        self._answers: dict[int, str] = {}
        self.found: list[Retold] = []

    def take(self, event: Event) -> None:
        match event.type, event.payload:
            case types.MESSAGE_RECEIVED.name, {
                "screen": str(screen),
                "conversation": str(),
                "author": str(),
            } if screen == SCREEN_PASS:
                self._messages[event.position] = event
            case types.TURN_STARTED.name, {"turn": bytes(turn), "message": int(at)}:
                self._start(event, turn, at)
            case types.MESSAGE_SENT.name, {"message": int(at)}:
                self._answers[at] = self._snapshot.words(event) or ""
            case types.TURN_FINISHED.name, {"turn": bytes(turn), "outcome": str(outcome)}:
                self._finish(turn, answered=outcome == "answered")
            case _, {"turn": bytes(turn)} if turn in self._turns:
                self._step(event, self._turns[turn])

    def _start(self, event: Event, turn: bytes, at: int) -> None:
        message = self._messages.get(at)
        if message is None or self._snapshot.words(message) is None:
            return
        known = self._turns.get(turn)
        if known is not None:
            known.whole = False  # given again: which of its steps were whose is not worth telling
            return
        given = event.payload.get("given")
        kept = {k: at for k, at in given.items() if self._has(at)} if type(given) is dict else {}
        self._turns[turn] = _Turn(message=message, given=kept)

    def _has(self, places: Any) -> bool:
        """Whether all that was given is there still: its words may have been erased since."""
        events = self._snapshot.events
        first = events[0].position if events else 0
        named = places if isinstance(places, list) else [places]
        known = [
            at - first for at in named if type(at) is int and first <= at < first + len(events)
        ]
        return len(known) == len(named) and all(self._snapshot.words(events[at]) for at in known)

    def _step(self, event: Event, turn: _Turn) -> None:
        match event.type:
            case types.MODEL_REPLIED.name:
                self._replied(event, turn)
            case types.TOOL_RETURNED.name:
                self._returned(event, turn)
            case types.TURN_STEPPED.name if "refused" in event.payload:
                turn.whole = False

    def _replied(self, event: Event, turn: _Turn) -> None:
        content = event.content or {}
        text, made = content.get("text"), content.get("calls", [])
        calls = _calls(made)
        if not isinstance(text, str) or calls is None:
            turn.whole = False
            return
        turn.replies.append(Reply(text=text, calls=calls, position=event.position))

    def _returned(self, event: Event, turn: _Turn) -> None:
        text, id_ = self._snapshot.words(event), event.payload.get("id")
        outcome = event.payload.get("outcome")
        if text is None or not isinstance(id_, str) or not isinstance(outcome, str):
            turn.whole = False
            return
        turn.results[id_] = Result(outcome=outcome, text=text, position=event.position)

    def _finish(self, turn: bytes, *, answered: bool) -> None:
        known = self._turns.pop(turn, None)
        if known is None or not answered or not known.whole or not known.replies:
            return
        wanted = {
            call_id(reply.position or 0, number)
            for reply in known.replies
            for number in range(len(reply.calls))
        }
        answer = self._answers.get(known.message.position, "")
        said = known.replies[-1].text.strip()
        if wanted != known.results.keys() or not said or said != answer.strip():
            return
        self.found.append(
            Retold(
                message=known.message,
                given=known.given,
                replies=tuple(known.replies),
                results=known.results,
            )
        )


def _calls(made: object) -> tuple[tuple[str, str], ...] | None:
    """Name and arguments of each call on record; None for what this version does not write."""
    if not isinstance(made, list):
        return None
    calls: list[tuple[str, str]] = []
    for one in made:
        match one:
            case [str(name), str(arguments)]:
                calls.append((name, arguments))
            case _:
                return None
    return tuple(calls)
