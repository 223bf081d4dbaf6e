"""A real node whose copy of another log has a flipped bit: it lives, says so once, and answers."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from mesh.core import nip19
from mesh.core.fleet.gossip import Rumour
from mesh.core.fleet.gossip_wire import encode_messages, head_of
from mesh.core.nip98 import sign_request
from mesh.mirrors.offering import Audience
from node.fleet.gossiping import PATH
from node.sections.mesh import key_of
from tests.mesh.lives import Life
from tests.mesh.test_mirror import NODE, Server
from tests.node.test_bad_copies import flip, leaf
from tests.node.test_node_mirroring import Agent, row
from tests.node.world import until

SECONDS = 120
TOLD = "a mirror cannot be read"


@pytest.fixture
def bob(tmp_path):
    made = Agent(tmp_path, "Bob")
    yield made
    made.home.end()


def tell(node, agent, head):
    """A member who lags behind tells of an older head."""
    header = sign_request(
        NODE, agent.url + PATH, "POST", node=key_of(agent.npub), now=int(time.time())
    )
    heads = (head_of(head.encode()),)
    data = encode_messages([Rumour(heads=heads)])
    node.request("POST", PATH, data, token="", headers={"Authorization": header})


async def test_a_node_outlives_a_flipped_bit_in_a_copy_of_a_log_that_grows(bob):
    life = Life().say(699)
    server = Server(life)
    server.audience = Audience(members=frozenset({key_of(bob.npub)}))
    server.offering.clock = lambda: int(time.time())
    async with server.running():
        await asyncio.to_thread(_outlives, bob, server, life)


def _outlives(bob, server, life):
    ada = SimpleNamespace(npub=nip19.npub(NODE.pubkey), ledger=life.id.hex(), url=server.url)
    bob.knows(members=[ada], mirrors=[ada], peers=[ada])
    with bob.home.running() as node:
        until(lambda: row(node, ada)["size"] == 700, SECONDS, "it is copied")
        flip(bob.home.path / "mirrors" / ada.ledger / "ledger.db", leaf(life, 280))

        def met():
            tell(node, bob, life.head(300))
            return TOLD in bob.home.logged

        until(met, SECONDS, "the flipped bit is met")
        server.at(life.say(100))
        assert node.status()["diverged"] == []
        for words in ("are you there?", "and now?"):
            tell(node, bob, life.head(life.size))
            assert node.answer(words)
        shown = bob.home.run("mesh", "mirrors").out
        assert "page does not match its checksum" in shown
        assert bob.home.logged.count(TOLD) == 1
    assert "Traceback" not in bob.home.logged
