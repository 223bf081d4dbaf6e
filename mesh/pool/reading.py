"""The reading half of a relay connection: everything a relay has for a filter, as far as it says.

Two ways, each with the other behind it:

- *Walking* (mesh/core/pool/paging.py): every relay can be walked through; what hides behind a full
  second, or is kept back, is not noticed.
- *Reconciling* (NIP-77): says exactly which ids the relay has and we have not, for a few kilobytes.
  Many relays do not speak it, some answer with silence; then they are not asked again for a week
  (BOOK_SECONDS_MAX).

Who holds nothing walks, and reconciles as a check; who holds something (a subscription that comes
back) reconciles and asks for the rest by id, or else walks. What a relay lists and does not hand
over is asked for RECONCILES_MAX times, then it is a fault.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import structlog

from mesh.core import limits
from mesh.core.errors import InvalidReconciliation, MeshError
from mesh.core.negentropy import IdSet, Initiator
from mesh.core.nip01 import VerifiedEvent
from mesh.core.pool import client as core
from mesh.core.pool.client import FaultKind
from mesh.core.pool.client_messages import prefix_of
from mesh.core.pool.paging import Walk
from mesh.core.relay.filter import Filter
from mesh.pool.inbox import Inbox
from mesh.pool.link import Gone, Link
from mesh.pool.seen import Seen

_log = structlog.get_logger(__name__)

Take: TypeAlias = Callable[[VerifiedEvent], Awaitable[None]]


class Short(MeshError):
    """A relay's answer is cut short: it refused, fell silent, or gave more than we hold."""


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads from one relay for somebody who has `seen` already; news go to `take`, once each.

    `events_left` and `bytes_left` bound all that one reader takes.
    """

    link: Link
    seen: Seen
    take: Take
    events_left: int = limits.FETCH_EVENTS_MAX
    bytes_left: int = limits.FETCH_BYTES_MAX
    unfinished: dict[Filter, Walk] = field(default_factory=dict)
    """Walks that a lost connection cut short: the next reader goes on with them."""

    async def read(self, wanted: Filter) -> str:
        """Bring what the relay has; return why that may be short, "" if nothing speaks for it."""
        try:
            if wanted.limit is not None:
                return await self._walk(wanted)
            if len(self.seen) and await self._reconciled(wanted):
                return ""
            gap = await self._walk(wanted)
            return "" if await self._reconciled(wanted) else gap
        except (Gone, Short) as error:
            return str(error)

    # ---- walking ------------------------------------------------------------------------------

    async def _walk(self, wanted: Filter) -> str:
        going_on = wanted in self.unfinished
        walk = self.unfinished.pop(wanted, None) or Walk(
            wanted,
            page_events=self.link.limits.page_events,
            events_max=self.events_left,
            pages_max=limits.PAGES_MAX,
        )
        if walk.done:
            return ""
        try:
            await self._pages(walk, wanted)
        except Gone:
            self.unfinished[wanted] = walk
            raise
        if walk.cap is not None:
            self.link.learn(replace(self.link.limits, page_events_max=walk.cap))
        if walk.cut or going_on:
            return walk.cut or "what came while it was away is not looked at yet"
        second = min(walk.gaps, default=None)
        return "" if second is None else f"more events in second {second} than it gives at once"

    async def _pages(self, walk: Walk, wanted: Filter) -> None:
        skip = self.seen.__contains__
        async with self.link.asking([walk.next()], skip=skip) as inbox:
            while True:
                keys: list[tuple[int, str]] = []
                try:
                    await self._page(inbox, keys)
                finally:
                    if keys:
                        walk.take(keys)
                if not keys:
                    walk.take(())
                if walk.done:
                    return
                await self.link.ask_on(inbox, walk.next(), wanted=wanted, skip=skip)

    async def _page(self, inbox: Inbox, keys: list[tuple[int, str]]) -> None:
        """Take one REQ's stored events; note (created_at, id) of each, repeats included."""
        news: list[VerifiedEvent] = []
        try:
            size = await self._collect(inbox, keys, news)
        finally:
            inbox.overrun = False
            await self._hand_over(news)
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise Short(f"more than {limits.FETCH_BYTES_MAX} bytes")

    async def _collect(
        self, inbox: Inbox, keys: list[tuple[int, str]], news: list[VerifiedEvent]
    ) -> int:
        size = 0
        while size <= limits.PAGE_BYTES_MAX and not inbox.overrun:
            match await self._next(inbox, limits.ANSWER_SECONDS_MAX):
                case core.Got(event=event, size=more):
                    keys.append((event.created_at, event.id))
                    news.append(event)
                    size += more
                case core.Again(event_id=event_id):
                    at = self.seen.at(event_id)
                    if at is not None:
                        keys.append((at, event_id))
                case core.Stored():
                    break
                case core.Ended(message=message):
                    reason = message or "closed without a reason"
                    raise Short(reason) if self.link.connected else Gone(reason)
                case _:
                    pass
        return size

    async def _next(self, inbox: Inbox, seconds: float) -> object:
        try:
            async with asyncio.timeout(seconds):
                return await inbox.next()
        except TimeoutError as error:
            reason = f"no answer within {seconds:g} s"
            if not inbox.reconciles:
                self.link.fault(FaultKind.SILENT, reason)
            raise Short(reason) from error

    async def _hand_over(self, news: Iterable[VerifiedEvent]) -> None:
        for event in news:
            if event.id in self.seen:
                continue
            self.seen.add(event.created_at, event.id)
            try:
                await self.take(event)
            except BaseException:
                self.seen.drop(event.id)  # it was not taken: it will be asked for again
                raise
            self.events_left -= 1

    # ---- reconciling --------------------------------------------------------------------------

    async def _reconciled(self, wanted: Filter) -> bool:
        """Bring what a reconciliation says is missing; tell whether the relay can do that."""
        in_vain = 0
        while in_vain < limits.RECONCILES_MAX:
            found = await difference(self.link, wanted, self.seen)
            if found is None:
                return False
            need = sorted(one.hex() for one in found.need)
            if not need:
                return True
            left = self.events_left
            await self.by_ids(wanted, need)
            in_vain = in_vain + 1 if left == self.events_left else 0
        reason = f"{len(need)} events listed and not handed over, {need[0]} one of them"
        self.link.fault(FaultKind.SHORT, reason)
        return True

    async def by_ids(self, wanted: Filter, ids: list[str]) -> None:
        """Bring events of a filter by their ids, what the relay has of them."""
        step = min(limits.IDS_PER_REQUEST, self.link.limits.page_events)
        for start in range(0, len(ids), step):
            if self.events_left <= 0:
                raise Short(f"more than {limits.FETCH_EVENTS_MAX} events")
            some = frozenset(ids[start : start + step])
            page = replace(wanted, ids=some, limit=len(some))
            async with self.link.asking([page], skip=self.seen.__contains__) as inbox:
                await self._page(inbox, [])


async def difference(
    link: Link, wanted: Filter, held: Collection[tuple[int, str]] | Seen
) -> Initiator | None:
    """Return what a relay's events of a filter and `held` differ in, None if it does not say.

    Raises Gone. A relay that does not speak NIP-77 is not asked again for BOOK_SECONDS_MAX.
    """
    if link.limits.reconciles is False:
        return None
    items = IdSet((at, bytes.fromhex(event_id)) for at, event_id in held)
    initiator = Initiator(items)
    everything = replace(wanted, limit=None)
    try:
        async with link.reconciling(everything, initiator.open()) as inbox:
            while (message := await _answer(inbox, initiator)) is not None:
                await link.go_on(inbox, message)
    except (TimeoutError, InvalidReconciliation, _Unsupported) as error:
        reason = str(error) or f"no answer within {limits.NEG_SECONDS_MAX} s"
        _log.info("relay does not reconcile", relay=link.url, reason=reason)
        if isinstance(error, InvalidReconciliation):
            link.fault(FaultKind.RECONCILIATION, reason)
        link.learn(replace(link.limits, reconciles=False))
        return None
    except Short:
        return None
    link.learn(replace(link.limits, reconciles=True))
    return initiator


class _Unsupported(MeshError):
    """The relay says that it does not speak NIP-77."""


async def _answer(inbox: Inbox, initiator: Initiator) -> bytes | None:
    async with asyncio.timeout(limits.NEG_SECONDS_MAX):
        item = await inbox.next()
    match item:
        case core.Reconciled(message=message):
            return initiator.receive(message)
        case core.Ended(message=message):
            if prefix_of(message) in {"unsupported", "invalid"}:
                raise _Unsupported(message)
            raise Short(message)
        case _:
            raise Short("an event in place of a reconciliation")


async def check(link: Link) -> None:
    """Ask a relay whether it has what it took, and queue again what it has not."""
    events = await link.delivery.kept()
    if not events:
        return
    held = [(event.created_at, event.id) for event in events]
    wanted = Filter(
        authors=frozenset(event.pubkey for event in events),
        kinds=frozenset(event.kind for event in events),
        since=min(held)[0],
        until=max(held)[0],
    )
    try:
        found = await difference(link, wanted, held)
        if found is None:
            missing = {event_id for _, event_id in held} - await _present(link, wanted, held)
        else:
            missing = {one.hex() for one in found.have}
    except (Gone, Short):
        return
    again = await link.delivery.checked(events, missing)
    if again:
        reason = f"{again} of {len(events)} events that it took, {min(missing)} one of them"
        link.fault(FaultKind.LOSES, reason)
        link.wake.set()


async def read_all(reader: Reader, filters: Iterable[Filter]) -> str:
    """Ask one relay everything, once it is connected; return why its answer may be short, or ""."""
    link = reader.link
    try:
        async with asyncio.timeout(limits.FETCH_SECONDS_MAX), link.wanting():
            if not await _connected(link):
                return link.last_error or f"not connected within {limits.ANSWER_SECONDS_MAX} s"
            faults = [await reader.read(one) for one in filters]
    except TimeoutError:
        return f"not done within {limits.FETCH_SECONDS_MAX} s"
    return next(filter(None, faults), "")


async def _connected(link: Link) -> bool:
    try:
        async with asyncio.timeout(limits.ANSWER_SECONDS_MAX):
            await link.up.wait()
    except TimeoutError:
        return False
    return True


async def _present(link: Link, wanted: Filter, held: list[tuple[int, str]]) -> set[str]:
    found: set[str] = set()

    async def take(event: VerifiedEvent) -> None:
        found.add(event.id)

    reader = Reader(link=link, seen=Seen(), take=take)
    await reader.by_ids(wanted, [event_id for _, event_id in held])
    return found
