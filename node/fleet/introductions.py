"""Who the logs are that a node follows, and what their newest heads are: asked of other nodes.

A log shows who it is by its introduction: genesis, every handoff and recovery, its newest head. It
is asked for at the log's own node and at some others: that two of them show two heads is what is
looked for. By it the heads are judged that anybody tells of. Who gives none, or a false one, is
logged once for each reason, and again if he was well for ten minutes in between; one that has
nothing of a log, or gives us none, has answered.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidData as InvalidLedgerData
from mesh.core.errors import InvalidData
from mesh.core.fleet.gossip import Head
from mesh.core.fleet.gossip_wire import head_of
from mesh.core.mirrors.copying import AskHead
from mesh.core.told import Told
from mesh.core.witnesses.introduction import Introduction, open_introduction
from mesh.mirrors.source import Source, SourceFailed
from node.fleet.looking_back import LookingBack, has_none
from node.fleet.members import FleetNode

_OTHERS_MAX: Final = 4
"""Nodes that are asked besides the log's own."""
_LOOKS_MAX: Final = 16
"""Logs that are asked in one round."""
_SECONDS_MAX: Final = 10.0
_WHY_CHARS_MAX: Final = 200

_log = structlog.get_logger("node.fleet.introductions")


def drawn(sources: Iterable[Source], most: int, draw: random.Random) -> list[Source]:
    """Return `most` nodes at the most, at random, each by one of its addresses, at random.

    Whoever names eight addresses is asked no more often than who names one.
    """
    of: dict[str, list[Source]] = {}
    for source in sources:
        of.setdefault(source.node, []).append(source)
    return [draw.choice(of[node]) for node in draw.sample(sorted(of), min(most, len(of)))]


@dataclass(slots=True, kw_only=True)
class Introductions:
    """Asks for them, and keeps the newest of each log."""

    own: LookingBack
    fleet: FleetNode
    followed: Callable[[], set[bytes]]
    take: Callable[[Head, str], Awaitable[None]]
    """Told of each head that a log's own key signed, and of the address that showed it."""
    draw: random.Random
    now: Callable[[], float] = time.monotonic
    shown: dict[bytes, tuple[Introduction, bytes]] = field(default_factory=dict)
    """Who each log is, as it was shown, and the file that shows it."""
    _told: Told = field(default_factory=Told)
    _strange: set[bytes] = field(default_factory=set)
    """Logs of which a head came that is not to be judged yet: ask who they are."""

    async def look(self, sources: Mapping[str, Source], *, everybody: bool) -> None:
        """Ask logs for their heads: all of them, or those that are not known well enough."""
        followed = self.followed()
        due = self._strange | (followed if everybody else followed - self.shown.keys())
        self._strange = set()
        async with asyncio.TaskGroup() as group:
            for ledger in self.draw.sample(sorted(due), min(_LOOKS_MAX, len(due))):
                group.create_task(self._ask_who(ledger, sources))

    async def _ask_who(self, ledger: bytes, sources: Mapping[str, Source]) -> None:
        """Ask the log's own node, and some others, for its newest head and who signs it."""
        keys = {sources[url].node for url in self.urls(ledger) if url in sources}
        shown = self.shown.get(ledger)
        if shown is not None:
            keys.add(shown[0].lineage.genesis.keys["nostr"].hex())
        own = [one for one in sources.values() if one.node in keys]
        others = [one for one in sources.values() if one.node not in keys]
        asked = drawn(own, len(own), self.draw) + drawn(others, _OTHERS_MAX, self.draw)
        async with asyncio.TaskGroup() as group:
            for source in asked:
                group.create_task(self._ask(ledger, source))

    async def _ask(self, ledger: bytes, source: Source) -> None:
        try:
            async with asyncio.timeout(_SECONDS_MAX):
                ask = AskHead(source=source.url, number=0, since=0)
                data = await source.answer(ledger, ask)
            found = await asyncio.to_thread(open_introduction, data, ledger)
        except (SourceFailed, TimeoutError, InvalidData) as error:
            if isinstance(error, SourceFailed) and has_none(error):
                self._told.well(source.url, self.now())
            else:
                self._failed(source.url, ledger, str(error) or f"silent for {_SECONDS_MAX:g} s")
            return
        self._told.well(source.url, self.now())
        self._introduce(found, data)
        await self.take(head_of(found.head.anchor_preimage()), source.url)

    def _failed(self, url: str, ledger: bytes, why: str) -> None:
        if self._told.first(url, why, self.now()):
            why = why[:_WHY_CHARS_MAX]
            _log.warning(
                "a peer does not show a log's head", peer=url, ledger=ledger.hex(), why=why
            )

    def _introduce(self, found: Introduction, data: bytes) -> None:
        """Keep who a log is; what does not go on from what is known changes nothing."""
        ledger = found.lineage.ledger_id
        before = self.shown.get(ledger)
        if before is not None:
            known = before[0].lineage.tenures
            if found.lineage.tenures[: len(known)] != known:
                return
        self.shown[ledger] = found, data

    def urls(self, ledger: bytes) -> list[str]:
        """Where the node of a member's log is."""
        fleet = self.fleet.fleet
        member = None if fleet is None else fleet.manifest.member(ledger)
        return [] if member is None else [url.rstrip("/") for url in member.urls]

    def opened(self, head: Head) -> SignedCheckpoint | None:
        """A head that the log's key signed, as far as it is known who that is."""
        if head.log == self.own.log.ledger_id:
            return self.own.opened(head.note)
        shown = self.shown.get(head.log)
        if shown is None or head.epoch > shown[0].lineage.epoch:
            self._strange.add(head.log)
            return None
        try:
            key = shown[0].lineage.tenure_at(head.epoch, head.size).keys["log"]
            return open_checkpoint(head.note, key)
        except InvalidLedgerData:
            self._strange.add(head.log)  # a handoff that we were not shown, or a forgery
            return None
