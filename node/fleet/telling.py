"""What a node says to its fleet by itself: that it wants to join, that it is there, what is new.

Manifests are pushed from member to member: whoever hears a presence of somebody behind him sends
what is missing. So a newcomer needs one address, and a member that was away one that is there. Each
member is told in a task of its own: one that is silent, slow or lies keeps nobody else from hearing
that we are there, and is told again when its last turn is over.

A newcomer whose token names relays asks by them, beside; the addresses that he learns so are asked
like those of any token.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
import structlog

from ledger.core.errors import TimmyError
from mesh.core.errors import InvalidManifest, ManifestRefused
from mesh.core.fleet.joining import CHAIN_MAX, is_full, make_request
from mesh.core.fleet.manifest import NUMBER_MAX, Fleet, Member, open_manifest
from mesh.core.fleet.presence import Presence
from node.fleet.asking import Carrier, Relayed, Unreached, by_address
from node.fleet.inviting import Inviting
from node.fleet.members import FleetNode
from node.fleet.ways import first_answer
from node.open import now_ms

_JOIN_SECONDS: Final = 2.0
"""How often a newcomer asks whether the operator has signed: somebody waits for it."""
_JOIN_SECONDS_MAX: Final = 30.0
"""By relays, which count events: the pause doubles up to this while nothing is new."""

_log = structlog.get_logger("node.fleet.telling")


class _Known(msgspec.Struct):
    """What answers a presence."""

    number: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
    manifests: Annotated[tuple[str, ...], msgspec.Meta(max_length=CHAIN_MAX)] = ()
    """In hex: what the other side has of them for one that was taken out of the fleet."""


@dataclass(slots=True, kw_only=True)
class Telling:
    """Says what is to be said of one node. Run `run()` in a task group of it."""

    node: FleetNode
    inviting: Inviting | None = None
    """The other side of what a newcomer asks by relays; None where there are none."""
    _turns: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    """Who is being told, by ledger id, and those whose turn is over."""

    async def run(self) -> None:
        """Join, say that we are there, answer newcomers, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self.inviting is not None:
                group.create_task(self.inviting.run())
                group.create_task(self._ask_by_relays(self.inviting))
            await self._go_round(group)

    async def _go_round(self, group: asyncio.TaskGroup) -> None:
        while True:
            self.node.changed.clear()  # before: what changes meanwhile is told right after
            try:
                await self.step(group)
            except (TimmyError, OSError) as error:  # a full disk, a token that was edited
                _log.warning("the fleet waits", reason=str(error)[:200])
            pause_s = _JOIN_SECONDS if self.node.joining else self.node.times.presence_s
            try:
                async with asyncio.timeout(pause_s):
                    await self.node.changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(0.2)  # what comes together is answered together

    async def step(self, group: asyncio.TaskGroup) -> None:
        """Begin to tell every other member that we are there; ask to be taken in, if we wait."""
        self._begin_turns(group)
        token = self.node.files.token()
        if token is not None:
            await self._ask(token.secret, token.url)

    def _begin_turns(self, group: asyncio.TaskGroup) -> None:
        """Tell everybody in `group` whose last turn is over."""
        fleet = self.node.ours
        if fleet is None:
            return
        data = self._presence(fleet).sign(self.node.signer)
        busy = {ledger: task for ledger, task in self._turns.items() if not task.done()}
        self._turns = busy | {
            one.ledger: group.create_task(self._turn(one, data, fleet))
            for one in self.node.others
            if one.ledger not in busy
        }

    async def _turn(self, member: Member, data: bytes, fleet: Fleet) -> None:
        """Tell one member; raises nothing, since a node's task group is around it."""
        try:
            await self._tell(member, data)
        except (TimmyError, OSError) as error:  # a disk that cannot be read
            _log.warning("a member waits for what is new", reason=str(error)[:200])
        if self.node.fleet is not fleet:  # this member was passed over when the others heard of it
            self.node.changed.set()

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

    async def _ask(self, secret: bytes, url: str) -> None:
        """Ask the address in the token, and every member that we learnt of since."""
        members = () if self.node.fleet is None else self.node.fleet.manifest.members
        learnt = {one for member in members for one in member.urls}
        for one in dict.fromkeys([url, *sorted(learnt)] if url else sorted(learnt)):
            await self._ask_at(by_address(self.node, one), secret, way=url if one == url else "")

    async def _ask_by_relays(self, inviting: Inviting) -> None:
        """Ask at the relays in the token, if it names some, until the operator has taken us in."""
        pause_s = _JOIN_SECONDS
        while self.node.joining and (token := self.node.files.token()) and token.relays:
            carrier = Relayed(calls=inviting.calls, status=inviting.status, token=token)
            before = self.node.fleet
            try:
                await self._ask_at(carrier, token.secret, way="relays")
            except (TimmyError, OSError) as error:  # a full disk
                _log.warning("the fleet waits", reason=str(error)[:200])
            news = self.node.fleet is not before
            pause_s = _JOIN_SECONDS if news else min(2 * pause_s, _JOIN_SECONDS_MAX)
            await asyncio.sleep(pause_s)

    async def _ask_at(self, carrier: Carrier, secret: bytes, *, way: str) -> None:
        """Ask for what we do not know, as long as there is more.

        Of a way that the token names, note why we were not answered; "" is one learnt since.
        """
        request = make_request(secret, self.node.own, self.node.signer)
        try:
            while True:
                known = self.node.fleet
                chain = await carrier(request, 0 if known is None else known.manifest.number + 1)
                self.node.unheard.pop(way, None)
                if not await self._take_all(chain):
                    return
        except Unreached as error:
            said = str(error), error.hint or ""
            if way and self.node.unheard.get(way) != said:
                self.node.unheard[way] = said
                _log.warning("a newcomer is not answered", why=said[0], hint=said[1])

    async def _take_all(self, parts: list[bytes]) -> bool:
        """Take what of a chain we do not know; what does not follow ends it.

        Return whether there may be more behind it: it was as long as one gets, and brought news.
        """
        before, parts = self.node.fleet, parts[:CHAIN_MAX]
        try:
            found = [await asyncio.to_thread(open_manifest, one) for one in parts]
            if self.node.fleet is None and not is_full(parts):
                voted = {one.nostr for link in found for one in link.manifest.voters}
                self.node.newcomer = self.node.own.nostr not in voted
            for one, data in zip(found, parts, strict=True):
                number = one.manifest.number
                if self.node.fleet is None or number > self.node.fleet.manifest.number:
                    await self.node.take(data)
        except (InvalidManifest, ManifestRefused) as error:
            _log.warning("manifests that do not follow", reason=str(error)[:200])
            return False
        return is_full(parts) and self.node.fleet is not before

    async def _tell(self, member: Member, data: bytes) -> None:
        """Say that we are there; send what the other does not know, as far as he takes it."""
        within_s = self.node.times.presence_s

        async def ask(url: str, seconds: float) -> tuple[str, _Known] | None:
            answer = await self.node.post(f"{url}/fleet/presence", data, seconds)
            try:
                return None if answer is None else (url, msgspec.json.decode(answer, type=_Known))
            except (msgspec.MsgspecError, ValueError, RecursionError):  # it may be anything
                return None

        if (found := await first_answer(ask, member.urls, within_s)) is None:
            return
        url, known = found
        if known.manifests:
            await self._hear(known.manifests)
            return
        self.node.reached_ms[member.ledger] = now_ms()
        number = known.number
        until = time.monotonic() + within_s
        for one in self.node.files.chain()[number + 1 : number + 1 + CHAIN_MAX]:
            left_s = until - time.monotonic()
            if await self.node.post(f"{url}/fleet/manifest", one, left_s) is None:
                return  # the next turn begins with what is missing then

    async def _hear(self, manifests: tuple[str, ...]) -> None:
        """Take manifests that follow, whoever has them; the first that does not ends it."""
        with suppress(InvalidManifest, ManifestRefused, ValueError):  # the last: no hex
            for one in manifests:
                await self.node.take(bytes.fromhex(one))
