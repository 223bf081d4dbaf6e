"""An old copy of an agent fetches the end of its own log back from a mirror, and goes on with it."""

import shutil

import pytest

from mesh.fleet.grants import GrantBook
from tests.node.test_node_mirroring import Agent
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


def lived(ada, b, *words):
    """Ada runs, says something, is killed; all that she released is with Bob."""
    node = ada.home.start()
    for one in words:
        node.say(one)
    size = node.request("GET", "/v1/head").json["size"]
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
            node.say("what do I owe you?")
            head = node.request("GET", "/v1/head").json
            assert head["size"] > size
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
        other.run("recover", "--from-mirror", bob.url, "--npub", bob.npub).refused(
            "not the beginning", "recover --kit"
        )
        assert begins_s(old.state, ada.ledger) == 0
        old.run("recover", "--from-mirror", bob.url).good()
        assert begins_s(old.state, ada.ledger) > 0, "the guard was old, so the grants are"
        with old.running() as node:
            assert node.status()["events"] > size
            assert node.status()["held"] == ""
        old.run("verify").good()
        other.end()
