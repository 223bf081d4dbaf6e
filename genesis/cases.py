"""Consensus-critical: the gates a successor must pass, as cases drawn from a seed.

A case is a conversation that never took place: events the subject is told, messages it must
answer, what the scripted model says and what a search finds, and a check of what the subject did.
All words are drawn (genesis.core.draws), so that no answer can be known in advance, and only
events and replies ever reach the subject; the checks stay here.

What is asked is the protocol (docs/spec/agent-protocol.md) and the few rules without which an
agent is not this agent: it says what the model said, it refers and does not copy, it remembers, it
keeps conversations apart, it goes on when something is refused. Not covered: whether it is clever;
style, prompts and plans are free.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genesis.core.draws import Draws
from runtime.core.protocol import EventFrame

REFUSED: Final = None
"""In the place of a model's reply: the call is refused."""
LONG_WORDS: Final = 2_000
MANY_EVENTS: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to answer, with what the model says to the first, second, .. request of its turn.

    When replies run out the last one is repeated.
    """

    event: EventFrame
    replies: tuple[str | None, ...]

    @property
    def position(self) -> int:
        """Where it stands in the subject's history."""
        return self.event.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call of the subject in a turn, and why it was refused, if it was."""

    op: str
    args: dict[str, Any]
    refused: str | None = None


@dataclass(slots=True)
class Played:
    """What a subject did: its calls, by the position of the message their turn answers."""

    calls: dict[int, list[Asked]] = field(default_factory=dict)
    hits: dict[int, list[int]] = field(default_factory=dict)

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

    def texts(self) -> Iterable[str]:
        """Yield every text the subject put into a prompt by copying it there.

        Refused prompts count too, whatever their shape: what has none that we know has no texts.
        """
        for calls in self.calls.values():
            for call in calls:
                items = call.args.get("items") if call.op == "model" else None
                for item in items if isinstance(items, list) else ():
                    if isinstance(item, dict) and isinstance(item.get("text"), str):
                        yield item["text"]


Check = Callable[[Played], str | None]
"""Return what is wrong, in a few words, or None."""


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

    `search` tells whether a recall is carried out or refused. `repeat` asks for two lives whose
    transcripts must be equal.
    """

    gate: str
    identity: Identity
    history: tuple[EventFrame, ...]
    rounds: tuple[tuple[Message, ...], ...]
    check: Check
    search: bool = True
    repeat: bool = False

    @property
    def events(self) -> tuple[EventFrame, ...]:
        """Every event of the case with words, in order: what a search can find."""
        messages = (message.event for group in self.rounds for message in group)
        return (*self.history, *messages)


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
        self._position = position
        self._ts_ms = ts_ms

    def stream(self) -> bytes:
        """Return a new conversation's stream id."""
        return self.draws.octets(16)

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

    def message(self, stream: bytes, text: str | None = None, *, fails: int = 0) -> Message:
        """Append a message that is to be answered; the model refuses `fails` times first."""
        replies = (*[REFUSED] * fails, self.draws.words(8))
        event = self.received(stream, self.draws.words(7) if text is None else text)
        return Message(event=event, replies=replies)

    def case(self, gate: str, check: Check, *rounds: Sequence[Message], **options: Any) -> Case:
        """Close the scene: what is no message to answer is history."""
        asked = {message.position for group in rounds for message in group}
        return Case(
            gate=gate,
            identity=self.identity,
            history=tuple(event for event in self.events if event.position not in asked),
            rounds=tuple(tuple(group) for group in rounds),
            check=check,
            **options,
        )


def all_cases(key: bytes, *, position: int, ts_ms: int) -> tuple[Case, ...]:
    """Return the cases of every gate under `key`, from `position` and `ts_ms` on."""
    return tuple(make(Scene(Draws(key, make.__name__), position, ts_ms)) for make in _MAKERS)


# ---- checks that several gates share ----------------------------------------------------------


def _answered(*messages: Message) -> Check:
    """Each message is answered with what the model said last, word for word."""

    def check(played: Played) -> str | None:
        for message in messages:
            said = played.answer(message)
            if said is None:
                return "the turn ended without an answer"
            if said.strip() != message.replies[-1]:
                return "the answer is not what the model said"
            if not any(_asks(items, message.position) for items in played.prompts(message)):
                return "no prompt ends with a reference to the message"
        return None

    return check


def _asks(items: list[dict[str, Any]], position: int) -> bool:
    return items[-1] == {"role": "user", "ref": position}


def _all(*checks: Check) -> Check:
    return lambda played: next((why for check in checks if (why := check(played))), None)


def _quotes(words: Iterable[str]) -> Check:
    """No prompt holds one of `words` as copied text."""
    wanted = {word for text in words for word in text.split()}

    def check(played: Played) -> str | None:
        copied = wanted.intersection(word for text in played.texts() for word in text.split())
        return "words of people were copied into a prompt" if copied else None

    return check


def _refers(message: Message, wanted: Sequence[EventFrame]) -> Check:
    """The last prompt refers to `wanted`, in this order and in the right roles."""
    roles = {"message.received": "user", "message.sent": "assistant"}
    expected = [{"role": roles[event.type], "ref": event.position} for event in wanted]

    def check(played: Played) -> str | None:
        items = played.prompts(message)[-1]
        found = [item for item in items if item in expected]
        return None if found == expected else "the conversation so far is not in the prompt"

    return check


def _avoids(message: Message, events: Iterable[EventFrame], why: str) -> Check:
    avoided = {event.position for event in events}
    return lambda played: why if avoided.intersection(played.refs(message)) else None


# ---- the gates --------------------------------------------------------------------------------


def _handshake(scene: Scene) -> Case:
    """Ready, pong, a clean stop: what the player demands of every case, here with nothing else."""
    scene.exchange(scene.stream())
    return scene.case("handshake", lambda _: None)


def _answer(scene: Scene) -> Case:
    message = scene.message(scene.stream())
    return scene.case("answer", _answered(message), [message])


def _identity(scene: Scene) -> Case:
    message = scene.message(scene.stream())

    def check(played: Played) -> str | None:
        system = [
            i["text"] for i in played.prompts(message)[-1] if i["role"] == "system" and "text" in i
        ]
        return (
            None
            if any(scene.identity.soul.strip() in text for text in system)
            else "no prompt says who it is"
        )

    return scene.case("identity", _all(_answered(message), check), [message])


def _references(scene: Scene) -> Case:
    stream = scene.stream()
    scene.exchange(stream)
    first, second = scene.message(stream), scene.message(stream)
    words = [event.content["text"] for event in scene.events if event.content]
    replies = [message.replies[-1] or "" for message in (first, second)]
    check = _all(_answered(first, second), _quotes([*words, *replies]))
    return scene.case("references", check, [first], [second])


def _history(scene: Scene) -> Case:
    stream = scene.stream()
    earlier = [event for _ in range(3) for event in scene.exchange(stream)]
    message = scene.message(stream)
    check = _all(_answered(message), _refers(message, earlier[-4:]))
    return scene.case("history", check, [message])


def _isolation(scene: Scene) -> Case:
    """Another conversation lies right before and after: none of it is this one's business."""
    stream, other = scene.stream(), scene.stream()
    own = scene.exchange(stream)
    foreign = [*scene.exchange(other), *scene.exchange(other)]
    message = scene.message(stream)
    check = _all(
        _answered(message),
        _refers(message, own),
        _avoids(message, foreign, "another conversation is in the prompt"),
    )
    return scene.case("isolation", check, [message])


def _recall(scene: Scene) -> Case:
    """Long ago, in another conversation: only a search by the rare word finds it."""
    rare, stream = scene.draws.word(), scene.stream()
    told = scene.received(scene.stream(), f"{scene.draws.words(3)} {rare} {scene.draws.words(3)}")
    for _ in range(30):
        scene.exchange(stream)
    message = scene.message(stream, f"{scene.draws.words(2)} {rare}?")

    def check(played: Played) -> str | None:
        if told.position not in played.hits.get(message.position, []):
            return "it did not look for what was said before"
        found = told.position in played.refs(message)
        return None if found else "what was recalled is not in the prompt"

    return scene.case("recall", _all(_answered(message), check), [message])


def _erased(scene: Scene) -> Case:
    stream = scene.stream()
    gone = [scene.received(stream, None), scene.sent(stream, None)]
    kept = scene.exchange(stream)
    message = scene.message(stream)
    check = _all(
        _answered(message),
        _refers(message, kept),
        _avoids(message, gone, "it refers to erased words"),
    )
    return scene.case("erased", check, [message])


def _opaque(scene: Scene) -> Case:
    stream = scene.stream()
    kept = scene.exchange(stream)
    scene.event(f"{scene.draws.word()}.{scene.draws.word()}", stream, None, {"x": [1, {"y": None}]})
    scene.event("memory.noted", stream, None, {"kind": scene.draws.word(), "content": bytes(32)})
    scene.event(f"{scene.draws.word()}.happened", scene.stream(), scene.draws.words(4), {})
    message = scene.message(stream)
    return scene.case("opaque", _all(_answered(message), _refers(message, kept)), [message])


def _refusal(scene: Scene) -> Case:
    """No search and, once, no model: the turn ends somehow, and the next one is answered."""
    stream = scene.stream()
    first = scene.message(stream, fails=99)
    second, third = scene.message(stream), scene.message(stream)
    check = _answered(second, third)
    return scene.case("refusal", check, [first], [second], [third], search=False)


def _discipline(scene: Scene) -> Case:
    """The player refuses what is out of order in every case; here over several turns."""
    streams = [scene.stream(), scene.stream()]
    messages = [scene.message(streams[n % 2]) for n in range(4)]
    return scene.case("discipline", _answered(*messages), *[[message] for message in messages])


def _parallel(scene: Scene) -> Case:
    first, second, third = (scene.message(scene.stream()) for _ in range(3))
    check = _answered(first, second, third)
    return scene.case("parallel", check, [first, second, third])


def _bounds(scene: Scene) -> Case:
    """More history than a prompt may refer to, and a message longer than a query may be."""
    stream = scene.stream()
    for _ in range(MANY_EVENTS // 2):
        scene.exchange(stream)
    message = scene.message(stream, scene.draws.words(LONG_WORDS))
    return scene.case("bounds", _answered(message), [message])


def _determinism(scene: Scene) -> Case:
    stream = scene.stream()
    for _ in range(5):
        scene.exchange(stream)
    first, second = scene.message(stream), scene.message(stream, fails=1)

    def check(played: Played) -> str | None:
        return _answered(first)(played)

    return scene.case("determinism", check, [first], [second], repeat=True)


_MAKERS: Final = (
    *(_handshake, _answer, _identity, _references, _history, _isolation, _recall),
    *(_erased, _opaque, _refusal, _discipline, _parallel, _bounds, _determinism),
)
GATES: Final = tuple(make.__name__.removeprefix("_") for make in _MAKERS)
