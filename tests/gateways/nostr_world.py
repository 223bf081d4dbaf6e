"""A relay on loopback in a thread of its own, and people with rust-nostr's client."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import nostr_sdk

from mesh.core.relay.policy import WritePolicy
from mesh.relay.store import MemoryEventStore
from tests.mesh.peers import serving

SECONDS = 120.0
"""Guards against a hang; no measure of anything."""
TIMEOUT = timedelta(seconds=20)
PUBLIC = WritePolicy(authors=None)


@contextmanager
def relay(policy=PUBLIC):
    """A relay of our own kind, public by default, for the time of a block; yields its URL."""
    ready, stopping, found = threading.Event(), asyncio.Event(), {}
    store = MemoryEventStore()

    async def serve():
        found["loop"] = asyncio.get_running_loop()
        async with serving(store, policy=policy, clock=lambda: int(time.time())) as (_, url):
            found["url"] = url
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(SECONDS)
        yield found["url"]
    finally:
        found["loop"].call_soon_threadsafe(stopping.set)
        thread.join()


class Person:
    """Somebody with a Nostr client that is not ours."""

    def __init__(self, secret: bytes, url: str) -> None:
        self.keys = nostr_sdk.Keys.parse(secret.hex())
        self.url = url
        builder = nostr_sdk.ClientBuilder().authenticator(nostr_sdk.SignerAuthenticator(self.keys))
        self.client = builder.build()

    @property
    def key(self):
        return self.keys.public_key()

    @property
    def npub(self) -> str:
        return self.key.to_bech32()

    async def __aenter__(self):
        nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
        await self.client.add_relay(nostr_sdk.RelayUrl.parse(self.url))
        await self.client.connect(and_wait=TIMEOUT)
        return self

    async def __aexit__(self, *_):
        await self.client.shutdown()

    async def publish(self, kind: int, content: str, *tags: list[str]):
        made = nostr_sdk.EventBuilder(nostr_sdk.Kind(kind), content)
        event = made.tags([nostr_sdk.Tag.parse(tag) for tag in tags]).finalize(self.keys)
        await self.client.send_event(event)
        return event

    async def announce(self) -> None:
        """Say where she reads sealed messages."""
        await self.publish(10050, "", ["relay", self.url])

    async def write(self, npub: str, text: str) -> None:
        """Write a sealed message, as NIP-17 has it."""
        to = nostr_sdk.PublicKey.parse(npub)
        rumor = nostr_sdk.EventBuilder(nostr_sdk.Kind(14), text).tags(
            [nostr_sdk.Tag.public_key(to)]
        )
        gift = nostr_sdk.nip59_make_gift_wrap(self.keys, to, rumor.finalize_unsigned(self.key))
        await self.client.send_event(gift)

    async def find(self, **wanted):
        """Events on the relay."""
        named = {name.replace("tag_", "#"): value for name, value in wanted.items()}
        target = nostr_sdk.ReqTarget.auto([nostr_sdk.Filter.from_json(json.dumps(named))])
        return list(await self.client.fetch_events(target, timeout=TIMEOUT))

    async def read(self, npub: str) -> list[str]:
        """What she was written by one agent, oldest first; a wrap that is doubled counts twice."""
        found = []
        for event in await self.find(kinds=[1059], tag_p=[self.key.to_hex()]):
            gift = nostr_sdk.UnwrappedGift.from_gift_wrap(self.keys, event)
            assert gift.sender().to_bech32() == npub
            rumor = json.loads(gift.rumor().as_json())
            found.append((rumor["created_at"], rumor["content"]))
        return [content for _, content in sorted(found)]

    async def until_read(self, npub: str, count: int) -> list[str]:
        """What she was written, once there are so many."""
        async with asyncio.timeout(SECONDS):
            while len(found := await self.read(npub)) < count:
                await asyncio.sleep(0.1)
        return found
