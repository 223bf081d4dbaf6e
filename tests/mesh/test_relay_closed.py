"""A relay that closes: whoever still publishes is told so, and closing ends."""

import asyncio

from mesh.core.nip11 import RelayInfo
from mesh.core.relay.filter import Filter
from mesh.core.relay.policy import WritePolicy
from mesh.relay.server import Relay
from mesh.relay.store import MemoryEventStore
from tests.mesh.peers import ALICE, NOW, make


async def test_an_event_of_our_own_after_the_close_is_refused_and_closing_again_ends():
    info = RelayInfo(name="r", pubkey=ALICE.pubkey, version="1")
    relay = Relay(MemoryEventStore(), WritePolicy(authors=None), info, lambda: NOW)
    assert (await relay.publish(make())).accepted
    await relay.close()
    assert not (await relay.publish(make())).accepted
    async with asyncio.timeout(60):
        await relay.close()


async def test_our_own_node_reads_until_the_store_is_closed():
    """The node's tasks end after its relay's clients: a question of theirs meanwhile is answered."""
    info = RelayInfo(name="r", pubkey=ALICE.pubkey, version="1")
    relay = Relay(MemoryEventStore(), WritePolicy(authors=None), info, lambda: NOW)
    left = make()
    assert (await relay.publish(left)).accepted
    await relay.hang_up()
    assert not (await relay.publish(make())).accepted
    assert [event.id for event in await relay.find(Filter(ids=frozenset({left.id})))] == [left.id]
    assert await relay.purge() == 0
    await relay.close()
