"""The main job, as a user would do it: real processes, real input, from birth to a moved home."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ledger.core import hashing
from tests.node.world import Home, until

DOCS = Path(__file__).parent.parent.parent / "docs"
DOCUMENTS = [
    DOCS / name
    for name in ("ARCHITECTURE.md", "GLOSSARY.md", "MUTATION.md", "adr/0005-state-digest.md")
]
"""Real text: this project's own pages. Only one of them says LtHash, only one SegWit."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("main") / "user").configure()
    yield home
    home.end()


@pytest.fixture(scope="module")
def lived(home):
    """Born by `run`, fed four documents as messages and memories, talked with."""
    with home.running() as node:
        until(lambda: "talk to it" in node.said.read_text(), 120, "the node has greeted")
        assert re.search(r"npub +npub1[a-z0-9]{58}", node.said.read_text())
        for number, path in enumerate(DOCUMENTS):
            home.run(
                "say", "--conversation", f"document {number}", "-", stdin=path.read_bytes()
            ).good()
            for hold in node.status()["holds"]:  # a page that speaks of crises holds who sends it
                home.run("release", hold["author"]).good()
            home.run("memory", "add", "--file", str(path)).good()
        home.run("say", "--conversation", "questions", "lattice hash touched late").good()
        said = home.run("--json", "say", "what about the roof beam?").good().json
        assert said["answer"]["content"]["text"]
    return home


def position_of(home, *words, kind="message.received"):
    found = home.run("--json", "search", *words).good().json
    return next(row["position"] for row in found if row["type"] == kind)


def test_what_was_said_is_found_and_explained(lived):
    at = position_of(lived, "lthash", "lanes")
    row = lived.run("--json", "show", str(at)).good().json
    assert row["content"]["text"] == next(
        p.read_text() for p in DOCUMENTS if "LtHash" in p.read_text()
    )
    answer = next(
        event["position"]
        for event in lived.run("--json", "log", "--type", "message.sent").good().json
        if event["payload"]["conversation"] == row["payload"]["conversation"]
    )
    why = lived.run("--json", "why", str(answer)).good().json
    assert at in [step["position"] for step in why]
    assert "message.received" in lived.run("why", str(answer)).good().out


def test_what_was_given_to_remember_is_listed_recalled_and_cited(lived):
    rows = lived.run("--json", "memory", "list").good().json
    assert [row["content"]["text"] for row in rows] == [path.read_text() for path in DOCUMENTS]
    noted = position_of(lived, "lthash", "lanes", kind="memory.noted")
    answers = lived.run("--json", "log", "--type", "message.sent").good().json
    [answer] = [row for row in answers if row["payload"]["conversation"] == "questions"]
    assert f"- [{noted}] " in answer["content"]["text"]


def test_a_stranger_can_check_a_proof_with_nothing_else(lived, tmp_path):
    at = position_of(lived, "lthash", "lanes")
    proof = tmp_path / "said.proof"
    lived.run("prove", str(at), "-o", str(proof)).good()
    stranger = Home(tmp_path / "stranger", None)
    soul = str(lived.path / "SOUL.md")
    report = stranger.run("--json", "verify", str(proof), "--soul", soul).good().json
    assert (report["verdict"], report["position"]) == ("UNBROKEN-PENDING", at)
    assert not stranger.path.exists()
    bad = tmp_path / "bad.proof"
    bad.write_bytes(proof.read_bytes().replace(b"LtHash", b"MtHash", 1))
    assert stranger.run("verify", str(bad), "--soul", soul).code == 1
    other = tmp_path / "OTHER.md"
    other.write_text((lived.path / "SOUL.md").read_text() + "\n")
    assert stranger.run("verify", str(proof), "--soul", str(other)).code == 1


def test_a_redaction_leaves_no_byte_and_everything_else_stands(lived, tmp_path):
    at = position_of(lived, "segwit")
    noted = position_of(lived, "segwit", kind="memory.noted")
    root = lived.run("--json", "replay").good().json
    proof = tmp_path / "before.proof"
    with lived.running():
        whose = [str(at), str(noted)]
        lived.run("redact", *whose, "--derived", "--yes", "--reason", "asked").good()
        assert lived.run("search", "segwit").code == 1
    everything = [path for path in lived.path.rglob("*") if path.is_file()]
    assert not [path for path in everything if b"segwit" in path.read_bytes().lower()]
    report = lived.run("--json", "verify").good().json
    assert "content present" in str(report["lines"])
    assert lived.run("--json", "show", str(at)).good().json["redacted"]
    after = lived.run("--json", "replay").good().json
    assert after["events"] > root["events"]
    lived.run("prove", str(at), "-o", str(proof)).good()
    found = lived.run("verify", str(proof), "--soul", str(lived.path / "SOUL.md")).good()
    assert "redacted" in found.out


def test_a_moved_home_goes_on(lived, tmp_path):
    bundle = tmp_path / "life.bundle"
    lived.run("export", "-o", str(bundle)).good()
    assert lived.run("--json", "verify", str(bundle)).good().json["verdict"] == "UNBROKEN-PENDING"
    moved = Home(tmp_path / "moved")
    shutil.copytree(lived.root, moved.root)
    before = moved.run("--json", "replay").good().json
    with moved.running() as node:
        assert node.answer("are you still you?")
        assert node.status()["ledger"] == moved.run("--json", "show", "0").good().json["id"]
    assert moved.run("--json", "replay").good().json["events"] > before["events"]
    assert moved.run("verify").good()
    reader = Home(tmp_path / "reader")
    reader.run("import", str(bundle)).good()
    assert reader.run("--json", "search", "lthash").good().json
    reader.run("import", str(bundle)).refused("already there")


def test_an_event_id_can_be_reproduced_by_hand(lived):
    """docs/spec/event.md: what `b3sum --derive-key` prints of the envelope's bytes."""
    from blake3 import blake3

    from ledger.sqlite import SqliteStore

    store = SqliteStore.open_read_only(lived.ledger)
    envelope = next(store.records(3, 4)).envelope
    store.close()
    context = re.search(
        r'--derive-key "(timmy-node [^"]*event id[^"]*)"',
        (Path(__file__).parent.parent.parent / "docs/spec/event.md").read_text(),
    )[1]
    assert context == hashing.EVENT_ID
    by_hand = blake3(envelope, derive_key_context=context).hexdigest()
    assert by_hand == lived.run("--json", "show", "3").good().json["id"]


def test_two_agents_with_one_soul_are_two(lived, tmp_path):
    other = Home(tmp_path / "other")
    soul = str(lived.path / "SOUL.md")
    born = json.loads(other.run("--json", "init", "--soul", soul).good().out)
    assert born["soul_sha256"]
    mine = lived.run("--json", "show", "0").good().json
    assert born["ledger"] != mine["id"]
    theirs = other.run("--json", "show", "0").good().json
    assert not set(theirs["payload"]["keys"].values()) & set(mine["payload"]["keys"].values())
