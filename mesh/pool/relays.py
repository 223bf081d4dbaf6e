"""Any number of relays as one (mesh/pool/port.py): one connection each, one queue each, one disk.

Who is written to: the relays that are named, or our own and, if others' relay lists are followed,
those at which tagged people read (NIP-65). Who is asked: the relays that are named, or our own and
those to which the authors asked for write. A relay that is dead, slow or hostile holds up no other.

What was queued for a relay outlives a restart, also if nobody names that relay any more; only what
can be made again (`droppable`) goes with its relay. With no relay configured nothing is dialled.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import structlog

from mesh.core import limits
from mesh.core.errors import StoreError
from mesh.core.nip01 import NostrSigner, VerifiedEvent
from mesh.core.pool.backoff import Backoff
from mesh.core.pool.minting import Reminter
from mesh.core.pool.refusals import Refusal
from mesh.core.pool.relay_limits import RelayLimits
from mesh.core.pool.routes import RELAY_LIST_KIND, Route, relay_url
from mesh.core.relay.filter import Filter
from mesh.core.relay.privacy import GIFT_WRAPS
from mesh.pool.book import RelayBook
from mesh.pool.delivery import Delivery, Remint
from mesh.pool.link import Link, Shared
from mesh.pool.outbox import Outbox
from mesh.pool.port import Fetched, Queued, QueueFull
from mesh.pool.reading import Reader, check, read_all
from mesh.pool.relay_document import read_document
from mesh.pool.seen import Seen
from mesh.pool.subscription import Subscription
from mesh.worker import Worker

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """How a relay is doing, since the start of this process (`queued`, `connected`: now).

    `refused`: events it will not have, and why: `refusals`; `undelivered`: whose sealed messages
    were among them in the last month, by public key, and its words. `lost`: events it took and did
    not have when it was asked. `faults`: what it did wrong, and how often. `latency_ms` is of its
    last OK, None if there was none. `limits`: what is known of them.
    """

    url: str
    own: bool
    connected: bool = False
    authenticated: bool = False
    queued: int = 0
    accepted: int = 0
    refused: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    undelivered: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    latency_ms: int | None = None
    limits: dict[str, int | bool] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What an operator decides. URLs are ws:// or wss://.

    `write`: relays of ours that are written to, and read from; `read`: only read from. `follow`:
    whether relay lists of others (NIP-65) make us dial; `hosts`: where they may lead beside public
    addresses. `authenticate`: whether a relay that asks is told who we are (NIP-42).
    """

    write: Sequence[str] = ()
    read: Sequence[str] = ()
    follow: bool = False
    hosts: Sequence[str] = ()
    authenticate: bool = True
    ack_seconds: float = limits.PUBLISH_ACK_SECONDS_MAX
    check_seconds: float = limits.CHECK_SECONDS
    backoff: Backoff = field(default_factory=Backoff)


class RelayPool:
    """The pool on real relays. Raises Refused for a URL that is none.

    `jitter` gives numbers in [0, 1), `clock` Unix seconds. Await `run` in a task of your own and
    cancel it to stop; then await `close`. Without `run` events are queued, and nothing is answered.
    """

    def __init__(
        self,
        settings: PoolSettings,
        outbox: Outbox,
        book: RelayBook,
        *,
        jitter: Callable[[], float],
        clock: Callable[[], int],
        signer: NostrSigner | None = None,
        remint: Remint | None = None,
        document: Callable[[str], Awaitable[bytes]] = read_document,
    ) -> None:
        self._write = _urls(settings.write)
        self._read = tuple(dict.fromkeys((*self._write, *_urls(settings.read))))
        self._settings = settings
        self._outbox = outbox
        self._book = book
        self._clock = clock
        self._jitter = jitter
        self._author = signer.pubkey if signer else ""
        self._remint = remint or (Reminter(signer=signer) if signer else _never)
        self._worker = Worker("outbox")
        self._links: dict[str, Link] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, RelayLimits] = {}
        self._routes: dict[str, Route] = {}
        self._learnt = asyncio.Event()
        self._others: set[str] = set()
        self._news: asyncio.Queue[Callable[[], None]] = asyncio.Queue(limits.BOOK_RELAYS_MAX)
        self._shared = Shared(
            jitter=jitter,
            clock=clock,
            backoff=settings.backoff,
            signer=signer if settings.authenticate else None,
            ack_seconds=settings.ack_seconds,
            check_seconds=settings.check_seconds,
            changed=self._note,
            document=document,
            check=check,
        )
        for url in self._read:
            self._add(url)

    # ---- writing ------------------------------------------------------------------------------

    async def publish(
        self,
        event: VerifiedEvent,
        *,
        to: Collection[str] | None = None,
        item: str = "",
        droppable: bool = False,
    ) -> Queued:
        """Queue an event for relays; durable when this returns (mesh/pool/port.py)."""
        relays = self._targets(event) if to is None else _urls(to)
        if not relays:
            return Queued(relays=())
        put = partial(
            self._outbox.put, relays, event, now=self._clock(), item=item, droppable=droppable
        )
        done = await self._worker.submit(put)
        if done.dropped:
            _log.warning("outbox full, oldest events dropped", events=done.dropped)
        if done.full:
            _log.warning("outbox full, event not queued", event_id=event.id, relays=done.full)
        taken = tuple(url for url in relays if url not in done.full)
        if not taken:
            most = limits.OUTBOX_EVENTS_MAX
            raise QueueFull(
                f"the queues of {len(relays)} relays hold {most} events each",
                hint="timmy mesh relays says why they take none",
            )
        for url in taken:
            if link := self._link(url):
                link.wake.set()
        return Queued(relays=taken, full=done.full)

    async def say(self, event: VerifiedEvent, *, to: Collection[str]) -> None:
        """Give an ephemeral event to relays that are there (mesh/pool/port.py)."""
        for url in _urls(to):
            if link := self._link(url):
                link.delivery.say(event)
                link.wake.set()

    def _targets(self, event: VerifiedEvent) -> tuple[str, ...]:
        """Our own and, but for sealed messages, those at which tagged people read.

        A sealed message goes where its receiver takes them (kind 10050), which is for who sends it
        to say: elsewhere it would show that he is written to.
        """
        tags = () if event.kind in GIFT_WRAPS else event.tags
        tagged = dict.fromkeys(tag[1] for tag in tags if tag[0] == "p" and len(tag) > 1)
        routes = [self._routes[one] for one in tagged if one in self._routes]
        learnt = self._followed(url for route in routes for url in route.read)
        return tuple(dict.fromkeys((*self._write, *learnt)))

    def _followed(self, urls: Iterable[str]) -> tuple[str, ...]:
        """Of relays that others named, those that we go to: as many as there is room for."""
        found = dict.fromkeys(urls) if self._settings.follow else {}
        return tuple(url for url in found if self._link(url, learnt=True))

    # ---- reading ------------------------------------------------------------------------------

    @asynccontextmanager
    async def subscribe(
        self,
        filters: Sequence[Filter],
        *,
        at: Collection[str] | None = None,
        known: Iterable[tuple[int, str]] = (),
    ) -> AsyncIterator[AsyncIterator[VerifiedEvent]]:
        """Give every event that matches, stored and new, in the block (mesh/pool/port.py)."""
        backoff = self._settings.backoff
        asked = Subscription(filters, known, jitter=self._jitter, backoff=backoff)
        at = None if at is None else _urls(at)
        failed: Exception | None = None
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow(asked, filters, at))
            try:
                yield asked.events()
            except Exception as error:  # noqa: BLE001 - the block's own, raised below as it is
                failed = error
            finally:
                following.cancel()
        if failed is not None:
            raise failed

    async def _follow(
        self, asked: Subscription, filters: Sequence[Filter], at: Collection[str] | None
    ) -> None:
        """Ask all relays that there are to ask, also as other lists are learnt, until cancelled."""
        tasks: dict[str, asyncio.Task[NoReturn]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                learnt = self._learnt
                links = {link.url: link for link in self._asked(filters, at)}
                for url in tasks.keys() - links.keys():
                    tasks.pop(url).cancel()
                for url in links.keys() - tasks.keys():
                    tasks[url] = group.create_task(asked.follow(links[url]))
                await learnt.wait()

    async def fetch(
        self, filters: Sequence[Filter], *, at: Collection[str] | None = None
    ) -> Fetched:
        """Return what relays have stored (mesh/pool/port.py)."""
        found: dict[str, VerifiedEvent] = {}
        seen = Seen(events_max=limits.FETCH_EVENTS_MAX * limits.LINKS_MAX)

        async def take(event: VerifiedEvent) -> None:
            found[event.id] = event

        faults: dict[str, str] = {}

        async def ask(link: Link) -> None:
            most = limits.FETCH_EVENTS_MAX
            reader = Reader(link=link, seen=seen, take=take, events_left=most)
            if fault := await read_all(reader, filters):
                faults[link.url] = fault

        async with asyncio.TaskGroup() as group:
            for link in self._asked(filters, at):
                group.create_task(ask(link))
        return Fetched(events=_newest(filters, found.values()), faults=tuple(faults.items()))

    def _asked(self, filters: Sequence[Filter], at: Collection[str] | None) -> list[Link]:
        if at is not None:
            urls = _urls(at)
        else:
            authors = [author for one in filters for author in sorted(one.authors or ())]
            routes = [self._routes[one] for one in authors if one in self._routes]
            learnt = self._followed(url for route in routes for url in route.write)
            urls = tuple(dict.fromkeys((*self._read, *learnt)))
        return [link for url in urls if (link := self._link(url))]

    # ---- what is learnt -----------------------------------------------------------------------

    def learn(self, event: VerifiedEvent) -> bool:
        """Take a relay list (NIP-65) into account; tell whether it was one, and news."""
        if event.kind != RELAY_LIST_KIND:
            return False
        known = self._routes.get(event.pubkey)
        if known is not None and known.at >= event.created_at:
            return False
        if event.created_at > self._clock() + limits.FUTURE_SECONDS_MAX:
            return False  # it would keep out every later one
        self._routes.pop(event.pubkey, None)
        self._routes[event.pubkey] = self._route(event)
        while len(self._routes) > limits.ROUTE_AUTHORS_MAX:
            del self._routes[next(iter(self._routes))]
        self._remember(partial(self._book.learn, event, now=self._clock()))
        self._look_again()
        return True

    def _look_again(self) -> None:
        """Have all who follow authors look where they write by now."""
        self._learnt.set()
        self._learnt = asyncio.Event()

    def _route(self, event: VerifiedEvent) -> Route:
        own = event.pubkey == self._author
        return Route.parse(event, anywhere=own, hosts=self._settings.hosts)

    async def find_routes(self, authors: Collection[str], *, at: Collection[str] = ()) -> bool:
        """Ask our relays, and those of `at`, for the relay lists of people: to reach them.

        Tells whether each relay answered all that was asked, as far as anybody can tell.
        """
        wanted = Filter(authors=frozenset(authors), kinds=frozenset({RELAY_LIST_KIND}))
        found = await self.fetch([wanted], at=(*self._read, *at))
        for event in found.events:
            self.learn(event)
        return not found.faults

    def _note(self, url: str, known: RelayLimits) -> None:
        self._limits[url] = known
        self._remember(partial(self._book.note, url, known, now=self._clock()))

    def _remember(self, write: Callable[[], None]) -> None:
        if not self._news.full():  # else it is learnt again
            self._news.put_nowait(write)

    # ---- links --------------------------------------------------------------------------------

    def _link(self, url: str, *, learnt: bool = False) -> Link | None:
        """Return the link to a relay, made if there is room for one more; `learnt`: of a list."""
        found = self._links.get(url)
        if found is not None:
            return found
        most = limits.LEARNT_RELAYS_MAX
        if learnt and len(self._others) >= most and not self._evict(self._others):
            _log.info("too many relays that others name", relay=url, most=most)
            return None
        if len(self._links) >= limits.LINKS_MAX and not self._evict(self._links):
            _log.warning("too many relays at once", relay=url, most=limits.LINKS_MAX)
            return None
        if learnt:
            self._others.add(url)
        link = self._add(url)
        self._start(link)
        return link

    def _add(self, url: str) -> Link:
        delivery = Delivery(
            url=url,
            outbox=self._outbox,
            worker=self._worker,
            remint=self._remint,
            clock=self._clock,
            author=self._author,
            limits=self._limits.get(url, RelayLimits()),
        )
        link = Link(self._shared, delivery, own=url in self._read)
        self._links[url] = link
        return link

    def _evict(self, among: Collection[str]) -> bool:
        """Let go of a relay that is not ours and that nobody wants; its queue stays on disk."""
        for url in among:
            link = self._links[url]
            if not (link.own or link.wanted or link.connected):
                del self._links[url]
                self._others.discard(url)
                if task := self._tasks.pop(url, None):
                    task.cancel()
                return True
        return False

    def _start(self, link: Link) -> None:
        if self._group is not None:
            self._tasks[link.url] = self._group.create_task(link.run())

    # ---- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the relays supplied and answering until cancelled. Raises StoreError."""
        await self._take_up()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for link in self._links.values():
                    self._start(link)
                group.create_task(self._write_book())
                group.create_task(self._expire())
        finally:
            self._group = None
            self._tasks.clear()

    async def _take_up(self) -> None:
        """Read what is known, and what still waits for relays that nobody names any more."""
        dropped = await self._worker.submit(partial(self._outbox.retain, self._write))
        if dropped:
            _log.info("events for relays no longer configured dropped", events=dropped)
        known = await self._worker.submit(partial(self._book.read, now=self._clock()))
        self._limits = dict(known.limits)
        for url, link in self._links.items():
            link.delivery.limits = self._limits.get(url, link.delivery.limits)
        for event in known.lists:
            if event.kind == RELAY_LIST_KIND:
                self._routes[event.pubkey] = self._route(event)
        self._look_again()
        await self._revive()

    async def _write_book(self) -> None:
        while True:
            await self._write_one(await self._news.get())

    async def _write_one(self, write: Callable[[], None]) -> None:
        try:
            await asyncio.shield(self._worker.submit(write))  # it is in no queue any more
        except StoreError as error:
            _log.warning("what was learnt of relays is not kept", error=str(error))

    async def _expire(self) -> None:
        while True:
            before = self._clock() - limits.OUTBOX_SECONDS_MAX
            gone = await self._worker.submit(partial(self._outbox.expire, before=before))
            if gone:
                days = limits.OUTBOX_SECONDS_MAX // 86_400
                _log.warning("events given up that no relay took", events=gone, days=days)
            await asyncio.sleep(limits.CHECK_SECONDS)
            await self._revive()

    async def _revive(self) -> None:
        """Dial relays again that something waits for, and that were let go of for others."""
        for url in await self._worker.submit(self._outbox.relays):
            if url not in self._links and len(self._links) < limits.LINKS_MAX:
                self._start(self._add(url))

    async def status(self) -> list[RelayStatus]:
        """Return how each relay is doing, our own first, in the order of the configuration.

        Those come last that are not dialled, and did not take what somebody waits for.
        """
        undelivered = await self._worker.submit(self._outbox.undelivered)
        found = [
            RelayStatus(
                url=link.url,
                own=link.own,
                connected=link.connected,
                authenticated=link.authenticated,
                queued=await link.delivery.count(),
                accepted=link.delivery.accepted,
                refused=link.delivery.refused,
                refusals=dict(link.delivery.refusals),
                undelivered=undelivered.pop(link.url, {}),
                lost=link.delivery.lost,
                latency_ms=link.latency_ms,
                limits=link.limits.known(),
                faults={kind.value: count for kind, count in link.faults.items()},
                last_error=link.last_error,
            )
            for link in list(self._links.values())
        ]
        found += [
            RelayStatus(url=url, own=False, undelivered=undelivered[url]) for url in undelivered
        ]
        return found

    async def withdraw(self, event_ids: Collection[str]) -> bool:
        """Send these events to nobody any more, and erase them (mesh/pool/outbox.py)."""
        return await self._worker.submit(partial(self._outbox.withdraw, event_ids))

    async def close(self) -> None:
        """Write down what was learnt, then close the files."""
        while not self._news.empty():
            await self._write_one(self._news.get_nowait())
        await self._worker.close(self._close)

    def _close(self) -> None:
        self._outbox.close()
        self._book.close()


def _urls(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(relay_url, texts)))


def _never(
    event: object, why: Refusal, *, now: int, known: RelayLimits | None = None
) -> VerifiedEvent | None:
    """Mint nothing: we have no key."""
    del event, why, now, known
    return None


def _newest(
    filters: Sequence[Filter], events: Iterable[VerifiedEvent]
) -> tuple[VerifiedEvent, ...]:
    """Return the union of what each filter asks for, newest first, ties by id (NIP-01)."""
    ordered = sorted(events, key=lambda event: (-event.created_at, event.id))
    wanted: set[str] = set()
    for one in filters:
        wanted.update([event.id for event in ordered if one.matches(event)][: one.limit])
    return tuple(event for event in ordered if event.id in wanted)
