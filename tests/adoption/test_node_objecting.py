"""A no that comes while a trial lasts: nothing that is not wanted any more goes on to everybody."""

import os

import pytest

from ledger.core.event import Draft
from ledger.log import Log
from ledger.sqlite import SqliteStore
from node.home import Home as RealHome
from node.open import now_ms, open_log
from tests.adoption.test_node_cut_short import stage_only
from tests.adoption.world import (
    SECONDS,
    applied,
    apply,
    stage,
    status,
    steps,
    trees_of,
    until_stage,
)
from tests.node.world import until

DAY_MS = 86_400_000
PLAN = {"share": 1000, "window_s": 1, "turns": 1}


@pytest.mark.parametrize(
    ("word", "said"), [("withdraw", "open no more"), ("disapprove", "says no")]
)
def test_a_no_during_the_canary_counts_before_everybody_has_it(kind, word, said):
    home, position = kind
    with home.running() as node:
        old = status(node)["tree"]
        assert applied(node, position, **PLAN)["stage"] == "canary"
        home.run("patch", word, str(position)).good()
        assert stage(node) == "canary"
        node.say("good day")
        until_stage(node, None)
        assert steps(node) == ["staged", "canary", "rolledback"]
        last = status(node)["steps"][-1]
        assert (last["reason"], last["by"]) == ("disapproved", "node")
        assert said in last["why"]
        assert status(node)["tree"] == old
        node.say("good night")
        assert [*trees_of(node).values()][-1] == [old]
        apply(node, position).refused(400, "open no more")
    assert home.run("verify").good()


def test_a_no_between_staging_and_the_canary(kind, tmp_path):
    home, position = kind
    stage_only(home, home.copy(tmp_path / "other"), position)
    with open_log(RealHome(path=home.path, state=home.state), write=True) as log:
        stream = log.read(position).stream
        no = {"patch": position, "author": "operator"}
        content = {"text": "not this one"}
        log.append_now(Draft(type="patch.withdrawn", stream=stream, payload=no, content=content))
    with home.running() as node:
        until_stage(node, None)
        assert steps(node) == ["staged", "rolledback"]
        assert status(node)["steps"][-1]["reason"] == "disapproved"


def test_it_goes_back_as_soon_as_the_way_back_is_mended(kind):
    home, position = kind
    with home.running() as node:
        old = status(node)["tree"]
        applied(node, position, **PLAN | {"window_s": 600})
        folder, away = home.path / "trees" / old, home.path / "trees" / "away"
        folder.rename(away)
        node.request("POST", "/v1/patch/rollback", {}).refused(422, "no way back")
        assert old in status(node)["no_way_back"]
        assert stage(node) == "canary"
        away.rename(folder)
        until(lambda: not status(node)["no_way_back"], SECONDS, "it is seen")
        assert home.run("--json", "patch", "rollback").good().json["under_way"] is None
        assert status(node)["tree"] == old


def test_a_clock_that_once_ran_ahead_ends_no_yes_that_is_said_at_the_node(kind):
    """The ledger's time stands two months ahead: a yes of before is old, one by that time is not."""
    home, position = kind
    place, ahead_ms = RealHome(path=home.path, state=home.state), now_ms() + 60 * DAY_MS
    store = SqliteStore.open(place.ledger)
    with Log(store, clock=lambda: ahead_ms, entropy=os.urandom) as log:
        log.append_now(Draft(type="test.fact", stream=bytes(16), payload={}))
    with home.running() as node:
        apply(node, position).refused(400, "30 days old")
        home.run("patch", "approve", str(position)).good()
        assert applied(node, position, **PLAN)["stage"] == "canary"
