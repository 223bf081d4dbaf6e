"""A third-party Nostr client follows a node: nostr-sdk on the embedded relay of a real process."""

import asyncio
from datetime import timedelta

import nostr_sdk
import pytest

from ledger.core.checkpoint import open_checkpoint
from tests.node.world import Home


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
