"""A fleet of nodes as processes: invited, taken in, heard of, removed."""

import re
import time
from dataclasses import replace

import pytest

from genesis.keys.keystore import unlock_agent
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import sign_request
from mesh.mirrors.offering import PREFIX
from tests.node.world import PASSPHRASE, SETTINGS, Node, until
from tests.spec.make_equivocations import ONE_SIZE, TRUE, TWO_SIZES

WAIT = 90.0
QUICK = f'{SETTINGS}\n[witness]\ninterval_s = 1\nlogs = ["{TRUE.id.hex()}"]\n'


@pytest.fixture
def founder(born_seed, tmp_path):
    home = born_seed.copy(tmp_path / "founder").configure(QUICK)
    node = home.start()
    home.run("mesh", "found").good()
    yield node
    home.end()


def fleet(node):
    return node.request("GET", "/v1/fleet").json


def start(home, *argv):
    """`timmy run` with arguments."""
    node = Node.__new__(Node)
    node.home, node.port = home, 0
    node.said, node.complained = home.root / "run.out", home.root / "run.err"
    with node.said.open("wb") as out, node.complained.open("wb") as err:
        node.process = home.popen("run", *argv, stdout=out, stderr=err)
    home._nodes.append(node)
    node.wait_until_ready()
    return node


def joined(place, name, founder, text=QUICK, *more):
    """A newcomer that was taken in; `more` is said with admit."""
    home = place(name).configure(text)
    home.run("init", "--name", name).good()
    token = founder.home.run("mesh", "invite").good().out.strip()
    node = start(home, "--join", token)
    until(lambda: [one["name"] for one in fleet(founder)["waiting"]] == [name], WAIT, "it asks")
    founder.home.run("mesh", "admit", name, *more).good()
    until(lambda: me(node) is not None, WAIT, "it is taken in")
    return node


def me(node):
    found = [one for one in fleet(node)["members"] if one["self"]]
    return found[0] if found else None


def there(node, count):
    return sum(one["there"] for one in fleet(node)["members"]) == count


def test_a_newcomer_given_one_address_finds_the_rest(founder, place):
    """And is witnessed by all of them, without a line of configuration."""
    one = joined(place, "one", founder, f'{QUICK}[mesh]\nable = ["gpu"]\n')
    two = joined(place, "two", founder)
    for node in (founder, one, two):
        until(lambda node=node: there(node, 3), WAIT, "all three are there")
    numbers = {fleet(node)["digest"] for node in (founder, one, two)}
    assert len(numbers) == 1
    told = two.home.run("mesh", "members").good().out
    assert re.search(
        r"^one .*; there; \d+ events; load \d+\.\d\d; able gpu; lease", told, re.MULTILINE
    )
    assert re.search(r"^two .*; this node; \d+ events; load \d+\.\d\d; lease", told, re.MULTILINE)
    until(lambda: cosigners(two) == 2, WAIT, "both others cosigned")
    two.home.run("mesh", "witness").good()
    graph = two.home.run("--json", "trust", "show").good().json
    named = {edge["target"] for edge in graph["edges"] if edge["how"].startswith("names as")}
    assert len(named) == 3
    assert "approved" in {edge["how"] for edge in graph["edges"]}
    assert noticed(founder.home) == "heads are shown to 2 other members"
    proven(founder, one, two)
    removed(founder, one, two)


def noticed(home):
    [row] = [row for row in home.run("--json", "doctor").json if row["name"] == "noticed"]
    assert (row["ok"] is None) == bool(row["hint"])
    return row["text"]


def proven(founder, *others):
    """Who is told of a log with two histories tells the fleet; of a stranger's log nobody cares."""
    answer = founder.request("POST", "/witness/equivocation", ONE_SIZE.encode(), token="")
    assert answer.status == 200, answer
    for node in (founder, *others):
        until(lambda node=node: frozen(node) == [TRUE.id.hex()], WAIT, "it is frozen")
        until(lambda node=node: len(node.log("witness.proved")) == 1, WAIT, "it is on record")
    stranger = replace(TWO_SIZES, ledger_id=bytes(32)).encode()
    founder.request("POST", "/witness/equivocation", stranger, token="").refused(422)


def frozen(node):
    return [one["ledger"] for one in node.request("GET", "/v1/witness").json["witness"]["frozen"]]


def cosigners(node):
    found = node.request("GET", "/v1/witness").json["witnessed"]
    return 0 if found is None or found["newest"] is None else len(found["newest"]["witnesses"])


def removed(founder, one, two):
    """A removed member is given no words, and nobody listens to its heads."""
    assert asked(founder, one, "GET", words_of(founder)).status == 200
    founder.home.run("mesh", "remove", "one").good()
    until(lambda: len(fleet(two)["members"]) == 2, WAIT, "the others know")
    presence = fleet(one)["members"]
    assert presence
    until(lambda: len(fleet(founder)["members"]) == 2, WAIT, "it is gone")
    assert "one" not in [m["name"] for m in fleet(founder)["members"]]
    for node in (founder, two):
        asked(node, one, "GET", words_of(node)).refused(403, "does not give that to you")
        asked(node, one, "POST", "/fleet/gossip").refused(422, "with its fleet")


def words_of(node):
    [own] = [one for one in fleet(node)["members"] if one["self"]]
    return f"{PREFIX}/{own['ledger']}/bodies?start=0&stop=1"


def asked(node, who, method, path):
    """What a node answers to a request that another one signed."""
    keys = [unlock_agent(home.path, PASSPHRASE).nostr for home in (node.home, who.home)]
    url = f"http://127.0.0.1:{node.port}{path}"
    header = sign_request(
        NostrSigner(keys[1].secret), url, method, node=NostrSigner(keys[0].secret).pubkey,
        now=int(time.time()), manifest=fleet(node)["digest"],
    )  # fmt: skip
    return node.request(method, path, b"", token="", headers={"Authorization": header})


def test_a_token_is_good_once_and_for_whom_it_was_given(founder, place):
    token = founder.home.run("mesh", "invite", "--roles", "jobs").good().out.strip()
    home = place("one").configure()
    home.run("init").good()
    assert "would not be noticed" in noticed(home)
    home.run("run", "--join", token[:-3] + "xyz").refused("mistyped")
    assert not (home.path / "fleet").exists()
    answer = founder.request("POST", "/fleet/join", b"\x82\x40\x40", token="")
    answer.refused(422)
    founder.request("POST", "/fleet/presence", b"junk", token="").refused(422)
    founder.request("POST", "/fleet/manifest", b"junk", token="").refused(422)
    founder.request("GET", "/v1/fleet", token="wrong").refused(401)
    founder.home.run("mesh", "admit").refused("nobody asks")
    founder.home.run("mesh", "remove", "nobody").refused("0 of those to remove")
    founder.home.run("mesh", "found").refused("is of a fleet")
    founder.home.run("mesh", "approve", "01234567").refused("no such manifest")
    founder.home.run("mesh", "invite", "--roles", "king").refused("unknown role")
