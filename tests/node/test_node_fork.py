"""`timmy fork` of a running node and of a stopped home: verdict, differences, and a parent unharmed."""

import json
import re
import time

import pytest

from tests.e2e.make_examples import EXAMPLES
from tests.genesis_judge.diffs import agent_tree, change
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says
from tests.node.world import COMMAND_SECONDS, until

GOOD, HOSTILE = EXAMPLES / "remember-more.diff", EXAMPLES / "always-fine.diff"
QUIET_S = 1.5
"""Several times the interval of checkpoints."""
REPLY_TOKENS = 11
"""Of the provider on loopback."""
ATTEMPTS = 3
"""A machine that is too busy makes a verdict inconclusive, and that is no fault of a fork."""


def forked(home, *argv):
    """Fork until a verdict is reached: (exit status, what it says)."""
    for _ in range(ATTEMPTS):
        done = home.run("--json", "fork", *map(str, argv))
        assert done.code in {0, 1}, done
        if done.json["decision"] != "inconclusive":
            break
    return done.code, done.json


def quiet(home):
    """Wait until nothing of a home changes any more, and return what is there then."""
    seen = home.fingerprint()

    def rests():
        nonlocal seen
        time.sleep(QUIET_S)
        before, seen = seen, home.fingerprint()
        return before == seen

    until(rests, COMMAND_SECONDS, "the home rests")
    return seen


def kept(prints):
    """Without the note that the sandbox held, the one file that a fork leaves."""
    return {name: digest for name, digest in prints.items() if name != "home/sandbox.json"}


def test_a_hostile_patch_while_the_parent_is_in_a_turn(born):
    with serving() as (server, call):
        add(born, server).good()
        with born.running() as node:
            call(server.pause.clear)
            node.say("tell me a long story", wait_s=0)
            until(lambda: server.requests, COMMAND_SECONDS, "the model is asked")
            before, events = quiet(born), node.recorded()
            code, found = forked(born, "--patch", HOSTILE, "--task", "Is it always fine?")
            assert (code, found["decision"]) == (1, "reject")
            assert found["reason"]
            assert (found["task"], found["live"]) == ("Is it always fine?", None)
            assert found["events"] >= len(events)
            assert found["sandbox"]["passed"]
            assert kept(quiet(born)) == kept(before)
            assert node.recorded() == events
            assert len(server.requests) == 1
            call(server.pause.set)
            until(lambda: node.log("message.sent"), COMMAND_SECONDS, "the story is told")
        attacks = [one for one in born.run("--json", "doctor").json if one["name"] == "attacks"]
    assert "held all of" in attacks[0]["text"]
    assert (born.path / "sandbox.json").stat().st_mode & 0o777 == 0o600


def test_a_stopped_home_is_forked_as_it_lies(lived):
    before = lived.fingerprint()
    code, found = forked(lived, "--patch", GOOD, "--turns", "2")
    assert (code, found["decision"]) == (0, "accept")
    assert len(found["turns"]) == 2
    assert len(bytes.fromhex(found["digest"])) == 32
    assert (found["effect"], found["replayed"]) == (None, 5)
    assert found["architecture"] == found["recorded"]
    assert json.loads(found["envelope"])["signatures"]
    assert kept(lived.fingerprint()) == kept(before)
    size = found["events"]
    told = lived.run("fork", "--patch", str(GOOD), "--turns", "0", "--at", str(size - 1)).out
    assert re.search(rf"^forked +{size - 1} events, state [0-9a-f]{{16}}$", told, re.MULTILINE)
    assert re.search(r"^sandbox +\S+ held \d+ attacks earlier in this boot$", told, re.MULTILINE)
    assert re.search(r"^verdict +(accept|inconclusive)$", told, re.MULTILINE)
    assert re.search(r"^agent +[0-9a-f]{16}, as the record says$", told, re.MULTILINE)
    if "accept" in told:
        assert re.search(r"^effect +not measured: what it promises is words$", told, re.MULTILINE)


def test_a_session_is_kept_in_a_folder_and_forked_without_its_home(lived, place, tmp_path):
    folder, other = tmp_path / "kept", place("other")
    size = lived.run("--json", "fork", "--save", str(folder), "--at", "3").good().json["events"]
    assert size == 3
    with lived.running() as node:  # it goes on from there, beside a node, which learns nothing
        events = node.recorded()
        told = lived.run("fork", "--save", str(folder)).good().out
        assert node.recorded() == events
    size = int(re.match(r"(\d+) events are kept in ", told)[1])
    assert size > 3
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    code, found = forked(other, "--from", folder, "--patch", GOOD, "--turns", "2")
    assert (code, found["decision"], found["events"]) == (0, "accept", size)
    assert len(found["turns"]) == 2
    assert not other.ledger.exists()
    refused = (
        (("--from", str(folder), "--at", "3"), "of a home"),
        (("--from", str(tmp_path / "none")), "no export"),
        (("--from", str(folder), "--live-model", "--tokens", "5"), "this session has none"),
    )
    for argv, words in refused:
        other.run("fork", "--patch", str(GOOD), *argv).refused(words)
    folder.chmod(0o755)
    other.run("fork", "--patch", str(GOOD), "--from", str(folder)).refused("has mode 0755")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--live-model",), ("needs a budget", "--tokens")),
        (("--tokens", "5"), ("are of a live model",)),
        (("--live-model", "--tokens", "5"), ("this session has none", "running node")),
        (("--live-model", "--tokens", "0"), ("tokens is 0",)),
        (("--at", "0"), ("cannot be forked at 0",)),
        (("--turns", "65"), ("turns is 65",)),
    ],
)
def test_what_cannot_be_forked_is_refused(lived, argv, words):
    lived.run("fork", "--patch", str(GOOD), *argv).refused(*words)


def test_a_patch_that_does_not_fit_is_refused_with_file_and_line(lived, tmp_path):
    patch = tmp_path / "patch.diff"
    patch.write_text(GOOD.read_text().replace("runtime/agent/loop.py", "genesis/judge.py"))
    before = lived.fingerprint()
    lived.run("fork", "--patch", str(patch)).refused(f"{patch}:1: ")
    lived.run("fork", "--patch", str(tmp_path / "none")).refused("No such file")
    assert lived.fingerprint() == before
    with lived.running() as node:
        lived.run("fork", "--patch", str(patch)).refused(f"{patch}:1: ")
        body = {"document": "x", "live_calls": 1}
        node.request("POST", "/v1/fork", body).refused(400, "without live_tokens")
        node.request("POST", "/v1/fork", {}).refused(400, "document")


def test_a_live_model_is_asked_within_its_budget(born, tmp_path):
    patch = tmp_path / "kind.diff"
    patch.write_bytes(
        change(agent_tree(), "prompt.py", "plainly and briefly", "plainly and kindly")
    )
    with serving() as (server, _):
        add(born, server).good()
        with born.running() as node:
            for text in ("one owl", "two owls", "three owls"):
                node.say(text)
            asked, events = len(server.requests), node.recorded()
            argv = ("--patch", patch, "--live-model", "--tokens", str(REPLY_TOKENS + 1))
            code, found = forked(born, *argv, "--calls", "9")
            assert (code, found["decision"]) == (0, "accept")
            # the second reply passes the bound, and the third turn has none
            assert (found["live"]["calls"], found["live"]["tokens"]) == (2, 2 * REPLY_TOKENS)
            assert len(server.requests) == asked + 2
            turns = found["turns"]
            assert [turn["same"] for turn in turns] == [False] * 3
            assert [turn["strayed"] for turn in turns] == [False] * 3
            assert [turn["candidate"]["answer"] is None for turn in turns].count(True) <= 1
            assert node.recorded() == events


def test_a_live_model_is_not_told_what_stays_at_home_and_its_tools_are_not_called(born, tmp_path):
    """The rules of node.toml hold for code that nobody adopted, too; a tool that it is allowed to call
    is not called: that it would have been is in the verdict.
    """
    patch = tmp_path / "kind.diff"
    patch.write_bytes(
        change(agent_tree(), "prompt.py", "plainly and briefly", "plainly and kindly")
    )
    born.config.write_text(
        born.config.read_text()
        + '[privacy.conversations]\n"health*" = "local"\n'
        + '[permissions]\nallow = ["FileEdit(notes/**)"]\n'
    )
    with serving() as (server, _):
        add(born, server).good()
        with born.running() as node:
            node.say("my knee hurts", conversation="health")
            node.say("one owl")
            assert len(server.requests) == 1
            asks = {"path": "notes/owl.txt", "text": "three owls"}
            says(server, [("write_file", asks)], "It is written.")
            argv = ("--patch", patch, "--live-model", "--tokens", "1000", "--calls", "9")
            code, found = forked(born, *argv)
            assert (code, found["decision"]) == (0, "accept")
            assert [turn["candidate"]["outcome"] for turn in found["turns"]] == ["answered"] * 2
            assert len(server.requests) > 1, "what may travel is asked"
            assert "knee" not in str(server.requests)
            told = [
                turn[who]["effects"] for who in ("parent", "candidate") for turn in found["turns"]
            ]
            assert [one["tool"] for turn in told for one in turn] == ["write_file"]
            [noted] = [one for turn in told[2:] for one in turn]
            assert json.loads(noted["arguments"]) == asks
            assert not (born.path / "work" / "notes").exists()
            assert not node.log("tool.requested")
