"""How many requests one address may make: a bucket of tokens for each (RFC 2697's idea).

Whoever reaches the port may ask for tiles, heads, signatures to be checked; each costs the one
thread that also answers people. So an address that asks faster than any honest one does is told to
wait (429), and costs a dictionary lookup. Members of the fleet have more, and not everything: a
member that was taken over, or loops, must not stop the others. This machine's own are not counted:
the operator, and a reverse proxy, which stands for all its clients.

A stranger's IPv6 address counts as its network of 64 bits (`mesh.places.place_of`). A websocket
is one request; frames on it have bounds of their own. Not covered: a stranger with many addresses
or networks; members behind an address that no manifest names.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mesh.complaints import Complaints
from mesh.places import address_of, is_here, place_of
from node.api.http import refuse

PER_SECOND: Final = 20.0
"""Of a stranger: a mirror of strangers' size copies 256 events with two requests, so this is more
than two thousand events a second, and a hundred witnesses' questions."""
BURST: Final = 200
"""At once, after a pause: the tiles of a first comparison, an audit's proofs."""
MEMBER_TIMES: Final = 10
"""A member has so many times as much: gossip, presence and words of a fleet of 256 come to fifty
requests a second, and a first copy of a long ledger to a hundred."""
ADDRESSES_MAX: Final = 4096
"""Of those that asked last: half a megabyte. Who is forgotten begins with a full bucket."""

_log = structlog.get_logger("node.api.rates")


@dataclass(slots=True, kw_only=True)
class Rates:
    """The buckets of one node. `clock` gives seconds that do not go back; `members` addresses."""

    clock: Callable[[], float]
    members: Callable[[], frozenset[str]]
    refused: int = 0
    """Requests that were told to wait, since the start."""
    _complaints: Complaints = field(
        default_factory=lambda: Complaints(log=_log, what="an address asks too often")
    )
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def takes(self, address: str) -> bool:
        """Take a token of an address; False if it has none."""
        member = address in self.members()
        times = MEMBER_TIMES if member else 1
        whose = address if member else place_of(address)
        now = self.clock()
        left, at = self._buckets.pop(whose, (float(BURST * times), now))
        left = min(float(BURST * times), left + (now - at) * PER_SECOND * times)
        good = left >= 1
        self._buckets[whose] = (left - 1 if good else left, now)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        if not good:
            self.refused += 1
            self._complaints.of(whose, f"more than {BURST * times} requests at once")
        return good

    @property
    def middleware(self) -> Middleware:
        """Stands before every handler."""

        @web.middleware
        async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
            address = "" if request.transport is None else address_of(request.transport)
            if is_here(address) or self.takes(address):
                return await handler(request)
            hint = f"at most {PER_SECOND:g} a second, {BURST} at once, of one address"
            response = refuse(429, "too many requests of this address", hint)
            response.headers["Retry-After"] = "1"
            return response

        return limited
