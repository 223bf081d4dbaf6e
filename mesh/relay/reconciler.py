"""Reconciliations that clients of our relay have open (NIP-77), bounded over all of them.

A set is gathered once, when its reconciliation is opened, and answers come from it until the client
closes it: what is stored meanwhile is not in it, which a live subscription covers. Sets are kept in
45 bytes an item; when there is no room for another one, those go that were not heard of for
`RECONCILIATION_IDLE_SECONDS`, and their client is told when it goes on.

Answers are made in a thread of their own: a pass over a large set takes a while, and the store
must go on committing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from mesh.core import limits
from mesh.core.errors import InvalidReconciliation, StoreError, TooMuchToRead
from mesh.core.negentropy import IdSet, Item, respond
from mesh.core.relay import messages
from mesh.core.relay.session import Continue, Reconcile
from mesh.worker import Worker

Gather: TypeAlias = Callable[[Reconcile, int], Awaitable[list[Item]]]
"""Reads what a reconciliation is about: at most as many items as the number says."""

_TOO_BIG: Final = "blocked: this query is too big"
_NO_ROOM: Final = "blocked: too many reconciliations are open, come again"
_UNKNOWN: Final = "closed: no such reconciliation is open, or it took too long"


@dataclass(slots=True, kw_only=True)
class _Open:
    items: IdSet
    heard: int
    rounds: int = 0


class Reconciler:
    """What all connections have open, each under its own name for it."""

    def __init__(self, gather: Gather, *, clock: Callable[[], int]) -> None:
        self._gather = gather
        self._clock = clock
        self._open: dict[tuple[object, str], _Open] = {}
        self._worker = Worker("relay-reconcile")
        self._gate = asyncio.Semaphore(1)  # one set at a time is in the making

    @property
    def items(self) -> int:
        """How many items are held."""
        return sum(len(one.items) for one in self._open.values())

    async def open(self, owner: object, asked: Reconcile) -> str:
        """Open a reconciliation, in place of one with that name, and return what to send."""
        self._open.pop((owner, asked.name), None)
        if sum(whose is owner for whose, _ in self._open) >= limits.RECONCILIATIONS_MAX:
            return messages.neg_err(asked.name, _NO_ROOM)
        try:
            async with self._gate:
                found = await self._gather(asked, limits.RECONCILIATION_ITEMS_MAX + 1)
                if len(found) > limits.RECONCILIATION_ITEMS_MAX:
                    return messages.neg_err(asked.name, _TOO_BIG)
                if not self._has_room(len(found)):
                    return messages.neg_err(asked.name, _NO_ROOM)
                items = await self._worker.submit(partial(IdSet, found))
        except TooMuchToRead:
            return messages.neg_err(asked.name, _TOO_BIG)
        except StoreError:
            return messages.neg_err(asked.name, "error: could not read the store")
        self._open[owner, asked.name] = _Open(items=items, heard=self._clock())
        return await self._answer(owner, asked.name, asked.message)

    async def go_on(self, owner: object, said: Continue) -> list[str]:
        """Answer a further message, or forget the reconciliation; return what to send."""
        if said.message is not None:
            return [await self._answer(owner, said.name, said.message)]
        self._open.pop((owner, said.name), None)
        return []

    async def _answer(self, owner: object, name: str, message: bytes) -> str:
        found = self._open.get((owner, name))
        if found is None:
            return messages.neg_err(name, _UNKNOWN)
        found.heard = self._clock()
        found.rounds += 1
        if found.rounds > limits.RECONCILIATION_ROUNDS_MAX:
            return self._end(owner, name, f"closed: no end after {found.rounds - 1} messages")
        try:
            answer = await self._worker.submit(partial(respond, found.items, message))
        except InvalidReconciliation as error:
            return self._end(owner, name, f"error: {error}")
        return messages.neg_msg(name, answer)

    def _end(self, owner: object, name: str, reason: str) -> str:
        self._open.pop((owner, name), None)
        return messages.neg_err(name, reason)

    def _has_room(self, more: int) -> bool:
        limit = limits.RECONCILIATION_ITEMS_TOTAL_MAX
        if self.items + more > limit:
            idle = self._clock() - limits.RECONCILIATION_IDLE_SECONDS
            for key in [key for key, one in self._open.items() if one.heard <= idle]:
                del self._open[key]
        return self.items + more <= limit

    def forget(self, owner: object) -> None:
        """Drop what a connection that ended had open."""
        for key in [key for key in self._open if key[0] is owner]:
            del self._open[key]

    async def close(self) -> None:
        """End the thread."""
        self._open.clear()
        await self._worker.close(_nothing)


def _nothing() -> None:
    """There is nothing to release in the thread."""
