"""An identity as a stranger meets it: shown, as a file, on a relay, as a git tag, as a graph."""

import base64
import json
import subprocess

import pytest
from websockets.sync.client import connect

from tests.node.test_node_patches import SAID
from tests.node.world import SETTINGS, Home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("soul") / "user").configure(SETTINGS)
    with home.running():
        yield home
    home.end()


def git(repo, *arguments):
    return subprocess.run(["git", "-C", repo, *arguments], capture_output=True, text=True, check=False)  # fmt: skip


@pytest.fixture
def repo(home, tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "SOUL.md").write_bytes((home.path / "SOUL.md").read_bytes())
    git(folder, "init", "-q")
    git(folder, "add", "SOUL.md")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "soul")
    return folder


def test_show_names_the_keys_in_charge(home):
    value = home.run("--json", "soul", "show").good().json
    genesis = home.run("--json", "show", "0").good().json
    assert value["ledger"] == genesis["id"]
    [tenure] = value["tenures"]
    assert (tenure["cause"], tenure["start"]) == ("birth", 0)
    assert tenure["keys"]["log"] == genesis["payload"]["keys"]["log"]
    assert home.run("soul", "show", "--json").good().json == value
    shown = home.run("soul", "show").good().out
    assert value["npub"] in shown
    assert value["soul"]["sha256"] in shown


def test_the_chain_is_a_file_that_verifies_with_soul_md_alone(home, tmp_path):
    file, soul = str(tmp_path / "me.soul"), str(home.path / "SOUL.md")
    home.run("soul", "chain", "-o", file).good()
    home.run("soul", "chain", "-o", file).refused("already there")
    stranger = Home(tmp_path / "elsewhere", None)
    found = stranger.run("soul", "verify", file, "--soul", soul).good()
    assert "SOUL.md is its own" in found.out
    other = tmp_path / "other.md"
    other.write_text("somebody else\n")
    assert stranger.run("soul", "verify", file, "--soul", str(other)).code == 1


def test_an_attestation_is_on_the_relay_under_the_npub_and_verifies(home, tmp_path):
    done = home.run("--json", "soul", "attest").good().json
    status = home.run("--json", "status").good().json
    ledger = status["ledger"]
    with connect(status["relay"]) as relay:
        relay.send(json.dumps(["REQ", "x", {"kinds": [30078], "#d": [f"timmy/soul/{ledger}"]}]))
        kind, _, event = json.loads(relay.recv(timeout=30))
    assert (kind, event["id"]) == ("EVENT", done["nostr"])
    file = tmp_path / "from-relay.soul"
    file.write_bytes(base64.b64decode(event["content"]))
    stranger = Home(tmp_path / "elsewhere", None)
    stranger.run("soul", "verify", str(file), "--soul", str(home.path / "SOUL.md")).good()
    kept = home.run("--json", "show", str(done["position"])).good().json
    assert kept["type"] == "soul.attested"
    assert kept["payload"]["sha256"] == done["sha256"] == dict(event["tags"][:3])["x"]


def test_git_verifies_the_tag_and_the_ledger_names_its_key(home, repo):
    done = home.run("--json", "soul", "tag", "--repo", str(repo)).good().json
    (repo / "signers").write_text(done["allowed_signers"])
    signers = ("-c", f"gpg.ssh.allowedSignersFile={repo / 'signers'}")
    found = git(repo, *signers, "verify-tag", "v1.0-soul")
    assert found.returncode == 0, found.stderr
    kept = home.run("--json", "show", str(done["position"])).good().json["payload"]
    assert kept["key"] == done["key"]
    assert git(repo, "cat-file", "tag", "v1.0-soul").stdout == kept["tag"]
    home.run("soul", "tag", "--repo", str(repo)).refused("has a tag v1.0-soul already")
    home.run("soul", "tag", "--repo", str(repo), "--name", "a..b").refused("no name for a tag")


def test_another_soul_md_is_never_tagged(home, repo, tmp_path):
    (repo / "SOUL.md").write_bytes((repo / "SOUL.md").read_bytes() + b"\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    git(repo, *who, "commit", "-qam", "one byte more")
    home.run("soul", "tag", "--repo", str(repo)).refused("is not the SOUL.md of this agent")
    empty = tmp_path / "empty"
    empty.mkdir()
    home.run("soul", "tag", "--repo", str(empty)).refused("git")


def test_the_graph_leads_from_the_soul_to_a_verdict(home, tmp_path):
    diff = "examples/remember-more.diff"
    at = home.run("--json", "patch", "propose", diff, *SAID).good().json["position"]
    home.run("patch", "judge", str(at)).good()
    shown = home.run("trust", "show").good().out
    assert "was born as key set 0, epoch 0" in shown
    assert f"[patch:{at}]" in shown
    graph = home.run("--json", "trust", "show").good().json
    kinds = {node["kind"] for node in graph["nodes"]}
    assert {"soul", "instance", "operator", "key", "patch", "verdict"} <= kinds
    way = home.run("--json", "trust", "path", "soul:", "verdict:").good().json
    assert [edge["how"] for edge in way] == ["was born as", "was offered", "was judged"]
    assert home.run("trust", "path", "soul:", "verdict:", "--json").good().json == way
    assert home.run("trust", "path", "verdict:", "soul:").code == 1
    home.run("trust", "path", "soul:", "nothing").refused("nothing here is")
    picture = tmp_path / "trust.svg"
    home.run("trust", "show", "--svg", str(picture)).good()
    assert picture.read_text().startswith("<svg")
    whole = picture.read_text().count("<rect")
    home.run("trust", "path", "soul:", "verdict:", "--svg", str(picture)).good()
    assert picture.read_text().count("<rect") < whole
    assert "was judged" in picture.read_text()
