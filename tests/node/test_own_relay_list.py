"""Our own relay list: what strangers could follow, and nothing of our own network."""

from mesh.core.pool.routes import Route
from mesh.pool.port import MemoryPool
from node.config import load
from node.home import Home
from node.nostr.relays import announce, own_list
from tests.mesh.peers import ALICE, NOW


def section(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    return load(Home(path=tmp_path, state=tmp_path).config).publish


async def test_the_list_says_where_we_write_and_read(tmp_path):
    named = section(
        tmp_path,
        """[publish]
relays = ["wss://one.example", "ws://10.0.0.1:7777", "wss://two.example"]
read = ["wss://three.example", "wss://router.lan"]
""",
    )
    event = own_list(named, ALICE, now=NOW)
    route = Route.parse(event)
    assert route.author == ALICE.pubkey
    assert route.write == ("wss://one.example", "wss://two.example")
    assert route.read == ("wss://one.example", "wss://two.example", "wss://three.example")
    assert "10.0.0.1" not in event.to_json()
    assert "router" not in event.to_json()
    pool = MemoryPool()
    await announce(pool, named, ALICE)
    assert [one.kind for one in pool._events.values()] == [10002]


async def test_nothing_is_said_without_an_address_that_others_reach(tmp_path):
    named = section(tmp_path, '[publish]\nrelays = ["ws://127.0.0.1:7777"]\n')
    assert own_list(named, ALICE, now=NOW) is None
    pool = MemoryPool()
    await announce(pool, named, ALICE)
    assert pool._events == {}


async def test_machines_of_our_network_are_named_if_the_operator_wants_it(tmp_path):
    named = section(
        tmp_path,
        """[publish]
relays = ["ws://10.0.0.1:7777", "ws://10.0.0.2:7777"]
follow_hosts = ["10.0.0.1"]
""",
    )
    assert own_list(named, ALICE, now=NOW).tags == (("r", "ws://10.0.0.1:7777"),)
