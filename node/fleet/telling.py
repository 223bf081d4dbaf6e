"""What a node says to its fleet by itself: that it wants to join, that it is there, what is new.

Manifests are pushed from member to member: whoever hears a presence of somebody behind him sends
what is missing. So a newcomer needs one address, and a member that was away one that is there.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec
import structlog

from ledger.core.errors import TimmyError
from mesh.core.errors import InvalidManifest, ManifestRefused
from mesh.core.fleet.joining import Token, make_request
from mesh.core.fleet.manifest import NUMBER_MAX, Fleet, Member, open_manifest
from mesh.core.fleet.presence import Presence
from node.fleet.members import CHAIN_MAX, FleetNode
from node.open import now_ms

_JOIN_SECONDS: Final = 2.0
"""How often a newcomer asks whether the operator has signed: somebody waits for it."""

_log = structlog.get_logger("node.fleet.telling")


class _Chain(msgspec.Struct):
    """What answers a request to join."""

    manifests: list[str]


class _Known(msgspec.Struct):
    """What answers a presence."""

    number: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]


_A = TypeVar("_A", _Chain, _Known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Says what is to be said of one node. Run `run()` in a task group of it."""

    node: FleetNode

    async def run(self) -> None:
        """Join, and say that we are there, until cancelled."""
        while True:
            try:
                await self.step()
            except (TimmyError, OSError) as error:  # a full disk, a token that was edited
                _log.warning("the fleet waits", reason=str(error)[:200])
            self.node.changed.clear()
            pause_s = _JOIN_SECONDS if self.node.joining else self.node.times.presence_s
            try:
                async with asyncio.timeout(pause_s):
                    await self.node.changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(0.2)  # what comes together is answered together

    async def step(self) -> None:
        """Ask to be taken in, if we wait for it; tell every other member that we are there."""
        token = self.node.files.token()
        if token is not None:
            await self._ask(token)
        fleet = self.node.fleet
        if fleet is None or self.node.membership is None:
            return
        others = [one for one in fleet.manifest.members if one.ledger != self.node.own.ledger]
        data = self._presence(fleet).sign(self.node.signer)
        async with asyncio.TaskGroup() as group:
            for one in others:
                group.create_task(self._tell(one, data))

    def _presence(self, fleet: Fleet) -> Presence:
        return Presence(
            ledger=self.node.own.ledger,
            manifest=fleet.manifest.digest,
            number=fleet.manifest.number,
            time_s=now_ms() // 1000,
            events=self.node.log.size,
            load=min(1_000_000, int(self.node.load() * 1000)),
            able=self.node.able,
        )

    async def _ask(self, token: Token) -> None:
        """Ask the address in the token, and every member that we learnt of since."""
        request = make_request(token.secret, self.node.own, self.node.signer)
        members = () if self.node.fleet is None else self.node.fleet.manifest.members
        for url in dict.fromkeys([token.url, *(url for one in members for url in one.urls)]):
            while True:
                known = self.node.fleet
                after = 0 if known is None else known.manifest.number + 1
                chain = await self.node.post(f"{url}/fleet/join?after={after}", request)
                if chain is None or not await self._take_all(chain):
                    break

    async def _take_all(self, chain: bytes) -> bool:
        """Take what of a chain we do not know; what does not follow ends it.

        Return whether there may be more behind it: it was as long as it may be, and brought news.
        """
        before = self.node.fleet
        try:
            parts = [bytes.fromhex(one) for one in _read(chain, _Chain).manifests]
            found = [await asyncio.to_thread(open_manifest, one) for one in parts[:CHAIN_MAX]]
            if self.node.fleet is None and len(found) < CHAIN_MAX:
                voted = {one.nostr for link in found for one in link.manifest.voters}
                self.node.newcomer = self.node.own.nostr not in voted
            for one, data in zip(found, parts, strict=False):
                number = one.manifest.number
                if self.node.fleet is None or number > self.node.fleet.manifest.number:
                    await self.node.take(data)
        except (ValueError, InvalidManifest, ManifestRefused) as error:
            _log.warning("manifests that do not follow", reason=str(error)[:200])
            return False
        return len(found) == CHAIN_MAX and self.node.fleet is not before

    async def _tell(self, member: Member, data: bytes) -> None:
        """Say that we are there; send what the other does not know."""
        for url in member.urls:
            answer = await self.node.post(f"{url}/fleet/presence", data, self.node.times.presence_s)
            if answer is None:
                continue
            self.node.reached_ms[member.ledger] = now_ms()
            try:
                number = _read(answer, _Known).number
            except ValueError:
                continue
            assert self.node.fleet is not None
            for one in self.node.files.chain()[number + 1 : number + 1 + CHAIN_MAX]:
                await self.node.post(f"{url}/fleet/manifest", one)
            return


def _read(answer: bytes, kind: type[_A]) -> _A:
    """Read what another node answered, which may be anything. Raises ValueError."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"no answer of a member: {error}") from error
