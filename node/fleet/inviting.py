"""The inviter's side of joining by relays: listening where tokens say, and answering.

Which relays, and until when, lies in a file: a token is good for a day, and a node restarts. It
listens a day longer than an invitation lasts, since who was taken in at the last minute is to hear
of it. Meanwhile the node's own relay takes live wraps to this node from anybody: a newcomer is a
stranger to it, and nothing of his is kept there.

A question is what `POST /fleet/join` takes, and is judged by the same function; besides, whoever
asks has sealed it with the very key that it names. A repetition changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

import structlog

from ledger.core.errors import TimmyError
from mesh.core import nip59
from mesh.core.calls import Call
from mesh.core.errors import InvalidData, Refused
from mesh.core.fleet.joining import (
    RELAYS_MAX,
    Asking,
    Token,
    open_request,
    refusal_of,
    slice_of,
)
from mesh.core.nip01 import NostrSigner
from mesh.core.pool.routes import relay_url
from mesh.core.relay.filter import Filter
from mesh.pool.relays import RelayPool, RelayStatus
from mesh.relay.server import Relay
from mesh.sealed.calls import LiveCalls
from mesh.tasks import first_error
from node.fleet.members import FleetNode
from node.open import now_ms

_LISTENED_MAX: Final = 8
"""Relays of all invitations that are open: each is a connection, and each answer goes to all."""
_LONGER_SECONDS: Final = 24 * 3600
_REACH_SECONDS: Final = 20.0
"""For all relays of a token to answer a question, side by side: somebody waits."""

_log = structlog.get_logger("node.fleet.inviting")


class _Changed(Exception):
    """Where this node listens has changed."""


@dataclass(slots=True, kw_only=True)
class Inviting:
    """Tokens of one node. Run `run()` in a task group of it."""

    node: FleetNode
    calls: LiveCalls
    status: Callable[[], Awaitable[list[RelayStatus]]]
    """How the relays are that this node knows."""
    relay: Relay | None = None
    clock: Callable[[], int] = lambda: now_ms() // 1000
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def invite(
        self, url: str, roles: tuple[str, ...], *, hours: int, relays: tuple[str, ...] = ()
    ) -> Token:
        """Make a token, once each relay that it names has answered. Raises Refused."""
        named = tuple(dict.fromkeys(map(relay_url, relays)))
        if len(named) > RELAYS_MAX:
            raise Refused(f"{len(named)} relays", hint=f"name {RELAYS_MAX} at most")
        if named:
            await self._reach(named)
        now_s = self.clock()
        known = {one: until for one, until in self.node.files.relays().items() if until > now_s}
        until = now_s + 3600 * hours + _LONGER_SECONDS
        known |= {one: max(until, known.get(one, 0)) for one in named}
        if len(known) > _LISTENED_MAX:
            raise Refused(
                f"invitations name {len(known)} relays, at most {_LISTENED_MAX} allowed",
                hint="name one that another invitation names",
            )
        token = self.node.invite(url, roles, hours=hours, relays=named)
        if named:
            self.node.files.put_relays(known)
            self._changed.set()
        return token

    async def _reach(self, relays: tuple[str, ...]) -> None:
        """Ask each relay for what is for us. Raises Refused with the first one's reason."""
        kinds = frozenset((nip59.LIVE_WRAP_KIND,))
        own = ("p", frozenset((self.calls.signer.pubkey,)))
        wanted = Filter(kinds=kinds, tags=(own,), since=self.clock(), limit=1)
        why = f"not done within {_REACH_SECONDS:g} s"
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                found = await self.calls.pool.fetch([wanted], at=relays)
        except TimeoutError:
            faults = [(relays[0], why)]
        else:
            faults = list(found.faults)
        if faults:
            [url, why] = faults[0]
            raise Refused(
                f"{url} does not answer: {why}", hint="timmy mesh relays shows what it does"
            )

    # ---- answering -------------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Listen where tokens say, until cancelled."""
        while True:
            self._changed.clear()
            now_s = self.clock()
            known = {u: until for u, until in self.node.files.relays().items() if until > now_s}
            self._open_door(bool(known))
            pause_s = min(known.values()) - now_s if known else None

            async def change(pause_s: int | None = pause_s) -> NoReturn:
                try:
                    async with asyncio.timeout(pause_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                raise _Changed

            async def listen(at: tuple[str, ...] = tuple(known)) -> NoReturn:
                await self.calls.serve(self._answer, at=at)

            await first_error((_Changed,), change, *([listen] if known else []))

    def _open_door(self, open_: bool) -> None:  # noqa: FBT001 - private
        if self.relay is None:
            return
        callees = frozenset((self.calls.signer.pubkey,)) if open_ else frozenset()
        if self.relay.policy.callees != callees:
            self.relay.adopt(replace(self.relay.policy, callees=callees))

    async def _answer(self, call: Call) -> bytes | None:
        """Answer a request to join; what is none is left unanswered."""
        try:
            asked = Asking.parse(call.body)
            _, member = open_request(asked.request)
        except InvalidData as error:
            _log.debug("no request to join", author=call.author, why=str(error))
            return None
        if member.nostr.hex() != call.author:
            return None
        try:
            chain = self.node.asked(asked.request, after=asked.after)
        except (InvalidData, Refused) as error:
            return refusal_of(str(error), error.hint or "")
        except (TimmyError, OSError) as error:  # a full disk: he asks again
            _log.warning("a request to join is not kept", why=str(error)[:200])
            return None
        return slice_of(chain, asked.offset)


def make_inviting(
    node: FleetNode, pool: RelayPool, signer: NostrSigner, relay: Relay | None
) -> Inviting:
    """Make this node's side of invitations."""
    calls = LiveCalls(pool=pool, signer=signer, clock=lambda: now_ms() // 1000)
    return Inviting(node=node, calls=calls, status=pool.status, relay=relay)
