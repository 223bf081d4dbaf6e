"""Heads handed in to an aggregator by the node itself: once a day, if anything was said.

    ask    a head is released, its note kept in the ledger, and written down as what is to be sent
    send   the aggregator is asked which head it has, and given what continues it from there

What is asked for is durable before it is sent, so a restart goes on with the same head, and a
failure costs no further events: one note a day at most. Each failure makes the next attempt later,
up to a day, and its reason is kept. A head that could not be handed in for a day gives way to a
newer one.

Off unless `aggregate.submit_to` names an aggregator. Not covered: fetching receipts, which the
aggregator hands out (`timmy aggregate prove` there), and more than one aggregator.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiohttp
import structlog

from attest.aggregator_client import AggregatorClient
from attest.core import limits
from attest.core.errors import (
    AggregatorError,
    AggregatorRefused,
    AttestError,
    InvalidProof,
    StateDamaged,
)
from attest.core.proof import take
from attest.state import StateStore
from ledger.core import types
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidNote, Refused
from ledger.core.note import parse_note
from node.anchors.anchoring import Anchoring
from node.anchors.submitting import make_submission
from node.config import AggregateSection
from node.open import now_ms

_KEY: Final = "handed-in"
_DAY_S: Final = 86_400
_LOOK_SECONDS: Final = 10.0
"""How late a due attempt may be. A look reads one small record."""

_log = structlog.get_logger("node.anchors.handing_in")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """The newest head that was to be handed in, and what came of it. Times are Unix seconds."""

    note: bytes
    asked_s: int
    done: bool = False
    tries: int = 0
    next_s: int = 0
    trouble: str = ""

    @property
    def named(self) -> Checkpoint:
        """The checkpoint in the note."""
        return Checkpoint.parse(parse_note(self.note).text)

    def to_value(self) -> dict[str, Any]:
        """A map of the ledger's CBOR profile."""
        return {
            "note": self.note,
            "asked": self.asked_s,
            "done": int(self.done),
            "tries": self.tries,
            "next": self.next_s,
            "trouble": self.trouble,
        }

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> "HandedIn":
        """Read the map back. Raises StateDamaged."""
        try:
            fields = take(value, note=bytes, asked=int, done=int, tries=int, next=int, trouble=str)
            found = cls(
                note=fields["note"],
                asked_s=fields["asked"],
                done=bool(fields["done"]),
                tries=fields["tries"],
                next_s=fields["next"],
                trouble=fields["trouble"],
            )
            _ = found.named
        except (InvalidProof, InvalidNote) as error:
            raise StateDamaged(f"the record of what is handed in is damaged: {error}") from error
        return found


@dataclass(slots=True, kw_only=True)
class HandingIn:
    """Hands heads of one node's ledger to one aggregator."""

    anchoring: Anchoring
    client: AggregatorClient
    state: StateStore
    every: str
    now_s: Callable[[], int]
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Hand in what is due until cancelled; trouble is kept, and a line in the log."""
        while True:
            try:
                await self.step()
            except AttestError as error:
                _log.warning("handing in waits", reason=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def now(self) -> dict[str, Any]:
        """Hand in everything durable now, due or not. Raises AggregatorError or Refused."""
        async with self._lock:
            record = await self._load()
            tries = 0 if record is None or record.done else record.tries
            await self._send(await self._ask(tries))
        found = await self.value()
        if found["trouble"]:
            raise AggregatorRefused(found["trouble"], hint="timmy aggregate status")
        return found

    async def step(self) -> None:
        """Ask for the day's head if it is time, and send what waits if that is due."""
        async with self._lock:
            record = await self._load()
            if self._wants(record):
                pending = record is not None and not record.done
                record = await self._ask(record.tries if record and pending else 0)
                if record.tries:
                    return  # an attempt failed lately: the newer head waits for its turn, too
            if record is None or record.done or not self._due(record):
                return
            await self._send(record)

    async def value(self) -> dict[str, Any]:
        """Where handing in stands, as a JSON-able map."""
        found: dict[str, Any] = {"to": self.client.url, "every": self.every}
        try:
            record = await self._load()
        except AttestError as error:  # it must not hide how the node is
            return found | {"size": None, "done": False, "trouble": str(error)}
        if record is None:
            return found | {"size": None, "done": False, "trouble": ""}
        return found | {
            "size": record.named.size,
            "done": record.done,
            "asked_ms": 1000 * record.asked_s,
            "tries": record.tries,
            "next_ms": None if record.done else 1000 * record.next_s,
            "trouble": record.trouble,
        }

    def _wants(self, record: HandedIn | None) -> bool:
        """Whether a day is over and something was said since."""
        if self.every != "daily":
            return False
        now_s, start = self.now_s(), 0
        if record is not None:
            if record.asked_s <= now_s < record.asked_s + _DAY_S:
                return False
            start = record.named.size
        events = self.anchoring.log.events(start)
        return any(event.type not in types.HOUSEKEEPING for event in events)

    def _due(self, record: HandedIn) -> bool:
        """Whether the next attempt is due; one that is too far off means a clock that was set."""
        now_s = self.now_s()
        return not now_s < record.next_s <= now_s + limits.AGGREGATOR_WAIT_S_MAX

    async def _ask(self, tries: int) -> HandedIn:
        """Release a head and write it down as what is to be handed in."""
        head = await asyncio.to_thread(self.anchoring.release.head)
        await self.anchoring.hand_in(head)
        now_s = self.now_s()
        next_s = now_s + _wait_s(tries) if tries else now_s
        record = HandedIn(note=head.anchor_preimage(), asked_s=now_s, tries=tries, next_s=next_s)
        await self._save(record)
        return record

    async def _send(self, record: HandedIn) -> None:
        """Hand in the head of a record, and write down what came of it."""
        try:
            await self._exchange(record)
        except (AggregatorError, Refused) as error:
            tries = record.tries + 1
            _log.warning("the aggregator did not take a head", reason=str(error), tries=tries)
            failed = replace(
                record, tries=tries, next_s=self.now_s() + _wait_s(tries), trouble=str(error)
            )
            await self._save(failed)
        else:
            await self._save(replace(record, done=True, tries=0, trouble=""))

    async def _exchange(self, record: HandedIn) -> None:
        log, size = self.anchoring.log, record.named.size
        known = await self.client.known(log.ledger_id)
        if known > log.size:
            raise AggregatorRefused(
                f"{self.client.url} has a head of {known} events, this ledger holds {log.size}"
            )
        if known >= size:
            return  # it has this one, or a newer one that was handed in otherwise
        head = self._head(record)
        data = await asyncio.to_thread(make_submission, log, head, known)
        taken = await self.client.submit(data)
        if taken != size:
            raise AggregatorRefused(f"{self.client.url} took {taken} events, {size} were sent")

    def _head(self, record: HandedIn) -> SignedCheckpoint:
        named = record.named
        tenure = self.anchoring.lineage.tenure_at(named.epoch, named.size)
        return open_checkpoint(record.note, tenure.keys["log"])

    async def _load(self) -> HandedIn | None:
        value = await self.state.get(_KEY)
        return None if value is None else HandedIn.from_value(value)

    async def _save(self, record: HandedIn) -> None:
        await self.state.put(_KEY, record.to_value())


def _wait_s(tries: int) -> int:
    """How long to wait after so many attempts in a row that failed."""
    doubled: int = limits.AGGREGATOR_RETRY_S << min(tries - 1, 32)
    return min(doubled, limits.AGGREGATOR_WAIT_S_MAX)


def make_handing_in(
    anchoring: Anchoring,
    section: AggregateSection,
    session: aiohttp.ClientSession,
    state: StateStore,
) -> HandingIn | None:
    """Make what hands in this node's heads, None where no aggregator is named."""
    if not section.submit_to:
        return None
    return HandingIn(
        anchoring=anchoring,
        client=AggregatorClient(url=section.submit_to, session=session),
        state=state,
        every=section.submit_every,
        now_s=lambda: now_ms() // 1000,
    )
