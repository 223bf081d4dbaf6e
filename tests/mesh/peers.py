"""Keys, events and running relays that the tests of this folder share."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from mesh.core import nip05
from mesh.core.nip01 import NostrSigner, UnsignedEvent, VerifiedEvent
from mesh.core.nip11 import RelayInfo
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import Session
from mesh.relay.server import Relay
from mesh.relay.store import EventStore, MemoryEventStore

ALICE = NostrSigner(bytes([1]) * 32)
BOB = NostrSigner(bytes([2]) * 32)
CAROL = NostrSigner(bytes([3]) * 32)
NOW = 1_790_000_000


def make(signer=ALICE, *, kind=1, at=NOW, tags=(), content="") -> VerifiedEvent:
    return signer.sign(
        UnsignedEvent(pubkey=signer.pubkey, created_at=at, kind=kind, tags=tags, content=content)
    )


def as_object(event) -> dict:
    return json.loads(event.to_json())


FLEET = WritePolicy(authors=frozenset({ALICE.pubkey}))


CHALLENGE, URL = "c" * 32, "ws://127.0.0.1:8787"


def new_session(policy=FLEET) -> Session:
    return Session(policy, challenge=CHALLENGE, names=frozenset({URL}))


def authenticating(signer, *, challenge=CHALLENGE, url=URL, at=NOW, kind=22242) -> VerifiedEvent:
    """What a client signs to prove its key (NIP-42)."""
    return make(signer, kind=kind, at=at, tags=(("relay", url), ("challenge", challenge)))


@asynccontextmanager
async def serving(
    store: EventStore | None = None, *, policy=FLEET, port=0, clock=lambda: NOW, **bounds
) -> AsyncIterator[tuple[Relay, str]]:
    """Run a real relay on loopback; yields it and its ws:// URL."""
    info = RelayInfo(name="test", pubkey=ALICE.pubkey, version="0")
    relay = Relay(store or MemoryEventStore(), policy, info, clock, **bounds)
    app = web.Application()
    app.router.add_route("*", "/", relay.handle)
    app.router.add_get(nip05.PATH, relay.handle_name)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    bound = site._server.sockets[0].getsockname()[1]
    try:
        yield relay, f"ws://127.0.0.1:{bound}/"
    finally:
        await relay.close()
        await runner.cleanup()
