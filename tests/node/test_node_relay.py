"""The node's relay as its operator configured it, to strangers and to those who prove their key."""

import json

import nostr_sdk
import pytest

from mesh.core.nip01 import NostrSigner, UnsignedEvent
from tests.mesh.wire import client

from .world import SETTINGS

MEMBER, STRANGER = (NostrSigner(bytes([number]) * 32) for number in (11, 12))
RELAY = f"""
[relay]
writers = ["{MEMBER.pubkey}"]
urls = ["wss://relay.example/"]
write = "work"
inbox = "public"
work_bits = 8
"""


@pytest.fixture(scope="module")
def node(lived_seed, tmp_path_factory):
    home = lived_seed.copy(tmp_path_factory.mktemp("relay") / "home").configure(SETTINGS + RELAY)
    with home.running() as node:
        yield node
    home.end()


def now():
    return nostr_sdk.Timestamp.now().as_secs()


def signed(signer, *, kind=1, tags=(), at=None, content=""):
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=at or now(),
            kind=kind,
            tags=tags,
            content=content,
        )
    )


def as_object(event):
    return json.loads(event.to_json())


def worked(signer):
    at = now()
    events = (signed(signer, at=at, tags=(("nonce", str(n), "8"),)) for n in range(100_000))
    return next(event for event in events if event.id.startswith("00"))


async def test_policies_and_proofs_of_the_configuration(node):
    url = f"ws://127.0.0.1:{node.port}/"
    async with client(url) as wire:

        async def sent(event):
            await wire.send("EVENT", as_object(event))
            _, event_id, accepted, message = (await wire.until("OK"))[-1]
            assert event_id == event.id
            return accepted or message.split(":")[0]

        assert await sent(signed(STRANGER)) == "pow"
        assert await sent(worked(STRANGER)) is True
        assert await sent(signed(MEMBER)) is True
        wrap = signed(STRANGER, kind=1059, tags=(("p", MEMBER.pubkey),))
        assert await sent(wrap) is True
        await wire.send("REQ", "s", {"kinds": [1059]})
        (_, challenge), (verb, _, refusal) = await wire.until("CLOSED")
        assert refusal.startswith("auth-required:")
        for name in ("wss://relay.example", url):
            await wire.prove(MEMBER, name, challenge, at=now())
        await wire.send("REQ", "s", {"kinds": [1059]})
        assert await wire.until("EOSE") == [
            ["EVENT", "s", as_object(wrap)],
            ["EOSE", "s", ["finish"]],
        ]
        assert verb == "CLOSED"


def test_what_the_relay_says_of_itself(node):
    answer = node.request("GET", "/", headers={"Accept": "application/nostr+json"})
    document = answer.json
    assert {1, 9, 11, 13, 40, 42, 45, 62, 65, 67, 70, 77} <= set(document["supported_nips"])
    limitation = document["limitation"]
    assert (limitation["min_pow_difficulty"], limitation["restricted_writes"]) == (8, False)
