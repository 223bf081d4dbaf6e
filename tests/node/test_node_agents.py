"""An agent that crashes, hangs, floods or lies: the user is told in words, and the node lives."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

import runtime.agent
from genesis import trees
from genesis.core.tree import Tree
from runtime import service

from .world import SETTINGS, Home, until

AGENT = Path(runtime.agent.__file__).parent
STARTER = Path(__file__).parent.parent / "runtime" / "trees" / "main.py"
IMPATIENT = SETTINGS + "[agent]\nturn_seconds_max = 1\nsteps_max = 5\nmemory_mb = 128\n"


def spoilt_tree() -> Tree:
    files = dict(trees.read_tree(AGENT))
    files["boot.py"] = files.pop("main.py")
    files["main.py"] = STARTER.read_bytes()
    files["variant.py"] = (Path(__file__).parent / "badly.py").read_bytes()
    return Tree(files)


def adopt(home: Home, tree: Tree) -> None:
    trees.store_tree(home.path, tree)
    trees.set_current(home.path, tree.digest)


@pytest.fixture(scope="module")
def home(lived_seed, tmp_path_factory):
    home = lived_seed.copy(tmp_path_factory.mktemp("agents") / "home").configure(IMPATIENT)
    adopt(home, spoilt_tree())
    yield home
    home.end()


@pytest.fixture(scope="module")
def node(home):
    with home.running() as node:
        yield node


MISDEEDS = [
    "crash", "raise", "hang", "hog", "flood", "garbage", "huge", "shell", "without end",
]  # fmt: skip


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_the_user_is_told_and_the_node_lives(node, misdeed):
    said = node.say(misdeed, wait_s=60)
    told = said["answer"]["content"]["text"]
    assert told in service.APOLOGIES.values(), told
    position = said["message"]["position"]
    ends = [row["payload"] for row in node.log("turn.finished")]
    assert [end["outcome"] for end in ends if end["message"] == position] == ["failed"]
    assert node.alive
    assert node.answer("are you there?", conversation="pulse") not in service.APOLOGIES.values()
    assert "Traceback" not in node.stderr
    # Erasing the words starts the agent anew, and ends the host's caution with it.
    erase = {"positions": [position], "reason": "a misdeed"}
    assert node.request("POST", "/v1/redact", erase).status == 200


def test_a_killed_agent_process_is_replaced(node):
    assert node.answer("are you there?", conversation="pulse")
    lives = node.status()["agent_lives"]
    for pid in children(node.process.pid):
        os.kill(pid, signal.SIGKILL)
    assert node.answer("are you there?", conversation="pulse") not in service.APOLOGIES.values()
    assert node.status()["agent_lives"] > lives


def children(pid: int) -> list[int]:
    """The direct children of a process, whichever thread started them."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(word) for text in texts for word in text.split()]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="confinement needs bubblewrap")
def test_the_agent_finds_nothing_of_the_home_and_no_secret(node):
    found = node.answer("spy")
    assert not re.search(r"TIMMY|/tmp/|/home/|passwd|shadow|/proc/\d|\.ssh", found), found


def test_a_message_that_no_agent_answered_is_answered_after_the_next_start(place):
    """The node is killed in the middle of a turn; the tree that hangs is replaced meanwhile."""
    other = place("other").configure(SETTINGS)
    other.run("init").good()
    adopt(other, spoilt_tree())
    node = other.start()
    said = node.say("hang", wait_s=0)
    until(lambda: node.log("turn.started"), 120, "the turn has begun")
    node.kill9()
    adopt(other, trees.read_tree(AGENT))
    with other.running() as again:
        position = said["message"]["position"]
        until(lambda: again.log("message.sent"), 120, "the message is answered")
        [sent] = again.log("message.sent")
        assert sent["payload"]["message"] == position
        assert sent["content"]["text"] not in service.APOLOGIES.values()
    assert other.run("verify").good()


def test_a_tree_that_cannot_start_leaves_words_and_a_living_node(fresh):
    fresh.configure()
    fresh.run("init").good()
    adopt(fresh, Tree({"main.py": b"raise SystemExit(7)\n"}))
    with fresh.running() as node:
        told = node.answer("are you there?", wait_s=60)
        assert told in service.APOLOGIES.values()
        assert node.status()["agent_lives"] >= 5
        assert "exit status 7" in fresh.logged
        assert node.request("GET", "/v1/search?q=there").json


@pytest.mark.parametrize("harm", ["changed", "gone", "unnamed"])
def test_a_damaged_tree_does_not_start(lived, harm):
    folder = trees.open_tree(lived.path, trees.current(lived.path))
    if harm == "changed":
        (folder / "loop.py").chmod(0o644)
        with (folder / "loop.py").open("a") as file:
            file.write("\nimport os\n")
        named = f"tree {folder.name} is damaged"
    elif harm == "gone":
        shutil.move(folder, lived.root / "elsewhere")
        named = f"there is no tree {folder.name}"
    else:
        (folder.parent / "current").write_text("../../../tmp\n")
        named = "current does not name a tree"
    before = lived.fingerprint()
    lived.run("run").refused(named)
    assert lived.fingerprint() == before


def test_the_ledger_is_good_after_all_that(home, node):
    assert home.run("verify").good()
    assert home.run("replay").good()
