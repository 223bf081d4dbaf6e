"""One life of the agent process: started, told the history, given turns, until it ends.

`Connection.run` returns why it ended; nothing of the agent's doing raises. Calls that were being
carried out when the process died are finished and recorded, so that the next life finds them.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from ledger.core import types
from ledger.core.event import Event
from runtime.core.agenda import STREAMED
from runtime.core.approving import questions
from runtime.core.bounds import TurnBounds
from runtime.core.calls import LAST_STEPS
from runtime.core.complaint import traceback_of
from runtime.core.errors import AgentError, Diverged, ProtocolError, StepRefused
from runtime.core.protocol import (
    AGENT_FRAMES,
    VERSION,
    Call,
    Decoder,
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
    encode,
)
from runtime.core.session import Session, SessionLimits, Verdict
from runtime.core.turns import Message
from runtime.journal import Journal
from runtime.service import STOPPED, Service
from runtime.trails import tellable

_READ_BYTES: Final = 64 * 1024


class Child(Protocol):
    """A started agent process; see `runtime.sandbox`."""

    @property
    def pid(self) -> int:
        """Its process id."""

    async def wait(self) -> int:
        """Return its exit status once it and all its processes are gone."""

    def kill(self) -> None:
        """End it now; harmless if it is gone."""

    async def end(self) -> int:
        """End it now and return its exit status; it is gone even if this is cancelled."""

    def stderr_tail(self) -> str:
        """Return the last of what it wrote to standard error."""


class Spawn(Protocol):
    """Starts `main.py` of `tree` with `channel` as its descriptor 0."""

    async def __call__(self, tree: Path, channel: socket.socket, /) -> Child:
        """Return the started process. The caller closes its copy of `channel`.

        Raises AgentError, OSError if it cannot be started.
        """


class Part(Protocol):
    """Which turns an agent process is given, where there is more than one process."""

    @property
    def tree(self) -> bytes | None:
        """Digest of its tree, for the record; None where nobody asks which it was."""

    def takes(self, message: Message, /) -> bool:
        """Tell whether the turn of a pending message is this process's."""

    async def fell(self, messages: Sequence[int], /) -> None:
        """Take note of turns that were under way when the process ended badly."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One process for everything."""

    tree: bytes | None = None

    def takes(self, _message: Message, /) -> bool:
        """Every message."""
        return True

    async def fell(self, _messages: Sequence[int], /) -> None:
        """The host gives them again."""


WHOLE: Final = Whole()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the agent is told it is."""

    name: str
    soul: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Times of one life. The defaults are what a node runs with."""

    session: SessionLimits = field(default_factory=SessionLimits)
    turns: int = 8
    """Conversations worked on at once; each has one turn at a time."""
    ping_s: float = 5.0
    """A hang is noticed within this and `pong_s`."""
    tick_s: float = 0.25
    """How often due times are looked at."""
    stop_s: float = 2.0
    """Time to exit after `stop`; the process holds nothing worth more."""
    unread_bytes: int = 16 * 1024 * 1024
    """What may wait for an agent that does not read: four of the largest frames. What the host
    sends in answer does not wait for the agent, lest one turn stop the others."""


class Ending(StrEnum):
    """Why a life ended."""

    STOPPED = "stopped"
    REDACTED = "redacted"
    ANEW = "anew"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How a life ended, whether it got as far as ready, and whose turns were under way."""

    ending: Ending
    reason: str
    ready: bool
    in_flight: dict[bytes, int]


class _Over(Exception):
    def __init__(self, ending: Ending, reason: str) -> None:
        super().__init__(reason)
        self.ending = ending


class Connection:
    """Use once: `await Connection(...).run()`."""

    def __init__(
        self,
        *,
        journal: Journal,
        service: Service,
        spawn: Spawn,
        tree: Path,
        identity: Identity,
        limits: ConnectionLimits,
        clock: Callable[[], float],
        attempts: Callable[[bytes], int],
        stopping: asyncio.Event,
        anew: asyncio.Event,
        part: Part = WHOLE,
    ) -> None:
        self._journal = journal
        self._service = service
        self._spawn = spawn
        self._tree = tree
        self._identity = identity
        self._limits = limits
        self._clock = clock
        self._attempts = attempts
        self._stopping = stopping
        self._anew = anew
        self._part = part
        self._session = Session(limits.session, clock())
        self._turns: dict[bytes, tuple[Message, TurnBounds]] = {}
        self._open_calls: dict[asyncio.Task[None], bytes] = {}
        self._stopped: set[bytes] = set()
        self._streamed_to = 0
        self._became_ready = asyncio.Event()

    async def run(self) -> Life:
        """Start the process, serve it to its end, and see that it is gone."""
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs:
                    child = await self._spawn(self._tree, theirs)
            except (AgentError, OSError) as error:
                return self._life(_Over(Ending.FAILED, f"it could not be started: {error}"), "")
            self._session.started = self._clock()
            try:
                over = await self._serve(child, ours)
            finally:
                status = await child.end()
        where = traceback_of(child.stderr_tail())
        return self._life(over, f"; exit status {status}" + (f"; {where}" if where else ""))

    def _life(self, over: _Over, details: str) -> Life:
        failed = over.ending is Ending.FAILED
        return Life(
            ending=over.ending,
            reason=f"{over}{details}" if failed else str(over),
            ready=self._session.ready,
            in_flight=self._session.in_flight,
        )

    async def _serve(self, child: Child, channel: socket.socket) -> _Over:
        """Run until some task raises `_Over`; then let open calls come to their end.

        `_Over` does not pass through the TaskGroup: before Python 3.13 a group that is cancelled in
        the moment a child fails reports the failure and forgets the cancellation.
        """
        reader, writer = await asyncio.open_connection(sock=channel)
        ended = asyncio.Event()
        overs: list[_Over] = []

        async def guard(function: Callable[[], Awaitable[None]]) -> None:
            try:
                await function()
            except _Over as over:
                overs.append(over)
                ended.set()

        try:
            async with asyncio.TaskGroup() as calls:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(guard(lambda: self._read(reader, writer, calls))),
                        group.create_task(guard(lambda: self._watch(writer))),
                        group.create_task(guard(lambda: self._tell(writer))),
                        group.create_task(guard(lambda: self._stop(writer, child))),
                        group.create_task(guard(self._begin_anew)),
                    ]
                    await ended.wait()
                    for task in tasks:
                        task.cancel()
                child.kill()
                for (
                    turn
                ) in self._waiting():  # what it waits for is asked for when it is given again
                    self._give_up_calls(turn)
                if self._stopping.is_set():
                    overs.append(_Over(Ending.STOPPED, "asked to stop"))
                if self._stopping.is_set() or self._anew.is_set():
                    for task in self._open_calls:
                        task.cancel()
        finally:
            writer.transport.abort()
        return _first(overs)

    # ---- what the agent sends ---------------------------------------------------------------

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: asyncio.TaskGroup
    ) -> None:
        decoder = Decoder(AGENT_FRAMES)
        try:
            while data := await reader.read(_READ_BYTES):
                for frame, size in decoder.feed(data):
                    self._session.received(size, self._clock())
                    self._take(frame, size, writer, calls)
        except ProtocolError as error:
            raise _Over(Ending.FAILED, str(error)) from error
        except OSError as error:
            raise _Over(Ending.FAILED, "the connection broke") from error
        raise _Over(Ending.FAILED, "the process went away")

    def _take(
        self, frame: Frame, size: int, writer: asyncio.StreamWriter, calls: asyncio.TaskGroup
    ) -> None:
        match frame:
            case Ready():
                self._session.on_ready(frame)
                self._became_ready.set()
            case Pong():
                self._session.on_pong(frame)
            case Call():
                match self._session.on_call(frame, size):
                    case Verdict.SERVE:
                        task = calls.create_task(self._call(frame, writer))
                        self._open_calls[task] = frame.turn
                        task.add_done_callback(self._open_calls.pop)
                    case Verdict.LIMIT:
                        calls.create_task(self._end_at_limit(frame, writer))
                    case Verdict.OVER:
                        _send(writer, Error(call=frame.call, reason="the turn is over"))

    async def _call(self, frame: Call, writer: asyncio.StreamWriter) -> None:
        message, bounds = self._turns[frame.turn]
        answer: Frame
        try:
            outcome = await self._service.call(message, frame, bounds)
        except StepRefused as error:
            answer = Error(call=frame.call, reason=str(error))
            if frame.op in LAST_STEPS:  # an agent with nothing left to say would wait for ever
                await self._service.give_up(message, "failed", "refused")
                self._session.end(frame.turn)
        except Diverged as error:
            await self._service.give_up(message, "diverged", "diverged")
            self._session.end(frame.turn)
            answer = Error(call=frame.call, reason=f"diverged: {error}")
        except asyncio.CancelledError:
            if frame.turn not in self._stopped:
                raise
            answer = Error(call=frame.call, reason="the turn is over")
        else:
            if outcome.ended:
                self._session.end(frame.turn)
            answer = Result(call=frame.call, value=outcome.value)
        self._session.answered(frame.turn)
        _send(writer, answer)

    async def _end_at_limit(self, frame: Call, writer: asyncio.StreamWriter) -> None:
        message, _ = self._turns[frame.turn]
        await self._service.give_up(message, "failed", "limit")
        self._session.end(frame.turn)
        _send(writer, Error(call=frame.call, reason="the turn is over: it met its limit"))

    # ---- what the agent is told -------------------------------------------------------------

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        log = self._journal.log
        hello = Hello(
            protocol=VERSION,
            name=self._identity.name,
            soul=self._identity.soul,
            ledger=log.ledger_id,
        )
        _send(writer, hello)
        await self._became_ready.wait()
        turns = self._journal.turns
        self._streamed_to = turns.next_position
        for position in sorted({*turns.recent, *turns.pending}):
            _send(writer, self._event_frame(log.read(position)))
            await _drained(writer)
        _send(writer, Live())
        await self._give_turns(writer)
        async for event in log.follow(self._streamed_to):
            if event.type == types.REDACTED.name:
                raise _Over(Ending.REDACTED, f"event {event.position} erased words")
            self._end_finished(event)
            if event.type in STREAMED:
                _send(writer, self._event_frame(event))
            self._streamed_to = event.position + 1
            await self._give_turns(writer)
            await _drained(writer)

    def _event_frame(self, event: Event) -> EventFrame:
        withheld = event.position in self._journal.turns.withheld
        return EventFrame(
            position=event.position,
            type=event.type,
            ts_ms=event.ts_ms,
            stream=event.stream,
            payload=tellable(event.payload, self._journal.log.read),
            content=None if withheld else event.content,
        )

    def _end_finished(self, event: Event) -> None:
        """End a turn that finished, or whose message was answered otherwise: its author is held.

        One that somebody stopped gives up what it waits for, a model's reply as a rule.
        """
        if event.type not in (types.TURN_FINISHED.name, types.POLICY_DECIDED.name):
            return
        for turn, position in self._session.in_flight.items():
            if position == event.payload.get("message"):
                self._session.end(turn)
                if event.payload.get("outcome") in STOPPED:
                    self._give_up_calls(turn)

    def _give_up_calls(self, turn: bytes) -> None:
        self._stopped.add(turn)
        for task, called in self._open_calls.items():
            if called == turn:
                task.cancel()

    async def _give_turns(self, writer: asyncio.StreamWriter) -> None:
        while (message := self._next_message()) is not None:
            turn = self._service.turn_of(message)
            attempt = self._attempts(turn) + 1
            bounds = self._service.bounds()
            self._turns[turn] = message, bounds
            self._session.give(turn, message.position, bounds, self._clock())
            given = await self._service.start(message, attempt, self._part.tree)
            if message.position in self._journal.turns.pending:
                _send(writer, TurnFrame(turn=turn, position=message.position, given=given))
            else:  # its author met the screen in this very moment
                self._session.end(turn)

    def _next_message(self) -> Message | None:
        """Return the next message to give, if one may be given now.

        One turn at a time per conversation, after the agent was told how the one before ended. A
        turn that was under way when a process ended badly is given alone: if it is the cause, it
        shall not hurt the others again.
        """
        flying = self._session.in_flight
        suspects = [turn for turn in flying if self._attempts(turn)]
        if suspects or len(flying) >= self._limits.turns:
            return None
        turns = self._journal.turns
        busy = {turns.pending[at].conversation for at in flying.values() if at in turns.pending}
        for message in turns.next_messages():
            if message.conversation in busy or message.position >= self._streamed_to:
                continue
            if not self._part.takes(message):
                continue
            conversation = turns.conversation(message.conversation)
            if conversation is not None and conversation.last >= self._streamed_to:
                continue
            if flying and self._attempts(self._service.turn_of(message)):
                continue
            return message
        return None

    # ---- time -------------------------------------------------------------------------------

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        next_ping = self._clock() + self._limits.ping_s
        while True:
            await asyncio.sleep(self._limits.tick_s)
            now = self._clock()
            try:
                self._session.check(now, self._waiting())
            except ProtocolError as error:
                raise _Over(Ending.FAILED, str(error)) from error
            unread = writer.transport.get_write_buffer_size()
            if unread > self._limits.unread_bytes:
                reason = f"it left {unread} bytes unread, at most {self._limits.unread_bytes}"
                raise _Over(Ending.FAILED, reason)
            if self._session.ready and now >= next_ping:
                next_ping = now + self._limits.ping_s
                _send(writer, Ping(n=self._session.ping(now)))

    def _waiting(self) -> set[bytes]:
        """Turns that wait for a person's answer, or for a fleet's: that is not time of theirs."""
        asked = {question.turn for question in questions(self._journal.state.entries)}
        return asked | self._service.claiming

    async def _stop(self, writer: asyncio.StreamWriter, child: Child) -> None:
        await self._stopping.wait()
        _send(writer, Stop())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.stop_s):
                await child.wait()
        raise _Over(Ending.STOPPED, "asked to stop")

    async def _begin_anew(self) -> None:
        await self._anew.wait()
        raise _Over(Ending.ANEW, "asked to begin anew")


def _first(overs: list[_Over]) -> _Over:
    """Return what ended the life; a stop that was asked for counts before what it caused."""
    return min(overs, key=lambda over: list(Ending).index(over.ending))


def _send(writer: asyncio.StreamWriter, frame: Frame) -> None:
    """Queue a frame; one for a connection that is gone is dropped, its reader will tell."""
    if not writer.is_closing():
        writer.write(encode(frame))


async def _drained(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.drain()
    except OSError as error:
        raise _Over(Ending.FAILED, "the connection broke") from error
