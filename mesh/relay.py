"""Our own Nostr relay: NIP-01 over websockets, NIP-11 over HTTP, on one path.

`Relay.handle` is an aiohttp handler; the node decides where it is mounted. Whatever a client sends,
it gets an answer or is closed; what it can make us hold is bounded per connection (mesh/connection)
and by the number of connections. An unmasked frame ends its connection (mesh/tap). An OK is sent
after the commit, live events right behind it.

Anyone may read: what is here is meant for publication. Not covered: authentication (NIP-42), so no
private messages belong here; limits per address, which a reverse proxy does better.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from aiohttp import web

from mesh.committer import Committer, Verdict
from mesh.connection import CLOSE_SECONDS, Connection
from mesh.core import limits, nip11
from mesh.core.filter import Filter
from mesh.core.nip01 import VerifiedEvent
from mesh.core.policy import WritePolicy
from mesh.core.session import Session
from mesh.store import EventStore, Row
from mesh.tap import Tap
from mesh.worker import Worker

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "GET, OPTIONS",
}
"""NIP-11 asks for these three."""

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
        connections_max: int = limits.CONNECTIONS_MAX,
        send_queue_bytes_max: int = limits.SEND_QUEUE_BYTES_MAX,
    ) -> None:
        self._store = store
        self._policy = policy
        self._document = nip11.document(info, policy)
        self._clock = clock
        self._connections_max = connections_max
        self._send_queue_bytes_max = send_queue_bytes_max
        self._connections: set[Connection] = set()
        self._worker = Worker("relay-store")
        self._committer = Committer(store, self._worker, clock=clock, announce=self._announce)
        self._closing = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

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

    def _connect(self, request: web.Request, socket: web.WebSocketResponse, tap: Tap) -> Connection:
        return Connection(
            socket,
            request.transport,
            Session(self._policy),
            unmasked=tap.refused,
            offer=self._committer.offer,
            query=self._query,
            clock=self._clock,
            send_queue_bytes_max=self._send_queue_bytes_max,
        )

    def _plain(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=_CORS)
        if "application/nostr+json" in request.headers.get("Accept", ""):
            kind = "application/nostr+json"
            return web.Response(body=self._document, content_type=kind, headers=_CORS)
        return web.Response(text="a Nostr relay: connect with a Nostr client\n", headers=_CORS)

    def _query(self, filters: Sequence[Filter]) -> "asyncio.Future[list[Row]]":
        return self._worker.submit(partial(self._store.query, filters, now=self._clock()))

    def _announce(self, event: VerifiedEvent) -> None:
        event_json = event.to_json()
        for connection in self._connections:
            connection.deliver(event, event_json)

    async def publish(self, event: VerifiedEvent) -> Verdict:
        """Store an event of our own node and send it to subscribers; the policy is not asked."""
        return await self._committer.offer(event)

    async def purge(self) -> int:
        """Remove expired events from the store and return how many there were."""
        return await self._worker.submit(partial(self._store.purge, now=self._clock()))

    async def close(self) -> None:
        """End all connections, finish what was offered, close the store."""
        self._closing.set()
        await self._empty.wait()
        await self._committer.idle.wait()
        await self._worker.close(self._store.close)
