"""What waits to be sent to one client: bounded, so that a slow reader harms only itself.

`push` never waits: live events go to all clients in one sweep. When the bound is passed the queue
is `overrun` for good and the connection must be closed; the memory is given back at once.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from mesh.core import limits


class SendQueue:
    """Texts for one client, first in, first out, at most `bytes_max` bytes of them."""

    def __init__(self, *, bytes_max: int = limits.SEND_QUEUE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.overrun = asyncio.Event()

    def push(self, texts: Iterable[str]) -> None:
        """Append texts; beyond the bound, drop everything and set `overrun`."""
        if self.overrun.is_set():
            return
        for text in texts:
            self._texts.append(text)
            self._bytes += len(text.encode())
        if self._bytes > self._bytes_max:
            self._texts.clear()
            self._bytes = 0
            self.overrun.set()
        if self._texts:
            self._filled.set()
            self._drained.clear()

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
        self._bytes = max(0, self._bytes - len(text.encode()))
        if not self._bytes and not self._texts:
            self._drained.set()
