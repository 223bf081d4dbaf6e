"""Where those read and write whom this node talks with: their relay lists (NIP-65), asked for.

A list is asked for once a day and author, at our relays and those where the agent takes sealed
messages; sooner if one of them did not answer. The pool remembers what it learns, also over a
restart, and goes there. Asking tells those relays with whom this node talks: so nobody is asked
about unless `publish.follow` wants it.

Not covered: a list that lies at none of those relays. Its author has to spread it (NIP-65).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeAlias

from mesh.core import limits
from mesh.pool.relays import RelayPool

_LOOK_SECONDS: Final = 5.0
"""How late somebody who was added may be noticed."""
_DAY_SECONDS: Final = 86_400.0
_AGAIN_SECONDS: Final = 600.0

Find: TypeAlias = Callable[[Collection[str]], Awaitable[None]]
"""Has the pool know where people read and write, by public keys in hex, if it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Keeps the pool told. `people` gives public keys in hex, now; `at` are further relays."""

    pool: RelayPool
    people: Callable[[], Iterable[str]]
    at: Collection[str] = ()
    look_s: float = _LOOK_SECONDS
    _due: dict[str, float] = field(default_factory=dict)
    """By key, the time of the loop from which on it is asked about again."""

    async def find(self, keys: Collection[str]) -> None:
        """Ask about those of whom nothing was asked for a day."""
        clock = asyncio.get_running_loop().time
        now = clock()
        due = [key for key in dict.fromkeys(keys) if self._due.get(key, now) <= now]
        asked = due[: limits.ROUTE_AUTHORS_MAX]
        if not asked:
            return
        whole = await self.pool.find_routes(asked, at=self.at)
        again = clock() + (_DAY_SECONDS if whole else _AGAIN_SECONDS)
        for key in asked:
            self._due.pop(key, None)
            self._due[key] = again
        while len(self._due) > limits.ROUTE_AUTHORS_MAX:
            del self._due[next(iter(self._due))]

    async def run(self) -> NoReturn:
        """Ask about everybody, daily, and soon about who is new, until cancelled."""
        while True:
            await self.find(tuple(self.people()))
            await asyncio.sleep(self.look_s)
