"""Gift wraps of what was erased: found by what they carried, and withdrawn wherever we keep them.

A wrap is noted under its event before it is sent, and when it has come. What is erased afterwards
is withdrawn by `settle`: from every place that keeps wraps, and only then forgotten here, so that
one that was cut short is done again. Between noting and sending nobody settles, and what is erased
already is not sent: nothing is queued behind the back of a withdrawal.

Not covered: relays of others. No deletion (NIP-09) is asked for: it would tell them which it was.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

from ledger.core.event import Cause
from mesh.sealed.carried import Carried
from mesh.worker import Worker

Withdraw: TypeAlias = Callable[[Collection[str]], Awaitable[bool]]
"""Erases events by id where they are kept; False if a reader is in the way: to be asked again."""


class Wraps:
    """Wraps of one agent. `places` keep some; `erased` says of an event whether its words are."""

    def __init__(
        self, carried: Carried, places: Sequence[Withdraw], *, erased: Callable[[Cause], bool]
    ) -> None:
        self._carried = carried
        self._places = tuple(places)
        self._erased = erased
        self._worker = Worker("carried")
        self._lock = asyncio.Lock()
        self.owed = asyncio.Event()
        """Set while something may be left to withdraw."""

    @asynccontextmanager
    async def sending(self, event: Cause, wraps: Collection[str]) -> AsyncIterator[bool]:
        """Note wraps that are sent in the block; False if they must not be: the words are erased.

        Raises StoreError.
        """
        async with self._lock:
            stands = not self._erased(event)
            if stands:
                await self._worker.submit(partial(self._carried.note, event, wraps))
            yield stands

    async def came(self, event: Cause, wrap: str) -> None:
        """Note a wrap that has come. Raises StoreError."""
        async with self._lock:
            await self._worker.submit(partial(self._carried.note, event, (wrap,)))
        if self._erased(event):
            self.owed.set()

    async def settle(self) -> bool:
        """Withdraw what carried erased words; False if a reader is in the way. Raises StoreError.

        Once it has returned True no byte of those wraps is in any place.
        """
        async with self._lock:
            self.owed.set()
            known = await self._worker.submit(self._carried.events)
            gone = [event for event in known if self._erased(event)]
            if gone and not await self._withdraw(gone):
                return False
            self.owed.clear()
        return True

    async def _withdraw(self, gone: Sequence[Cause]) -> bool:
        wraps = await self._worker.submit(partial(self._carried.wraps, gone))
        if not all([await withdraw(wraps) for withdraw in self._places]):
            return False
        await self._worker.submit(partial(self._carried.forget, gone))
        return True

    async def close(self) -> None:
        """Close what remembers."""
        await self._worker.close(self._carried.close)
