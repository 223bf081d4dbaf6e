"""What relays and peers know of this log's own heads: is there one, ours, that we do not have?

An old backup or a copy of this home has a guard as old as itself. Relays keep what was published,
peers and members what they copied: a head signed by our log key that is larger than this ledger or
of another root is proof that somebody went on from here, or from before. Each is asked once it can
be reached. One that has nothing proves nothing; but it answered, and where nobody did, nothing is
released (`node.fleet.witnessed`).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidEvent, InvalidNote
from ledger.core.lineage import Lineage
from ledger.core.note import parse_note
from ledger.log import Log
from mesh.core.errors import InvalidData
from mesh.core.mirrors.copying import AskHead
from mesh.core.nip01 import Event
from mesh.core.relay.filter import Filter
from mesh.core.told import Told
from mesh.core.witnesses.introduction import open_introduction
from mesh.mirrors.source import Source, SourceFailed
from mesh.pool.port import Pool
from mesh.witnesses.checkpoints import HEAD_PREFIX

RELAY_SECONDS_MAX: Final = 10.0
"""Longer than a relay takes that answers at all."""
PEER_SECONDS_MAX: Final = 3.0
"""A peer was asked a moment before, when the node started."""
_HEADS_MAX: Final = 20
_RELAY: Final = "a relay"
_LATER: Final = "has a head of epoch"
RECOVERED: Final = "recovered"
"""Outcome on record where somebody began the next epoch: another one would contradict it."""
GO_ON: Final = "go on with that copy, or restore a backup of it"
PEER: Final = "a peer"
_WHY_CHARS_MAX: Final = 200

_log = structlog.get_logger("node.fleet.looking_back")


@dataclass(slots=True, kw_only=True)
class LookingBack:
    """Asks the relays and peers of one node for the heads of its own log."""

    pool: Pool
    relays: tuple[str, ...]
    """Addresses of those to ask."""
    pubkey: str
    head_kind: int
    log: Log
    lineage: Lineage
    peers: Callable[[], Mapping[str, Source]] = dict
    """Nodes to ask, by address: of node.toml, and members."""
    said: dict[str, str] = field(default_factory=dict)
    """By address, of whom has answered since the start: what he has that we have not, or ""."""
    now: Callable[[], float] = time.monotonic
    _told: Told = field(default_factory=Told)

    @property
    def asked(self) -> list[str]:
        """Everybody's address."""
        return [*self.relays, *self.peers()]

    @property
    def silent(self) -> list[str]:
        """Who has not answered since the start."""
        return [one for one in self.asked if one not in self.said]

    @property
    def contradiction(self) -> str:
        """Which signed head this ledger does not have; "" if none was shown."""
        return next(filter(None, self.said.values()), "")

    @property
    def mirror(self) -> str:
        """A node that has a head that this ledger does not have; else one that may; else ""."""
        peers = self.peers()
        return next((one for one in peers if self.said.get(one)), next(iter(peers), ""))

    async def look(self) -> str:
        """Ask everybody who has not answered yet, side by side; return `contradiction`."""
        peers = self.peers()
        async with asyncio.TaskGroup() as group:
            for address in self.silent:
                if address in peers:
                    group.create_task(self._ask_peer(address, peers[address]))
                else:
                    group.create_task(self._ask_relay(address))
        return self.contradiction

    async def _ask_relay(self, url: str) -> None:
        wanted = Filter(
            kinds=frozenset({self.head_kind}),
            authors=frozenset({self.pubkey}),
            tags=(("d", frozenset({HEAD_PREFIX + self.log.ledger_id.hex()})),),
            limit=_HEADS_MAX,
        )
        try:
            async with asyncio.timeout(RELAY_SECONDS_MAX):
                found = await self.pool.fetch([wanted], at=[url])
        except TimeoutError:
            self._silent(url, f"no end of its answer within {RELAY_SECONDS_MAX:g} s")
            return
        told = self.judge(found.events)
        if told or not found.faults:  # what is signed counts, also where there may be more
            self.said[url] = told
        else:
            self._silent(url, found.faults[0][1])

    async def _ask_peer(self, url: str, source: Source) -> None:
        """A node that has no copy of this log, or gives us none, has answered as well."""
        try:
            async with asyncio.timeout(PEER_SECONDS_MAX):
                ask = AskHead(source=url, number=0, since=0)
                data = await source.answer(self.log.ledger_id, ask)
            shown = open_introduction(data, self.log.ledger_id)
        except (SourceFailed, TimeoutError, InvalidData) as error:
            if isinstance(error, SourceFailed) and has_none(error):
                self.said[url] = ""
            else:
                self._silent(url, str(error) or f"no answer within {PEER_SECONDS_MAX:g} s")
        else:
            later, here = shown.lineage.epoch, self.lineage.epoch
            if later > here:  # proven by the recovery key, whoever signs heads since
                self.said[url] = f"{PEER} {_LATER} {later}, this ledger is of {here}"
            else:
                self.said[url] = self.contradicts(shown.head.anchor_preimage(), PEER)

    def _silent(self, address: str, why: str) -> None:
        """Log who does not say what it knows of us: once for each reason, however often asked."""
        if self._told.first(address, why, self.now()):
            why = why[:_WHY_CHARS_MAX]
            _log.warning("not told whether this is an old copy", source=address, why=why)

    def judge(self, events: Iterable[Event]) -> str:
        """Say which signed head among events of relays is not here; "" if none is."""
        for event in events:
            if reason := self.contradicts(event.content.encode(errors="replace"), _RELAY):
                return reason
        return ""

    def contradicts(self, note: bytes, who: str) -> str:
        """Say why a note is a signed head that this ledger does not have; "" if it is not."""
        return contradicts(self.log, self.lineage, note, who)

    def opened(self, note: bytes) -> SignedCheckpoint | None:
        """A head that our own log key signed; None for anything else, which proves nothing."""
        return _opened(self.log, self.lineage, note)


def contradicts(log: Log, lineage: Lineage, note: bytes, who: str) -> str:
    """Say why a note is a head that our log key signed and `log` does not have; "" if it is not."""
    head = _opened(log, lineage, note)
    if head is None:
        return ""
    named = head.checkpoint
    if named.epoch > lineage.epoch:
        return f"{who} {_LATER} {named.epoch}, this ledger is of {lineage.epoch}"
    if named.epoch < lineage.epoch:
        return ""  # a recovery ended that epoch, publicly: with what is here, or without
    if named.size > log.size:
        return f"{who} has a signed head of {named.size} events, here are {log.size}"
    if log.tree.root(named.size) != named.root:
        return f"{who} has another signed head of {named.size} events"
    return ""


def is_later(why: str) -> bool:
    """Whether a contradiction is a head of a later epoch."""
    return _LATER in why


def _opened(log: Log, lineage: Lineage, note: bytes) -> SignedCheckpoint | None:
    try:
        named = Checkpoint.parse(parse_note(note).text)
        if named.ledger_id != log.ledger_id:
            return None
        later = named.epoch > lineage.epoch
        tenure = lineage.newest if later else lineage.tenure_at(named.epoch, named.size)
        return open_checkpoint(note, tenure.keys["log"])
    except (InvalidNote, InvalidEvent):
        return None


def has_none(error: SourceFailed) -> bool:
    """Whether a node said that it has nothing of this log for us: not whatever else is there."""
    words = str(error)
    return error.refused and words.startswith(("403: {", "404: {")) and '"hint":' in words
