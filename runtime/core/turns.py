"""What is still to be done, folded from the ledger: open messages, recorded steps, holds.

A message is *pending* from `message.received` until an event says how it ended: `turn.finished`,
or a `policy.decided` that answered it. Each step of an open turn is remembered with the digest of
its arguments and the position of its result, so that a turn given again after a crash repeats
nothing. An author whose message met the crisis screen is *held* in that conversation from that
very message on, until `policy.released`; what he wrote while held is *withheld*: its words never
reach the agent or a model.

A message without the screen's verdict is treated like one that met it: nothing passes unscreened.

`Turns.apply` never raises: an event with a shape this version does not write is passed over.
Not covered: what the events say in words; that is content, and may be erased.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from ledger.core import types
from ledger.core.event import Cause, Event
from runtime.core.limits import HISTORY_EVENTS_MAX

STEPPED: Final = "turn.stepped"
"""A step whose result is in no other event: a status, or a refusal."""

STREAMED: Final = frozenset(
    {
        types.MESSAGE_RECEIVED.name,
        types.MESSAGE_SENT.name,
        types.MEMORY_NOTED.name,
        types.TURN_FINISHED.name,
    }
)
"""What the agent process is told of. Requests, replies and decisions are the host's business."""

SCREEN_PASS: Final = "pass"  # noqa: S105 - a verdict, not a password
SCREEN_CRISIS: Final = "crisis"
HOLD: Final = "hold"
"""The `action` of a `policy.decided` that starts a hold and answers the message."""
HELD: Final = "held"
"""The `action` of one that answers a message of an author who is held already."""


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


@dataclass(slots=True, kw_only=True)
class Step:
    """A step on record. `result` is the position of the event that holds what it gave."""

    op: str
    args: bytes
    asked: int | None = None
    result: int | None = None


@dataclass(slots=True, kw_only=True)
class OpenTurn:
    """A turn that was given. `attempt` counts from 1 and grows with every bad end."""

    message: int
    attempt: int
    steps: dict[int, Step] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """`last` is the position of the newest event that changed what its next turn may see."""

    stream: bytes
    last: int


def _get(payload: dict[str, Any], name: str, kind: type) -> Any:
    value = payload.get(name)
    return value if type(value) is kind else None


class Turns:
    """The projection. Feed it every event once, in order."""

    def __init__(self) -> None:
        self.next_position = 0
        self.conversations: dict[str, Conversation] = {}
        self.pending: dict[int, Message] = {}
        self.open: dict[bytes, OpenTurn] = {}
        self.holds: dict[tuple[str, str], int] = {}
        self.withheld: set[int] = set()
        self.recent: deque[int] = deque(maxlen=HISTORY_EVENTS_MAX)

    def apply(self, event: Event) -> None:
        """Fold one event in. Never raises for an event that `Event.open` accepted."""
        self.next_position = event.position + 1
        if event.type in STREAMED:
            self.recent.append(event.position)
        handler = self._HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    def held(self, conversation: str, author: str) -> bool:
        """Tell whether the operator has yet to release this author here."""
        return (conversation, author) in self.holds

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
        return [
            message
            for message in self.pending.values()
            if message.held or self.held(message.conversation, message.author)
        ]

    def next_messages(self) -> list[Message]:
        """The oldest pending message of each conversation that may become a turn, in order."""
        first: dict[str, Message] = {}
        for message in self.pending.values():
            if not message.held and not self.held(message.conversation, message.author):
                first.setdefault(message.conversation, message)
        return list(first.values())

    def _close(self, position: int) -> None:
        self.pending.pop(position, None)
        for turn in [name for name, opened in self.open.items() if opened.message == position]:
            del self.open[turn]

    def _touch(self, event: Event, conversation: str) -> None:
        known = self.conversations.get(conversation)
        if known is None:
            self.conversations[conversation] = Conversation(
                stream=event.stream, last=event.position
            )
        else:
            known.last = event.position

    def _received(self, event: Event) -> None:
        conversation = _get(event.payload, "conversation", str)
        author = _get(event.payload, "author", str)
        if conversation is None or author is None:
            return
        if event.payload.get("screen") != SCREEN_PASS:
            self.holds.setdefault((conversation, author), event.position)
        held = self.held(conversation, author)
        if held:
            self.withheld.add(event.position)
        if conversation not in self.conversations:
            self._touch(event, conversation)
        self.pending[event.position] = Message(
            cause=event.cause,
            stream=event.stream,
            conversation=conversation,
            author=author,
            held=held,
        )

    def _sent(self, event: Event) -> None:
        conversation = _get(event.payload, "conversation", str)
        if conversation is not None:
            self._touch(event, conversation)
        self._stepped(event)

    def _started(self, event: Event) -> None:
        turn = _get(event.payload, "turn", bytes)
        message = _get(event.payload, "message", int)
        attempt = _get(event.payload, "attempt", int)
        if turn is None or attempt is None or message not in self.pending:
            return
        opened = self.open.setdefault(turn, OpenTurn(message=message, attempt=attempt))
        opened.attempt = max(opened.attempt, attempt)

    def _finished(self, event: Event) -> None:
        message = self.pending.get(_get(event.payload, "message", int))
        if message is not None:
            self._touch(event, message.conversation)
            self._close(message.position)

    def _decided(self, event: Event) -> None:
        conversation = _get(event.payload, "conversation", str)
        author = _get(event.payload, "author", str)
        action = event.payload.get("action")
        if action not in (HOLD, HELD) or conversation is None or author is None:
            return
        if action == HOLD:
            self.holds.setdefault((conversation, author), event.position)
        message = _get(event.payload, "message", int)
        if message is not None:
            self._close(message)

    def _released(self, event: Event) -> None:
        conversation = _get(event.payload, "conversation", str)
        author = _get(event.payload, "author", str)
        self.holds.pop((conversation, author), None)

    def _asked(self, event: Event) -> None:
        step = self._step_of(event)
        if step is not None:
            step.asked = event.position

    def _stepped(self, event: Event) -> None:
        step = self._step_of(event)
        if step is not None:
            step.result = event.position

    def _step_of(self, event: Event) -> Step | None:
        opened = self.open.get(_get(event.payload, "turn", bytes) or b"")
        number = _get(event.payload, "step", int)
        op = _get(event.payload, "op", str)
        args = _get(event.payload, "args", bytes)
        if opened is None or number is None or op is None or args is None:
            return None
        return opened.steps.setdefault(number, Step(op=op, args=args))

    _HANDLERS: ClassVar[dict[str, Callable[["Turns", Event], None]]] = {
        types.MESSAGE_RECEIVED.name: _received,
        types.MESSAGE_SENT.name: _sent,
        types.TURN_STARTED.name: _started,
        types.TURN_FINISHED.name: _finished,
        types.POLICY_DECIDED.name: _decided,
        types.POLICY_RELEASED.name: _released,
        types.MODEL_REQUESTED.name: _asked,
        types.MODEL_REPLIED.name: _stepped,
        types.RECALLED.name: _stepped,
        types.MEMORY_NOTED.name: _stepped,
        STEPPED: _stepped,
    }


INTERPRETED: Final = frozenset(Turns._HANDLERS)  # noqa: SLF001 - the table of this very class
"""Types that must be understood before anything is decided: a hold may be among them."""
