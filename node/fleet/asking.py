"""How a newcomer's request to join travels, by either way that a token names.

A carrier takes the signed request and the number of the first manifest that is wanted, and brings
manifests from there on, as many as one answer has, as they came: whoever asked checks them. What
the other side judges by is one function, too: `FleetNode.asked`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from ledger.core.errors import TimmyError
from mesh.core.errors import InvalidManifest, MeshError, Refused
from mesh.core.fleet.joining import Asking, Token, open_slice, parts_of
from mesh.pool.relays import RelayStatus
from mesh.sealed.calls import Line, LiveCalls, Unanswered
from node.fleet.members import FleetNode

_ANSWER_SECONDS: Final = 15.0
"""For one slice by relays: a connection, an authentication, and some questions that were lost."""
_CLOCKS: Final = "does the inviter's node run, and are both clocks right?"

Carrier: TypeAlias = Callable[[bytes, int], Awaitable[list[bytes]]]
"""Brings a request; returns manifests. Raises Unreached."""


class Unreached(MeshError):
    """Nobody took the request, or it was refused."""


class _Chain(msgspec.Struct):
    """What answers a request to join over HTTP."""

    manifests: list[str]


def by_address(node: FleetNode, url: str) -> Carrier:
    """Carry it over HTTP to one address."""

    async def carry(request: bytes, after: int) -> list[bytes]:
        answer = await node.post(f"{url}/fleet/join?after={after}", request)
        if answer is None:
            raise Unreached(
                f"{url} refuses, or does not answer",
                hint="is the address right, and the invitation still good?",
            )
        try:
            found = msgspec.json.decode(answer, type=_Chain).manifests
            return [bytes.fromhex(one) for one in found]
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise Unreached(f"{url} does not answer as a member does: {error}") from error

    return carry


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """Carries it in live calls to the inviter, by the relays of a token."""

    calls: LiveCalls
    status: Callable[[], Awaitable[list[RelayStatus]]]
    token: Token

    async def __call__(self, request: bytes, after: int) -> list[bytes]:
        """Ask for slice after slice."""
        try:
            async with self.calls.line(self.token.inviter.hex(), at=self.token.relays) as line:
                return parts_of(await self._whole(line, request, after))
        except Refused as error:
            raise Unreached(f"the inviter refuses: {error}", hint=error.hint) from error
        except InvalidManifest as error:
            raise Unreached(f"the inviter does not answer as one: {error}") from error
        except Unanswered as error:
            raise Unreached(f"{error}; {await self._why()}", hint=_CLOCKS) from error
        except TimmyError as error:
            raise Unreached(f"the request cannot be made: {error}", hint=error.hint) from error

    async def _whole(self, line: Line, request: bytes, after: int) -> bytes:
        found, total = b"", 1
        while len(found) < total:
            asking = Asking(request=request, after=after, offset=len(found))
            answer = await line.ask(asking.encode(), seconds=_ANSWER_SECONDS)
            total, some = open_slice(answer)
            if len(found) < total and not some:
                raise InvalidManifest(f"{len(found)} bytes of {total}, and no more")
            found += some
        return found

    async def _why(self) -> str:
        """How the relays of the token are, in a line."""
        states = {one.url: one for one in await self.status()}
        told = []
        for url in self.token.relays:
            one = states.get(url)
            if one is None or not one.connected:
                told.append(f"{url} is not reached: {one.last_error if one else 'not dialled'}")
            else:
                refuses = one.refused and f", and refuses: {one.last_error}"
                told.append(f"{url} is connected{refuses or ''}")
        return "; ".join(told)
