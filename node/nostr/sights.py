"""What jobs follow on relays: the newest event of a kind by an author (`on nostr KIND NPUB`).

Only the newest is looked at, and it only goes forward: a relay that hands over an older event, or
none, changes nothing. Until relays were asked nobody can tell how a place looks, and no job wakes.

Not covered: what an event says. A job that reads it asks relays itself, or is an agent's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeAlias

from ledger.core import hashing
from mesh.core import nip19
from mesh.core.errors import InvalidIdentifier
from mesh.core.limits import KIND_MAX
from mesh.core.nip01 import VerifiedEvent
from mesh.core.relay.filter import Filter
from mesh.core.relay.kinds import supersedes
from mesh.pool.port import Pool
from runtime import sightings
from runtime.core.errors import JobRefused
from runtime.core.schedule import NOSTR, Watch

PLACES_MAX: Final = 64
"""Of all jobs: each is a filter in one subscription per relay."""
_AGAIN_SECONDS: Final = 60.0
"""A place that relays could not tell of is asked for again so often."""

Place: TypeAlias = tuple[int, str]
"""Kind, and author in hex."""


class NostrSights:
    """Looks at files, branches and relays for the book of jobs."""

    def __init__(self, pool: Pool, *, again_s: float = _AGAIN_SECONDS) -> None:
        self._pool = pool
        self._again_s = again_s
        self._places: dict[Place, tuple[int, str] | None] = {}
        self._told: set[Place] = set()
        self._more = asyncio.Event()
        self.find: Callable[[Collection[str]], Awaitable[None]] | None = None
        """Has the pool know where an author writes, before he is asked for; None: nothing does."""

    def authors(self) -> set[str]:
        """Return the keys of those that jobs follow."""
        return {author for _, author in self._places}

    async def sight(self, watch: Watch) -> bytes | None:
        """Return how a place looks now; None if relays did not tell yet. Raises JobRefused."""
        if watch.what != NOSTR:
            return await sightings.sight(watch)
        place = place_of(watch)
        if place not in self._places:
            if len(self._places) >= PLACES_MAX:
                raise JobRefused(f"{len(self._places)} authors are followed, at most {PLACES_MAX}")
            self._places[place] = None
            self._more.set()
        newest = self._places[place]
        if newest is None and place not in self._told:
            return None
        looks = "absent" if newest is None else newest[1]
        return hashing.digest(sightings.SIGHT, f"nostr {looks}".encode())

    async def run(self) -> None:
        """Ask relays, and hear from them, until cancelled."""
        while True:
            self._more.clear()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._follow(place)) for place in self._places]
                await self._more.wait()
                for task in tasks:
                    task.cancel()

    async def _follow(self, place: Place) -> None:
        kind, author = place
        wanted = Filter(kinds=frozenset((kind,)), authors=frozenset((author,)), limit=1)
        if self.find is not None:
            await self.find((author,))
        while place not in self._told:
            found = await self._pool.fetch([wanted])
            for event in found.events:
                self._hear(place, event)
            if found.events or not found.faults:
                self._told.add(place)
            else:
                await asyncio.sleep(self._again_s)
        async with self._pool.subscribe([wanted]) as events:
            async for event in events:
                self._hear(place, event)

    def _hear(self, place: Place, event: VerifiedEvent) -> None:
        found, known = (event.created_at, event.id), self._places[place]
        if known is None or supersedes(found, known):
            self._places[place] = found


def place_of(watch: Watch) -> Place:
    """Return what a job follows. Raises JobRefused for what is no kind or no key."""
    _, kind, npub = watch.path.split("/")
    try:
        found = nip19.decode(npub)
    except InvalidIdentifier as error:
        raise JobRefused(f"{npub} is not a public key: {error}", hint="npub1...") from error
    if not isinstance(found, nip19.PublicKey) or int(kind) > KIND_MAX:
        raise JobRefused(f"kind {kind}, 0 to {KIND_MAX} allowed", hint="on nostr 1 npub1...")
    return int(kind), found.pubkey
