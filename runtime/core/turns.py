"""What is still to be done, read from the state that `runtime.core.agenda` folds.

Every answer is computed from the entries at the time it is asked for: nothing here remembers, so
nothing here can disagree with the ledger. Not covered: what the events say in words; that is
content, and may be erased.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ledger.core.event import Cause
from ledger.core.state import State
from runtime.core import agenda
from runtime.core.limits import HISTORY_EVENTS_MAX

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A received message without its words. `held`: its author was held when it came."""

    cause: Cause
    stream: bytes
    conversation: str
    author: str
    held: bool

    @property
    def position(self) -> int:
        """Where it is in the log."""
        return self.cause.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step on record. `result` is the position of the event that holds what it gave."""

    op: str
    args: bytes
    asked: int | None = None
    result: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """A turn that was given. `attempt` counts from 1 and grows with every bad end."""

    message: int
    attempt: int
    steps: dict[int, Step] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """`last` is the position of the newest event that changed what its next turn may see."""

    stream: bytes
    last: int


class _Table(Mapping[_K, _V]):
    """Entries of one kind as a mapping: `name` gives a key's entry, `read` its value."""

    def __init__(
        self,
        entries: Mapping[str, Any],
        name: Callable[[_K], str],
        read: Callable[[_K, Any], _V],
        keys: Callable[[], Iterable[_K]],
    ) -> None:
        self._entries, self._name, self._read, self._keys = entries, name, read, keys

    def __getitem__(self, key: _K) -> _V:
        return self._read(key, self._entries[self._name(key)])

    def __contains__(self, key: object) -> bool:
        return self._name(key) in self._entries  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[_K]:
        return iter(self._keys())

    def __len__(self) -> int:
        return sum(1 for _ in self._keys())


class _Withheld(AbstractSet[int]):
    """Positions of messages and memories whose words stay with the host."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def __contains__(self, position: object) -> bool:
        return agenda.withheld_key(position) in self._entries  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        prefix = agenda.withheld_key(0)[:-1]
        return (int(key[len(prefix) :]) for key in self._entries if key.startswith(prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _message(position: int, value: list[Any]) -> Message:
    event_id, stream, conversation, author, held, _ = value
    cause = Cause(position=position, id=event_id)
    return Message(cause=cause, stream=stream, conversation=conversation, author=author, held=held)


def _open_turn(_name: bytes, value: list[Any]) -> OpenTurn:
    message, attempt, steps = value
    named = {
        number: Step(op=op, args=args, asked=asked, result=result)
        for number, op, args, asked, result in steps
    }
    return OpenTurn(message=message, attempt=attempt, steps=named)


class Turns:
    """A view of a state that has `reduce_agenda` among its reducers."""

    def __init__(self, state: State) -> None:
        self._state = state
        entries = state.entries
        self.pending: Mapping[int, Message] = _Table(
            entries, agenda.pending_key, _message, self._pending
        )
        self.open: Mapping[bytes, OpenTurn] = _Table(
            entries, agenda.turn_key, _open_turn, self._open
        )
        self.holds: Mapping[str, dict[str, int]] = _Table(
            entries, agenda.hold_key, lambda _, begun: dict(begun), self._holds
        )
        """Held authors; each with the conversations it began in and the events that began it."""
        self.withheld: AbstractSet[int] = _Withheld(entries)

    @property
    def next_position(self) -> int:
        """How many events are folded in."""
        return self._state.size

    @property
    def recent(self) -> list[int]:
        """Positions of the newest events that the agent is told of, at most HISTORY_EVENTS_MAX."""
        entries = self._state.entries
        slots = min(entries.get("recent", 0), HISTORY_EVENTS_MAX)
        return sorted(entries[agenda.recent_key(slot)] for slot in range(slots))

    def conversation(self, name: str) -> Conversation | None:
        """Return what is known of a conversation."""
        value = self._state.entries.get(agenda.conversation_key(name))
        return None if value is None else Conversation(stream=value[0], last=value[1])

    def held(self, author: str) -> bool:
        """Tell whether the operator has yet to release this author."""
        return author in self.holds

    def step(self, turn: bytes, step: int) -> Step | None:
        """Return what is on record of a step of an open turn."""
        opened = self.open.get(turn)
        return None if opened is None else opened.steps.get(step)

    def attempt(self, turn: bytes) -> int:
        """Return how often this turn was given anew, counting from 1; 0 if never."""
        opened = self.open.get(turn)
        return 0 if opened is None else opened.attempt

    def to_settle(self) -> list[Message]:
        """Pending messages that get the fixed answer: their author is, or was then, held."""
        return [_message(at, value) for at, value in self._raw() if self._due_fixed(value)]

    def next_messages(self) -> list[Message]:
        """The oldest pending message of each conversation that may become a turn, in order."""
        first: dict[str, tuple[int, list[Any]]] = {}
        for position, value in self._raw():
            conversation = value[2]
            if conversation not in first and not self._due_fixed(value):
                first[conversation] = position, value
        return [_message(at, value) for at, value in first.values()]

    def _raw(self) -> Iterator[tuple[int, list[Any]]]:
        """Pending messages as they stand in the entries.

        Both above run with each event: where thousands wait, a `Message` of each is what costs.
        """
        entries = self._state.entries
        return ((at, entries[agenda.pending_key(at)]) for at in self._pending())

    def _due_fixed(self, value: list[Any]) -> bool:
        _, _, _, author, held, _ = value
        return held or self.held(author)

    def _pending(self) -> list[int]:
        return list(self._state.entries.get("pending", ()))

    def _open(self) -> list[bytes]:
        entries = self._state.entries
        return [turn for at in self._pending() for turn in entries[agenda.pending_key(at)][5]]

    def _holds(self) -> list[str]:
        return list(self._state.entries.get("holds", ()))
