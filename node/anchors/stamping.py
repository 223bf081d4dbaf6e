"""Stamping wired to the ledger: OpenTimestamps calendars as a second, free way to date heads.

What is wanted: the note of every `anchor.requested` event, whoever asked for it, as soon as it
is in the ledger; a head that the operator asks for; and, where nobody asked for `stamp_every_s`,
a head of its own if there is more in the ledger than housekeeping. Of wishes from before this node
had calendars only the newest is stamped: its root covers the others' events.

What is recorded: that enough calendars took a checkpoint, and that a block was named for it, one
`checkpoint.stamped` each. Both are housekeeping: nothing is published, anchored or stamped for it.

Without calendars in node.toml nothing here ever runs, and nothing is sent anywhere.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from attest.bitcoind import Bitcoind
from attest.calendar import CalendarClient
from attest.core import limits
from attest.core.errors import AttestError, StateError
from attest.core.header import parse_header
from attest.stamper import Stamper
from attest.stamps import StampRecord, StampStanding
from attest.state import StateStore
from ledger.core import hashing, types
from ledger.core.errors import Refused
from ledger.core.event import Draft
from ledger.log import Log
from ledger.release import Release
from node.config import AttestSection
from node.open import now_ms

_WISHES_LOOKED_AT: Final = 64
"""Newest events of the seal's stream: more than a day of hourly anchors leaves there."""
_STEP_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 60.0
"""How late a due attempt may be."""

_log = structlog.get_logger("node.anchors.stamping")


@dataclass(slots=True)
class Stamping:
    """Stamps of one node."""

    log: Log
    release: Release
    stamper: Stamper
    section: AttestSection

    async def run(self) -> None:
        """Follow the log and ask calendars until cancelled; trouble is only a line in the log."""
        clock = asyncio.get_running_loop().time
        due_at = clock()
        while self.section.calendars:
            size = self.log.size
            try:
                if await self._follow() or clock() >= due_at:
                    due_at = clock() + _WAIT_SECONDS
                    await self._unasked()
                    await self.advance()
            except AttestError as error:
                _log.warning("stamping waits", reason=str(error))
            await asyncio.sleep(_STEP_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_at):
                    await self.log.grown(size)

    async def now(self) -> None:
        """Have everything durable now stamped. Raises Refused without calendars."""
        self._require()
        await self._want_head()
        await self.advance()

    async def upgrade(self) -> None:
        """Ask for all that is pending, due or not. Raises Refused without calendars."""
        self._require()
        await self.advance(at_once=True)

    async def advance(self, *, at_once: bool = False) -> None:
        """Ask who is due; record what came of it; look after finished stamps no more."""
        for record in await self.stamper.advance(at_once=at_once):
            await self._note(record)
            if record.done:
                await self.stamper.close(record)

    async def show(self) -> dict[str, Any]:
        """Where stamps stand, as a JSON-able map: the open ones, or else the newest."""
        found: dict[str, Any] = {"calendars": self.section.calendars, "stamps": []}
        try:
            records = await self.stamper.open()
            newest = await self.stamper.newest()
        except StateError as error:  # it must not hide where anchors stand
            return found | {"stamps_trouble": str(error)}
        if newest is not None and newest.digest not in {record.digest for record in records}:
            records.append(newest)
        return found | {"stamps": [self._shown(record) for record in records]}

    # ---- wishes --------------------------------------------------------------------------------

    async def _follow(self) -> bool:
        """Want what anchors were asked for since the last one that is known; tell if any was."""
        fresh: list[bytes] = []
        events = self.log.stream(types.SEAL_STREAM, last=_WISHES_LOOKED_AT)
        wishes = [event.payload for event in events if event.type == types.ANCHOR_REQUESTED.name]
        for wish in reversed(wishes):
            if await self.stamper.knows(wish["digest"]):
                break
            fresh.append(wish["note"])
        else:
            del fresh[1:]
        for note in reversed(fresh):
            await self.stamper.want(note)
        return bool(fresh)

    async def _unasked(self) -> None:
        """Want a head, if nothing was wanted for long and something happened since."""
        every_s = self.section.stamp_every_s
        newest = await self.stamper.newest()
        if not every_s or (newest and newest.asked_s <= _now_s() < newest.asked_s + every_s):
            return
        start = 0 if newest is None else newest.checkpoint.size
        if any(event.type not in types.HOUSEKEEPING for event in self.log.events(start)):
            await self._want_head()

    async def _want_head(self) -> None:
        head = await asyncio.to_thread(self.release.head)
        await self.stamper.want(head.anchor_preimage())

    def _require(self) -> None:
        if not self.section.calendars:
            raise Refused(
                "no calendars are configured",
                hint="name some in node.toml: attest.calendars (timmy config shows how)",
            )

    # ---- records -------------------------------------------------------------------------------

    async def _note(self, record: StampRecord) -> None:
        """Record a standing in the ledger, once."""
        standing = record.standing(self.section.calendars_needed)
        if standing is StampStanding.WANTED:
            return
        context = hashing.ANCHOR_KEY
        name = f"stamped {standing.value}".encode()
        key = hashing.digest(context, self.log.ledger_id, name, record.digest)[:16]
        if self.log.find(key) is not None:
            return
        parts = record.attested or record.taken
        payload = {
            "digest": record.digest,
            "size": record.checkpoint.size,
            "standing": standing.value,
            "calendars": [part.url for part in parts],
            "height": min((part.heights[0] for part in record.attested), default=None),
            "checked": any(part.checked for part in record.attested),
        }
        await self.log.append(
            Draft(
                type=types.STAMPED.name,
                stream=types.NODE_STREAM,
                payload=payload,
                idempotency_key=key,
            )
        )

    def _shown(self, record: StampRecord) -> dict[str, Any]:
        return {
            "size": record.checkpoint.size,
            "digest": record.digest,
            "standing": record.standing(self.section.calendars_needed).value,
            "calendars": [
                {
                    "url": part.url,
                    "standing": _standing_of(part.timestamp is not None, part.heights),
                    "height": part.heights[0] if part.heights else None,
                    "checked": part.checked,
                    "tries": part.tries,
                    "trouble": part.trouble or None,
                }
                for part in record.calendars
            ],
        }


def make_stamping(
    section: AttestSection,
    log: Log,
    release: Release,
    client: CalendarClient,
    node: Bitcoind | None,
    state: StateStore,
) -> Stamping:
    """Wire a Stamper to this node's state, and to its Bitcoin node if there is one."""
    stamper = Stamper(
        state=state,
        client=client,
        calendars=section.calendars,
        poll_s=section.calendar_poll_s,
        clock=_now_s,
        entropy=os.urandom,
        root_at=None if node is None else _roots_of(node),
    )
    return Stamping(log, release, stamper, section)


def _roots_of(node: Bitcoind) -> Callable[[int], Awaitable[bytes | None]]:
    async def root_at(height: int) -> bytes | None:
        tip = await node.tip()
        if tip.height - height + 1 < limits.CONFIRMED_BLOCKS:
            return None
        block_hash = await node.block_hash(height)
        if block_hash is None:
            return None
        [raw] = await node.headers([block_hash])
        return parse_header(raw).merkle_root

    return root_at


def _standing_of(taken: bool, heights: tuple[int, ...]) -> str:  # noqa: FBT001 - private
    if heights:
        return StampStanding.ATTESTED.value
    return StampStanding.PENDING.value if taken else StampStanding.WANTED.value


def _now_s() -> int:
    return now_ms() // 1000
