"""What one member of a fleet settled, the others take up in stages; and stop when one rolls back.

Three `timmy` processes that know each other by their mirrors alone. The proposals are judged by
each of them, for real.
"""

import pytest

from node.home import Home as Places
from node.keeping.doctor import examine
from tests.adoption.fleet import SECONDS, Fleet, fates, rollout, staged
from tests.adoption.world import KINDLY, LOOP, PASSAGE, WORSE, stage, status, steps
from tests.node.world import until

PROMPT = "runtime/agent/prompt.py"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("stages"))
    try:
        fleet.found()
        yield fleet
    finally:
        fleet.end()


def test_what_one_settled_the_others_follow_one_after_the_other(fleet):
    ann = fleet.members[0]
    before = status(ann.node)["tree"]
    position = fleet.adopted("kind", (PROMPT, *KINDLY))
    after = status(ann.node)["tree"]
    first, second = fleet.followers()
    until(lambda: stage(first.node) == "canary", SECONDS, "the first of them tries it")
    [taken] = [row for row in first.log("patch.proposed") if row["type"] == "patch.proposed"]
    told = first.node.request("GET", f"/v1/patches/{taken['position']}/approval").json
    assert (told["granted"], told["text"]) == (True, "approved at another member")
    until(lambda: fates(second).get(first.name) == "on trial", SECONDS, "the second sees it")
    seen = rollout(second)
    assert (seen["next"], seen["waits_for"]) == ("wait", [first.name])
    assert (seen["stage"], seen["own_stage"], seen["offered"]) == (1, 2, True)
    assert staged(second) == []
    assert status(second.node)["tree"] == before
    fleet.settles(first)
    until(lambda: stage(second.node) == "canary", SECONDS, "then the second")
    fleet.settles(second)
    for member in (first, second):
        assert status(member.node)["tree"] == after
        on_its_own_record(member, ann, position)
    everywhere = {one.name: "settled" for one in fleet.members}
    until(lambda: fates(ann) == everywhere, SECONDS, "the first one sees that all have settled")
    told = ann.home.run("patch", "status").good().out
    assert f"stage 2  {second.name} settled" in told


def on_its_own_record(member, ann, position):
    """Its ledger says whose proposal it took up, what was found and said there, and its own trial."""
    [proposed] = [row for row in member.log("patch.proposed") if row["type"] == "patch.proposed"]
    offered = ann.node.request("GET", f"/v1/events/{position}").json
    assert proposed["payload"]["author"] == f"fleet/{ann.ledger.hex()}"
    assert proposed["payload"]["document"] == offered["payload"]["document"]
    assert offered["id"] in str(proposed["causes"])
    [theirs] = [row for row in ann.log("patch.approved") if row["type"] == "patch.approved"]
    [said] = [row for row in member.log("patch.approved") if row["type"] == "patch.approved"]
    for name in ("signature", "key", "verdict"):
        assert said["payload"][name] == theirs["payload"][name]
    [judged] = [row for row in member.log("patch.judged") if row["payload"]["decision"] == "accept"]
    [begun] = staged(member)
    assert begun["payload"]["verdict"] == judged["payload"]["digest"]
    assert begun["payload"]["approvers"] == [said["payload"]["key"]]
    assert steps(member.node) == ["staged", "canary", "adopted", "settled"]
    assert member.home.run("verify").good()


def test_when_one_rolls_it_back_the_next_never_begins(fleet):
    ann = fleet.members[0]
    fleet.adopted("worse", (LOOP, PASSAGE, WORSE))
    first, second = fleet.followers()
    until(lambda: stage(first.node) == "canary", SECONDS, "the first of them tries it")
    for number in range(2):
        assert first.node.say("please crash", conversation=f"talk {number}")["answer"]
    until(lambda: stage(first.node) is None, SECONDS, "it takes it back")
    assert (status(first.node)["steps"][-1]["reason"]) == "crashes"
    kept = status(second.node)["tree"]
    until(lambda: rollout(second)["next"] == "halted", SECONDS, "the second sees it")
    assert rollout(second)["halted_by"] == [first.name]
    assert [row["payload"]["root"] for row in staged(second)].count(rollout(ann)["root"]) == 0
    assert status(second.node)["tree"] == kept != status(ann.node)["tree"]
    until(lambda: fates(ann)[first.name] == "rolled back", SECONDS, "so does who had it first")
    halted = f"halted: {first.name} rolled it back"
    assert halted in ann.home.run("status").good().out
    places = Places(path=second.home.path, state=second.home.state)
    found = next(one for one in examine(places) if one.name == "adoption")
    assert (found.ok, halted in found.text) == (None, True)
    assert status(ann.node)["fleet"]["rollouts"][-1]["next"] == "begun", "who settled keeps it"
    second.home.run("patch", "follow", "ffffffff").refused("names no adoption")
    begun = len(second.log("patch.proposed"))
    second.home.run("patch", "follow", rollout(second)["rollout"][:16]).good()
    until(lambda: len(second.log("patch.proposed")) > begun, SECONDS, "it is taken up all the same")
