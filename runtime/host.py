"""Keeps an agent process alive and every message answered, whatever the process does.

    lives     one process after another; a bad end waits longer before each next start
    blame     turns under way at a bad end are given again, `attempt` one higher and on record;
              after `attempts` of them the turn is given up and the user told in plain words
    redaction the process is restarted, so that erased words are in no memory but the asker's

What the host does not do: judge the agent's tree (genesis does), limit its CPU and memory (the
sandbox does), or keep anything of its own: a new host on the same log goes on where this one was.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from ledger.core import types
from ledger.core.event import Event
from runtime.connection import (
    WHOLE,
    Connection,
    ConnectionLimits,
    Ending,
    Identity,
    Life,
    Part,
    Spawn,
)
from runtime.core.errors import NoAnswer
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """How patient the host is. The defaults are what a node runs with."""

    connection: ConnectionLimits = field(default_factory=ConnectionLimits)
    attempts: int = 3
    """Bad ends of one turn. A fault that is not the turn's own rarely strikes thrice."""
    failed_starts: int = 5
    """Starts in a row without ready; then waiting users are told instead of kept waiting."""
    backoff_first_s: float = 0.2
    backoff_max_s: float = 30.0
    """A broken tree costs two starts a minute."""


class AgentHost:
    """Run `run()` in a task group of the node; `stop()` ends it cleanly."""

    def __init__(
        self,
        *,
        journal: Journal,
        gateway: Gateway,
        service: Service,
        spawn: Spawn,
        tree: Path,
        identity: Identity,
        limits: HostLimits | None = None,
        part: Part = WHOLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._service = service
        self._spawn = spawn
        self._tree = tree
        self._identity = identity
        self._limits = HostLimits() if limits is None else limits
        self._part = part
        self._clock = clock
        self._stopping = asyncio.Event()
        self._anew = asyncio.Event()
        self._crashes: dict[bytes, int] = {}
        self._failed_starts = 0
        self._bad_ends = 0
        self._lives = 0
        self._logger: Any = structlog.get_logger("runtime.host")

    @property
    def lives(self) -> int:
        """Processes started so far."""
        return self._lives

    @property
    def failed_starts(self) -> int:
        """Starts in a row that did not get as far as ready."""
        return self._failed_starts

    def stop(self) -> None:
        """Ask `run` to return. Unfinished turns stay pending in the log."""
        self._stopping.set()

    def begin_anew(self) -> None:
        """End the process that runs now, and what it waits for; its turns are given to the next."""
        self._anew.set()

    async def run(self) -> None:
        """Run one process after another until `stop`. Raises only what the ledger raises."""
        await self._gateway.settle()
        while not self._stopping.is_set():
            self._lives += 1
            self._anew.clear()
            began = self._journal.log.size
            life = await self._connection().run()
            if life.ending is Ending.FAILED:
                await self._after_failure(life, answered=self._answered_since(began))
            else:
                self._bad_ends = 0
            self._logger.info("agent ended", ending=life.ending.value, reason=life.reason)

    async def answer_to(self, position: int) -> Event:
        """Return the `message.sent` that answers the message at `position`, when it is there.

        Raises NoAnswer if its turn ended without one. Put a time-out around it.
        """
        return await self.answered(self._journal, position)

    @staticmethod
    async def answered(journal: Journal, position: int) -> Event:
        """See `answer_to`."""
        async for event in journal.log.follow(position):
            if event.payload.get("message") != position:
                continue
            if event.type == types.MESSAGE_SENT.name:
                return event
            if event.type == types.TURN_FINISHED.name:
                raise NoAnswer(
                    f"the turn for message {position} ended without an answer: "
                    f"{event.payload.get('reason')}"
                )
        raise AssertionError("a log is followed without end")

    def _connection(self) -> Connection:
        return Connection(
            journal=self._journal,
            service=self._service,
            spawn=self._spawn,
            tree=self._tree,
            identity=self._identity,
            limits=self._limits.connection,
            clock=self._clock,
            attempts=self._bad_ends_of,
            stopping=self._stopping,
            anew=self._anew,
            part=self._part,
        )

    def _bad_ends_of(self, turn: bytes) -> int:
        """Return how often this turn was under way at a bad end, over restarts of the node too."""
        if turn not in self._crashes:
            self._crashes[turn] = max(0, self._journal.turns.attempt(turn) - 1)
        return self._crashes[turn]

    def _answered_since(self, position: int) -> bool:
        """Tell whether a turn came to a good end: then the tree works, and waiting helps nobody."""
        return any(
            event.type == types.TURN_FINISHED.name and event.payload.get("outcome") == "answered"
            for event in self._journal.log.events(position)
        )

    async def _after_failure(self, life: Life, *, answered: bool) -> None:
        self._failed_starts = 0 if life.ready else self._failed_starts + 1
        worked = answered or (life.ready and not life.in_flight)
        self._bad_ends = 1 if worked else self._bad_ends + 1
        await self._part.fell(list(life.in_flight.values()))
        for turn, position in life.in_flight.items():
            self._crashes[turn] = self._bad_ends_of(turn) + 1
            if self._crashes[turn] >= self._limits.attempts:
                await self._give_up(position, "crashed")
        if self._failed_starts >= self._limits.failed_starts:
            for position, message in list(self._journal.turns.pending.items()):
                if self._part.takes(message):
                    await self._give_up(position, "no_agent")
        self._forget_ended()
        await self._pause()

    async def _give_up(self, position: int, reason: str) -> None:
        message = self._journal.turns.pending.get(position)
        if message is not None:
            await self._service.give_up(message, "failed", reason)

    def _forget_ended(self) -> None:
        still_open = self._journal.turns.open
        self._crashes = {turn: n for turn, n in self._crashes.items() if turn in still_open}

    async def _pause(self) -> None:
        seconds = min(
            self._limits.backoff_max_s,
            self._limits.backoff_first_s * 2 ** min(self._bad_ends - 1, 16),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
