"""A node whose relays have a newer head of it than it holds: it is an old copy, and says so."""

import json
import shutil
import sqlite3
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.log import Log
from mesh.core.nip01 import NostrSigner, UnsignedEvent
from mesh.pool.port import Fetched, MemoryPool
from mesh.witnesses.checkpoints import CheckpointKinds, Published, mint_checkpoint, mint_head
from node.fleet.looking_back import LookingBack
from tests.ledger.makers import message, open_log
from tests.mesh.lives import Life
from tests.mesh.test_mirror import Server
from tests.node.test_node_witness import begins_an_epoch
from tests.node.world import SETTINGS, until
from tests.ports import free_port
from tests.spec import agent

WAIT = 60.0
NOSTR = NostrSigner(agent.KEYS.nostr.secret)
RELAY = "ws://relay.example/"
NOT_TOLD = "not told whether this is an old copy"


@pytest.fixture
def log():
    with open_log() as found:
        found.append_now(agent.genesis_draft())
        found.append_now(message("one"), message("two"))
        yield found


def looking(log: Log, pool=None):
    lineage = Lineage.of(log.read(0))
    return LookingBack(
        pool=pool or MemoryPool(), relays=(RELAY,), pubkey=NOSTR.pubkey, head_kind=30078, log=log,
        lineage=lineage,
    )  # fmt: skip


def head(log, size, root=None, *, by: Signer = agent.LOG, epoch=0, ledger_id=None):
    checkpoint = Checkpoint(
        ledger_id=ledger_id or log.ledger_id, epoch=epoch, size=size,
        root=log.tree.root(size) if root is None else root,
    )  # fmt: skip
    return sign_checkpoint(checkpoint, by)


def event(log, signed):
    published = Published(
        ledger=log.ledger_id.hex(), size=signed.size, root=signed.root.hex(),
        note=signed.encode().decode(),
    )  # fmt: skip
    kinds = CheckpointKinds()
    checkpoint = mint_checkpoint(NOSTR, published, now=agent.BORN_MS // 1000, kinds=kinds)
    return mint_head(
        NOSTR, published, checkpoint_event=checkpoint, now=agent.BORN_MS // 1000, last=None,
        kinds=kinds,
    )  # fmt: skip


async def test_what_was_published_is_no_contradiction(log):
    pool = MemoryPool()
    assert await looking(log, pool).look() == ""
    await pool.publish(event(log, head(log, 2)))
    assert await looking(log, pool).look() == ""


@pytest.mark.parametrize(
    ("size", "root", "says"), [(4, bytes(32), "4 events, here are 3"), (2, bytes(32), "another")]
)
async def test_a_signed_head_that_is_not_in_this_ledger_is_one(log, size, root, says):
    pool = MemoryPool()
    await pool.publish(event(log, head(log, size, root)))
    assert says in await looking(log, pool).look()


def test_nothing_else_is_believed(log):
    """Not another key, not another log, not what is no note: a relay can hold nobody up with it."""
    seen = looking(log)
    later = event(log, head(log, 9, bytes(32), by=agent.STRANGER))
    other = event(log, head(log, 9, bytes(32), ledger_id=bytes(32)))
    junk = NOSTR.sign(
        UnsignedEvent(pubkey=NOSTR.pubkey, created_at=1, kind=30078, tags=(), content="no note")
    )
    assert seen.judge([later, other, junk]) == ""
    epoch = event(log, head(log, 2, epoch=1))
    assert "of epoch 1" in seen.judge([epoch])


class Mute(MemoryPool):
    """Relays that give no whole answer."""

    async def fetch(self, filters, *, at=None):
        return Fetched(events=(), faults=tuple((url, "not connected") for url in at))


async def test_who_says_nothing_of_us_is_logged_once_and_asked_on(log):
    life, member = Life().say(3), NostrSigner(bytes([2] * 32))
    async with Server(life).running() as server:
        peer = server.source(member)
        dead = replace(peer, url=f"http://127.0.0.1:{free_port()}")
        strange = server.source(NostrSigner(bytes([9] * 32)))
        server.url += "/lost"  # where nothing answers as a node does
        lost = server.source(member)
        seen = looking(log, Mute())
        seen.peers = lambda: {"peer": peer, "dead": dead, "strange": strange, "lost": lost}
        with capture_logs() as logs:
            for _ in range(3):
                assert await seen.look() == ""
    assert seen.silent == [RELAY, "dead", "lost"], "a refusal in a node's words is an answer"
    told = {one["source"]: one["why"] for one in logs if one["event"] == NOT_TOLD}
    assert len(told) == len(logs) == 3, "each once"
    assert told[RELAY] == "not connected"
    assert "Connect" in told["dead"]
    assert told["lost"].startswith("404: ")


def test_a_node_rolled_back_whole_with_a_relay_releases_nothing(born_seed, place, tmp_path):
    """The relay is another node's, which keeps what it was sent."""
    keeper, agent_home = place("keeper").configure(), born_seed.copy(tmp_path / "agent")
    keeper.run("init").good()
    npub = agent_home.run("soul", "show", "--json").good().json["npub"]
    keeper.configure(f'{SETTINGS}\n[relay]\nwriters = ["{npub}"]\n')
    relay = keeper.start()
    agent_home.configure(
        f'{SETTINGS}\n[publish]\ninterval_s = 1\nrelays = ["ws://127.0.0.1:{relay.port}/"]\n'
    )
    with agent_home.running() as node:
        until(lambda: not node.status()["held"], WAIT, "the relay has nothing against it")
    backup = agent_home.copy(tmp_path / "backup")
    with agent_home.running() as node:
        node.say("I owe you ten pounds")
        size = node.status()["events"]
        until(lambda: newest(relay) >= size, WAIT, "the relay has the head over it")
    shutil.rmtree(agent_home.root)
    shutil.copytree(backup.root, agent_home.root)
    with agent_home.running() as node:
        until(lambda: "a relay has a signed head" in node.status()["held"], WAIT, "it is told")
        before = node.request("GET", "/v1/head").json["size"]
        node.say("what do I owe you?")
        assert node.request("GET", "/v1/head").json["size"] == before
        node.request("POST", "/v1/witness", {"action": "vouch"}).refused(
            400, "a relay has a signed head", "timmy recover"
        )
        assert agent_home.run("mesh", "witness").code == 1
        hint = node.request("POST", "/v1/witness", {"action": "vouch"}).json["hint"]
    begins_an_epoch(agent_home, hint)
    with agent_home.running() as node:
        until(lambda: not node.status()["held"], WAIT, "what is of the epoch before holds nothing")
        said = node.say("here I am again")["answer"]["position"]
        until(lambda: newest(relay) > said, WAIT, "the relay has the head over it")
    assert agent_home.run("--json", "verify").good().json["verdict"] == "RECOVERED"
    agent_home.end()


def newest(relay):
    """The size of the head at the agent's address: the one that came last."""
    path = relay.home.path / "relay.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT json FROM event").fetchall()
    found = [json.loads(row[0]) for row in rows]
    tags = [(one["created_at"], {t[0]: t[1] for t in one["tags"] if len(t) > 1}) for one in found]
    heads = [(at, int(t["n"])) for at, t in tags if t.get("d", "").startswith("timmy/head/")]
    return max(heads, default=(0, 0))[1]


def test_while_no_relay_answers_nothing_is_released_and_people_are_answered(place):
    """Silence shows nothing: an old copy in a place without a network would sign on."""
    keeper, agent_home, port = place("keeper").configure(), place("a").configure(), free_port()
    keeper.run("init").good()
    agent_home.run("init").good()
    npub = agent_home.run("soul", "show", "--json").good().json["npub"]
    settings = SETTINGS.replace("port = 0", f"port = {port}")
    keeper.configure(f'{settings}\n[relay]\nwriters = ["{npub}"]\n')
    agent_home.configure(f'{SETTINGS}\n[publish]\nrelays = ["ws://127.0.0.1:{port}/"]\n')
    with agent_home.running() as node:
        until(lambda: not node.status()["held"], WAIT, "who was just born has nothing to lose")
    with agent_home.running() as node:
        before = node.request("GET", "/v1/head").json["size"]
        assert node.answer("are you there?")
        assert "no relay and no peer has answered" in node.status()["held"]
        shown = agent_home.run("mesh", "witness")
        assert shown.code == 1
        assert "timmy mesh witness vouch" in shown.out
        assert f"ws://127.0.0.1:{port}/: nothing yet" in shown.out
        assert "mesh witness vouch" in agent_home.run("status").good().out
        assert "releases nothing" in agent_home.run("doctor").out
        assert node.request("GET", "/v1/head").json["size"] == before
        with keeper.running():
            until(lambda: not node.status()["held"], WAIT, "the relay has nothing against it")
        said = node.say("and now?")["answer"]["position"]
        until(lambda: node.request("GET", "/v1/head").json["size"] > said, WAIT, "it is released")
    agent_home.run("verify").good()
    agent_home.end()
