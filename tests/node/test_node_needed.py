"""A fleet whose heads need two cosignatures: nodes as processes, and what stands on a relay."""

import json

import pytest
from websockets.sync.client import connect

from ledger.core.cosignature import Witness, cosignatures
from ledger.core.note import parse_note
from tests.gateways.nostr_world import relay
from tests.node.test_node_fleet import QUICK, fleet, joined
from tests.node.world import until
from tests.ports import free_port

WAIT = 90.0
CHECKPOINTS, NOTES = (78, 30078), (1,)


def found(url, kinds):
    """Events of these kinds on a relay."""
    events = []
    with connect(url) as socket:
        socket.send(json.dumps(["REQ", "all", {"kinds": list(kinds)}]))
        while (answer := json.loads(socket.recv(WAIT)))[0] == "EVENT":
            events.append(answer[2])
    assert answer[0] == "EOSE", answer
    return events


def covering(url, position):
    """The notes on a relay whose head covers an event."""
    notes = [event["content"] for event in found(url, CHECKPOINTS)]
    return [note.encode() for note in notes if int(note.split("\n")[1]) > position]


@pytest.fixture
def world(born_seed, place, tmp_path):
    """A relay, and three nodes that are each other's witnesses; the first publishes there."""
    with relay() as url:
        home = born_seed.copy(tmp_path / "founder").configure(
            f'{QUICK}[publish]\ninterval_s = 1\nrelays = ["{url}"]\n[bridge]\nheartbeat_s = 1\n'
        )
        founder = home.start()
        home.run("mesh", "found").good()
        one = joined(place, "one", founder)
        port = free_port()
        text = QUICK.replace("port = 0", f"port = {port}")
        two = joined(place, "two", founder, text, "--needed", "2")
        yield url, founder, one, two
        home.end()


def test_nothing_is_published_before_as_many_signed_as_the_fleet_needs(world, tmp_path):
    url, founder, one, two = world
    for node in (founder, one, two):
        until(lambda node=node: fleet(node)["needed"] == 2, WAIT, "as it was said with admit")
    policy(founder)
    keys = [one_key(node) for node in (one, two)]
    two.stop()
    position = founder.say("the roof leaks")["answer"]["position"]
    until(lambda: signers(founder, position) == [keys[0].name], WAIT, "one has signed")
    beats = len(found(url, NOTES))
    until(lambda: len(found(url, NOTES)) >= beats + 3, WAIT, "other words went to the relay")
    assert covering(url, position) == []
    assert verified(founder, position, keys, tmp_path).code == 1
    assert "needed    2 of 2" in founder.home.run("mesh", "witness").good().out

    two.home.configure(two.home.config.read_text().replace("[witness]", "[witness]\nneeded = 3"))
    back = two.home.start()  # and nothing more is said
    until(lambda: covering(url, position), WAIT, "it is published")
    for note in covering(url, position):
        assert len(cosignatures(parse_note(note), keys)) == 2
    assert "2 of 2 cosigned the head" in verified(founder, position, keys, tmp_path).good().out
    too_few(back)
    back.stop()


def policy(founder):
    """The numbers are changed without any change of members, and checked before they are signed."""

    def run(*argv):
        return founder.home.run("mesh", "policy", *argv)

    run("--needed", "4").refused("4 cosignatures needed, and 3 are witnesses", "--needed 0 to 3")
    run("--needed", "-1").refused("-1 cosignatures", "--needed 0 to 3")
    run("--quorum", "2").refused("a quorum of 2, and 1 vote", "--quorum 1 to 1")
    run("--quorum", "0").refused("a quorum of 0")
    run("--needed", "2", "--quorum", "1").refused("that is how it is")
    number = fleet(founder)["number"]
    for needed in ("1", "2"):
        assert "holds" in run("--needed", needed).good().out
    assert (fleet(founder)["needed"], fleet(founder)["number"]) == (2, number + 2)
    told = founder.home.run("mesh", "members").good().out
    assert "policy    quorum 1 of 1 voters; 2 of 3 witnesses needed under a head" in told


def one_key(node):
    return Witness.parse(node.request("GET", "/witness/key").body.decode().strip())


def signers(node, position):
    """Who signed a head that covers an event, as the node was answered last."""
    asked = node.request("GET", "/v1/witness").json["witnessed"]["asked"]
    return [one["name"] for one in asked if one["outcome"] == "cosigned" and one["size"] > position]


def verified(node, position, keys, tmp_path):
    """What `timmy verify` says that is to see both signatures."""
    file = tmp_path / "said.proof"
    node.home.run("prove", str(position), "--force", "-o", str(file)).good()
    asked = [word for key in keys for word in ("--witness", key.encode())]
    return node.home.run("verify", str(file), *asked, "--witnesses", "2")


def too_few(node):
    """node.toml asks for more than there are: the fleet's are counted, and it is said."""
    told = node.home.run("mesh", "witness").out
    assert "TOO FEW   3 have to sign, 2 are asked: nothing goes to relays" in told
    [row] = [row for row in node.home.run("--json", "doctor").json if row["name"] == "noticed"]
    assert (row["ok"], row["text"]) == (
        False, "3 witnesses have to sign a head, 2 are there: none goes to relays",
    )  # fmt: skip
