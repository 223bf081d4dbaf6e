"""Hearing from relays that a log signed two histories.

Whoever finds a proof publishes it (`mesh.witnesses.equivocations`); this node asks its relays for
those about the logs that it follows: its own, those it witnesses, those it copies, the fleet's. Its
own embedded relay is one of them: whoever reaches nothing else leaves a proof there. A
relay is believed nothing: the file proves itself, or `Witnessing.hear` refuses it. That a relay has
none shows nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledger.core.errors import StoreError, TimmyError
from mesh.complaints import Complaints
from mesh.core import limits
from mesh.core.errors import StoreError as MeshStoreError
from mesh.core.nip01 import Event, VerifiedEvent
from mesh.core.relay.filter import Filter
from mesh.core.told import Told
from mesh.pool.port import Pool
from mesh.relay.server import Relay
from mesh.witnesses.equivocations import KIND, open_equivocation
from node.fleet.mirroring import Mirroring
from node.fleet.witnessed import Witnessed
from node.fleet.witnessing import Witnessing
from node.sections.witness import WitnessSection

_LOOK_SECONDS: Final = 5.0
"""How late logs that are followed since, or no more, may be noticed."""

_LEFT_MAX: Final = 64
"""Proofs left at our own relay that wait to be looked at: four megabytes at the most."""

_TOLD_MAX: Final = 32
"""Lines a day about what is no proof: whoever makes such has as many keys as he likes."""

_log = structlog.get_logger("node.fleet.hearing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Asks the relays of one node. `followed` are the ledgers it cares for, now."""

    witnessing: Witnessing
    pool: Pool
    followed: Callable[[], set[bytes]]
    relay: Relay | None = None
    """Our own."""
    _complaints: Complaints = field(default_factory=lambda: Complaints(
        log=_log, what="a proof that relays have is none", told=Told(most=_TOLD_MAX)
    ))  # fmt: skip
    _left: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(_LEFT_MAX))

    async def run(self) -> None:
        """Tell what was not told before a crash; then listen until cancelled."""
        await self.witnessing.tell_again()
        if self.relay is not None:
            self.relay.on_event = self._leave
        while True:
            wanted = self._wanted()
            asked = Filter(kinds=frozenset({KIND}), tags=(("d", wanted),))
            async with self.pool.subscribe([asked]) as events, asyncio.TaskGroup() as group:
                reading = [
                    group.create_task(self._read(events)),
                    group.create_task(self._read_own(asked)),
                ]
                await self._others_than(wanted)
                for task in reading:
                    task.cancel()

    async def _others_than(self, wanted: frozenset[str]) -> None:
        """Return when other logs are followed."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._wanted() != wanted:
                return

    def _wanted(self) -> frozenset[str]:
        """The ledgers that are asked for: as many as a filter may name."""
        found = sorted({ledger.hex() for ledger in self.followed()})
        return frozenset(found[: limits.FILTER_VALUES_MAX])

    def _leave(self, event: VerifiedEvent) -> None:
        """Somebody left an event at our own relay; a flood of them waits at other relays, too."""
        if event.kind == KIND and not self._left.full():
            self._left.put_nowait(event)

    async def _read_own(self, asked: Filter) -> None:
        """Hear what lies at our own relay, and what comes there."""
        if self.relay is not None:
            for event in await self.relay.find(asked):
                await self._hear(event)
        while True:
            event = await self._left.get()
            if not asked.matches(event):
                continue
            await self._hear(event)

    async def _read(self, events: AsyncIterator[VerifiedEvent]) -> None:
        async for event in events:
            await self._hear(event)

    async def _hear(self, event: Event) -> None:
        try:
            await self.witnessing.hear(open_equivocation(event))
        except (StoreError, MeshStoreError):
            raise  # the disk's fault, not the proof's
        except TimmyError as error:
            kind = type(error).__name__
            self._complaints.of(event.pubkey, str(error), kind=kind, carried=event.id)


def make_hearing(
    witnessing: Witnessing,
    witnessed: Witnessed,
    mirroring: Mirroring,
    section: WitnessSection,
    pool: Pool,
    relay: Relay | None,
) -> Hearing:
    """Let what is heard reach the witness, and what is about ourselves hold the release."""

    def followed() -> set[bytes]:
        members = witnessing.fleet.fleet.manifest.members if witnessing.fleet.fleet else ()
        return {
            witnessing.log.ledger_id,
            *(bytes.fromhex(one) for one in section.logs),
            *(one.ledger for one in members),
            *mirroring.wanted(),
        }

    def own(epoch: int) -> None:
        if epoch >= witnessed.looking_back.lineage.epoch:  # a recovery ends what was before
            witnessed.condemn(f"this log's keys signed two histories of epoch {epoch}")

    for frozen in witnessing.file.frozen():  # before anything is released in this run
        if frozen.ledger_id == witnessing.log.ledger_id:
            own(frozen.epoch)
    witnessing.also_follows = lambda ledger: ledger in mirroring.wanted()
    witnessing.on_own = own
    return Hearing(witnessing=witnessing, pool=pool, followed=followed, relay=relay)
