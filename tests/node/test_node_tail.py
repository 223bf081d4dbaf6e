"""An old copy of an agent fetches the end of its own log back from a mirror, and goes on with it."""

import json
import shutil
from pathlib import Path

import pytest

from mesh.fleet.grants import GrantBook
from tests.node.test_node_mirroring import Agent
from tests.node.test_node_witness import begins_an_epoch
from tests.node.world import SETTINGS, Home, until

WAIT = 180.0


def copied(node, agent):
    rows = node.request("GET", "/v1/mirrors").json
    return max((row["size"] for row in rows if row["ledger"] == agent.ledger), default=0)


@pytest.fixture
def pair(tmp_path):
    ada, bob = Agent(tmp_path, "Ada"), Agent(tmp_path, "Bob")
    ada.knows(members=[bob], peers=[bob])
    bob.knows(peers=[ada], members=[ada], mirrors=[ada])
    yield ada, bob
    for agent in (ada, bob):
        agent.home.end()


def released(node):
    return node.request("GET", "/v1/head").json["size"]


def lived(ada, b, *words):
    """Ada runs, says something, is killed; all that she released is with Bob."""
    node = ada.home.start()
    said = [node.say(one)["answer"]["position"] for one in words][-1]
    until(lambda: released(node) > said, WAIT, "it is released")
    size = released(node)
    until(lambda: copied(b, ada) >= size, WAIT, "Bob has it")
    node.kill9()
    return size


def begins_s(state, ledger):
    """Before when a voter with this state directory begins nothing; makes its file of grants."""
    book = GrantBook(state / ledger / "grants.db", me=bytes(32), now_s=0, fresh=True)
    found = book.begins_s
    book.close()
    return found


def refused(home):
    """The start ends before anything is appended."""
    before = home.run("--json", "log", "--last", "1").good().json
    done = home.run("run")
    assert done.code == 2, done
    assert home.run("--json", "log", "--last", "1").good().json == before
    return done.err


def test_an_old_backup_gets_its_tail_back_and_goes_on(pair, tmp_path):
    ada, bob = pair
    backup = tmp_path / "monday.backup"
    with bob.home.running() as b:
        lived(ada, b, "the first day")
        ada.home.run("backup", "-o", str(backup)).good()
        size = lived(ada, b, "I owe you ten pounds", "and a cake")
        assert begins_s(ada.home.state, ada.ledger) == 0
        shutil.rmtree(ada.home.path)  # the state directory, guard and all, is left
        restored = ada.home.run("restore", str(backup)).good()
        assert "--from-mirror" in restored.out
        ada.home.configure(ada.settings())
        assert f"recover --from-mirror {bob.url}" in refused(ada.home)
        ada.home.run("recover").refused("one of the two")
        ada.home.run("recover", "--from-mirror", "http://127.0.0.1:9").refused("--npub")
        fetched = ada.home.run("--json", "recover", "--from-mirror", bob.url).good().json
        assert fetched["events"] >= size > fetched["before"]
        ada.home.run("recover", "--from-mirror", bob.url).good()  # nothing is left to fetch
        assert begins_s(ada.home.state, ada.ledger) == 0, "what a voter granted was not lost"
        checked = ada.home.run("--json", "verify").good().json
        assert checked["verdict"] == "UNBROKEN-PENDING"
        with ada.home.running() as node:
            assert "I owe you ten pounds" in ada.home.run("log", "--type", "message").good().out
            said = node.say("what do I owe you?")["answer"]["position"]
            until(lambda: released(node) > said, WAIT, "Bob has nothing against it")
            head = node.request("GET", "/v1/head").json
            assert said > size
            assert node.status()["head"]["epoch"] == 0
            until(lambda: copied(b, ada) >= head["size"], WAIT, "Bob's copy goes on")
            assert node.status()["diverged"] == []
        assert b.request("GET", "/v1/mirrors").json[0]["ended"] is None


def test_a_machine_rolled_back_whole_gets_its_tail_back_unless_it_lived_on(pair, tmp_path):
    """The guard is as old as the ledger: only the mirror knows. What went on alone stays alone."""
    ada, bob = pair
    with bob.home.running() as b:
        lived(ada, b, "the first day")
        old = ada.home.copy(tmp_path / "old")
        alone = ada.home.copy(tmp_path / "alone")
        size = lived(ada, b, "I owe you ten pounds")
        assert f"recover --from-mirror {bob.url}" in refused(old)
        other = Home(alone.root)
        other.configure(SETTINGS)  # it knows nobody, and Bob does not know its address
        with other.running() as node:
            node.say("I know nobody")
        asked = other.run("recover", "--from-mirror", bob.url, "--npub", bob.npub)
        asked.refused("not the beginning", "recover --kit")
        assert begins_s(old.state, ada.ledger) == 0
        old.run("recover", "--from-mirror", bob.url).good()
        assert begins_s(old.state, ada.ledger) > 0, "the guard was old, so the grants are"
        with old.running() as node:
            assert node.status()["events"] > size
            until(lambda: node.status()["held"] == "", WAIT, "Bob has nothing against it")
        old.run("verify").good()
        begins_an_epoch(other, asked.err, tmp_path / "Ada-kit.txt")
        with other.running() as node:
            assert node.status()["head"]["epoch"] == 1
        other.run("verify").good()
        other.end()


def test_a_node_that_woke_alone_is_held_and_fetches_its_tail_back_when_a_peer_comes(pair, tmp_path):
    """What it appended meanwhile was released to nobody: it goes to a file."""
    ada, bob = pair
    with bob.home.running() as b:
        lived(ada, b, "the first day")
        old = ada.home.copy(tmp_path / "old")
        size = lived(ada, b, "I owe you ten pounds")
    shutil.rmtree(ada.home.root)
    old.root.rename(ada.home.root)
    with ada.home.running() as node:
        released = node.request("GET", "/v1/head").json["size"]
        assert node.answer("is anybody there?")
        assert "no relay and no peer has answered" in node.status()["held"]
        with bob.home.running():
            until(lambda: "a peer has" in node.status()["held"], WAIT, "Bob has more of it")
        [told] = node.log("witness.disagreed")
        assert told["payload"]["outcome"] == "ahead"
        hint = node.status()["witnessed"]["hint"]
        assert f"timmy recover --from-mirror {bob.url};" in hint
        assert node.request("GET", "/v1/head").json["size"] == released
    with bob.home.running() as b:
        ada.home.run("recover", "--from-mirror", bob.url).refused("in the way", "--yes")
        assert begins_s(ada.home.state, ada.ledger) == 0
        done = ada.home.run("--json", "recover", "--from-mirror", bob.url, "--yes").good().json
        assert done["events"] >= size > released
        rows = [json.loads(line) for line in Path(done["aside"]).read_text().splitlines()]
        assert any(one["content"] and "is anybody there?" in str(one) for one in rows)
        assert "node.started" in [one["type"] for one in rows]
        assert rows[-1]["type"] == "node.stopped"
        assert begins_s(ada.home.state, ada.ledger) > 0, "the guard was old, so the grants are"
        with ada.home.running() as node:
            assert "I owe you ten pounds" in ada.home.run("log", "--type", "message").good().out
            node.say("what do I owe you?")
            until(lambda: node.status()["held"] == "", WAIT, "Bob agrees")
            head = node.status()["events"]
            until(lambda: copied(b, ada) >= head, WAIT, "Bob's copy goes on")
            assert node.status()["head"]["epoch"] == 0
            assert node.status()["diverged"] == []
        assert b.request("GET", "/v1/mirrors").json[0]["ended"] is None
        assert ada.home.run("--json", "verify").good().json["verdict"] == "UNBROKEN-PENDING"


@pytest.mark.parametrize("way", ["mirror", "kit"])
def test_what_was_erased_meanwhile_stays_erased(pair, tmp_path, way):
    """The redaction gives way with the rest, and a mirror of the time before has the words."""
    ada, bob = pair
    with bob.home.running() as b:
        lived(ada, b, "the safe opens with swordfish")
        old = ada.home.copy(tmp_path / "old")
        lived(ada, b, "I owe you ten pounds")
    shutil.rmtree(ada.home.root)
    old.root.rename(ada.home.root)
    with ada.home.running() as node:
        [said] = [one for one in node.log("message.received") if "swordfish" in str(one)]
        ada.home.run("redact", str(said["position"]), "--derived", "--yes").good()
        with bob.home.running():
            until(lambda: "a peer has" in node.status()["held"], WAIT, "Bob has more of it")
        hint = node.status()["witnessed"]["hint"]
    with bob.home.running() as b:
        if way == "mirror":
            ada.home.run("recover", "--from-mirror", bob.url, "--yes").good()
        else:
            begins_an_epoch(ada.home, hint, tmp_path / "Ada-kit.txt")
        with ada.home.running() as node:
            assert node.status()["head"]["epoch"] == (way == "kit")
            again = node.say("here I am again")["answer"]["position"]
            until(lambda: copied(b, ada) > again, WAIT, "Bob copies what goes on")
            assert b.request("GET", "/v1/mirrors").json[0]["ended"] is None
    ada.home.run("show", str(said["position"])).good()
    files = [one for one in ada.home.path.rglob("*") if one.is_file()]
    assert [one for one in files if b"swordfish" in one.read_bytes()] == []
    verdict = "UNBROKEN-PENDING" if way == "mirror" else "RECOVERED"
    assert ada.home.run("--json", "verify").good().json["verdict"] == verdict
