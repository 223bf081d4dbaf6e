"""From a message to a Bitcoin block, and from a patch to a signed verdict, on real parts."""

import pytest

from genesis.core.verdict import verify_envelope
from tests.e2e.chain import running_chain
from tests.e2e.make_examples import EXAMPLES
from tests.node.world import SETTINGS, Home


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@pytest.fixture(scope="module")
def home(chain, tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("thread") / "user").configure(SETTINGS + chain.settings)
    with home.running():
        yield home
    home.end()


def anchor(home, action):
    return home.run("--json", "anchor", action).good().json


def test_a_message_reaches_a_block_and_a_stranger_can_tell(home, chain, tmp_path):
    said = home.run("--json", "say", "the beam was replaced today").good().json["message"]
    at = str(said["position"])
    proof = tmp_path / "x.proof"
    home.run("prove", at, "--anchored", "-o", str(proof)).refused("no anchor in a block covers")
    home.run("anchor", "now").refused("the seal is not open")
    home.run("anchor", "open").refused("fund")
    chain.mine(101, anchor(home, "fund")["funding_address"])
    assert anchor(home, "open")["links"][0]["standing"] == "pending"
    chain.mine(1)
    assert anchor(home, "status")["links"][0]["standing"] == "seen"
    home.run("prove", at, "--anchored", "-o", str(proof)).good()
    later = str(home.run("--json", "say", "and painted").good().json["message"]["position"])
    anchor(home, "now")
    chain.mine(6)
    links = anchor(home, "status")["links"]
    assert [(link["kind"], link["standing"]) for link in links] == [
        ("opening", "confirmed"),
        ("anchor", "confirmed"),
    ]
    home.run("prove", later, "--anchored", "-o", str(proof), "--force").good()
    soul = str(home.path / "SOUL.md")
    stranger = Home(tmp_path / "another machine", None)
    found = stranger.run("--json", "verify", str(proof), "--soul", soul, "--require", "confirmed")
    assert found.good().json["verdict"] == "TEST"
    assert "2 links on one seal" in found.out
    assert not stranger.path.exists()
    deeper = stranger.run("verify", str(proof), "--soul", soul, "--require", "final")
    assert deeper.code == 1
    assert "final was required, this is confirmed" in deeper.out


def test_anchoring_is_housekeeping_and_never_feeds_itself(home, chain):
    before = home.run("--json", "log", "--type", "anchor.requested").good().json
    for _ in range(3):
        chain.mine(1)
        anchor(home, "status")
    after = home.run("--json", "log", "--type", "anchor.requested").good().json
    assert len(after) == len(before)
    anchored = home.run("--json", "log", "--type", "checkpoint.anchored", "--last", "99").good()
    assert len(anchored.json) == 2


def test_every_bit_of_an_anchored_proof_counts(home, tmp_path):
    """One flipped bit anywhere: never a good verdict, never a crash."""
    at = home.run("--json", "log", "--type", "message.received").good().json[0]["position"]
    proof = tmp_path / "y.proof"
    home.run("prove", str(at), "--anchored", "-o", str(proof)).good()
    from node.verifier import verify_bundle

    soul = (home.path / "SOUL.md").read_bytes()
    good = proof.read_bytes()
    bad = tmp_path / "bad.proof"
    for offset in range(0, len(good), 7):
        data = bytearray(good)
        data[offset] ^= 1 << (offset % 8)
        bad.write_bytes(data)
        with bad.open("rb") as file:
            assert not verify_bundle(file, soul).good, offset


def judged(home, name):
    event = home.run("--json", "patch", "propose", str(EXAMPLES / name)).good().json
    return home.run("--json", "patch", "judge", str(event["position"]))


def test_a_patch_is_judged_by_a_successor_accept_and_reject(home):
    good, bad = judged(home, "remember-more.diff"), judged(home, "always-fine.diff")
    assert (good.code, good.json["decision"]) == (0, "accept")
    assert (bad.code, bad.json["decision"]) == (1, "reject")
    log_key = bytes.fromhex(home.run("--json", "show", "0").good().json["payload"]["keys"]["log"])
    for found in (good, bad):
        signed = verify_envelope(found.json["envelope"].encode(), trusted={log_key})
        assert signed.signers == (log_key,)
        row = home.run("--json", "show", str(found.json["position"])).good().json
        assert row["payload"]["decision"] == found.json["decision"]
        assert row["causes"][0]["position"] == found.json["patch"]


def test_a_patch_outside_the_agent_is_not_for_the_judge(home, tmp_path):
    diff = tmp_path / "outside.diff"
    text = (EXAMPLES / "remember-more.diff").read_text()
    diff.write_text(text.replace("runtime/agent/loop.py", "ledger/core/event.py"))
    home.run("patch", "propose", str(diff)).refused("ledger/core/event.py")
    diff.write_text("not a diff\n")
    assert home.run("patch", "propose", str(diff)).code == 2
