"""The vectors of docs/spec/proposal.md, run on our code."""

import base64
import json
import shutil
import subprocess

import cbor2
import pytest
from blake3 import blake3

from genesis.core.architecture import Architecture, Manifest
from genesis.core.errors import InvalidTree, PatchError, Reason
from genesis.core.patch import parse
from genesis.core.proposal import parse_proposal, weigh
from tests.genesis_patches import make_vectors

PROPOSALS = json.loads((make_vectors.FOLDER / "proposals.json").read_text())
MANIFESTS = json.loads((make_vectors.FOLDER / "manifests.json").read_text())["cases"]
BASE = Architecture(
    {path: text.encode() for path, text in PROPOSALS["base"]["files"].items()},
    frozenset(PROPOSALS["base"]["reducers"]),
)


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


def test_the_base_is_as_it_says():
    assert BASE.root.hex() == PROPOSALS["base"]["root"]
    assert BASE.tree.digest.hex() == PROPOSALS["base"]["tree"]
    assert BASE.manifest.encode().hex() == PROPOSALS["base"]["manifest"]


@named(PROPOSALS["cases"])
def test_proposals(case):
    data = base64.b64decode(case["document"])
    if case["class"] is None:
        proposal = parse_proposal(data)
        made = weigh(proposal, BASE).result
        assert (made.root.hex(), made.tree.digest.hex()) == (case["root"], case["tree"])
        assert parse(proposal.patch.data).data.decode() == case["diff"]
        return
    with pytest.raises(PatchError) as caught:
        weigh(parse_proposal(data), BASE)
    assert (caught.value.reason.value, caught.value.line) == (case["class"], case["line"])


@named(MANIFESTS)
def test_manifests(case):
    data = bytes.fromhex(case["manifest"])
    if case["class"] is None:
        assert Manifest.decode(data).root.hex() == case["root"]
        return
    with pytest.raises(InvalidTree):
        Manifest.decode(data)


def test_every_reason_that_a_document_can_be_refused_for_has_a_case():
    """Beside those of a ledger (repeated, crowded) and those that git's headers alone have."""
    seen = {case["class"] for case in PROPOSALS["cases"]}
    assert {reason.value for reason in Reason} - seen <= {"repeated", "crowded"}


def test_the_files_are_what_the_script_makes():
    assert make_vectors.proposals() == PROPOSALS
    assert make_vectors.manifests()["cases"] == MANIFESTS


def kind_of(path):
    """The table of the page, the short way: good cases hold nothing else."""
    if path.startswith("runtime/agent/"):
        return "agent-code" if path.endswith(".py") else "prompt"
    heads = {"skills": "skill", "skins": "skin", "thresholds.toml": "threshold"}
    return heads.get(path.partition("/")[0], "reducer")


def root_of(files):
    def hashed(context, data):
        return blake3(data, derive_key_context=f"timmy-node 2026-11 {context} v1").digest()

    rows = [
        [path, kind_of(path), len(files[path]), hashed("architecture tree", files[path])]
        for path in sorted(files)
    ]
    return hashed("architecture manifest", cbor2.dumps([1, rows], canonical=True)).hex()


@named([case for case in PROPOSALS["cases"] if case["class"] is None])
def test_a_stranger_finds_the_root_with_git_and_other_libraries(case, tmp_path):
    """Nothing of ours but the diff: git applies it, cbor2 and blake3 make the root."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    for path, text in PROPOSALS["base"]["files"].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    (tmp_path / "x.diff").write_text(case["diff"])
    command = ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", "x.diff"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "x.diff").unlink()
    made = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert root_of(made) == case["root"]
