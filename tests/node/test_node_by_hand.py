"""A mirror that is fed by files: a member whom no network reaches goes on from a stick."""

import asyncio
from itertools import repeat

import pytest

from ledger.core import types
from mesh.core.mirrors.copying import Head
from mesh.mirrors.folder import MirrorFolder
from mesh.mirrors.mirror import Mirror
from node.fleet.following import Following
from tests.node.test_node_mirroring import Agent, catches_up, row
from tests.node.world import until
from tests.runtime.world import a_world

WAIT = 90.0


@pytest.fixture
def three(tmp_path):
    """Ada, whom nobody reaches; Bob, who is to have her words; Cid, who is reached by Bob."""
    ada, bob, cid = (Agent(tmp_path, name) for name in ("Ada", "Bob", "Cid"))
    bob.knows(mirrors=[ada], peers=[ada], members=[cid])
    cid.knows(mirrors=[ada], peers=[bob])
    yield ada, bob, cid
    for agent in (ada, bob, cid):
        agent.home.end()


def exported(agent, path):
    agent.home.run("export", "-o", str(path)).good()
    return str(path)


async def carried(bob, ada, said):
    """What a node that goes on with Ada's conversation takes up from Bob's mirror of her."""
    ledger = bytes.fromhex(ada.ledger)
    folder = MirrorFolder(bob.home.path / "mirrors" / ada.ledger, ledger)
    mirror = Mirror(folder=folder, sources=dict, jitter=repeat(0.0))
    with mirror.open():
        async with a_world() as world:
            found = Following(
                journal=world.journal, log=world.log, mirrors=lambda: {ledger: mirror}
            )
            where = said["conversation"], said["author"]
            await found.take_up(*where, knows=(bytes(32), 0), wait_s=5)
            return [one.content["text"] for one in world.of(types.CONVERSATION_CARRIED.name)]


def test_a_successor_has_the_words_that_came_on_a_stick(three, tmp_path):
    ada, bob, cid = three
    with ada.home.running() as a:
        a.say("the roof leaks, she said")
        secret = a.say("the safe opens with swordfish")["message"]["position"]
        monday = exported(ada, tmp_path / "monday.bundle")
        ada.home.run("redact", str(secret), "--yes", "--reason", "private").good()
        a.say("and the gate creaks")
        tuesday = exported(ada, tmp_path / "tuesday.bundle")
        said = a.log("message.received")[-1]["payload"]
    made = bob.home.run("--json", "import", "--mirror", monday).good().json
    copy = bob.mirror(ada)
    assert made["before"] == 0 < made["events"]
    assert "swordfish" in copy.run("show", str(secret)).good().out
    assert copy.run("--json", "search", "swordfish").good().json
    soul = ("--soul", str(ada.home.path / "SOUL.md"))
    more = bob.home.run("--json", "import", "--mirror", tuesday, *soul).good().json
    assert more["before"] == made["events"] < more["events"]
    left = [
        path
        for path in bob.home.path.rglob("*")
        if path.is_file() and b"swordfish" in path.read_bytes()
    ]
    assert left == [], "what was redacted since is erased"
    for old in (monday, tuesday):
        bob.home.run("import", "--mirror", old).refused("nothing is taken back")
    assert copy.run("--json", "verify").good().json["verdict"] == "UNBROKEN-PENDING"
    heard = asyncio.run(carried(bob, ada, said))
    assert [one for one in heard if "roof" in one or "gate" in one or "sword" in one] == [
        "the roof leaks, she said", "and the gate creaks",
    ]  # fmt: skip
    with bob.home.running() as b, cid.home.running() as c:
        bob.home.run("import", "--mirror", tuesday).refused("the node runs")
        catches_up(b, ada, more["events"])
        catches_up(c, ada, more["events"])
        with ada.home.running() as a:  # the network is back: it goes on from there
            ada.knows(members=[bob])
            a.say("I am back")
        with ada.home.running() as a:
            catches_up(b, ada, a.request("GET", "/v1/head").json["size"])
            catches_up(c, ada, row(b, ada)["size"])
    for reader in (copy, cid.mirror(ada)):
        assert "the gate creaks" in reader.run("log", "--type", "message").good().out
        assert "I am back" in reader.run("log", "--type", "message").good().out


def test_what_is_no_mirror_s_is_refused_and_changes_nothing(three, tmp_path):
    ada, bob, _ = three
    twin = ada.home.copy(tmp_path / "twin")
    for home in (ada.home, twin):
        with home.running() as node:
            node.say(f"in {home.root.name}")
            if home is twin:
                node.say("and more, which makes it longer")
    true = exported(ada, tmp_path / "true.bundle")
    ada.home.run("import", "--mirror", true).refused("own ledger", "--from-mirror")
    cut = tmp_path / "cut.bundle"
    cut.write_bytes((tmp_path / "true.bundle").read_bytes()[:-10])
    bob.home.run("import", "--mirror", str(cut)).refused("truncated")
    bob.home.run("import", "--mirror", str(tmp_path / "none")).refused("cannot be read")
    assert not (bob.home.path / "mirrors").exists()
    wrong = ("--soul", str(ada.home.config))
    bob.home.run("import", "--mirror", true, *wrong).refused("SOUL")
    bob.home.run("import", "--mirror", true, "--soul", str(tmp_path)).refused("cannot be read")
    assert not (bob.home.path / "mirrors").exists()
    bob.home.run("import", "--mirror", true).good()
    twin.run("export", "-o", str(tmp_path / "other.bundle")).good()
    bob.home.run("import", "--mirror", str(tmp_path / "other.bundle")).refused("two histories")
    assert not list(bob.home.path.glob("mirror.importing*"))
    folder = bob.home.path / "mirrors" / ada.ledger
    kept = Head.of_note((folder / "state" / ada.ledger / "head").read_bytes())
    with bob.home.running() as b:
        until(lambda: row(b, ada)["ended"], WAIT, "and the node says so")
        assert row(b, ada)["size"] in (0, kept.size)
