"""The agent's processes: one for each architecture that answers somebody now.

As a rule that is one. While a canary lasts there are two, and while the turns that an architecture
began come to their end after another was adopted, that one is still there. Which process a turn
goes to follows from the ledger alone (`runtime.core.adoptions`), so that no turn is given to two,
and a node that starts again goes on where it was.

Not covered: what is in force, which `node.agent.adopting` decides and records.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from ledger.core.event import Event
from runtime.connection import Part
from runtime.core.adoptions import Adoptions, Stage
from runtime.core.turns import Message
from runtime.host import AgentHost
from runtime.journal import Journal

_LOOK_SECONDS = 0.2
"""How soon it is seen that the last turn of a process that is to go has ended."""


class Fell(Protocol):
    """Told of each bad end of a process, before anything else is done about it."""

    async def __call__(self, tree: bytes, messages: Sequence[int], failed_starts: int, /) -> None:
        """Of which tree, the messages whose turns were under way, failed starts in a row."""


@dataclass(slots=True)
class Lane:
    """One process, and which turns are its own: a `runtime.connection.Part`."""

    hosts: "Hosts"
    tree: bytes
    host: AgentHost | None = None
    falling: bool = False
    """Its process is gone, and somebody decides what follows from that."""

    def takes(self, message: Message, /) -> bool:
        """See `Part`."""
        return self.hosts.tree_of(message) == self.tree

    async def fell(self, messages: Sequence[int], /) -> None:
        """See `Part`."""
        if self.hosts.fell is None or self.host is None:
            return
        self.falling = True
        try:
            await self.hosts.tell()
            await self.hosts.fell(self.tree, messages, self.host.failed_starts)
        finally:
            self.falling = False


@dataclass(slots=True, kw_only=True)
class Hosts:
    """Run `run()` in a task group of the node; `stop()` ends all of them cleanly.

    `birth` is the tree in force where the ledger names none. `make` makes a process's host of a
    stored tree; it raises TreeError.
    """

    journal: Journal
    birth: bytes
    make: Callable[[bytes, Part], AgentHost]
    fell: Fell | None = None
    _lanes: dict[bytes, Lane] = field(default_factory=dict)
    _ending: set[bytes] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: asyncio.Condition = field(default_factory=asyncio.Condition)
    _past_lives: int = 0
    _stopping: bool = False

    @property
    def adoptions(self) -> Adoptions:
        """What is in force now."""
        return Adoptions(self.journal.state.entries)

    @property
    def tree(self) -> bytes:
        """Digest of the tree in force."""
        now = self.adoptions.in_force
        return self.birth if now is None else now.tree

    @property
    def running(self) -> list[bytes]:
        """Trees that a process runs of, as far as one is kept alive."""
        return [*self._lanes]

    @property
    def lives(self) -> int:
        """Processes started so far."""
        return self._past_lives + sum(lane.host.lives for lane in self._lanes.values() if lane.host)

    def tree_of(self, message: Message) -> bytes:
        """Return the tree that is to answer a pending message."""
        return self.adoptions.tree_for(message.conversation, message.position, self.birth)

    def begun_by(self, tree: bytes) -> list[Message]:
        """Return the pending messages whose turns a tree began."""
        now = self.adoptions
        pending = self.journal.turns.pending
        return [one for at, one in pending.items() if now.begun_by(at) == tree]

    def refresh(self) -> None:
        """Look at the ledger again: something is in force that was not."""
        self._changed.set()

    async def end(self, tree: bytes) -> None:
        """End the process of a tree, see that it is gone, and start none until `allow`."""
        self._ending.add(tree)
        self._changed.set()
        if (lane := self._lanes.get(tree)) is not None and lane.host is not None:
            lane.host.stop()
            async with self._gone:
                await self._gone.wait_for(lambda: self._lanes.get(tree) is not lane or lane.falling)

    async def tell(self) -> None:
        """Tell whoever waits for a process to be gone to look again."""
        async with self._gone:
            self._gone.notify_all()

    def allow(self, tree: bytes) -> None:
        """Have processes of a tree again."""
        self._ending.discard(tree)
        self._changed.set()

    def stop(self) -> None:
        """Ask `run` to return. Unfinished turns stay pending in the log."""
        self._stopping = True
        self._changed.set()

    def begin_anew(self) -> None:
        """End the processes that run now; their turns are given to the next ones."""
        for lane in self._lanes.values():
            if lane.host is not None:
                lane.host.begin_anew()

    async def answer_to(self, position: int) -> Event:
        """See `AgentHost.answer_to`: whichever process it is that answers."""
        return await AgentHost.answered(self.journal, position)

    async def run(self) -> None:
        """Keep the processes that are wanted until `stop`. Raises what the ledger raises."""
        self._lanes.clear()
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._changed.clear()
                wanted = self._wanted()
                for tree in wanted - self._lanes.keys():
                    lane = self._lanes[tree] = Lane(self, tree)
                    lane.host = self.make(tree, lane)
                    group.create_task(self._live(lane, lane.host))
                for tree in self._lanes.keys() - wanted:
                    self._stop(tree)
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if len(self._lanes) == 1 else _LOOK_SECONDS):
                        await self._changed.wait()
            for tree in self._lanes:
                self._stop(tree)

    def _stop(self, tree: bytes) -> None:
        host = self._lanes[tree].host
        if host is not None:
            host.stop()

    async def _live(self, lane: Lane, host: AgentHost) -> None:
        try:
            await host.run()
        finally:
            self._past_lives += host.lives
            if self._lanes.get(lane.tree) is lane:
                del self._lanes[lane.tree]
            self._changed.set()
            await self.tell()

    def _wanted(self) -> set[bytes]:
        """The tree in force, the one that is tried, and those that have turns to end."""
        now = self.adoptions
        trial = now.under_way
        found = {self.tree} | {tree for tree in self._lanes if self.begun_by(tree)}
        if trial is not None and trial.stage is Stage.CANARY:
            found.add(trial.tree)
        return found - self._ending
