"""Nodes as processes: one is the witness of the other, across crashes, old backups and forks."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from websockets.sync.client import connect

from genesis.keys.keystore import agent_path, unlock_root
from ledger.core.bundle import Reader, SignedHead
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.cosignature import Witness, cosignatures, log_key
from ledger.core.note import parse_note
from mesh.core.witnesses.add_checkpoint import AddCheckpoint
from node.home import Home as Places
from node.open import open_log
from tests.node.public_witness import PublicWitness
from tests.node.world import PASSPHRASE, SETTINGS, until
from tests.spec.make_equivocations import ONE_SIZE

WAIT = 60.0
RFC_8032_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"""Section 7.1, test 1."""


def ledger_of(home):
    return home.guard.parent.name


def ask(home, url, key):
    """Configure `home` to ask a witness."""
    home.configure(
        f"{SETTINGS}\n[publish]\ninterval_s = 1\n"
        f'[witness]\ninterval_s = 1\nask = [{{ url = "{url}", key = "{key}" }}]\n'
    )
    return Witness.parse(key)


def asking(home, witness):
    """Configure `home` to ask a running witness."""
    key = witness.request("GET", "/witness/key").body.decode().strip()
    return ask(home, f"http://127.0.0.1:{witness.port}/witness", key)


@pytest.fixture
def pair(born_seed, place, tmp_path):
    """A witness that runs, and an agent that asks it."""
    agent = born_seed.copy(tmp_path / "agent")
    witness = place("witness").configure()
    witness.run("init").good()
    witness.configure(f'{SETTINGS}\n[witness]\nenabled = true\nlogs = ["{ledger_of(agent)}"]\n')
    node = witness.start()
    yield agent, node
    agent.end()


def shown(node):
    return node.request("GET", "/v1/witness").json


def cosigned(node, size):
    newest = shown(node)["witnessed"]["newest"]
    return newest is not None and newest["size"] >= size


def test_a_head_is_cosigned_and_anybody_can_check_it(pair, tmp_path):
    agent, witness = pair
    key = asking(agent, witness)
    with agent.running() as node:
        until(lambda: not node.status()["held"], WAIT, "the witness has answered")
        said = node.say("the roof needs new tiles")
        until(
            lambda: cosigned(node, said["answer"]["position"] + 1), WAIT, "the words are cosigned"
        )
        [log] = shown(witness)["witness"]["logs"]
        assert log["ledger"] == ledger_of(agent)
        file, whole = tmp_path / "said.proof", tmp_path / "all.bundle"
        agent.run("prove", str(said["answer"]["position"]), "-o", str(file)).good()
        agent.run("export", "-o", str(whole)).good()
        for one in (file, whole):
            found = agent.run("verify", str(one), "--witness", key.encode()).good()
            assert "1 of 1 cosigned the head" in found.out
        stranger = Witness(name="stranger.example", public=bytes(32)).encode()
        asked = ("--witness", key.encode(), "--witness", stranger)
        assert agent.run("verify", str(file), *asked).code == 1
        assert (
            "1 of 2 cosigned"
            in agent.run("verify", str(file), *asked, "--witnesses", "1").good().out
        )
        agent.run("verify", str(file), "--witness", key.encode()[:-4]).refused(
            "public key of 29 bytes"
        )
        agent.run("verify", str(file), *asked, "--witnesses", "3").refused("3 witnesses")
        graph = agent.run("--json", "trust", "show").good().json
        [edge] = [one for one in graph["edges"] if one["how"] == "cosigned"]
        assert edge["source"] == f"witness:{key.name}"
        assert edge["evidence"] == "witnessed.note" or edge["event"] is not None
        newest = witness.request("GET", f"/witness/head/{ledger_of(agent)}", token="")
        assert len(cosignatures(parse_note(newest.body), [key])) == 1
        assert agent.run("mesh", "witness").good().out.count("cosigned") == 2
    note = parse_note((agent.path / "witnessed.note").read_bytes())
    [found] = cosignatures(note, [key])
    assert found.witness == key


def test_a_public_witness_takes_the_log_by_the_key_that_is_shown(born, tmp_path):
    """It was enrolled with what `timmy mesh witness` printed, and verifies by Ed25519 alone."""
    with born.configure().running() as node:
        log = shown(node)["log"]
        told = born.run("mesh", "witness").good().out.splitlines()
        assert told[:2] == [f"origin    {log['origin']}", f"verifier  {log['key']}"]
        assert log["origin"] == f"timmy/{ledger_of(born)}/0"
    witness, stranger = PublicWitness(log["key"]), PublicWitness(other_key(log["origin"]))
    with witness.serving() as url:
        key = ask(born, url, witness.key)
        with born.running() as node:
            position = node.say("the roof needs new tiles")["answer"]["position"]
            until(
                lambda: witness.refused or cosigned(node, position + 1),
                WAIT,
                "it was shown the words",
            )
            assert witness.refused == []
            born.run("prove", str(position), "-o", str(tmp_path / "said.proof")).good()
    found = born.run("verify", str(tmp_path / "said.proof"), "--witness", witness.key).good()
    assert "1 of 1 cosigned the head" in found.out
    with stranger.serving() as url:
        ask(born, url, stranger.key)
        with born.running() as node:
            until(lambda: stranger.refused, WAIT, "one that knows another key was asked")
            assert node.status()["held"], "and signed nothing"
    assert key.encode() == witness.key


def other_key(origin):
    """The verifier key of a log of this name whose secret is another."""
    return log_key(origin, bytes.fromhex(RFC_8032_KEY))


def test_nothing_is_released_until_a_witness_answers(pair):
    """And everything is appended meanwhile; the operator may answer in its place."""
    agent, witness = pair
    asking(agent, witness)
    witness.stop()
    with agent.running() as node:
        before = node.request("GET", "/v1/head").json["size"]
        node.say("are you there?")
        assert node.request("GET", "/v1/head").json["size"] == before
        assert node.status()["events"] > before
        assert agent.run("mesh", "witness").code == 1
        assert agent.run("mesh", "witness", "vouch").good()
        assert node.request("GET", "/v1/head").json["size"] > before
        assert len(node.log("witness.vouched")) == 1


def test_a_soul_is_attested_with_the_signatures_that_are_needed(pair, tmp_path):
    """The newest head that has them, or none: what strangers see of who this is, too."""
    agent, witness = pair
    key = asking(agent, witness)
    agent.configure(agent.config.read_text().replace("[witness]", "[witness]\nneeded = 1"))
    with agent.running() as node:
        first = attested(node, key, tmp_path)
        assert first["size"] > 0
        position = node.say("who are you?")["answer"]["position"]
        newest = attested(node, key, tmp_path)
        assert newest["size"] > position, "the witness was asked for the newest one"
        witness.stop()
        position = node.say("and who are you now?")["answer"]["position"]
        late = attested(node, key, tmp_path)
        assert newest["size"] <= late["size"] <= position, "what it had signed before it left"
    with agent.running() as node:
        agent.run("soul", "attest").refused("nothing is attested: no witness", "mesh witness")
        assert len(node.log("soul.attested")) == 3
    agent.configure(agent.config.read_text().replace("needed = 1", "needed = 2"))
    with agent.running() as node:
        agent.run("mesh", "witness", "vouch").good()
        agent.run("soul", "attest").refused("no head has the 2 cosignatures", "mesh witness")
        assert len(node.log("soul.attested")) == 3
        assert on_relay(node)["id"] == late["nostr"]
    agent.configure()
    with agent.running() as node:
        position = node.say("nobody has to sign")["answer"]["position"]
        assert agent.run("--json", "soul", "attest").good().json["size"] > position


def attested(node, key, tmp_path):
    """What a node attests, which a stranger finds on its relay and checks by the witness's key."""
    home = node.home
    done = home.run("--json", "soul", "attest").good().json
    event = on_relay(node)
    assert (event["id"], dict(event["tags"])["n"]) == (done["nostr"], str(done["size"]))
    file = tmp_path / "from-relay.soul"
    file.write_bytes(base64.b64decode(event["content"]))
    soul = ("--soul", str(home.path / "SOUL.md"))
    found = home.run("soul", "verify", str(file), *soul, "--witness", key.encode()).good()
    assert "1 of 1 cosigned the head" in found.out
    with file.open("rb") as opened:
        notes = [one.note for one in Reader(opened) if isinstance(one, SignedHead)]
    assert max(int(note.split(b"\n")[1]) for note in notes) == done["size"], "and no larger head"
    return done


def on_relay(node):
    """The attestation that a node's own relay has."""
    status = node.status()
    wanted = {"kinds": [30078], "#d": [f"timmy/soul/{status['ledger']}"]}
    with connect(status["relay"]) as relay:
        relay.send(json.dumps(["REQ", "x", wanted]))
        return json.loads(relay.recv(timeout=WAIT))[2]


def test_a_machine_rolled_back_whole_releases_nothing(pair, tmp_path):
    """Home, guard and all: only the witness knows that more was signed."""
    agent, witness = pair
    asking(agent, witness)
    with agent.running() as node:
        until(lambda: cosigned(node, 1), WAIT, "the start is cosigned")
    backup = agent.copy(tmp_path / "backup")
    with agent.running() as node:
        said = node.say("I owe you ten pounds")
        until(
            lambda: cosigned(node, said["answer"]["position"] + 1), WAIT, "the words are cosigned"
        )
    roll_back(agent, backup)
    with agent.running() as node:
        releases_nothing(node)
        shutil.rmtree(backup.root)
        hint = agent.run("mesh", "witness", "vouch").refused("it saw", "timmy recover").err
        assert "recover --kit" in agent.run("status").good().out
        assert "recover --kit" in agent.run("mesh", "witness").out
    aside = begins_an_epoch(agent, hint)["aside"]
    assert "what do I owe you?" in Path(aside).read_text()
    with agent.running() as node:
        until(lambda: not node.status()["held"], WAIT, "the witness knows the new epoch")
        said = node.say("here I am again")["answer"]["position"]
        until(lambda: cosigned(node, said + 1), WAIT, "the words are cosigned")
        assert node.status()["head"]["epoch"] == 1
    assert agent.run("--json", "verify").good().json["verdict"] == "RECOVERED"
    agent.run("recover", "--kit", kit(agent), "--yes").refused("nothing to recover from")


def roll_back(home, backup):
    """Put a copy in the place of a home whose node is stopped."""
    shutil.rmtree(home.root)
    shutil.copytree(backup.root, home.root)


def releases_nothing(node):
    """It is held by what a witness saw; it answers, and no head shows that."""
    until(lambda: "it saw" in node.status()["held"], WAIT, "the witness says that it saw more")
    released = node.request("GET", "/v1/head").json["size"]
    assert node.answer("what do I owe you?")
    assert node.request("GET", "/v1/head").json["size"] == released
    assert len(node.log("witness.disagreed")) == 1


def kit(home):
    [found] = home.state.glob("recovery-kit-*")
    return str(found)


def begins_an_epoch(home, hint, file=None):
    """Type what a hint says: it names the kit, and then that what is lost is given up."""
    [words] = re.findall(r"timmy (recover --kit) FILE", hint)
    named = str(file or kit(home))
    home.run(*words.split(), named).refused("gives up", "--yes")
    begun = home.run("--json", *words.split(), named, "--yes").good()
    assert "saw more" in begun.err or "a mirror has" in begun.err
    assert begun.json["epoch"] == 1
    return begun.json


def test_two_copies_of_one_home_are_proven(pair, tmp_path):
    """Somebody hands the witness what the other copy signed: both heads are of one size."""
    agent, witness = pair
    asking(agent, witness)
    with agent.running() as node:
        until(lambda: cosigned(node, 1), WAIT, "the start is cosigned")
    twin = agent.copy(tmp_path / "twin").configure()  # it asks nobody
    with agent.running() as node:
        position = node.say("buy marmalade")["answer"]["position"]
        until(lambda: cosigned(node, position + 1), WAIT, "the words are cosigned")
    with twin.running() as node:
        node.say("buy honey, and two jars of it")
    [log] = shown(witness)["witness"]["logs"]
    asked = AddCheckpoint(old_size=log["size"], path=(), note=head_of(twin, log["size"]))
    answer = witness.request("POST", "/witness/add-checkpoint", asked.encode(), token="")
    assert answer.status == 422, answer
    frozen = shown(witness)["witness"]["frozen"]
    assert [one["ledger"] for one in frozen] == [ledger_of(agent)]
    assert len(witness.log("witness.proved")) == 1
    proof = tmp_path / "two.proof"
    witness.home.run("mesh", "witness", "proof", ledger_of(agent), "-o", str(proof)).good()
    found = agent.run("verify", str(proof), "--soul", str(agent.path / "SOUL.md"))
    assert found.code == 1
    assert "DIVERGED" in found.out
    with agent.running() as node:
        until(lambda: "asked" not in outcome(node), WAIT, "it was asked")
        assert outcome(node) == "refused"
        assert node.status()["held"]
    others(witness, proof.read_bytes())


def outcome(node):
    return shown(node)["witnessed"]["asked"][0]["outcome"]


def others(witness, proof):
    """The proof is taken from anybody, once, and only if it proves something."""
    assert witness.request("POST", "/witness/equivocation", proof, token="").status == 200
    assert len(witness.log("witness.proved")) == 1
    known = witness.request("POST", "/witness/equivocation", proof[:-1], token="")
    assert (
        known.json["sha256"] == hashlib.sha256(proof).hexdigest()
    )  # of what is known: not looked at
    cut = ONE_SIZE.encode()[:-1]
    witness.request("POST", "/witness/equivocation", cut, token="").refused(422, "not witnessed")
    witness.request("POST", "/witness/equivocation", b"x" * 2_000_000, token="").refused(422)


def head_of(home, size):
    """The note of `size` as the key signs it that both copies have; the node is stopped."""
    places = Places(path=home.path, state=home.state)
    keys = unlock_root(agent_path(home.path), PASSPHRASE)
    with open_log(places) as log:
        checkpoint = Checkpoint(
            ledger_id=log.ledger_id, epoch=0, size=size, root=log.tree.root(size)
        )
        return sign_checkpoint(checkpoint, keys.log).encode()


def test_a_witness_that_lies_gives_no_reason_for_an_epoch_once_it_is_not_asked_any_more(
    pair, tmp_path
):
    """What it said stays on record; the head that was released over it ends its weight."""
    agent, witness = pair
    asking(agent, witness)
    with agent.running() as node:
        until(lambda: cosigned(node, 1), WAIT, "the start is cosigned")
    backup = agent.copy(tmp_path / "backup")
    with agent.running() as node:
        said = node.say("I owe you ten pounds")["answer"]["position"]
        until(lambda: cosigned(node, said + 1), WAIT, "the words are cosigned")
    roll_back(agent, backup)
    shutil.rmtree(backup.root)
    with agent.running() as node:
        until(lambda: "it saw" in node.status()["held"], WAIT, "the witness says that it saw more")
        hint = node.status()["witnessed"]["hint"]
        assert "take it out of node.toml; else stop the node, then fetch" in hint
    agent.configure()
    with agent.running() as node:
        assert node.status()["held"] == ""
        head = node.request("GET", "/v1/head").json["size"]
        [told] = node.log("witness.disagreed")
        assert told["position"] < head
    agent.run("recover", "--kit", kit(agent), "--yes").refused("nothing to recover from")
