"""Adopted thresholds in one run of a node: they bound the next turn, and no more once taken back."""

import pytest

from tests.adoption.world import (
    QUICK,
    applied,
    grant,
    new_home,
    propose,
    rolled_back,
    stage,
    status,
    steps,
    until_stage,
)
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says
from tests.node.world import SETTINGS

ONE = ("thresholds.toml", "iterations_max = 50", "iterations_max = 1")
FEW = ("thresholds.toml", "steps_max = 300", "steps_max = 1")
SMALL = ("thresholds.toml", "result_kb = 64", "result_kb = 16")
WHOLE = "I looked."
CUT = "I stopped before I was done: this turn has had 1 replies, at most 1."


@pytest.fixture
def server():
    with serving() as (server, _):
        yield server


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    return new_home(tmp_path_factory.mktemp("thresholds") / "born", SETTINGS + QUICK)


def patched(home, server, change) -> int:
    """Have a patch of the thresholds approved, and a model that asks for a tool in each turn."""
    add(home, server).good()
    with home.running():
        position = propose(home, "draft", change)
    grant(home, position)
    return position


def looked(node, server, about="work") -> str:
    """Say something that takes two replies of the model; return the answer."""
    says(server, [("list_files", {"path": "."})], WHOLE)
    return node.say(f"look at my {about}")["answer"]["content"]["text"]


def results(node) -> list[int]:
    """How many bytes each result of a tool had."""
    return [row["payload"]["bytes"] for row in node.log("tool.returned")]


def test_what_is_adopted_bounds_the_next_turn_and_no_more_when_it_is_taken_back(home, server):
    position = patched(home, server, ONE)
    with home.running() as node:
        assert looked(node, server) == WHOLE
        assert applied(node, position, window_s=1, turns=1)["stage"] == "node"
        assert looked(node, server) == CUT
        until_stage(node, None)
        assert steps(node)[-1] == "settled"
        assert looked(node, server) == CUT
        home.run("patch", "rollback").good()
        assert looked(node, server) == WHOLE
    assert home.run("replay").good()


def test_they_hold_after_a_start_until_the_operator_sets_others(home, server):
    position = patched(home, server, ONE)
    with home.running() as node:
        applied(node, position, window_s=600, turns=1)
    with home.running() as node:
        assert stage(node) == "node"  # still measured, with its thresholds
        assert looked(node, server) == CUT
    text = home.config.read_text()
    assert "[agent]" not in text
    home.config.write_text(f"{text}\n[agent]\niterations_max = 2\n")
    with home.running() as node:
        assert looked(node, server) == WHOLE
        assert status(node)["under_way"] is not None


def test_turns_that_they_end_too_early_take_them_back(home, server):
    position = patched(home, server, FEW)
    with home.running() as node:
        assert looked(node, server) == WHOLE
        applied(node, position, window_s=600, turns=1)
        for about in ("desk", "drawer", "shelf"):
            assert "kept failing" in looked(node, server, about)
        assert rolled_back(node)["reason"] == "errors"
        assert looked(node, server) == WHOLE


def test_so_do_the_bounds_of_results(home, server):
    """Those of a turn's calls, and those of calls from outside."""
    position = patched(home, server, SMALL)
    many = home.path / "work"
    many.mkdir(exist_ok=True)
    for number in range(200):
        (many / f"{'a-file-of-some-length' * 5}-{number:03}").touch()
    with home.running() as node:
        looked(node, server)
        applied(node, position, window_s=600, turns=1)
        looked(node, server)
        home.run("tools", "call", "list_files", '{"path": "."}')
        home.run("patch", "rollback").good()
        looked(node, server)
        whole, *cut, again = results(node)
        assert whole > 20_000
        assert again == whole
        assert len(cut) == 2
        assert all(size < 16_500 for size in cut)  # and a note of what is missing
