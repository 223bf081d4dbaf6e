"""Nodes tell each other of heads, without a relay: who shows two people two histories is proven."""

import pytest

from tests.node.test_node_mirroring import Agent, row
from tests.node.world import until
from tests.ports import free_port

WAIT = 180.0


@pytest.fixture
def agents(tmp_path):
    made = []

    def make(name):
        made.append(Agent(tmp_path, name))
        return made[-1]

    yield make
    for agent in made:
        agent.home.end()


class Twin:
    """Another process with the keys and the beginning of an agent, at another address."""

    def __init__(self, agent, root):
        self.npub, self.ledger, self.port = agent.npub, agent.ledger, free_port()
        self.home = agent.home.copy(root)
        text = self.home.config.read_text().replace(f"port = {agent.port}", f"port = {self.port}")
        self.home.configure(text)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


def follow(agent, *others):
    """Follow these logs, without a copy of them."""
    named = ", ".join(f'"{one.ledger}"' for one in others)
    agent.mesh += f"[witness]\nlogs = [{named}]\n"
    agent.home.configure(agent.settings())


def diverged(node):
    return [one["ledger"] for one in node.status()["diverged"]]


def knows_head(node, size):
    return node.status()["gossip"]["logs"] >= size


def test_a_split_view_is_proven_by_those_who_were_shown_its_halves(agents, tmp_path):
    """Bob has no copy: what he was shown by Ada, and what Cid mirrors of the other Ada, are tiles."""
    ada, bob, cid = agents("Ada"), agents("Bob"), agents("Cid")
    ada.knows(members=[bob, cid])
    twin = Twin(ada, tmp_path / "twin")
    bob.knows(peers=[ada, cid], members=[cid])
    follow(bob, ada)
    cid.knows(peers=[twin, bob], members=[bob], mirrors=[ada])
    with ada.home.running() as true, twin.home.running() as other:
        true.say("I promised Bob the house")
        other.say("I promised Cid the house, and the garden")
        other.say("and the boat")
        with bob.home.running() as b, cid.home.running() as c:
            for node in (b, c):
                until(lambda node=node: diverged(node) == [ada.ledger], WAIT, "it is proven")
                until(lambda node=node: files(node), WAIT, "and written down")
                assert len(node.log("witness.proved")) == 1
                checked = node.home.run("verify", files(node)[0])
                assert checked.code == 1
                assert "DIVERGED" in checked.out
            until(lambda: row(c, ada)["ended"], WAIT, "what Cid copied is copied no more")
            assert cid.mirror(ada).run("--json", "log", "--last", "1").good().json, "and is read"
            assert b.status()["gossip"]["logs"] >= 2
            assert "DIVERGED" in bob.home.run("status").good().out
            b.request("POST", "/fleet/gossip", b"\x80", token="").refused(422, "NIP-98")
    twin.home.end()


def files(node):
    return sorted(str(path) for path in node.home.path.joinpath("diverged").glob("*.proof"))


def test_honest_logs_that_grow_are_told_of_and_nobody_is_accused(agents):
    ada, bob, cid = agents("Ada"), agents("Bob"), agents("Cid")
    ada.knows(members=[bob, cid])
    bob.knows(peers=[ada, cid], members=[cid], mirrors=[ada])
    cid.knows(peers=[bob], members=[bob])
    follow(cid, ada)
    with ada.home.running() as a, bob.home.running() as b, cid.home.running() as c:
        a.say("one")
        until(lambda: knows_head(c, 2), WAIT, "Cid hears of Ada from Bob, whom alone he knows")
        a.say("two")
        until(lambda: c.status()["gossip"]["heard"] >= 1, WAIT, "and of a newer head")
        for node in (a, b, c):
            assert node.status()["diverged"] == []
            assert node.status()["held"] == ""
        assert "gossip" in cid.home.run("status").good().out


def test_a_peer_that_has_a_newer_head_of_ours_stops_the_release(agents, tmp_path):
    """Without witness, relay or mirror: Bob was once shown a head that the old backup has not."""
    ada, bob = agents("Ada"), agents("Bob")
    ada.knows(members=[bob], peers=[bob])
    bob.knows(peers=[ada], members=[ada])
    follow(bob, ada)
    old = ada.home.copy(tmp_path / "old")
    with ada.home.running() as a:
        a.say("I owe you ten pounds")
        said = a.log("message.sent")[-1]["position"]
        until(lambda: a.request("GET", "/v1/head").json["size"] > said, WAIT, "it is released")
        b = bob.home.start()
        until(lambda: knows_head(b, 2), WAIT, "Bob is shown a head, and it is a new one")
    try:
        with old.running() as a:
            until(lambda: "signed head" in a.status()["held"], WAIT, "Bob's head is heard of")
            before = a.request("GET", "/v1/head").json["size"]
            a.say("what do I owe you?")
            assert a.request("GET", "/v1/head").json["size"] == before
    finally:
        old.end()
