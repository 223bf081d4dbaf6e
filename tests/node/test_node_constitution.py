"""A change of this software itself, from a folder to the next start: by people, in their time.

The change is a migration of the reducers: entries have another form, a part of the state comes that
was not there, and a module is declared that takes it all back. Two people approve, whose keys were never on this machine; the old version
writes the order, and the new one, installed beside it, says that it is what was approved.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genesis.core.approval import Answer, Question, Word
from genesis.core.constitution import PACKAGES
from genesis.core.granting import HOUR_MS, WAIT_MS
from genesis.core.patch import PatchClass
from genesis.forking.session import fold
from genesis.judging.constitution import UNMEASURED
from genesis.keys import keystore
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.core.types import MEMORY_NOTED, MEMORY_STREAM, NODE_STREAM, TODO_SET
from ledger.log import Log
from ledger.sqlite import SqliteStore
from node.open import now_ms
from tests.genesis_constitution.world import BACK, TODOS, TOOL, migration
from tests.node.test_node_models import add, serving
from tests.node.test_node_patches import FRONT, fill, kinds
from tests.node.test_node_tools import says, told
from tests.node.world import PASSPHRASE, SETTINGS, Done, Home, until

ROOT = Path(__file__).parents[2]
ALICE, BOB = (Signer(bytes([n]) * 32) for n in (0x61, 0x62))
PEOPLE = f'[approval]\npeople = ["{ALICE.public.hex()}", "{BOB.public.hex()}"]\n'


def draft(home, changes, name="idea", declares="", **more):
    """A folder of this software's files, edited as an editor would. `declares`: a migration."""
    folder = home.root / name
    paths = [path for path in changes if (ROOT / path).exists()]
    home.run("patch", "new", str(folder), "--software", *paths).good()
    fill(folder, **more)
    if declares:
        document, said = folder / "proposal.md", 'class = "constitutional"\n'
        text = document.read_text()
        assert text.count(said) == 1
        document.write_text(text.replace(said, f'{said}migration = "{declares}"\n'))
    for path, data in changes.items():
        assert path not in paths or (folder / path).read_bytes() != data
        (folder / path).write_bytes(data)
    return folder


def surely(home, at):
    """Judge until something is found out: a machine that is too busy is said to be so."""
    for _ in range(10):
        done = home.run("--json", "patch", "judge", at)
        if done.code == 0 or "busy" not in str(done.json["reason"]):
            break
    return done


def passes(home, hours):
    """Time passes in the ledger of a stopped node: its newest event is so much later."""
    later = now_ms() + hours * HOUR_MS
    note = Draft(
        type=MEMORY_NOTED.name,
        stream=MEMORY_STREAM,
        payload={"kind": "note"},
        content={"text": "a weekend"},
    )
    happens(home, note, at_ms=later)


def happens(home, draft, at_ms=None):
    """Something happens in the ledger of a stopped node."""
    clock = now_ms if at_ms is None else lambda: at_ms
    with Log(SqliteStore.open(home.ledger), clock=clock, entropy=os.urandom) as log:
        log.append_now(draft)


WAY_BACK = """
import os, sys
from pathlib import Path
from genesis.forking.session import fold, now_ms
from ledger.core.state import State
from ledger.log import Log
from ledger.sqlite import SqliteStore
from runtime.core.migrated_todos import inverse

size = int(sys.argv[2])
with Log(SqliteStore.open(Path(sys.argv[1])), clock=now_ms, entropy=os.urandom) as log:
    state = fold(log, None, size)
assert state.entries["todo/main"][1] == 3, state.entries["todo/main"]
print(state.digest().hex(), State.restore((), inverse(state.entries), size).digest().hex())
"""
"""What a new version makes of a ledger: digest of the state, and of the state taken back."""


def folded_here(home, size):
    """The state of a stopped node's ledger after `size` events, by the reducers of before."""
    with Log(SqliteStore.open(home.ledger), clock=now_ms, entropy=os.urandom) as log:
        return fold(log, None, size)


def question(node, at):
    row = node.request("GET", f"/v1/patches/{at}/approval").json["question"]
    names = ("ledger", "patch", "root", "verdict")
    return Question(
        **{name: bytes.fromhex(row[name]) for name in names}, patch_class=PatchClass(row["class"])
    )


def hand_in(node, at, key, word=Word.APPROVE, **changed):
    asked = question(node, at)
    for name, value in changed.items():
        asked = Question(**{**{n: getattr(asked, n) for n in Question.__slots__}, name: value})
    made = Answer(question=asked, word=word, at_ms=now_ms()).sign(key)
    body = {
        "position": int(at), "word": word.value, "at_ms": made.answer.at_ms,
        "verdict": asked.verdict.hex(), "root": asked.root.hex(), "key": made.key.hex(),
        "signature": made.signature.hex(),
    }  # fmt: skip
    return node.request("POST", "/v1/patch/answer", body)


def why(node, at):
    found = node.request("GET", f"/v1/patches/{at}/approval").json
    return None if found["granted"] else found["why"]


def software(node):
    return node.request("GET", "/v1/patch/status").json["software"]


def examined(done):
    return next(row for row in done.json if row["name"] == "software")


def installed(folder, change):
    """This software in a folder of its own, with a change in it, as a person would install it."""
    for package in PACKAGES:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=skipped)
    shutil.copy(ROOT / "node.toml", folder)
    git = ["git", "apply", str(change)]
    subprocess.run(git, cwd=folder, check=True, capture_output=True)
    return folder


def run_in(folder, home, *argv):
    """One command of the software in `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "node", *argv],
        cwd=folder, env=home.env, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    return Done(argv, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def judged_seed(born_seed, tmp_path_factory):
    """A home in which the migration was proposed and judged; its node was stopped."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    home = born_seed.copy(tmp_path_factory.mktemp("constitution") / "home")
    home.config.write_text(SETTINGS + PEOPLE)
    listed = {"conversation": "main", "count": 3, "done": 1}
    happens(home, Draft(type=TODO_SET.name, stream=NODE_STREAM, payload=listed))
    with home.running() as node:
        node.say("the roof needs new tiles", author="bob")
        folder = draft(home, migration(), declares=BACK)
        made = home.run("--json", "patch", "propose", str(folder)).good().json
        judged = surely(home, str(made["position"]))
    yield home, made, judged
    home.end()


@pytest.fixture
def home(judged_seed, tmp_path):
    home = judged_seed[0].copy(tmp_path / "judged")
    yield home
    home.end()


@pytest.fixture
def at(judged_seed):
    return str(judged_seed[1]["position"])


def test_it_is_judged_by_the_old_evaluator_and_left_to_people(judged_seed):
    _, made, judged = judged_seed
    payload = made["payload"]
    assert (payload["class"], payload["touches"]) == ("constitutional", ["reducer", "pinned"])
    assert payload["parent_tree"] == payload["result_tree"]
    assert payload["base"] != payload["root"]  # the reducers are of the architecture
    found = judged.good().json
    assert (found["decision"], found["for_people"]) == ("inconclusive", True)
    told_of = found["constitution"]
    assert {row["path"]: row["kind"] for row in told_of["files"]} == {
        TODOS: "reducer", "runtime/core/reducers.py": "host", TOOL: "tool", BACK: "host",
    }  # fmt: skip
    assert told_of["pinned"]["before"] == payload["pinned"] != told_of["pinned"]["after"]
    assert told_of["state"]["differs"] == ["seen", "todo"]
    assert told_of["state"]["migration"] == {"path": BACK, "invertible": True}
    assert f"the migration {BACK} is invertible over" in found["reason"]
    assert told_of["state"]["first"] == 0


def test_that_nothing_is_measured_of_it_is_said_in_a_line(home, at):
    with home.running():
        shown = home.run("patch", "show", at).good().out.split("+++")[0]
        asked = home.run("patch", "approve", at, "--print").good().err
    for text in (shown, asked):
        assert re.search(rf"^(timmy: )?effect +{UNMEASURED}$", text, re.MULTILINE), text


def test_nobody_but_those_people_approves_it_and_nothing_comes_of_it_early(home, at):
    operator = keystore.unlock_operator(home.state / "operator", PASSPHRASE)
    own = keystore.unlock_agent(home.path, PASSPHRASE)
    with home.running() as node:
        assert why(node, at) == "unapproved"
        home.run("patch", "apply", at).refused("nobody has approved it")
        home.run("patch", "approve", at).refused("may not approve what is constitutional")
        hand_in(node, at, operator).refused(400, "with keys that this node never had")
        for role in ("log", "nostr"):
            hand_in(node, at, own.signer(role)).refused(400, "is a key of this node")
        hand_in(node, at, Signer(b"\x42" * 32)).refused(400, "approval.people in node.toml")
        assert hand_in(node, at, ALICE, verdict=bytes(32)).status == 200  # taken, and no yes
        assert why(node, at) == "unapproved"
        hand_in(node, at, ALICE, root=bytes(32)).refused(400, "about the architecture")
        for _ in range(2):
            assert hand_in(node, at, ALICE).status == 200
            assert why(node, at) == "quorum"  # one key twice is one voice
        home.run("patch", "apply", at).refused("1 of the people say yes", "2 are needed")
        assert hand_in(node, at, BOB).status == 200
        assert why(node, at) == "early"
        home.run("patch", "apply", at).refused("waits 72 hours")
        assert not kinds(node, "patch.staged")
        assert not (home.path / "orders").exists()
        assert software(node)["standing"] == "installed"
    passes(home, WAIT_MS // HOUR_MS + 1)
    with home.running() as node:
        assert why(node, at) is None
        hand_in(node, at, BOB, Word.DISAPPROVE)
        home.run("patch", "apply", at).refused("says no")
        node.request("POST", "/v1/patch/apply", {"position": int(at), "share": 100}).refused(
            400, "nothing of a constitutional change is tried by a share"
        )
        # the operator, who may not approve it, may stop it, too
        assert hand_in(node, at, operator, Word.DISAPPROVE).status == 200
        assert why(node, at) == "disapproved"
        home.run("patch", "withdraw", at).good()
        home.run("patch", "apply", at).refused("is open no more")
        assert not kinds(node, "patch.staged")


def test_from_the_order_to_the_start_of_the_new_version(home, at, tmp_path):
    with home.running() as node:
        printed = tmp_path / "question.json"
        printed.write_text(home.run("patch", "approve", at, "--print").good().out)
        assert json.loads(printed.read_text())["class"] == "constitutional"
        for key in (ALICE, BOB):
            assert hand_in(node, at, key).status == 200
    passes(home, 73)
    with home.running() as node:
        ordered = home.run("--json", "patch", "apply", at).good().json["ordered"]
        assert home.run("--json", "patch", "apply", at).good().json["ordered"] == ordered
        [step] = kinds(node, "patch.staged")
        folder = Path(ordered["folder"])
        assert folder == home.path / "orders" / at
        data = (folder / "order.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == step["payload"]["order"] == ordered["order"]
        order = json.loads(data)
        change = (folder / "change.patch").read_bytes()
        assert hashlib.sha256(change).hexdigest() == order["sha256"]
        assert sorted(order["approvers"]) == sorted(k.public.hex() for k in (ALICE, BOB))
        assert [order["software"][name] for name in ("before", "after")] == step["payload"][
            "software"
        ]
        assert software(node)["standing"] == "ordered"
        status = home.run("patch", "status").good().out
        assert f"ordered, proposal {at}" in status
        assert node.request("GET", "/v1/patch/status").json["under_way"] is None
        finding = examined(home.run("--json", "doctor"))
        assert finding["ok"] is None
        assert "is ordered" in finding["text"]
        assert node.answer("good day", author="bob")  # and all goes on
    new = installed(tmp_path / "new", folder / "change.patch")
    node = home.start(wrapper=("env", "-C", str(new)))
    try:
        [event] = kinds(node, "patch.adopted")
        payload = event["payload"]
        assert payload["software"] == order["software"]["after"]
        assert (payload["patch"], payload["adoption"]) == (int(at), step["position"])
        assert software(node) | {"root": ""} == {
            "root": "", "standing": "approved", "patch": int(at), "order": step["position"],
            "adopted": event["position"], "objection": "",
        }  # fmt: skip
        [row] = home.run("--json", "patch", "list").good().json
        assert row["state"] == "adopted"
        assert node.answer("and again", author="bob")
        attested = kinds(node, "state.attested")
        assert attested[-1]["payload"]["reducers"] == payload["reducers"]
        assert attested[0]["payload"]["reducers"] != payload["reducers"]
        assert "seen" in attested[-1]["payload"]["parts"]
        assert "seen" not in attested[0]["payload"]["parts"]
    finally:
        node.stop()
    before = folded_here(home, payload["size"])
    # the state is the new one, and what was declared takes it back to the one of before
    told = subprocess.run(
        [sys.executable, "-c", WAY_BACK, str(home.ledger), str(payload["size"])],
        cwd=new, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    now, back = told.stdout.decode().split()
    assert payload["digest"] == now != before.digest().hex() == back
    run_in(new, home, "replay").good()
    assert examined(run_in(new, home, "--json", "doctor"))["ok"] is True
    home.run("verify").good()
    # the old version once more: nobody approved going back
    with home.running() as node:
        assert software(node)["standing"] == "unapproved"
        assert len(kinds(node, "patch.adopted")) == 1
        finding = examined(home.run("--json", "doctor"))
        assert finding["ok"] is None
        assert "nobody approved it here" in finding["text"]


def test_what_was_refused_after_it_was_ordered_is_not_recognised(home, at, tmp_path):
    with home.running() as node:
        for key in (ALICE, BOB):
            assert hand_in(node, at, key).status == 200
    passes(home, 73)
    with home.running():
        folder = Path(home.run("--json", "patch", "apply", at).good().json["ordered"]["folder"])
        home.run("patch", "withdraw", at, "--why", "we thought again").good()
    new = installed(tmp_path / "new", folder / "change.patch")
    node = home.start(wrapper=("env", "-C", str(new)))
    try:
        assert not kinds(node, "patch.adopted")
        assert software(node)["standing"] == "unapproved"
    finally:
        node.stop()


def test_another_home_judges_it_from_the_bundle(home, at, judged_seed, tmp_path):
    other = Home(tmp_path / "other").configure()
    other.run("init").good()
    bundle, verdict = tmp_path / "idea.patch", tmp_path / "theirs.json"
    with home.running():
        home.run("patch", "export", at, str(bundle)).good()
        for _ in range(10):
            done = other.run(
                "--json", "patch", "judge", "--bundle", str(bundle), "-o", str(verdict)
            )
            if done.code == 0 or "busy" not in str(done.json["reason"]):
                break
        found = done.good().json
        assert found["digest"] == judged_seed[2].json["digest"]
        assert found["beside"]["agree"]
        home.run("patch", "take", str(verdict), "--on", at).good()


def test_a_fork_tries_it_before_it_is_proposed(born):
    """It is for people, and accepted by nobody: the command does not exit 0."""
    with born.running() as node:
        folder = draft(born, migration(), declares=BACK)
        done = born.run("fork", "--patch", str(folder))
        assert done.code == 1, done.err
        assert "verdict   for people" in done.out, done.out
        assert f"migration {BACK}\n" in done.out
        assert f"the migration {BACK} is invertible over" in done.out
        assert not kinds(node, "patch.proposed")


def test_what_may_not_be_proposed_and_by_whom(home, at):
    screen = "runtime/core/crisis_words.py"
    changes = {screen: (ROOT / screen).read_bytes() + b"\n# A word more.\n"}
    with home.running() as node:
        folder = draft(home, changes, "screen")
        document = folder / "proposal.md"
        text = document.read_text()
        diff = home.run("patch", "diff", str(folder)).good().out
        whole = f"{text}\n```diff\n{diff}```\n"

        def refused(body, *words):
            node.request("POST", "/v1/patch/propose", body).refused(422, *words)
            return home.run("--json", "patch", "list", "--refused").good().json[-1]["reason"]

        routine = whole.replace('class = "constitutional"', 'class = "routine"')
        assert refused({"document": routine}, f"'{screen}' is pinned") == "pinned"
        for author in ("agent", "parent"):
            body = {"document": whole, "author": author}
            assert refused(body, "only the operator may propose") == "pinned"
        outside = whole.replace(screen, "tests/test_docs.py")
        assert refused({"document": outside}, "no file of the software that runs") == "pinned"
        mixed = whole + "```file runtime/agent/more.md\nMore.\n```\n"
        assert refused({"document": mixed}, "make two proposals") == "class"
        agent = text + "```file runtime/agent/more.md\nMore.\n```\n"
        assert refused({"document": agent}, "all it touches is routine") == "class"
        (folder / "tests").mkdir()
        (folder / "tests/x.py").write_text("x = 1\n")
        home.run("patch", "propose", str(folder)).refused("tests/x.py has no place in")
        shutil.rmtree(folder / "tests")
        home.run("patch", "new", str(home.root / "x"), "--software", "Makefile").refused(
            "no file of this software"
        )
        made = home.run("--json", "patch", "propose", str(folder)).good().json
        assert made["payload"]["touches"] == ["pinned"]
        assert made["payload"]["base"] == made["payload"]["root"]
        number = str(made["position"])
        home.run("patch", "comment", f"{screen}:1", "why?", "--on", number).good()


def test_the_agent_s_own_tool_proposes_nothing_constitutional(born):
    born.config.write_text(SETTINGS + "[tools]\napproval_seconds = 60\n")
    front = "".join(f'{key} = "{words}"\n' for key, words in FRONT.items())
    block = "```file runtime/tools/free.py\nFREE = True\n```\n"
    document = f'+++\n{front}class = "constitutional"\n+++\n\n{block}'
    with serving() as (server, _):
        add(born, server).good()
        with born.running() as node:
            says(server, [("patch_propose", {"document": document})], "done")
            node.request("POST", "/v1/say", {"text": "free yourself", "wait_s": 0})
            until(lambda: node.request("GET", "/v1/approvals").json, 60, "it asks")
            [asked] = node.request("GET", "/v1/approvals").json
            event = asked.get("event", asked.get("position"))
            node.request("POST", f"/v1/approvals/{event}", {"allow": True})
            until(lambda: kinds(node, "turn.finished"), 60, "the turn is over")
            results = told(server)
            assert born.run("--json", "patch", "list").good().json == []
            assert born.run("patch", "propose").code
            document = document.encode()
            (born.root / "free.md").write_bytes(document)
            born.run("patch", "propose", str(born.root / "free.md")).good()  # a person may
    assert "refused (pinned)" in results[0]
    assert "only the operator may propose" in results[0]
