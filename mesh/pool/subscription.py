"""A question that stays asked: everything that matches, from every relay, over lost connections.

At each relay a live REQ runs for what comes, and beside it a *sweep* looks through what the relay
has: after each connection, when the reader was too slow for the live part, and now and then. There
is no watermark, so nothing depends on the dates of events (mesh/pool/port.py says why); what was
given is skipped by its id, before its signature is looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, NoReturn

import structlog

from mesh.core import limits
from mesh.core.nip01 import VerifiedEvent
from mesh.core.pool import client as core
from mesh.core.pool.backoff import Backoff
from mesh.core.pool.paging import Walk
from mesh.core.relay.filter import Filter
from mesh.pool.inbox import Inbox
from mesh.pool.link import Gone, Link
from mesh.pool.reading import Reader
from mesh.pool.seen import Seen
from mesh.tasks import first_error

_log = structlog.get_logger(__name__)

_LIVE_LIMIT: Final = 1
"""Stored events of the live REQ: `limit` 0 makes some relays send everything, others nothing."""


class Subscription:
    """Filters, who has what already, and a bounded queue to the one reader."""

    def __init__(
        self,
        filters: Sequence[Filter],
        known: Iterable[tuple[int, str]],
        *,
        jitter: Callable[[], float],
        backoff: Backoff,
    ) -> None:
        self._filters = tuple(replace(one, limit=None) for one in filters)
        self._seen = Seen(known)
        self._jitter = jitter
        self._backoff = backoff
        self._events: asyncio.Queue[VerifiedEvent] = asyncio.Queue(limits.READER_EVENTS_MAX)

    async def events(self) -> AsyncIterator[VerifiedEvent]:
        """Give events as they come, without end."""
        while True:
            yield await self._events.get()

    async def follow(self, link: Link) -> NoReturn:
        """Ask one relay, and again after each lost connection or refusal, until cancelled."""
        refused = 0
        unfinished: dict[Filter, Walk] = {}
        async with link.wanting():
            while True:
                await link.up.wait()
                try:
                    await self._converse(link, unfinished)
                except Gone as error:
                    refused = refused + 1 if link.connected else 0
                    _log.debug("subscription interrupted", relay=link.url, error=str(error))
                pause = self._backoff.delay_seconds(refused, self._jitter()) if refused else 0
                await asyncio.sleep(pause)

    async def _converse(self, link: Link, unfinished: dict[Filter, Walk]) -> None:
        live = [replace(one, limit=_LIVE_LIMIT) for one in self._filters]
        behind = asyncio.Event()
        async with link.asking(live, skip=self._seen.__contains__) as inbox:
            error = await first_error(
                (Gone,),
                partial(self._pump, inbox, behind),
                partial(self._sweep, link, behind, unfinished),
            )
        raise error

    async def _pump(self, inbox: Inbox, behind: asyncio.Event) -> NoReturn:
        """Hand on what comes; what the reader has no room for is asked for again by the sweep."""
        while True:
            match await inbox.next():
                case core.Got(event=event) if event.id not in self._seen:
                    if self._events.full():
                        behind.set()
                    else:
                        self._seen.add(event.created_at, event.id)
                        self._events.put_nowait(event)
                case core.Ended(message=message):
                    raise Gone(message or "closed without a reason")
                case _:
                    pass
            if inbox.overrun:
                inbox.overrun = False
                behind.set()

    async def _sweep(
        self, link: Link, behind: asyncio.Event, unfinished: dict[Filter, Walk]
    ) -> NoReturn:
        failures = 0
        while True:
            behind.clear()
            faults = [await self._look_through(link, one, unfinished) for one in self._filters]
            failures = failures + 1 if any(faults) else 0
            again: float = limits.SWEEP_SECONDS
            if failures:
                again = self._backoff.delay_seconds(failures, self._jitter())
            elif not link.limits.reconciles:
                again = limits.SWEEP_WALK_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await behind.wait()

    async def _look_through(
        self, link: Link, wanted: Filter, unfinished: dict[Filter, Walk]
    ) -> str:
        """Bring what a relay has and was not given yet; return why that may be short, or ""."""
        reader = Reader(
            link=link,
            seen=self._seen,
            take=self._events.put,
            events_left=limits.SEEN_EVENTS_MAX,
            bytes_left=limits.SEEN_EVENTS_MAX * limits.EVENT_BYTES_MAX,  # the reader's pace bounds
            unfinished=unfinished,
        )
        try:
            async with asyncio.timeout(limits.CATCH_UP_SECONDS_MAX):
                fault = await reader.read(wanted)
        except TimeoutError:
            fault = f"not done within {limits.CATCH_UP_SECONDS_MAX} s"
        if fault:
            _log.info("relay looked through in part", relay=link.url, because=fault)
        return fault
