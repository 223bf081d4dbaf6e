"""What waits to be sent to one client: bounded, so that a slow reader harms only itself.

`push` never waits: live events go to all clients in one sweep. When the bound is passed the queue
is `overrun` for good and the connection must be closed; the memory is given back at once. All
queues of a relay share a budget: when that is passed, the longest queue is overrun, whoever pushed.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from mesh.core import limits


class SendBudget:
    """The bytes that all queues of a relay hold together, at most `bytes_max`."""

    def __init__(self, *, bytes_max: int = limits.SEND_QUEUES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._queues: set[SendQueue] = set()
        self.bytes = 0
        """How many there are."""

    def join(self, queue: "SendQueue") -> None:
        """Count a queue in."""
        self._queues.add(queue)

    def leave(self, queue: "SendQueue") -> None:
        """Count a queue out."""
        self._queues.discard(queue)

    def count(self, more: int) -> None:
        """Note that a queue holds so many more, or fewer."""
        self.bytes += more

    def keep(self) -> None:
        """Overrun the longest queues until the others fit."""
        while self.bytes > self._bytes_max:
            max(self._queues, key=lambda queue: queue.bytes).overflow()


class SendQueue:
    """Texts for one client, first in, first out, at most `bytes_max` bytes of them."""

    def __init__(self, budget: SendBudget, *, bytes_max: int = limits.SEND_QUEUE_BYTES_MAX) -> None:
        self._budget = budget
        self._bytes_max = bytes_max
        self._texts: deque[str] = deque()
        self.bytes = 0
        """Of UTF-8 that wait, those in the hands of the network included."""
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.overrun = asyncio.Event()
        budget.join(self)

    def push(self, texts: Iterable[str]) -> None:
        """Append texts; beyond the bound, drop everything and set `overrun`."""
        if self.overrun.is_set():
            return
        for text in texts:
            self._texts.append(text)
            self._count(len(text.encode()))
        if self.bytes > self._bytes_max:
            self.overflow()
        self._budget.keep()
        if self._texts:
            self._filled.set()
            self._drained.clear()

    def overflow(self) -> None:
        """Drop everything, for good."""
        self._texts.clear()
        self._count(-self.bytes)
        self.overrun.set()

    def _count(self, more: int) -> None:
        self.bytes += more
        self._budget.count(more)

    def close(self) -> None:
        """Leave the budget; nothing is sent any more."""
        self.overflow()
        self._budget.leave(self)

    async def drained(self) -> None:
        """Wait until everything was handed to the network."""
        await self._drained.wait()

    async def take(self) -> list[str]:
        """Wait for texts and take all. They count as waiting until `sent`."""
        await self._filled.wait()
        taken = list(self._texts)
        self._texts.clear()
        self._filled.clear()
        return taken

    def sent(self, text: str) -> None:
        """Note that the network took one of the texts of `take`."""
        self._count(-min(self.bytes, len(text.encode())))
        if not self.bytes and not self._texts:
            self._drained.set()
