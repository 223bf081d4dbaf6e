"""A fleet of nodes as processes: invited, taken in, heard of, removed."""

import asyncio
import json
import re
import time
from dataclasses import replace

import pytest

from genesis.keys.keystore import unlock_agent, unlock_operator
from mesh.core.fleet.manifest import open_manifest, sign_manifest
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import sign_request
from mesh.mirrors.offering import PREFIX
from mesh.witnesses.equivocations import mint_equivocation
from tests.mesh.peers import as_object
from tests.mesh.wire import client
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
    return taken_in(founder, home, name, *more)


def taken_in(founder, home, name, *more):
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
    """Whoever of the fleet finds that a log has two histories leaves the proof at a member's relay,
    as any member may by default; the fleet is told. Of a stranger's log nobody cares.
    """
    assert left(founder, STRANGER).startswith("blocked:")
    assert not frozen(founder)
    for node in (founder, *others):
        assert left(founder, signer(node)) is True
    for node in (founder, *others):
        until(lambda node=node: frozen(node) == [TRUE.id.hex()], WAIT, "it is frozen")
        until(lambda node=node: len(node.log("witness.proved")) == 1, WAIT, "it is on record")
    stranger = replace(TWO_SIZES, ledger_id=bytes(32)).encode()
    founder.request("POST", "/witness/equivocation", stranger, token="").refused(422)


STRANGER = NostrSigner(bytes([77]) * 32)


def signer(node):
    return NostrSigner(unlock_agent(node.home.path, PASSPHRASE).nostr.secret)


def left(node, who):
    """Whether a node's relay takes a proof from somebody, or why not."""
    now = int(time.time())
    event = mint_equivocation(who, ONE_SIZE.encode(), ledger=TRUE.id.hex(), size=5, now=now)

    async def leave():
        async with client(f"ws://127.0.0.1:{node.port}/") as wire:
            await wire.send("EVENT", as_object(event))
            _, event_id, taken, why = (await wire.until("OK"))[-1]
            assert event_id == event.id
            return taken or why

    return asyncio.run(leave())


def frozen(node):
    return [one["ledger"] for one in node.request("GET", "/v1/witness").json["witness"]["frozen"]]


def cosigners(node):
    found = node.request("GET", "/v1/witness").json["witnessed"]
    return 0 if found is None or found["newest"] is None else len(found["newest"]["witnesses"])


def removed(founder, one, two):
    """A removed member is given no words, nobody listens to its heads, and no relay of theirs."""
    assert asked(founder, one, "GET", words_of(founder)).status == 200
    asked(founder, one, "GET", words_of(founder), manifest=None).refused(409, "manifest here is")
    one.stop()
    founder.home.run("mesh", "remove", "one").good()
    for node in (founder, two):
        until(lambda node=node: len(fleet(node)["members"]) == 2, WAIT, "it is gone")
    assert "one" not in [m["name"] for m in fleet(founder)["members"]]
    home = one.home
    one = home.start()
    until(lambda: fleet(one)["removed"], WAIT, "it hears of it when it says that it is there")
    for node in (founder, two):
        asked(node, one, "GET", words_of(node)).refused(403, "does not give that to you")
        asked(node, one, "POST", "/fleet/gossip").refused(422, "with its fleet")
        assert left(node, signer(one)).startswith("blocked:")
        assert left(node, signer(founder)) is True
    alone(one)
    one.stop()
    one = home.start()
    alone(one)
    one.stop()
    one = taken_in(founder, home, "one")
    for node in (founder, two, one):
        until(lambda node=node: there(node, 3), WAIT, "it is back")
    assert fleet(one)["removed"] is None


def alone(node):
    """It is shown the way out, waits for nobody's signature and holds nothing back."""
    shown = node.home.run("mesh", "members").good()
    assert re.search(r"^REMOVED   manifest \d+ took this node out of it$", shown.out, re.MULTILINE)
    assert "timmy run --join TOKEN" in shown.err
    lines = (node.home.path / "logs/node.log").read_text().splitlines()
    assert sum("TAKEN OUT OF ITS FLEET" in line for line in lines) == 1
    found = node.request("GET", "/v1/witness").json["witnessed"]
    assert found is None or (found["asked"], found["needed"]) == ([], 0)
    until(lambda: not held(node), WAIT, "nobody has to vouch for it")


def held(node):
    found = node.request("GET", "/v1/head").json["witnessed"]
    return found is not None and found["held"]


def words_of(node):
    [own] = [one for one in fleet(node)["members"] if one["self"]]
    return f"{PREFIX}/{own['ledger']}/bodies?start=0&stop=1"


def asked(node, who, method, path, manifest=""):
    """What a node answers to a request that another one signed."""
    url = f"http://127.0.0.1:{node.port}{path}"
    header = sign_request(
        signer(who), url, method, node=signer(node).pubkey,
        now=int(time.time()), manifest=fleet(node)["digest"] if manifest == "" else manifest,
    )  # fmt: skip
    return node.request(method, path, b"", token="", headers={"Authorization": header})


def refused(node):
    """Which paths were refused to somebody, as the log says it: each once."""
    lines = (node.home.path / "logs/node.log").read_text().splitlines()
    rows = [json.loads(line) for line in lines if "a peer is refused" in line]
    assert all(row["why"] and row["peer"] == "127.0.0.1" for row in rows)
    return [row["path"] for row in rows]


def test_an_operator_who_signs_two_manifests_is_shown(founder):
    home = founder.home
    [first] = (home.path / "fleet").glob("*.manifest")
    known = open_manifest(first.read_bytes()).manifest
    operator = unlock_operator(home.state / "operator", PASSPHRASE)
    for needed, status in ((known.needed, 200), (known.needed, 422)):
        urls = (f"http://127.0.0.1:{7 if status == 200 else 8}",)
        made = known.following(needed=needed, members=(replace(known.members[0], urls=urls),))
        data = sign_manifest(made, operator).encode()
        answer = founder.request("POST", "/fleet/manifest", data, token="")
        assert answer.status == status, answer
    shown = home.run("mesh", "members").good().out
    assert "TWO MANIFESTS" in shown
    [row] = [row for row in home.run("--json", "doctor").json if row["name"] == "manifests"]
    assert row["ok"] is False
    assert "000001-" in row["text"]
    assert "SIGNED TWO MANIFESTS" in (home.path / "logs/node.log").read_text()


def test_a_token_is_good_once_and_for_whom_it_was_given(founder, place):
    token = founder.home.run("mesh", "invite", "--roles", "jobs").good().out.strip()
    home = place("one").configure()
    home.run("init").good()
    assert "would not be noticed" in noticed(home)
    home.run("run", "--join", token[:-3] + "xyz").refused("mistyped")
    assert not (home.path / "fleet").exists()
    answer = founder.request("POST", "/fleet/join", b"\x82\x40\x40", token="")
    answer.refused(422)
    for _ in range(3):
        founder.request("POST", "/fleet/presence", b"junk", token="").refused(422)
        founder.request("POST", "/fleet/manifest", b"junk", token="").refused(422)
    assert refused(founder) == ["/fleet/join", "/fleet/presence", "/fleet/manifest"]
    founder.request("GET", "/v1/fleet", token="wrong").refused(401)
    founder.home.run("mesh", "admit").refused("nobody asks")
    founder.home.run("mesh", "remove", "nobody").refused("0 of those to remove")
    founder.home.run("mesh", "found").refused("is of a fleet")
    founder.home.run("mesh", "approve", "01234567").refused("no such manifest")
    founder.home.run("mesh", "invite", "--roles", "king").refused("unknown role")
