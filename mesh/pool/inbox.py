"""What comes for one question to a relay, until whoever asked takes it: bounded, never waits."""

import asyncio
from collections import deque
from typing import TypeAlias

from mesh.core import limits
from mesh.core.pool import client as core

Item: TypeAlias = core.Got | core.Again | core.Stored | core.Ended | core.Reconciled


class Inbox:
    """Items for the request `name`. Events beyond PAGE_BYTES_MAX are dropped, and `overrun` set."""

    def __init__(
        self, name: str, *, reconciles: bool, bytes_max: int = limits.PAGE_BYTES_MAX
    ) -> None:
        self.name = name
        self.reconciles = reconciles
        self.overrun = False
        self._bytes_left = bytes_max
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def put(self, item: Item) -> None:
        """Take an item, or drop it."""
        if isinstance(item, core.Got):
            if item.size > self._bytes_left:
                self.overrun = True
                return
            self._bytes_left -= item.size
        elif isinstance(item, core.Again) and len(self._items) >= limits.PENDING_EVENTS_MAX:
            return
        elif isinstance(item, core.Reconciled) and self._items:
            return  # a relay that answers before it was asked on
        self._items.append(item)
        self._filled.set()

    async def next(self) -> Item:
        """Wait for the next item and take it."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        if isinstance(item, core.Got):
            self._bytes_left += item.size
        return item
