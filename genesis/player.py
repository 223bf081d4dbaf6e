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
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from genesis.cases import Asked, Case, Message, Played
from genesis.subject import Cage, Subject, Violation, run_subject
from ledger.core.codec import encode as encode_cbor
from ledger.core.hashing import tagged
from runtime.cgroups import Usage
from runtime.core import calls
from runtime.core.errors import StepRefused
from runtime.core.limits import HIT_CHARS_MAX, TURN_STEPS_MAX
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The snapshot as a subject is told it: encoded frames, and which positions have words."""

    frames: bytes = b""
    words: Mapping[int, bool] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Turn:
    message: Message
    id: bytes
    asked: list[Asked] = field(default_factory=list)
    models: int = 0
    ended: bool = False


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


def transcript_digest(played: Played) -> bytes:
    """Return 32 bytes over what was asked, turn by turn, whatever the order between turns.

    Arguments go in as the bytes of their encoding: they may be as deep as a frame allows, and
    would be too deep in a list of lists.
    """
    turns = [
        [position, [[call.op, encode_cbor(call.args), call.refused] for call in asked]]
        for position, asked in sorted(played.calls.items())
    ]
    return tagged(TRANSCRIPT_TAG, b"".join(encode_cbor(turn) for turn in turns))


class _Player:
    def __init__(self, case: Case, past: Past, subject: Subject, cage: Cage) -> None:
        self._case = case
        self._past = past
        self._subject = subject
        self._patience = cage.patience
        self._played = Played()
        self._calls = 0
        self._pings = 0
        self._next = case.events[-1].position + 1
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
            transcript=transcript_digest(self._played),
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
        self._subject.send(event)

    async def _round(self, group: tuple[Message, ...]) -> None:
        given: list[Frame] = []
        for message in group:
            self._tell(message.event)
            event_id = tagged(TRANSCRIPT_TAG, encode_frame(message.event))
            turn = calls.turn_id(self._case.identity.ledger, event_id)
            self._turns[turn] = _Turn(message=message, id=turn)
            self._played.calls[message.position] = self._turns[turn].asked
            given.append(TurnFrame(turn=turn, position=message.position))
        self._subject.send(*given)
        while not all(turn.ended for turn in self._turns.values()):
            frame = await self._subject.receive()
            if not isinstance(frame, Call):
                raise Violation("it sent something else than a call")
            self._serve(frame, self._admitted(frame))

    def _admitted(self, call: Call) -> _Turn:
        self._calls += 1
        if call.call != self._calls:
            raise Violation("its calls do not count up by one")
        turn = self._turns.get(call.turn)
        if turn is None or turn.ended:
            raise Violation("it called outside a turn")
        if call.step != len(turn.asked):
            raise Violation("its steps do not count up by one")
        if call.step >= TURN_STEPS_MAX:
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
        for item in args.items:
            if item.ref is not None and not self._has_words(item.ref):
                raise StepRefused(f"event {item.ref} has no words to show")
        replies = turn.message.replies
        text = replies[min(turn.models, len(replies) - 1)]
        turn.models += 1
        if text is None:
            raise StepRefused("no model replied")
        return {"text": text, "model": self._case.identity.model, "finish": "stop"}

    def _has_words(self, position: int) -> bool:
        event = self._told.get(position)
        return self._past.words.get(position, False) if event is None else _text(event) != ""

    def _find(self, turn: _Turn, args: calls.RecallArgs) -> dict[str, Any]:
        if not self._case.search:
            raise StepRefused("the search index does not answer")
        wanted = _terms(args.query)
        scored = [
            (len(wanted & _terms(_text(event))), position)
            for position, event in self._told.items()
            if position < turn.message.position
        ]
        best = sorted((s for s in scored if s[0]), key=lambda s: (-s[0], -s[1]))[: args.limit]
        found = [self._told[position] for _, position in best]
        hits = self._played.hits.setdefault(turn.message.position, [])
        hits += [event.position for event in found]
        return {"hits": [_hit(event) for event in found]}

    def _tell_end(self, turn: _Turn) -> None:
        """Tell the events with which the real host would end the turn."""
        event, last = turn.message.event, turn.asked[-1]
        facts = {"turn": turn.id, "message": event.position}
        who = {name: event.payload[name] for name in ("conversation", "author")}
        outcome = "answered" if last.op == "answer" and last.refused is None else "failed"
        if last.op == "answer" or last.refused is not None:
            content = {"text": _APOLOGY if last.refused is not None else last.args["text"]}
            self._tell(self._event("message.sent", event, self._next - 1, facts | who, content))
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
