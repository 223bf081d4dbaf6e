"""Our own Nostr relay: NIP-01 over websockets, NIP-11 over HTTP, on one path.

`Relay.handle` is an aiohttp handler; the node decides where it is mounted. Whatever a client sends,
it gets an answer or is closed, and what no honest client does is logged once a day for its address.
What it can make us hold is bounded per connection (mesh/connection) and over all of them
(SEND_QUEUES_BYTES_MAX and its neighbours in mesh/core/limits). An unmasked frame ends its
connection (mesh/tap). An OK is sent after the commit, live events right behind it.

Anyone may read, but for direct messages (mesh/core/privacy). Who is connected is known once a
connection has answered our challenge (NIP-42) for one of our addresses: `urls`, and the one at
which it arrived. Not covered: limits per address, which are the port's (`node.api.door`).
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, TypeVar

import structlog
from aiohttp import web

from mesh.complaints import Complaints
from mesh.core import limits, nip05, nip11
from mesh.core.negentropy import Item
from mesh.core.nip01 import Event, VerifiedEvent
from mesh.core.relay.auth import names_at, relay_name
from mesh.core.relay.filter import Filter, tag_values
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import Count, Fault, Offer, Query, Reconcile, Session
from mesh.places import place_at
from mesh.relay.committer import Committer, Verdict
from mesh.relay.connection import CLOSE_SECONDS, Connection, Ports
from mesh.relay.reconciler import Reconciler
from mesh.relay.sendqueue import SendBudget
from mesh.relay.store import NOBODY, EventStore, Found
from mesh.relay.tap import Tap
from mesh.worker import Worker

T = TypeVar("T")

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "GET, OPTIONS",
}
"""NIP-11 asks for these three."""

_log = structlog.get_logger(__name__)

_READERS_MAX: Final = 4
"""Questions in the store's queue at once: a commit waits for two seconds of the widest, at most."""

_PING_SECONDS = 30.0
"""A client that is gone without a word is noticed within one and a half of these."""


class Relay:
    """A relay over `store`. `clock` gives Unix seconds; `close` must be awaited at the end."""

    def __init__(
        self,
        store: EventStore,
        policy: WritePolicy,
        info: nip11.RelayInfo,
        clock: Callable[[], int],
        *,
        urls: Iterable[str] = (),
        connections_max: int = limits.CONNECTIONS_MAX,
        send_queue_bytes_max: int = limits.SEND_QUEUE_BYTES_MAX,
        send_queues_bytes_max: int = limits.SEND_QUEUES_BYTES_MAX,
    ) -> None:
        self._store = store
        self._policy = policy
        self._info = info
        self._urls = tuple(urls)
        self._names = frozenset(name for url in self._urls if (name := relay_name(url)))
        self._clock = clock
        self._connections_max = connections_max
        self._send_queue_bytes_max = send_queue_bytes_max
        self._connections: set[Connection] = set()
        self._worker = Worker("relay-store")
        self._committer = Committer(store, self._worker, clock=clock, announce=self._announce)
        self._reconciler = Reconciler(self._gather, clock=clock)
        self._ports = Ports(
            offer=self._offer,
            query=self._query,
            count=self._count,
            room=self._committer.room,
            reconciler=self._reconciler,
            budget=SendBudget(bytes_max=send_queues_bytes_max),
            clock=clock,
        )
        self.on_event: Callable[[VerifiedEvent], None] = lambda _event: None
        """Told of each event that was stored, or would be sent on; must not wait."""
        self._complaints = Complaints(log=_log, what="a client of the relay is refused")
        self._reading = asyncio.Semaphore(_READERS_MAX)
        self._closing = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def policy(self) -> WritePolicy:
        """By what it judges events now; `adopt` changes it."""
        return self._policy

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request: a websocket, the NIP-11 document, or a line of text."""
        socket = web.WebSocketResponse(
            heartbeat=_PING_SECONDS,
            max_msg_size=limits.FRAME_BYTES_MAX,
            compress=False,  # nothing to inflate: a frame is as large as what was sent
            timeout=CLOSE_SECONDS,
        )
        if not socket.can_prepare(request):
            return self._plain(request)
        if self._closing.is_set() or len(self._connections) >= self._connections_max:
            if not self._closing.is_set():
                full = f"{len(self._connections)} connections are open, as many as may be"
                self._complain(place_at(request.transport), Fault(full, full))
            return web.Response(status=503, text="this relay has no free connection\n")
        connection = self._connect(request, socket, Tap.of(request))
        self._connections.add(connection)
        self._empty.clear()
        try:
            await socket.prepare(request)
            await connection.run(self._closing)
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._empty.set()
        return socket

    async def handle_name(self, request: web.Request) -> web.Response:
        """Answer `GET /.well-known/nostr.json?name=` (NIP-05): whose key the node's name is."""
        asked = request.query.get("name")
        body = nip05.document(self._info.name, self._info.pubkey, self._urls, asked=asked)
        return web.Response(body=body, content_type="application/json", headers=_CORS)

    def _connect(self, request: web.Request, socket: web.WebSocketResponse, tap: Tap) -> Connection:
        return Connection(
            socket,
            request.transport,
            self._session(request),
            unmasked=tap.refused,
            complain=partial(self._complain, place_at(request.transport)),
            ports=self._ports,
            send_queue_bytes_max=self._send_queue_bytes_max,
        )

    def _complain(self, peer: str, fault: Fault) -> None:
        """Log what a client did, once a day of each address and kind."""
        self._complaints.of(peer, fault.reason, kind=fault.kind)

    def _session(self, request: web.Request) -> Session:
        names = self._names
        if request.transport is not None:
            address = request.transport.get_extra_info("sockname")
            if isinstance(address, tuple):  # a Unix socket has no address to be dialled
                names |= names_at(address[0], address[1], request.path)
        return Session(self._policy, challenge=secrets.token_hex(16), names=names)

    def adopt(self, policy: WritePolicy) -> None:
        """Judge what comes from now on by another policy, on open connections too."""
        self._policy = policy
        for connection in self._connections:
            connection.adopt(policy)

    def _plain(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=_CORS)
        if "application/nostr+json" in request.headers.get("Accept", ""):
            kind = "application/nostr+json"
            return web.Response(
                body=nip11.document(self._info, self._policy), content_type=kind, headers=_CORS
            )
        return web.Response(text="a Nostr relay: connect with a Nostr client\n", headers=_CORS)

    def _offer(self, offer: Offer) -> "asyncio.Future[Verdict]":
        return self._committer.offer(offer.event, uninvited=offer.uninvited, guest=offer.guest)

    async def _query(self, query: Query) -> Found:
        read = partial(self._store.query, query.filters, now=self._clock(), keys=query.keys)
        return await self._read(read)

    async def _count(self, asked: Count) -> int:
        read = partial(
            self._store.count_matching, asked.filters, now=self._clock(), keys=asked.keys
        )
        return await self._read(read)

    async def _gather(self, asked: Reconcile, items_max: int) -> list[Item]:
        now, keys = self._clock(), asked.keys
        read = partial(self._store.items, asked.filter, now=now, keys=keys, items_max=items_max)
        return await self._read(read)

    async def _read(self, read: Callable[[], T]) -> T:
        """Read in the store's thread, where a commit waits behind a few readers and not all."""
        async with self._reading:
            return await self._worker.submit(read)

    def _announce(self, event: VerifiedEvent) -> None:
        self.on_event(event)
        event_json, tags = event.to_json(), tag_values(event)
        for connection in self._connections:
            connection.deliver(event, event_json, tags)

    async def publish(self, event: VerifiedEvent) -> Verdict:
        """Store an event of our own node and send it to subscribers; the policy is not asked.

        Refused once the relay closes: its store's thread is gone then, and nobody would answer.
        """
        if self._closing.is_set():
            return Verdict(accepted=False, message="error: this relay is closing")
        return await self._committer.offer(event)

    async def find(self, wanted: Filter) -> list[Event]:
        """Return what is stored here and matches, for our own node; its ids were checked."""
        read = partial(self._store.query, (wanted,), now=self._clock(), keys=NOBODY)
        found = await self._read(read)
        return [Event.from_json(event_json) for _, event_json in found.rows]

    async def purge(self) -> int:
        """Remove expired events from the store and return how many there were."""
        return await self._worker.submit(partial(self._store.purge, now=self._clock()))

    async def withdraw(self, event_ids: Collection[str]) -> bool:
        """Erase events for good (mesh/relay/store.py); nobody is answered meanwhile."""
        return await self._worker.submit(partial(self._store.withdraw, event_ids))

    async def hang_up(self) -> None:
        """End all connections, take no more, finish what was offered; our own node still reads."""
        self._closing.set()
        await self._empty.wait()
        await self._committer.idle.wait()

    async def close(self) -> None:
        """Hang up and close the store: nothing may be asked of it any more."""
        await self.hang_up()
        await self._reconciler.close()
        await self._worker.close(self._store.close)
