"""Proposals of a real node: made from a folder, a file, git, by the agent; refused by file and line."""

import os
import re
import shutil
import subprocess

import pytest

from genesis.core.architecture import Manifest
from genesis.core.proposal import parse_proposal, weigh
from node.agent.architecture import Architecture
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says, told
from tests.node.world import SETTINGS, until

PROMPT = "runtime/agent/prompt.py"
OLD, NEW = "plainly and briefly", "plainly and kindly"
FRONT = {
    "title": "Be kind", "rationale": "Brief was rude.",
    "evaluation": "Answer a greeting.", "expected": "The prompt says kindly.",
}  # fmt: skip
SAID = tuple(part for key, words in FRONT.items() if key != "title" for part in (f"--{key}", words))
"""What a bare diff is proposed with."""


@pytest.fixture
def home(born):
    return born


@pytest.fixture
def node(home):
    with home.running() as node:
        yield node


def fill(folder, **more):
    """Fill in the front matter of a draft, as an editor would."""
    file = folder / "proposal.md"
    text = file.read_text()
    for key, words in {**FRONT, **more}.items():
        text = text.replace(f'{key} = ""', f'{key} = "{words}"')
    file.write_text(text)


def change(folder, old=OLD, new=NEW):
    file = folder / PROMPT
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def draft(home, name="draft", **more):
    folder = home.root / name
    made = home.run("patch", "new", str(folder)).good().out
    assert "8 files to edit, and proposal.md to fill in" in made  # as docs/PATCHES.md shows
    fill(folder, **more)
    change(folder)
    return folder


def kinds(node, kind):
    return [row for row in node.log(kind) if row["type"] == kind]


def test_a_first_patch_from_a_folder(home, node):
    folder = draft(home)
    before = home.fingerprint()
    diff = home.run("patch", "diff", str(folder)).good().out
    assert f"-{OLD}" not in diff  # a part of a line
    assert re.search(r"^-.*plainly and briefly", diff, re.MULTILINE)
    made = home.run("--json", "patch", "propose", str(folder)).good().json
    payload = made["payload"]
    assert (payload["class"], payload["touches"]) == ("routine", ["agent-code"])
    assert (payload["attempt"], payload["on_base"]) == (1, 1)
    started = kinds(node, "node.started")[-1]["payload"]
    assert started["architecture"] == payload["base"]
    at = str(made["position"])
    [row] = home.run("--json", "patch", "list").good().json
    assert (row["position"], row["title"], row["state"]) == (made["position"], "Be kind", "open")
    assert "Be kind" in home.run("patch", "list").good().out
    shown = home.run("patch", "show", at).good().out
    assert "attempt   1, 1 on this base" in shown
    assert NEW in shown
    assert home.run("patch", "diff", at).good().out == diff
    assert home.run("patch", "diff").good().out == ""  # as installed
    after = home.fingerprint()
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not {path for path in changed if "ledger.db" not in path and not path.endswith("/head")}


def test_a_stranger_finds_the_same_root(home, node):
    """From the document and the base alone, as docs/spec/proposal.md says."""
    made = home.run("--json", "patch", "propose", str(draft(home))).good().json
    answer = node.request("GET", "/v1/architecture/files").json
    files = {path: one["text"].encode() for path, one in answer["files"].items()}
    base = Architecture(
        files, frozenset(p for p, one in answer["files"].items() if one["class"] == "reducer")
    )
    manifest = Manifest.decode(bytes.fromhex(made["content"]["manifest"]))
    assert manifest == base.manifest
    assert manifest.root.hex() == made["payload"]["base"] == answer["root"]
    assert manifest.tree_digest.hex() == made["payload"]["parent_tree"]
    found = weigh(parse_proposal(made["content"]["document"].encode()), base).result
    assert found.root.hex() == made["payload"]["root"]
    assert found.tree.digest.hex() == made["payload"]["result_tree"]
    listed = node.request("GET", "/v1/architecture").json
    assert listed["pinned"]["root"] == made["payload"]["pinned"]
    pinned = {row["path"] for row in listed["pinned"]["entries"]}
    assert {"genesis/judge.py", "runtime/core/crisis.py", "ledger/log.py"} <= pinned
    assert not pinned & files.keys()
    shown = home.run("patch", "files").good().out
    assert f"root {answer['root']}, tree {made['payload']['parent_tree']}" in shown
    assert re.search(r"^reducer .* runtime/core/agenda\.py *$", shown, re.MULTILINE)
    rest = home.run("patch", "files", "--pinned").good().out
    assert re.search(r"^pinned .* genesis/judge\.py *$", rest, re.MULTILINE)
    assert f"root {made['payload']['pinned']}\n" in rest


def test_attempts_comments_and_withdrawal(home, node):
    folder = draft(home)
    first = home.run("--json", "patch", "propose", str(folder)).good().json["position"]
    home.run("patch", "propose", str(folder)).refused(
        "proposed already, as event", "timmy patch show"
    )
    text = (folder / "proposal.md").read_text()
    (folder / "proposal.md").write_text(text.replace("# follows = 412", f"follows = {first}"))
    again = home.run("--json", "patch", "propose", str(folder)).good().json
    assert (again["payload"]["attempt"], again["payload"]["on_base"]) == (2, 2)
    assert again["payload"]["follows"] == first
    at = str(again["position"])
    home.run("patch", "comment", f"{PROMPT}:3", "why kindly?").good()  # on the newest
    home.run("patch", "comment", "proposal:2", "a fine title", "--on", at, "--author", "bob").good()
    home.run("patch", "comment", f"{PROMPT}:99999", "x", "--on", at).refused("no line 99999")
    home.run("patch", "comment", "runtime/agent/loop.py:1", "x", "--on", at).refused(
        "does not touch"
    )
    home.run("patch", "comment", "nowhere", "x").refused("is not FILE:LINE")
    home.run("patch", "comment", "proposal:1", "x", "--on", "1").refused("no proposed patch")
    shown = home.run("patch", "show").good().out
    assert f"{PROMPT}:3  operator" in shown
    assert "why kindly?" in shown
    assert "proposal:2  bob" in shown
    assert [one["line"] for one in home.run("--json", "patch", "show", at).good().json["said"]] == [
        3,
        2,
    ]
    home.run("patch", "withdraw", at, "--why", "bob is right").good()
    home.run("patch", "withdraw", at).refused("withdrawn already")
    states = {row["position"]: row["state"] for row in home.run("--json", "patch", "list").json}
    assert states == {first: "open", again["position"]: "withdrawn"}
    (folder / "proposal.md").write_text(text.replace("# follows = 412", "follows = 1"))
    home.run("patch", "propose", str(folder)).refused("proposal.md:", "no proposal here")


def test_every_refusal_names_file_and_line_and_is_on_record(home, node):
    folder = draft(home)
    good = home.run("patch", "diff", str(folder)).good().out
    head = (folder / "proposal.md").read_text().split("\n[budget]")[0] + "\n+++\n"
    trees = sorted(p.name for p in (home.path / "trees").iterdir())

    def refused(text, *words):
        file = home.root / "bad.md"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        home.run("patch", "propose", str(file)).refused(*words)
        return home.run("--json", "patch", "list", "--refused").good().json[-1]

    start = head.count("\n") + 1
    fenced = f"```diff\n{good}```\n"
    assert (
        refused(head + fenced.replace(OLD, "x"), "bad.md:", "differs from the diff at line")[
            "reason"
        ]
        == "context"
    )
    out = fenced.replace("prompt.py", "../x.py")
    assert refused(head + out, f"bad.md:{start + 1}: ", "plain path")["line"] == start + 1
    pinned = fenced.replace("runtime/agent/prompt.py", "genesis/judge.py")
    assert refused(head + pinned, "is pinned", "signed by people")["reason"] == "pinned"
    assert refused(head.replace("class =", "klass ="), "bad.md:", "klass")["reason"] == "front"
    assert refused(head + "no change\n", "it changes nothing")["reason"] == "nothing"
    assert (
        refused((head + fenced).replace("\n", "\r\n"), "bad.md:1: a carriage return")["line"] == 1
    )
    assert refused("+++\n" + "x" * 300_000 + "\n", "bad.md: ", "at most 262144")["reason"] == "size"
    before = len(kinds(node, "patch.refused"))
    file = home.root / "notes.diff"
    file.write_text(good.replace(OLD, "x"))
    line = next(
        n for n, row in enumerate(good.split("\n"), 1) if row.startswith("-") and OLD in row
    )
    for name in ("rationale", "evaluation", "expected"):
        at = SAID.index(f"--{name}")
        unsaid = SAID[:at] + SAID[at + 2 :]
        home.run("patch", "propose", str(file), *unsaid).refused(f"has no {name}", f"--{name} TEXT")
    home.run("patch", "propose", str(file), *SAID).refused(f"notes.diff:{line}: ", PROMPT)
    [last] = kinds(node, "patch.refused")[before:]
    assert last["content"]["path"] == PROMPT
    assert "differs from the diff" in last["content"]["why"]
    assert home.run("--json", "patch", "list").good().json == []
    assert sorted(p.name for p in (home.path / "trees").iterdir()) == trees
    (folder / "run.sh").write_text("x")
    home.run("patch", "propose", str(folder)).refused("run.sh has no place")
    (folder / "run.sh").unlink()
    (folder / "runtime/agent/link.py").symlink_to("/etc/passwd")
    home.run("patch", "diff", str(folder)).refused("link.py has no place")
    home.run("patch", "new", str(folder)).refused("is not empty")
    home.run("patch", "propose").refused("one of a file and --git")
    for flag in (("--title", "x"), ("--expected", "x"), ("--constitutional",)):
        home.run("patch", "propose", str(home.root / "bad.md"), *flag).refused(
            f"{flag[0]} is of a diff"
        )
    home.run("patch", "propose", str(folder), *SAID).refused(
        "--rationale is of a diff", "proposal.md"
    )
    home.run("patch", "propose", str(file), *SAID, "--repo", ".").refused("--git BASE..HEAD")
    home.run("patch", "judge", "1", "-o", "x.json").refused("are of a bundle", "--bundle FILE")
    home.run("patch", "judge", "1", "--passphrase-fd", "0").refused("are of a bundle")
    said = {key: FRONT[key] for key in ("title", "rationale", "evaluation", "expected")}
    for name in said:
        some = {key: words for key, words in said.items() if key != name}
        body = {"diff": good, **some}
        node.request("POST", "/v1/patch/propose", body).refused(400, name)
    body = {"document": "x", "title": "y"}
    node.request("POST", "/v1/patch/propose", body).refused(400, "by the document itself")
    assert home.run("--json", "patch", "list").good().json == []


def test_the_commits_of_a_checkout_are_a_proposal(home, node):
    if shutil.which("git") is None:
        pytest.skip("no git here")
    folder = draft(home, "checkout")
    (folder / "proposal.md").unlink()

    def git(*args):
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        command = [
            "git",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ]
        subprocess.run([*command, *args], cwd=folder, check=True, capture_output=True, env=env)

    change(folder, NEW, OLD)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "as it is")
    change(folder)
    message = "Be kind\n\nBrief was rude.\n\nEvaluation: Answer a greeting."
    git("commit", "-qam", message)
    asked = ("patch", "propose", "--repo", str(folder), "--git")
    home.run(*asked, "HEAD~1..HEAD").refused("has no expected", "--expected TEXT")
    made = home.run("--json", *asked, "HEAD~1..HEAD", "--expected", "Kindly.").good().json
    front = parse_proposal(made["content"]["document"].encode()).front
    assert (front.title, front.rationale) == ("Be kind", "Brief was rude.")
    assert (front.evaluation, front.expected) == ("Answer a greeting.", "Kindly.")
    for bad in ("HEAD", "HEAD...HEAD", "..HEAD", "-x..HEAD"):
        home.run(*asked[:-1], f"--git={bad}", "--expected", "x").refused("is not a range")
    home.run(*asked, "nothing..HEAD", "--expected", "x").refused("git: ")
    home.run(*asked, "HEAD..HEAD", "--expected", "x").refused("no commits in")
    (folder / "Makefile").write_text("all:\n")
    git("add", ".")
    git("commit", "-qm", "Make it\n\nEvaluation: x\nExpected: y")
    home.run(*asked, "HEAD~1..HEAD").refused("HEAD~1..HEAD:", "'Makefile' is pinned")


def test_the_agent_reads_itself_and_proposes_when_it_is_allowed(born):
    born.config.write_text(SETTINGS + "[tools]\napproval_seconds = 60\n")
    with serving() as (server, _):
        add(born, server).good()
        with born.running() as node:
            folder = draft(born)
            diff = born.run("patch", "diff", str(folder)).good().out
            front = "".join(f'{key} = "{words}"\n' for key, words in FRONT.items())
            document = f'+++\n{front}class = "routine"\n+++\n\n```diff\n{diff}```\n'
            says(
                server,
                [("architecture_list", {}), ("architecture_search", {"words": OLD}),
                 ("architecture_read", {"path": "thresholds.toml"}),
                 ("architecture_read", {"path": "genesis/judge.py"})],
                [("patch_propose", {"document": document})],
                [("patch_propose", {"document": document.replace(OLD, "x")})],
                "done",
            )  # fmt: skip
            node.request("POST", "/v1/say", {"text": "improve yourself", "wait_s": 0})
            for expected in ("first", "second"):
                until(lambda: node.request("GET", "/v1/approvals").json, 60, expected)
                [asked] = node.request("GET", "/v1/approvals").json
                assert "Patch" in str(asked), asked
                event = asked.get("event", asked.get("position"))
                node.request("POST", f"/v1/approvals/{event}", {"allow": True})
                until(lambda: not node.request("GET", "/v1/approvals").json, 60, "answered")
            until(lambda: kinds(node, "turn.finished"), 60, "the turn is over")
            results = told(server)
    assert "runtime/agent/main.py (agent-code" in results[0]
    assert "runtime/core/todos.py (reducer" in results[0]
    assert "thresholds.toml (threshold" in results[0]
    assert f"{PROMPT}:" in results[1]
    assert "iterations_max = 50" in results[2]
    assert "is no file of the architecture" in results[3]
    assert "proposed as event" in results[4]
    assert "refused (context): line" in results[5]


def test_skills_skins_and_thresholds_are_of_the_architecture(home):
    skill = home.path / "skills" / "tea" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: tea\ndescription: tea\n---\nBoil water.\n")
    drafted = home.path / "skills" / "raw" / "SKILL.md"
    drafted.parent.mkdir()
    drafted.write_text("---\nname: raw\nstatus: draft\n---\nNo.\n")
    owl = home.root / "owl.toml"
    owl.write_text('name = "owl"\nversion = 1\nvoice = "Speak softly."\n')
    with home.running() as node:

        def entries():
            found = node.request("GET", "/v1/architecture").json
            return found["root"], {row["path"]: row["class"] for row in found["entries"]}

        before, paths = entries()
        assert paths["skills/tea/SKILL.md"] == "skill"
        assert "skills/raw/SKILL.md" not in paths
        home.run("skins", "sign", str(owl), "-o", str(owl.with_suffix(".skin"))).good()
        worn = home.run("--json", "skins", "add", str(owl.with_suffix(".skin"))).good().json
        root, paths = entries()
        assert paths["skins/owl.toml"] == "skin"
        assert root != before
        folder = home.root / "draft"
        home.run("patch", "new", str(folder)).good()
        fill(folder)
        for path, old, new in (
            ("skins/owl.toml", "softly", "loudly"),
            ("skills/tea/SKILL.md", "Boil", "Boil fresh"),
            ("thresholds.toml", "iterations_max = 50", "iterations_max = 40"),
        ):
            file = folder / path
            file.write_text(file.read_text().replace(old, new))
        made = home.run("--json", "patch", "propose", str(folder)).good().json
        payload = made["payload"]
        assert payload["touches"] == ["skill", "skin", "threshold"]
        assert payload["parent_tree"] == payload["result_tree"]
        assert payload["base"] == root != payload["root"]
        judged = home.run("--json", "patch", "judge", str(made["position"]))
        assert (judged.code, judged.json["decision"]) == (1, "reject")
        assert judged.json["reason"] == "not passed: skills, skins"
        notes = "; ".join(judged.json["notes"])
        assert "skill tea: it does not say which tools it may use" in notes
        assert "skin owl: version 1 of it is there" in notes
        file = folder / "thresholds.toml"
        file.write_text(file.read_text().replace("= 40", "= 501"))
        home.run("patch", "propose", str(folder)).refused("proposal.md:", "1 to 500 allowed")
        redact = ("redact", str(worn["position"]), "--reason", "his wish", "--yes")
        home.run(*redact).good()
        assert entries() == (
            before,
            {p: kind for p, kind in paths.items() if not p.startswith("skins/")},
        )
        home.run("patch", "propose", str(folder)).refused("it was made against")
