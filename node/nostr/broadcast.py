"""Checkpoints go out: signed within a second, to our relay and the configured ones in batches.

    new events  ->  head released (commit, guard, then sign)  ->  relay event  ->  other relays

Housekeeping events (published, anchored, started) never cause a checkpoint to be published: if they
did, publishing would cause publishing for ever. They are covered by the next one that is.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from ledger.core import types
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.event import Draft
from ledger.log import Log
from ledger.release import Release
from mesh.core.nip01 import NostrSigner
from mesh.pool.port import Pool
from mesh.relay.server import Relay
from mesh.witnesses.checkpoints import CheckpointKinds, Published, mint_checkpoint, mint_head
from node.config import PublishSection
from node.fleet.witnessed import Witnessed
from node.nostr.relays import announce
from node.open import now_ms

_RECORD_EVERY_MS = 3_600_000
"""One event an hour says what was published: the relays keep the rest."""
_COME_BACK_MS_MAX = 300_000


@dataclass(slots=True)
class Broadcast:
    """Signs heads as the log grows, and publishes them."""

    log: Log
    release: Release
    signer: NostrSigner
    relay: Relay | None
    pool: Pool
    section: PublishSection
    interval_ms: int
    witnessed: Witnessed | None = None
    """Who has to have answered before a head goes out, and whose lines go with it."""
    published: SignedCheckpoint | None = None
    _last_head_at: int | None = None
    _last_publish_ms: int = 0
    _last_record_ms: int = 0
    _clock_told: bool = False
    _seen: int = 0
    _due: bool = True
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Say where we write and read, once; then follow the log until cancelled."""
        await announce(self.pool, self.section, self.signer)
        while True:
            await self._something_to_do()
            await asyncio.sleep(self.interval_ms / 1000)
            await self._tell_clock()
            await self.step()

    async def _something_to_do(self) -> None:
        """Return when the log has grown, or when a publication that had to wait may go out."""
        wait_ms = self._last_publish_ms + self.section.interval_s * 1000 - now_ms()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, wait_ms) / 1000 if self._due else None):
                await self.log.grown(self._seen)

    async def step(self) -> None:
        """Sign what is new; publish it if it is more than housekeeping and the time has come."""
        async with self._lock:
            size = self.log.size
            self._due |= self._more_than(self._seen, size)
            head = await asyncio.to_thread(self.release.head)
            self._seen = size
            if self.release.held:
                return
            if self._due and now_ms() - self._last_publish_ms >= self.section.interval_s * 1000:
                await self._publish(head)

    async def _publish(self, newest: SignedCheckpoint) -> None:
        head = newest if self.witnessed is None else self.witnessed.publishable(newest)
        if head is None or head == self.published:
            return
        kinds = CheckpointKinds(
            checkpoint=self.section.checkpoint_kind, head=self.section.head_kind
        )
        found = Published(
            ledger=head.checkpoint.ledger_id.hex(),
            size=head.size,
            root=head.root.hex(),
            note=head.encode().decode(),
        )
        now = now_ms() // 1000
        event = mint_checkpoint(self.signer, found, now=now, kinds=kinds)
        pointer = mint_head(
            self.signer,
            found,
            checkpoint_event=event,
            now=now,
            last=self._last_head_at,
            kinds=kinds,
        )
        items = (f"checkpoint/{found.size}/{found.root}", "head")
        for minted, item in zip((event, pointer), items, strict=True):
            if self.relay is not None:
                await self.relay.publish(minted)
            await self.pool.publish(minted, item=item, droppable=True)
        self._last_head_at, self._last_publish_ms = pointer.created_at, now_ms()
        self._due, self.published = self._more_than(head.size, newest.size), head
        await self._record(head)

    def _more_than(self, start: int, stop: int) -> bool:
        """Whether there is more than housekeeping between two sizes."""
        events = self.log.events(start, stop)
        return any(event.type not in types.HOUSEKEEPING for event in events)

    async def _record(self, head: SignedCheckpoint) -> None:
        if now_ms() - self._last_record_ms < _RECORD_EVERY_MS:
            return
        self._last_record_ms = now_ms()
        payload = {"size": head.size, "root": head.root, "relays": len(self.section.relays)}
        draft = Draft(type=types.PUBLISHED.name, stream=types.NODE_STREAM, payload=payload)
        await self.log.append(draft)

    async def _tell_clock(self) -> None:
        behind = self.log.clock_behind_ms
        if behind < _COME_BACK_MS_MAX:
            self._clock_told = False
        elif not self._clock_told:
            self._clock_told = True
            draft = Draft(
                type=types.CLOCK_STEPPED.name,
                stream=types.NODE_STREAM,
                payload={"behind_ms": behind},
            )
            await self.log.append(draft)
