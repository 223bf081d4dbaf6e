"""Clients of a relay: a bare websocket that speaks JSON, and rust-nostr's."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import nostr_sdk
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.mesh.peers import NOW, as_object, authenticating


@asynccontextmanager
async def client(url, **given):
    async with connect(url, proxy=None, compression=None, max_size=None, **given) as ws:
        yield Wire(ws)


class Wire:
    def __init__(self, ws):
        self.ws = ws

    async def send(self, *message):
        await self.ws.send(json.dumps(message))

    async def receive(self):
        async with asyncio.timeout(120):
            return json.loads(await self.ws.recv())

    async def until(self, verb):
        got = [await self.receive()]
        while got[-1][0] != verb:
            got.append(await self.receive())
        return got

    async def prove(self, signer, url, challenge, at=NOW):
        """Authenticate (NIP-42)."""
        event = authenticating(signer, challenge=challenge, url=url, at=at)
        await self.send("AUTH", as_object(event))
        _, event_id, accepted, message = await self.receive()
        assert (event_id, accepted) == (event.id, True), message

    async def closed(self):
        """Read to the end and return the close code."""
        async with asyncio.timeout(120):
            try:
                while True:
                    await self.ws.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None


def rust_keys(signer):
    return nostr_sdk.Keys.parse(signer.secret.hex())


@asynccontextmanager
async def rust_client(url, signer=None, database=None):
    """A client of rust-nostr; with a signer it authenticates when it is asked to."""
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    builder = nostr_sdk.ClientBuilder()
    if signer is not None:
        builder = builder.authenticator(nostr_sdk.SignerAuthenticator(rust_keys(signer)))
    if database is not None:
        builder = builder.database(database)
    theirs = builder.build()
    await theirs.add_relay(nostr_sdk.RelayUrl.parse(url))
    await theirs.connect(and_wait=timedelta(seconds=5))
    try:
        yield theirs
    finally:
        await theirs.shutdown()
