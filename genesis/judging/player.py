"""Plays the host for one case: tells the history, gives the turns, serves the calls, checks order.

The services are scripted: the model says what the case says, a search goes over the case's own
events, notes are taken and forgotten. What the real host refuses is refused here with the same
parser and for the same reasons. The discipline of the protocol is demanded in every case:

    calls count from 1 and steps from 0, without gaps; every call belongs to a turn that is open;
    a turn ends once, within its number of steps, by a refused last step too; between turns there is
    silence, and a ping is answered by its pong; after stop the process ends with status 0
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from genesis.judging.scenes import VOICES, Asked, Case, Message, Past, Played, Reply, Wish
from genesis.judging.subject import Cage, Subject, Violation, run_subject
from ledger.core.codec import encode as encode_cbor
from ledger.core.hashing import tagged
from runtime.cgroups import Usage
from runtime.core import calls
from runtime.core.errors import StepRefused
from runtime.core.limits import HIT_CHARS_MAX
from runtime.core.protocol import (
    VERSION,
    Call,
    Error,
    EventFrame,
    Frame,
    Hello,
    Live,
    Ping,
    Pong,
    Ready,
    Result,
    Stop,
    TurnFrame,
)
from runtime.core.protocol import encode as encode_frame

TRANSCRIPT_TAG: Final = "timmy/judge-transcript/v1"
_WORD_LETTERS_MIN: Final = 4
_APOLOGY: Final = "I could not work out an answer to this."
"""What a user reads where a last step was refused; the real host's words are longer."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    message: Message
    id: bytes
    asked: list[Asked] = field(default_factory=list)
    models: int = 0
    ended: bool = False
    trail: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one life of a subject came to: its calls, their digest, each round's time, its use."""

    played: Played
    transcript: bytes
    rounds_us: tuple[int, ...]
    usage: Usage


async def play(case: Case, tree: Path, past: Past, cage: Cage) -> Recording:
    """Run `tree` through `case`. Raises Violation; SandboxError and OSError if we cannot."""
    try:
        async with asyncio.timeout(cage.patience.case_s), run_subject(tree, cage) as subject:
            return await _Player(case, past, subject, cage).run()
    except TimeoutError as error:
        raise Violation("it took too long", timed_out=True) from error


def transcript_digest(played: Played, *, wordless: bool = False) -> bytes:
    """Return 32 bytes over what was asked, turn by turn, whatever the order between turns.

    Arguments go in as the bytes of their encoding: they may be as deep as a frame allows, and
    would be too deep in a list of lists. `wordless`: only the op and the places that it names, for
    the rest may be words of people, and a digest of those could be tried out.
    """
    told = _places if wordless else _whole
    turns = [
        [position, [told(call) for call in asked]]
        for position, asked in sorted(played.calls.items())
    ]
    return tagged(TRANSCRIPT_TAG, b"".join(encode_cbor(turn) for turn in turns))


def _whole(call: Asked) -> list[Any]:
    return [call.op, encode_cbor(call.args), call.refused]


def _places(call: Asked) -> list[Any]:
    items = call.args.get("items") if call.op == "model" and call.refused is None else None
    return [call.op, [item["ref"] for item in items or () if "ref" in item], call.refused is None]


class _Player:
    def __init__(self, case: Case, past: Past, subject: Subject, cage: Cage) -> None:
        self._case = case
        self._subject = subject
        self._patience = cage.patience
        self._played = Played()
        self._calls = 0
        self._pings = 0
        self._past = past if case.past is None else case.past
        self._words = [self._past.words]
        self._found = dict(self._past.said)
        self._next = case.next_position
        self._terms: dict[int, set[str]] = {}
        self._made: set[int] = set()
        self._told: dict[int, EventFrame] = {}
        self._turns: dict[bytes, _Turn] = {}

    async def run(self) -> Recording:
        async with _within(self._patience.start_s, "it did not start in time"):
            await self._begin()
        times: list[int] = []
        for group in self._case.rounds:
            started = time.perf_counter_ns()
            async with _within(self._patience.turn_s, "a turn took too long"):
                await self._round(group)
            times.append((time.perf_counter_ns() - started) // 1_000)
            async with _within(self._patience.turn_s, "a ping was not answered in time"):
                await self._silence()
        async with _within(self._patience.stop_s, "it did not stop in time"):
            self._subject.send(Stop())
            await self._subject.ended()
        return Recording(
            played=self._played,
            transcript=transcript_digest(self._played, wordless=self._case.wordless),
            rounds_us=tuple(times),
            usage=self._subject.usage(),
        )

    async def _begin(self) -> None:
        who, subject = self._case.identity, self._subject
        subject.send(Hello(protocol=VERSION, name=who.name, soul=who.soul, ledger=who.ledger))
        if await subject.receive() != Ready(protocol=VERSION):
            raise Violation("it was not ready")
        subject.send_encoded(self._past.frames)
        for event in self._case.history:
            self._tell(event)
        subject.send(Live())
        await self._silence()

    async def _silence(self) -> None:
        """A ping must bring its pong and nothing before it."""
        self._pings += 1
        self._subject.send(Ping(n=self._pings))
        if await self._subject.receive() != Pong(n=self._pings):
            raise Violation("it spoke out of turn")

    def _tell(self, event: EventFrame) -> None:
        self._told[event.position] = event
        self._found[event.position] = event
        if event.type in VOICES:
            self._played.voices[event.position] = VOICES[event.type]
        self._subject.send(event)

    async def _round(self, group: tuple[Message, ...]) -> None:
        given: list[Frame] = []
        for message in group:
            if message.told is not None:  # on record: what lies between it and the one before
                self._words.append(message.told.words)
                self._found |= message.told.said
                self._played.voices |= message.told.voices
                self._subject.send_encoded(message.told.frames)
            self._tell(message.event)
            event_id = tagged(TRANSCRIPT_TAG, encode_frame(message.event))
            turn = calls.turn_id(self._case.identity.ledger, event_id)
            self._turns[turn] = _Turn(message=message, id=turn)
            self._played.calls[message.position] = self._turns[turn].asked
            given.append(self._turn_frame(turn, message))
        self._subject.send(*given)
        while not all(turn.ended for turn in self._turns.values()):
            frame = await self._subject.receive()
            if not isinstance(frame, Call):
                raise Violation("it sent something else than a call")
            self._serve(frame, self._admitted(frame))

    @staticmethod
    def _turn_frame(turn: bytes, message: Message) -> TurnFrame:
        return TurnFrame(turn=turn, position=message.position, given=dict(message.given))

    def _admitted(self, call: Call) -> _Turn:
        self._calls += 1
        if call.call != self._calls:
            raise Violation("its calls do not count up by one")
        turn = self._turns.get(call.turn)
        if turn is None or turn.ended:
            raise Violation("it called outside a turn")
        if call.step != len(turn.asked):
            raise Violation("its steps do not count up by one")
        if call.step >= self._case.bounds.steps_max:
            raise Violation("its turn has too many steps")
        return turn

    def _serve(self, call: Call, turn: _Turn) -> None:
        try:
            value = self._value(turn, calls.parse_args(call.op, call.args))
        except StepRefused as error:
            turn.asked.append(Asked(op=call.op, args=call.args, refused=str(error)))
            self._subject.send(Error(call=call.call, reason=str(error)))
            turn.ended = call.op in calls.LAST_STEPS
            if turn.ended:
                self._next += 1  # for the plain words with which the host answers then
                self._tell_end(turn)
            return
        turn.asked.append(Asked(op=call.op, args=call.args))
        self._subject.send(Result(call=call.call, value=value))
        if turn.ended:
            self._tell_end(turn)

    def _value(self, turn: _Turn, args: calls.Args) -> dict[str, Any]:
        match args:
            case calls.ModelArgs():
                return self._model(turn, args)
            case calls.ToolArgs():
                return self._tool(turn, args)
            case calls.RecallArgs():
                return self._find(turn, args)
            case calls.StatusArgs():
                who = self._case.identity
                status = {"events": self._next, "models": [who.model], "uptime_s": 1}
                return status | {"name": who.name}
            case calls.RememberArgs():
                self._next += 1
                return {"position": self._next - 1}
            case calls.AnswerArgs():
                turn.ended = True
                self._next += 1
                return {"position": self._next - 1}
            case calls.FailArgs():
                turn.ended = True
                return {}

    def _model(self, turn: _Turn, args: calls.ModelArgs) -> dict[str, Any]:
        most = self._case.bounds.replies_max
        if turn.models >= most:
            raise StepRefused(f"this turn has had {turn.models} replies, at most {most}")
        for item in args.items:
            if item.ref is not None and not self._has_words(item.ref):
                raise StepRefused(f"event {item.ref} has no words to show")
        replies = turn.message.replies
        if turn.message.told is not None and turn.models >= len(replies):
            raise StepRefused("there is no such reply on record")
        reply = replies[min(turn.models, len(replies) - 1)]
        turn.models += 1
        if reply is None:
            raise StepRefused("no model replied")
        said = reply if isinstance(reply, Reply) else Reply(text=reply)
        position = self._take("assistant", said.position)
        value = {"text": said.text, "model": self._case.identity.model, "finish": "stop"}
        return value | {"position": position, "calls": self._wished(turn, said, position)}

    def _wished(self, turn: _Turn, reply: Reply, position: int) -> list[dict[str, Any]]:
        """Note which tools a reply asks for, and give each call its id."""
        wishes = self._played.wishes.setdefault(turn.message.position, [])
        made = [
            Wish(step=len(turn.asked) + 1, name=name, arguments=text, id=f"{position}-{number}")
            for number, (name, text) in enumerate(reply.calls)
        ]
        wishes += made
        if made:
            turn.trail.append([position, len(reply.text.encode()), []])
        return [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in made]

    def _tool(self, turn: _Turn, args: calls.ToolArgs) -> dict[str, Any]:
        outcome, text, place = self._result(turn, args)
        position = self._take("tool", place)
        results = self._played.results.setdefault(turn.message.position, [])
        results.append((len(turn.asked), position))
        if turn.trail:
            turn.trail[-1][1] += len(text.encode())
            turn.trail[-1][2].append(position)
        value = {"text": text, "outcome": outcome, "is_error": outcome != "done"}
        return value | {"position": position}

    def _result(self, turn: _Turn, args: calls.ToolArgs) -> tuple[str, str, int | None]:
        """Outcome, words and, of one on record, place of what a call gives."""
        if turn.message.told is not None:
            kept = turn.message.results.get(args.id or "")
            if kept is None:
                raise StepRefused("there is no such call on record")
            return kept.outcome, kept.text, kept.position
        tools = {**self._case.tools, **turn.message.tools}
        if not tools:
            raise StepRefused("this node has no tools")
        nothing = ("refused", f"there is no tool {args.name}")
        return (*tools.get(args.name, nothing), None)

    def _take(self, voice: str, place: int | None) -> int:
        """Return the place of an event that the subject is not told of, only its place."""
        if place is None:
            self._next += 2  # behind the event of the request
            place = self._next - 1
        self._made.add(place)
        self._played.voices[place] = voice
        return place

    def _has_words(self, position: int) -> bool:
        if position in self._case.silent or position in self._made:
            return True
        event = self._told.get(position)
        if event is not None:
            return _text(event) != ""
        return any(words.get(position, False) for words in self._words)

    def _find(self, turn: _Turn, args: calls.RecallArgs) -> dict[str, Any]:
        if not self._case.search:
            raise StepRefused("the search index does not answer")
        wanted = _terms(args.query)
        scored = [
            (len(wanted & self._terms_of(event)), position)
            for position, event in self._found.items()
            if position < turn.message.position
        ]
        best = sorted((s for s in scored if s[0]), key=lambda s: (-s[0], -s[1]))[: args.limit]
        found = [self._found[position] for _, position in best]
        hits = self._played.hits.setdefault(turn.message.position, [])
        hits += [event.position for event in found]
        return {"hits": [_hit(event) for event in found]}

    def _terms_of(self, event: EventFrame) -> set[str]:
        """The words of an event, cut once: every turn searches all that was said."""
        known = self._terms.get(event.position)
        if known is None:
            known = self._terms[event.position] = _terms(_text(event))
        return known

    def _tell_end(self, turn: _Turn) -> None:
        """Tell the events with which the real host would end the turn."""
        if turn.message.told is not None:
            return  # those on record follow
        event, last = turn.message.event, turn.asked[-1]
        facts = {"turn": turn.id, "message": event.position}
        who = {name: event.payload[name] for name in ("conversation", "author")}
        outcome = "answered" if last.op == "answer" and last.refused is None else "failed"
        if last.op == "answer" or last.refused is not None:
            content = {"text": _APOLOGY if last.refused is not None else last.args["text"]}
            trail = {"trail": turn.trail} if turn.trail else {}
            told = facts | who | trail
            self._tell(self._event("message.sent", event, self._next - 1, told, content))
        self._next += 1
        finished = facts | {"outcome": outcome, "reason": None}
        self._tell(self._event("turn.finished", event, self._next - 1, finished, None))

    @staticmethod
    def _event(
        kind: str,
        to: EventFrame,
        position: int,
        payload: dict[str, Any],
        content: dict[str, Any] | None,
    ) -> EventFrame:
        return EventFrame(
            position=position,
            type=kind,
            ts_ms=to.ts_ms + 1_000,
            stream=to.stream,
            payload=payload,
            content=content,
        )


@asynccontextmanager
async def _within(seconds: float, reason: str) -> AsyncIterator[None]:
    """`asyncio.timeout` whose end is a Violation with a reason of its own."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Violation(reason, timed_out=True) from error


def _text(event: EventFrame) -> str:
    text = None if event.content is None else event.content.get("text")
    return text if isinstance(text, str) else ""


def _terms(text: str) -> set[str]:
    words = (word.strip(".,;:!?\"'").lower() for word in text.split())
    return {word for word in words if len(word) >= _WORD_LETTERS_MIN}


def _hit(event: EventFrame) -> dict[str, Any]:
    text = _text(event)[:HIT_CHARS_MAX]
    return {"position": event.position, "type": event.type, "ts_ms": event.ts_ms, "text": text}
