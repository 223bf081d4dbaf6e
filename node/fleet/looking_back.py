"""What relays know of this log's own heads: is there one, signed by us, that we do not have?

An old backup or a copy of this home has a guard as old as itself. Relays keep what was published:
a head at the agent's address, signed by its log key, that is larger than this ledger or of another
root, is proof that somebody went on from here, or from before. It is asked for at the start, for
LOOK_SECONDS_MAX; a relay that is silent, or has nothing, proves nothing and holds nothing up.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidEvent, InvalidNote
from ledger.core.lineage import Lineage
from ledger.core.note import parse_note
from ledger.log import Log
from mesh.core.nip01 import Event
from mesh.core.relay.filter import Filter
from mesh.pool.port import Pool
from mesh.witnesses.checkpoints import HEAD_PREFIX

LOOK_SECONDS_MAX: Final = 10.0
"""Longer than a relay takes that answers at all; a laptop without a network is released then."""
_HEADS_MAX: Final = 20

_log = structlog.get_logger("node.fleet.looking_back")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookingBack:
    """Asks the relays of one node for the heads of its own log."""

    pool: Pool
    relays: bool
    """Whether there are any to ask."""
    pubkey: str
    head_kind: int
    log: Log
    lineage: Lineage

    async def contradiction(self) -> str:
        """Say which signed head this ledger does not have; "" if none was shown."""
        wanted = Filter(
            kinds=frozenset({self.head_kind}),
            authors=frozenset({self.pubkey}),
            tags=(("d", frozenset({HEAD_PREFIX + self.log.ledger_id.hex()})),),
            limit=_HEADS_MAX,
        )
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                found = await self.pool.fetch([wanted])
        except TimeoutError:
            _log.warning("no relay told of our own heads", seconds=LOOK_SECONDS_MAX)
            return ""
        return self.judge(found.events)

    def judge(self, events: Iterable[Event]) -> str:
        """The same of events that relays gave."""
        for event in events:
            if reason := self.contradicts(event.content.encode(errors="replace")):
                return reason
        return ""

    def contradicts(self, note: bytes) -> str:
        """Say why a note is a signed head that this ledger does not have; "" if it is not."""
        head = self.opened(note)
        return "" if head is None else self._against(head)

    def opened(self, note: bytes) -> SignedCheckpoint | None:
        """A head that our own log key signed; None for anything else, which proves nothing."""
        try:
            named = Checkpoint.parse(parse_note(note).text)
            if named.ledger_id != self.log.ledger_id:
                return None
            later = named.epoch > self.lineage.epoch
            tenure = (
                self.lineage.newest if later else self.lineage.tenure_at(named.epoch, named.size)
            )
            return open_checkpoint(note, tenure.keys["log"])
        except (InvalidNote, InvalidEvent):
            return None

    def _against(self, head: SignedCheckpoint) -> str:
        named = head.checkpoint
        if named.epoch > self.lineage.epoch:
            return (
                f"a relay has a head of epoch {named.epoch}, this ledger is of {self.lineage.epoch}"
            )
        kept = self.lineage.kept.get(named.epoch + 1)
        if kept is not None and named.size > kept:
            return ""  # a recovery gave it up, publicly
        if named.size > self.log.size:
            return f"a relay has a signed head of {named.size} events, here are {self.log.size}"
        if self.log.tree.root(named.size) != named.root:
            return f"a relay has another signed head of {named.size} events"
        return ""
