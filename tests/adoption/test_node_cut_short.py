"""The node is killed, or power is lost, at each step: what the ledger says is what runs then."""

import shutil
from itertools import product
from pathlib import Path

import pytest

from genesis import trees
from genesis.core.constitution import PACKAGES
from ledger.core.event import Draft
from node.home import Home as RealHome
from node.open import open_log
from tests.adoption.world import (
    SECONDS,
    applied,
    stage,
    status,
    steps,
    talks,
    trees_of,
    until_stage,
)
from tests.node.world import until

ROOT = Path(__file__).parents[2]
PLAN = {"share": 1000, "window_s": 1, "turns": 1}
AT = ["canary", "node", "settled", "rolledback"]
FILES = ["as it was", "behind", "ahead", "gone"]


def go_to(node, position, wanted):
    """Bring an adoption to a step."""
    plan = PLAN | ({"window_s": 600} if wanted == "canary" else {})
    assert applied(node, position, **plan)
    if wanted == "rolledback":
        node.request("POST", "/v1/patch/rollback", {})
    if wanted in ("node", "settled"):
        node.say("good day")
        until(lambda: stage(node) in ("node", None), SECONDS, "everybody has it")
    if wanted == "settled":
        node.say("good evening")
        until_stage(node, None)


@pytest.mark.parametrize(
    ("wanted", "file"), [*product(AT, FILES[1:3]), *zip(AT, FILES[::3] * 2, strict=True)]
)
def test_killed_at_a_step_and_the_file_says_anything(kind, wanted, file):
    home, position = kind
    node = home.start()
    old = status(node)["tree"]
    go_to(node, position, wanted)
    new = next(row for row in node.log("patch.staged"))["payload"]["tree"]
    node.kill9()
    says = {"behind": old, "ahead": new}
    current = home.path / "trees" / "current"
    if file == "gone":
        current.unlink()
    elif file in says:
        trees.set_current(home.path, bytes.fromhex(says[file]))
    with home.running() as node:
        force = new if wanted in ("node", "settled") else old
        until(lambda: status(node)["tree"] == force or stage(node) is None, SECONDS, "it runs")
        if wanted == "canary":
            assert stage(node) == "canary"
            node.say("good day")
            assert [*trees_of(node).values()][-1] == [new]
            home.run("patch", "rollback").good()
            node.say("good night")
            assert [*trees_of(node).values()][-1] == [old]
        else:
            assert status(node)["tree"] == force
            node.say("good night")
            assert [*trees_of(node).values()][-1] == [force]
        if wanted == "node":
            until_stage(node, None)
            assert steps(node)[-1] == "settled"
    assert home.run("replay").good()
    assert home.run("verify").good()


def stage_only(home, other, position, **facts):
    """Have `home` as if power was lost right behind `patch.staged`; `other` is a copy of it."""
    with other.running() as node:
        assert applied(node, position, **PLAN)
        staged = node.log("patch.staged")[0]
    shutil.rmtree(home.path / "trees")
    shutil.copytree(other.path / "trees", home.path / "trees")
    with open_log(RealHome(path=other.path, state=other.state)) as log:
        event = log.read(staged["position"])
    with open_log(RealHome(path=home.path, state=home.state), write=True) as log:
        draft = Draft(type=event.type, stream=event.stream, payload=event.payload | facts)
        log.append_now(draft)


def test_another_software_takes_no_trial_over(kind, tmp_path):
    """Nothing that folds otherwise comes into a window: it is rolled back at the start."""
    home, position = kind
    stage_only(home, home.copy(tmp_path / "other"), position, reducers=bytes(32))
    with home.running() as node:
        last = status(node)["steps"][-1]
        assert (last["type"], last["reason"]) == ("patch.rolledback", "software")
        node.say("good day")
        assert status(node)["under_way"] is None


def with_another_schema(folder):
    """This software with one type more of which there was another schema before; reducers as is."""
    for package in PACKAGES:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=skipped)
    shutil.copy(ROOT / "node.toml", folder)
    for file, old, new in (
        ("types.py", 'name="patch.commented",', 'name="patch.commented", schema=2,'),
        ("upcast.py", "MappingProxyType({}))", '{("patch.commented", 1): dict})'),
    ):
        path = folder / "ledger" / "core" / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
    return folder


def test_no_schema_changes_in_a_window(kind, tmp_path):
    """A schema is of the types and their steps, which no reducer's module holds."""
    home, position = kind
    new = with_another_schema(tmp_path / "new")
    with home.running() as node:
        go_to(node, position, "canary")
    node = home.start(wrapper=("env", "-C", str(new)))
    try:
        last = status(node)["steps"][-1]
        assert (last["type"], last["reason"]) == ("patch.rolledback", "software")
        assert node.say("good day")["answer"]
        assert status(node)["under_way"] is None
    finally:
        node.stop()
    assert home.run("replay").good()


def test_power_lost_between_staging_and_the_canary(kind, tmp_path):
    home, position = kind
    stage_only(home, home.copy(tmp_path / "other"), position)
    with home.running() as node:
        until_stage(node, "canary")  # what was begun goes on
        node.say("good day")
        until_stage(node, "node")


@pytest.mark.parametrize(
    ("wanted", "harm"), [("canary", "gone"), ("node", "changed"), ("settled", "gone")]
)
def test_what_does_not_open_is_rolled_back_and_the_older_one_runs(kind, wanted, harm):
    home, position = kind
    with home.running() as node:
        old = status(node)["tree"]
        go_to(node, position, wanted)
        new = node.log("patch.staged")[0]["payload"]["tree"]
    folder = home.path / "trees" / new
    folder.chmod(0o755)
    if harm == "gone":
        trees.discard(folder)
    else:
        (folder / "loop.py").chmod(0o644)
        (folder / "loop.py").write_text("x")
    with home.running() as node:
        last = status(node)["steps"][-1]
        assert (last["type"], last["reason"]) == ("patch.rolledback", "damaged")
        assert new in last["why"]
        node.say("good day")
        assert [*trees_of(node).values()][-1] == [old]
    assert (home.path / "trees" / "current").read_text() == f"{old}\n"


def test_turns_under_way_when_it_is_killed_are_answered(worse):
    """One that hangs on the canary is answered by it after the start, or by the old one."""
    home, position = worse
    node = home.start()
    trial = applied(node, position, share=500, window_s=600)
    inside = talks(trial["root"], 500, inside=True, count=2)
    for name in inside:
        node.request("POST", "/v1/say", {"text": "please crash", "conversation": name, "wait_s": 0})
    until(lambda: node.log("turn.started"), SECONDS, "a turn has begun")
    node.kill9()
    with home.running() as node:
        until(lambda: len(node.log("message.sent")) == len(inside), SECONDS, "all are answered")
        until_stage(node, None)
        assert steps(node)[-1] == "rolledback"
    assert home.run("verify").good()
