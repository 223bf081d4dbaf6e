"""Consensus-critical: what a case is made of: drawn scenes, messages to answer, and shared checks.

A case is a conversation that never took place: events the subject is told, messages it must
answer, what the scripted model says and what a search finds, and a check of what the subject did.
All words are drawn (genesis.core.draws), so that no answer can be known in advance, and only
events and replies ever reach the subject; the checks stay here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from genesis.core.draws import Draws
from genesis.judging import everyday
from runtime.core.limits import TURN_REPLIES_MAX, TURN_STEPS_MAX
from runtime.core.protocol import EventFrame

REFUSED: Final = None
"""In the place of a model's reply: the call is refused."""
VOICES: Final = {"message.received": "user", "message.sent": "assistant"}
"""In whose mouth the words of an event are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says, and which tools it asks for: name and arguments of each.

    `position`: where it is on record; None where it never was.
    """

    text: str
    calls: tuple[tuple[str, str], ...] = ()
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a call of a tool gave: outcome and words, and where that is on record."""

    outcome: str
    text: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to answer, with what the model says to the first, second, .. request of its turn.

    When replies run out the last one is repeated. `given` goes with its turn. `tools`: what tools
    give in its turn, before those of the case. One on record has `told`, what is told between it
    and the one before, and `results`, by the ids of their calls: there nothing is given that is not
    on record.
    """

    event: EventFrame
    replies: tuple[str | Reply | None, ...]
    given: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    told: "Past | None" = None
    results: Mapping[str, Result] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """What the model says last."""
        reply = self.replies[-1]
        return reply.text if isinstance(reply, Reply) else reply or ""

    @property
    def position(self) -> int:
        """Where it stands in the subject's history."""
        return self.event.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Events as a subject is told them: encoded frames, and which positions have words.

    `said`: words that a search may find, by position.
    """

    frames: bytes = b""
    words: Mapping[int, bool] = field(default_factory=dict)
    said: Mapping[int, EventFrame] = field(default_factory=dict)

    @property
    def voices(self) -> dict[int, str]:
        """In whose mouth the words are, by position."""
        known = {at: event for at, event in self.said.items() if event.type in VOICES}
        return {at: VOICES[event.type] for at, event in known.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A tool that a reply asked for, in the step before `step`, and the id it has there."""

    step: int
    name: str
    arguments: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call of the subject in a turn, and why it was refused, if it was."""

    op: str
    args: dict[str, Any]
    refused: str | None = None


@dataclass(slots=True)
class Played:
    """What a subject did: its calls, by the position of the message their turn answers.

    And what it was told on the way: the hits of searches, the tools that replies asked for, the
    results that came (each with its step), and whose words a position has.
    """

    calls: dict[int, list[Asked]] = field(default_factory=dict)
    hits: dict[int, list[int]] = field(default_factory=dict)
    wishes: dict[int, list[Wish]] = field(default_factory=dict)
    results: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    voices: dict[int, str] = field(default_factory=dict)

    def answer(self, message: Message) -> str | None:
        """Return the text a turn was answered with, None if it failed."""
        last = self.calls[message.position][-1]
        return last.args["text"] if last.op == "answer" and last.refused is None else None

    def prompts(self, message: Message) -> list[list[dict[str, Any]]]:
        """Return the items of each model call of a turn that was not refused."""
        calls = self.calls[message.position]
        return [call.args["items"] for call in calls if call.op == "model" and not call.refused]

    def refs(self, message: Message) -> list[int]:
        """Return the references of a turn's last prompt, in order."""
        return [item["ref"] for item in self.prompts(message)[-1] if "ref" in item]

    def items(self, *messages: Message) -> Iterable[dict[str, Any]]:
        """Yield every part of every prompt of these turns, of all if none is named.

        Refused prompts count too, whatever their shape: what has none that we know has no parts.
        """
        turns = [self.calls[message.position] for message in messages] or self.calls.values()
        for calls in turns:
            for call in calls:
                items = call.args.get("items") if call.op == "model" else None
                for item in items if isinstance(items, list) else ():
                    if isinstance(item, dict):
                        yield item

    def texts(self, *messages: Message) -> Iterable[str]:
        """Yield every text that was put into a prompt of these turns by copying it there."""
        for item in self.items(*messages):
            if isinstance(item.get("text"), str):
                yield item["text"]


Check = Callable[[Played], str | None]
"""Return what is wrong, in a few words, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a turn may take: calls in all, and replies of models."""

    steps_max: int = TURN_STEPS_MAX
    replies_max: int = TURN_REPLIES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the subject is told it is, and whom it talks with: drawn, so as not to tell a judge."""

    name: str
    soul: str
    ledger: bytes
    model: str
    gateway: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One process's life: told `history`, then given each round's messages at once.

    `search` tells whether a recall is carried out or refused. `lives`: how many there are, whose
    transcripts must all be equal. `tools`: outcome and words of each tool there is, by name.
    `bounds`: how many steps and replies a turn may have. `past` stands for the snapshot, if given.
    `wordless`: the transcript names places only, since the words are people's. `start`: no event
    of the snapshot has this place or one behind it. `silent`: places with words that the subject is
    not told of, but may be given.
    """

    gate: str
    identity: Identity
    history: tuple[EventFrame, ...]
    rounds: tuple[tuple[Message, ...], ...]
    check: Check
    search: bool = True
    lives: int = 1
    tools: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    past: Past | None = None
    wordless: bool = False
    start: int = 0
    silent: frozenset[int] = frozenset()

    def briefly(self) -> "Case":
        """Return it with two lives where it has more: enough to say that they are alike."""
        return replace(self, lives=min(self.lives, 2))

    @property
    def events(self) -> tuple[EventFrame, ...]:
        """Every event of the case with words, in order: what a search can find."""
        messages = (message.event for group in self.rounds for message in group)
        return (*self.history, *messages)

    @property
    def next_position(self) -> int:
        """A place that no event of the case has, nor any behind it."""
        return max(self.start, *(event.position + 1 for event in self.events), 1)


class Scene:
    """Makes the events of one case: positions and times run on from the snapshot."""

    def __init__(self, draws: Draws, position: int, ts_ms: int) -> None:
        self.draws = draws
        self.identity = Identity(
            name=draws.word(),
            soul=f"# {draws.word()}\n\n{draws.words(12)}\n",
            ledger=draws.octets(32),
            model=draws.word(),
            gateway=draws.word(),
            author=draws.word(),
        )
        self.events: list[EventFrame] = []
        self._silent: set[int] = set()
        self._position = position
        self._ts_ms = ts_ms

    def stream(self) -> bytes:
        """Return a new conversation's stream id."""
        return self.draws.octets(16)

    def place(self) -> int:
        """Take a place for an event that has words, and that the subject is not told of."""
        self._position += 1
        self._silent.add(self._position - 1)
        return self._position - 1

    def event(
        self, kind: str, stream: bytes, text: str | None, payload: dict[str, Any]
    ) -> EventFrame:
        """Append an event; `text` None means that its words were erased, or that it has none."""
        frame = EventFrame(
            position=self._position,
            type=kind,
            ts_ms=self._ts_ms,
            stream=stream,
            payload=payload,
            content=None if text is None else {"text": text},
        )
        self._position += 1
        self._ts_ms += 1_000
        self.events.append(frame)
        return frame

    def received(self, stream: bytes, text: str | None) -> EventFrame:
        """Append a message to the agent, as a gateway writes it."""
        payload = self._who(stream) | {"gateway": self.identity.gateway, "screen": "pass"}
        return self.event("message.received", stream, text, payload)

    def sent(self, stream: bytes, text: str | None) -> EventFrame:
        """Append an answer of the agent."""
        payload = self._who(stream) | {"message": self._position - 1}
        return self.event("message.sent", stream, text, payload)

    def _who(self, stream: bytes) -> dict[str, Any]:
        commitment = self.draws.octets(32)
        return {
            "conversation": stream.hex(),
            "author": self.identity.author,
            "content": commitment,
        }

    def exchange(self, stream: bytes) -> tuple[EventFrame, EventFrame]:
        """Append a message and its answer."""
        return (
            self.received(stream, self.draws.words(6)),
            self.sent(stream, self.draws.words(6)),
        )

    def message(
        self,
        stream: bytes,
        text: str | None = None,
        *,
        fails: int = 0,
        replies: Sequence[str | Reply | None] = (),
        given: Mapping[str, Any] | None = None,
        tools: Mapping[str, tuple[str, str]] | None = None,
    ) -> Message:
        """Append a message that is to be answered; the model refuses `fails` times first."""
        said = tuple(replies) or (*[REFUSED] * fails, self.draws.words(8))
        event = self.received(stream, self.draws.words(7) if text is None else text)
        return Message(event=event, replies=said, given=given or {}, tools=tools or {})

    def ordinary(self, stream: bytes) -> Message:
        """Append a message in plain words, which is to be answered in plain words."""
        said = everyday.sentences(self.draws, 3)
        return self.message(stream, everyday.sentences(self.draws, 1), replies=[said])

    def tool(self) -> tuple[str, str]:
        """Return name and arguments of a call: of a real tool as often as of a drawn one."""
        if self.draws.below(2):
            word = self.draws.word
            return word(), f'{{"{word()}": "{word()}"}}'
        name = sorted(everyday.TOOLS)[self.draws.below(len(everyday.TOOLS))]
        return name, everyday.arguments_of(self.draws, name)

    def case(self, gate: str, check: Check, *rounds: Sequence[Message], **options: Any) -> Case:
        """Close the scene: what is no message to answer is history."""
        asked = {message.position for group in rounds for message in group}
        return Case(
            gate=gate,
            identity=self.identity,
            history=tuple(event for event in self.events if event.position not in asked),
            rounds=tuple(tuple(group) for group in rounds),
            check=check,
            silent=frozenset(self._silent),
            **options,
        )


# ---- checks that several gates share ----------------------------------------------------------


def answered(*messages: Message) -> Check:
    """Each message is answered with what the model said last, word for word."""

    def check(played: Played) -> str | None:
        for message in messages:
            said = played.answer(message)
            if said is None:
                return "the turn ended without an answer"
            if said.strip() != message.last.strip():
                return "the answer is not what the model said"
            if not any(_asks(items, message.position) for items in played.prompts(message)):
                return "no prompt ends with a reference to the message"
        return None

    return check


def _asks(items: list[dict[str, Any]], position: int) -> bool:
    return items[-1] == {"role": "user", "ref": position}


def every(*checks: Check) -> Check:
    """Return what the first of these finds wrong."""
    return lambda played: next((why for check in checks if (why := check(played))), None)


def quotes(words: Iterable[str]) -> Check:
    """No prompt holds one of `words` as copied text."""
    wanted = {word for text in words for word in text.split()}

    def check(played: Played) -> str | None:
        copied = wanted.intersection(word for text in played.texts() for word in text.split())
        return "words of people were copied into a prompt" if copied else None

    return check


def refers(message: Message, wanted: Sequence[EventFrame]) -> Check:
    """The last prompt refers to `wanted`, in this order and in the right roles."""
    expected = [{"role": VOICES[event.type], "ref": event.position} for event in wanted]

    def check(played: Played) -> str | None:
        items = played.prompts(message)[-1]
        found = [item for item in items if item in expected]
        return None if found == expected else "the conversation so far is not in the prompt"

    return check


def avoids(message: Message, events: Iterable[EventFrame], why: str) -> Check:
    """The last prompt refers to none of `events`."""
    avoided = {event.position for event in events}
    return lambda played: why if avoided.intersection(played.refs(message)) else None
