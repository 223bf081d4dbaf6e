"""A third-party Nostr client follows a node: nostr-sdk on the embedded relay of a real process."""

import asyncio
import base64
import hashlib
import json
from datetime import timedelta

import nostr_sdk
import pytest
from websockets.sync.client import connect

from ledger.core.checkpoint import open_checkpoint
from tests.node.world import SETTINGS, Home, until


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("relay") / "user").configure(
        "[node]\ncheckpoint_interval_ms = 200\n[api]\nport = 0\n[publish]\ninterval_s = 1\n"
    )
    yield home
    home.end()


async def fetched(url, author, kind):
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    client = nostr_sdk.ClientBuilder().build()
    await client.add_relay(nostr_sdk.RelayUrl.parse(url))
    await client.connect()
    found = nostr_sdk.Filter().author(author).kind(nostr_sdk.Kind(kind))
    target = nostr_sdk.ReqTarget.auto([found])
    events = await client.fetch_events(target, timeout=timedelta(seconds=10))
    await client.shutdown()
    return events


async def test_a_published_checkpoint_verifies_for_a_stranger(home):
    with home.running() as node:
        node.say("publish this")
        status = node.status()
        author = nostr_sdk.PublicKey.parse(status["npub"])
        url = f"ws://127.0.0.1:{node.port}"
        await asyncio.sleep(2.5)
        checkpoints = await fetched(url, author, 78)
        heads = await fetched(url, author, 30078)
    assert checkpoints
    assert all(event.verify() for event in [*checkpoints, *heads])
    assert len(heads) == 1
    log_key = bytes.fromhex(home.run("--json", "show", "0").good().json["payload"]["keys"]["log"])
    sizes = set()
    for event in checkpoints:
        opened = open_checkpoint(event.content().encode(), log_key)
        assert opened.checkpoint.ledger_id.hex() == status["ledger"]
        sizes.add(opened.size)
    newest = open_checkpoint(heads[0].content().encode(), log_key)
    assert newest.size == max(sizes)
    assert newest.size > 4


def test_identity_and_heads_reach_a_relay_that_the_operator_names(tmp_path):
    """Another machine's relay takes the agent's own events; what it has is the same file."""
    agent = Home(tmp_path / "agent").configure()
    agent.run("init", "--kit", str(tmp_path / "kit.txt")).good()
    npub = agent.run("--json", "soul", "show").good().json["npub"]
    far = Home(tmp_path / "far").configure(SETTINGS + f'[relay]\nwriters = ["{npub}"]\n')
    with far.running() as relay:
        url = f"ws://127.0.0.1:{relay.port}"
        agent.configure(SETTINGS + f'[publish]\nrelays = ["{url}"]\ninterval_s = 1\n')
        with agent.running():
            done = agent.run("--json", "soul", "attest").good().json
            at = f"timmy/soul/{agent.run('--json', 'soul', 'show').good().json['ledger']}"
            until(lambda: asked(url, kinds=[30078], d=at), 60, "the chain is at the relay")
            found = asked(url, kinds=[30078], d=at)
            by = {"authors": [found["pubkey"]]}  # the relay's own agent has heads there, too
            until(lambda: asked(url, kinds=[78], **by), 60, "a head is at the relay")
    assert found["id"] == done["nostr"]
    data = base64.b64decode(found["content"])
    assert hashlib.sha256(data).hexdigest() == done["sha256"]
    file = tmp_path / "from-afar.soul"
    file.write_bytes(data)
    agent.run("verify", str(file), "--soul", str(agent.path / "SOUL.md")).good()
    agent.end()
    far.end()


def asked(url, *, kinds, d=None, **more):
    """The first event of these kinds, at this address, that a relay has; or None."""
    with connect(url) as relay:
        relay.send(json.dumps(["REQ", "x", {"kinds": kinds} | ({"#d": [d]} if d else {}) | more]))
        answer = json.loads(relay.recv(timeout=30))
    return answer[2] if answer[0] == "EVENT" else None
