"""Which calls of tools may run at once: reads beside each other, writes one by one per resource.

A write that names a resource waits for others of the same one. A write that names none waits for
every write and holds up every later one, so nobody is passed for ever. Reads wait for nothing but a
place among READS_AT_ONCE: a read beside a write may see the file before or after it, as with two
people at one desk.

No deadlock: a call holds one resource at most, and takes its place among the writes before it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

READS_AT_ONCE = 10
"""Files are opened and children started: enough to hide waiting, few for a small machine."""


@dataclass(eq=False, slots=True)
class _Write:
    """A write that waits, or works once `turn` is set."""

    resource: str | None
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    def bars(self, later: "_Write") -> bool:
        """Whether a later write has to wait for this one."""
        return None in (self.resource, later.resource) or self.resource == later.resource


class ToolLocks:
    """The locks of one node. For one event loop."""

    def __init__(self) -> None:
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._writes: list[_Write] = []
        """Oldest first."""

    @asynccontextmanager
    async def read(self) -> AsyncIterator[None]:
        """Hold one of the places for reads."""
        async with self._reads:
            yield

    @asynccontextmanager
    async def write(self, resource: str | None) -> AsyncIterator[None]:
        """Hold `resource`, or everything if that is None."""
        mine = _Write(resource)
        self._writes.append(mine)
        self._pass_on()
        try:
            await mine.turn.wait()
            yield
        finally:  # nothing is awaited here: a second cancellation must not lose the others' turn
            self._writes.remove(mine)
            self._pass_on()

    def _pass_on(self) -> None:
        for number, write in enumerate(self._writes):
            if not any(older.bars(write) for older in self._writes[:number]):
                write.turn.set()
