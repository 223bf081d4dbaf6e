"""The loop by which an agent changes itself, from its wish to a block: nobody has to take its word.

It reads itself and proposes; its home judges, and so does another from a file alone, to one digest;
the operator approves; a share of the conversations tries it, then all; it settles, hands itself
over to new keys on a regtest chain, and one proof of an early memory holds across all of it. Real
processes throughout. What is taken back when it errs is in tests/adoption.
"""

import shutil

import pytest

from genesis.core.verdict import verify_envelope
from tests.adoption.world import QUICK, status, steps, talks, trees_of, until_stage
from tests.e2e.chain import running_chain
from tests.e2e.test_handoff_story import anchor, kinds, lines
from tests.node.test_node_models import add, serving
from tests.node.test_node_patches import FRONT, NEW, OLD, PROMPT, draft
from tests.node.test_node_tools import says
from tests.node.test_node_verdicts import surely
from tests.node.world import SETTINGS, Home, until

EARLY = "the well behind the barn is nine metres deep"
WAIT = 120.0
SHARE = 500


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as running:
        yield running


class Story:
    """What each chapter leaves for the next ones and for the tests."""

    def __init__(self, folder, chain):
        self.folder, self.chain = folder, chain
        self.home = Home(folder / "ada").configure(
            SETTINGS + QUICK + "[tools]\napproval_seconds = 60\n" + chain.settings
        )
        self.other = Home(folder / "other").configure()
        self.kits = [folder / f"kit-{number}.txt" for number in range(2)]

    def mined(self, count=1):
        """A node looks before and after: what was signed is sent, what was mined is seen."""
        for _ in range(count):
            anchor(self.home, "status")
            self.chain.mine(1)
        anchor(self.home, "status")

    def told(self):
        """All chapters."""
        self.home.run("init", "--name", "Ada", "--kit", str(self.kits[0])).good()
        self.other.run("init").good()
        with serving() as (server, _):
            add(self.home, server).good()
            with self.home.running() as node:
                self.anchored()
                self.proposed(node, server)
                self.judged()
                self.approved()
                self.adopted(node)
        self.handed_over()

    def anchored(self):
        """A memory from before it all, under a seal."""
        self.chain.mine(1, anchor(self.home, "fund")["funding_address"])
        self.chain.mine(100)
        anchor(self.home, "open")
        self.mined()
        said = self.home.run("--json", "say", EARLY).good().json
        self.early = said["message"]["position"]
        anchor(self.home, "now")
        self.mined()

    def proposed(self, node, server):
        """The agent reads itself, and asks; the operator lets it propose, no more."""
        diff = self.home.run("patch", "diff", str(draft(self.home))).good().out
        front = "".join(f'{key} = "{words}"\n' for key, words in FRONT.items())
        document = f'+++\n{front}class = "routine"\n+++\n\n```diff\n{diff}```\n'
        says(
            server,
            [("architecture_read", {"path": PROMPT})],
            [("patch_propose", {"document": document})],
            "I proposed it.",
        )
        node.request("POST", "/v1/say", {"text": "improve yourself", "wait_s": 0})
        until(lambda: node.request("GET", "/v1/approvals").json, WAIT, "it asks")
        [asked] = node.request("GET", "/v1/approvals").json
        event = asked.get("event", asked.get("position"))
        node.request("POST", f"/v1/approvals/{event}", {"allow": True})
        until(lambda: node.log("patch.proposed"), WAIT, "it is proposed")
        [made] = [row for row in node.log("patch.proposed") if row["type"] == "patch.proposed"]
        self.at, self.payload = str(made["position"]), made["payload"]
        says(server, "Certainly.")

    def judged(self):
        """Two homes: the second has the file, its own keys, and no node."""
        self.own = surely(self.home, "judge", self.at)
        bundle, self.theirs = self.folder / "p.patch", self.folder / "theirs.json"
        self.home.run("patch", "export", self.at, str(bundle)).good()
        self.found = surely(self.other, "judge", "--bundle", str(bundle), "-o", str(self.theirs))
        self.home.run("patch", "take", str(self.theirs), "--on", self.at).good()
        self.verdicts = self.home.run("--json", "patch", "verdicts", self.at).good().json

    def approved(self):
        """With the operator's key, over the digest that both found."""
        self.home.run("patch", "apply", self.at).refused("approve")
        self.home.run("patch", "approve", self.at).good()

    def adopted(self, node):
        """A share of the conversations, then everybody, then it is settled."""
        self.before = status(node)["tree"]
        self.home.run(
            "patch", "apply", self.at, "--share", "50", "--window", "1s", "--turns", "2"
        ).good()
        trial = status(node)["under_way"]
        self.after, root = trial["tree"], trial["root"]
        [out] = talks(root, SHARE, inside=False)
        inside = talks(root, SHARE, inside=True, count=2)
        for name in (out, *inside):
            assert node.say("good day", conversation=name)["answer"]
        until_stage(node, "node")
        self.took = trees_of(node)
        for name in (out, *inside):
            assert node.say("and now", conversation=name)["answer"]
        until_stage(node, None)
        self.steps, self.status = steps(node), status(node)

    def handed_over(self):
        """The operator's kit, on the stopped node; the seal follows by itself when it runs."""
        self.handoff = (
            self.home.run(
                "--json", "handoff", "--kit", str(self.kits[0]), "--new-kit", str(self.kits[1])
            )
            .good()
            .json
        )
        with self.home.running() as node:
            node.say("of the second key")
            self.mined(2)
            self.kinds = kinds(self.home)
            anchor(self.home, "now")
            self.mined()
            self.after_handoff = status(node)
            self.proof = self.folder / "early.proof"
            self.home.run("prove", str(self.early), "--anchored", "-o", str(self.proof)).good()
            self.adoption = node.log("patch.settled")[-1]["position"]
            self.later = self.folder / "adoption.proof"
            self.home.run("prove", str(self.adoption), "--anchored", "-o", str(self.later)).good()


@pytest.fixture(scope="module")
def story(tmp_path_factory, chain):
    story = Story(tmp_path_factory.mktemp("story"), chain)
    story.told()
    yield story
    story.home.end()
    story.other.end()


def test_the_agent_proposed_it(story):
    assert story.payload["author"] not in ("", "operator")
    assert (story.payload["class"], story.payload["attempt"]) == ("routine", 1)


def test_two_homes_came_to_one_digest(story):
    assert story.own["decision"] == story.found["decision"] == "accept"
    assert story.own["digest"] == story.found["digest"]
    assert story.found["beside"]["agree"]
    keys = [bytes.fromhex(key) for key in story.found["keys"]]
    signed = verify_envelope(story.theirs.read_bytes(), trusted=keys)
    assert signed.verdict.digest.hex() == story.own["digest"]
    assert sorted(row["own"] for row in story.verdicts) == [False, True]
    assert {row["digest"] for row in story.verdicts} == {story.own["digest"]}


def test_it_was_tried_by_a_share_and_settled(story):
    assert story.steps == ["staged", "canary", "adopted", "settled"]
    trees = {tree for trees in story.took.values() for tree in trees}
    assert trees >= {story.before, story.after}
    assert story.status["in_force"]["tree"] == story.after != story.before
    assert story.status["handoff"]["due"]


def test_it_thinks_as_was_proposed(story):
    with story.home.running() as node:
        folder = story.home.root / "again"
        story.home.run("patch", "new", str(folder)).good()
        text = (folder / PROMPT).read_text()
        assert (text.count(NEW), text.count(OLD)) == (1, 0)
        assert status(node)["tree"] == story.after


def test_the_seal_followed_the_handoff_that_names_the_new_tree(story):
    assert story.kinds == ["opening", "anchor", "handoff"]
    assert not story.after_handoff["handoff"]["due"]
    assert story.after_handoff["handoff"]["tree"] == story.after


def test_the_trust_graph_says_who_stands_behind_the_change(story):
    shown = story.home.run("--json", "trust", "show").good().json
    patch, other = f"patch:{story.at}", story.found["keys"]
    edges = {(one["source"].split(":")[0], one["how"], one["target"]) for one in shown["edges"]}
    for source, how in (
        ("instance", "was offered"), ("operator", "approved"), ("instance", "adopted"),
        ("instance", "kept"),
    ):  # fmt: skip
        assert (source, how, patch) in edges
    signed = {one["source"] for one in shown["edges"] if one["how"] == "signed"}
    assert {f"key:{key}" for key in other} <= signed


def test_a_stranger_finds_one_unbroken_history_across_it(story, tmp_path):
    soul = tmp_path / "SOUL.md"
    shutil.copy(story.home.path / "SOUL.md", soul)
    stranger = Home(tmp_path / "a stranger's machine", None)
    for proof in (story.proof, story.later):
        done = stranger.run("--json", "verify", str(proof), "--soul", str(soul))
        report = done.json
        assert report["verdict"] == "TEST", report
        found = lines(report)
        at = story.handoff["position"]
        assert found["handoff"] == f"1 at event {at}: signed by old, next and new keys"
        assert "on one seal, 1 handoff, unbroken" in found["seal chain"]
    assert not stranger.path.exists()
    assert story.home.run("--json", "verify").good().json["verdict"] == "UNBROKEN-PENDING"
    story.home.run("replay").good()
