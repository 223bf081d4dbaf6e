"""Adoptions that roll themselves back, and nobody who goes without an answer."""

from runtime import service
from tests.adoption.world import (
    BROKEN,
    QUICK,
    SECONDS,
    applied,
    apply,
    granted,
    rolled_back,
    stage,
    status,
    steps,
    talks,
    trees_of,
    until_stage,
)
from tests.node.world import SETTINGS, until


def test_a_turn_that_dies_on_the_canary_is_answered_by_the_old_one(worse):
    home, position = worse
    with home.running() as node:
        old = status(node)["tree"]
        trial = applied(node, position, share=500, window_s=600)
        new = trial["tree"]
        first, second, third = talks(trial["root"], 500, inside=True, count=3)
        said = node.say("please crash", conversation=first)
        assert said["answer"]["content"]["text"] not in service.APOLOGIES.values()
        assert trees_of(node)[said["message"]["position"]] == [new, old]
        [moved] = node.log("turn.moved")
        assert (moved["payload"]["reason"], moved["payload"]["tree"]) == ("died", new)
        assert status(node)["under_way"]["candidate"]["crashes"] == 1  # one may be the machine's
        assert node.say("good day", conversation=second)["answer"]
        said = node.say("crash again", conversation=third)
        assert said["answer"]["content"]["text"] not in service.APOLOGIES.values()
        last = rolled_back(node)
        assert (last["reason"], last["by"]) == ("crashes", "node")
        assert "2 of its turns ended with the process" in last["why"]
        until(lambda: status(node)["running"] == [old], SECONDS, "only the old process runs")
        node.say("good night", conversation=first)
        assert [*trees_of(node).values()][-1] == [old]
        assert node.alive
    assert home.run("verify").good()
    assert home.run("replay").good()


def test_failures_take_it_back_when_the_old_one_does_not_fail(worse):
    home, position = worse
    with home.running() as node:
        trial = applied(node, position, share=1000, window_s=600)
        for n in range(3):
            assert stage(node) == "canary"
            node.request("POST", "/v1/say", {"text": f"stumble {n}", "wait_s": 0})
            until(
                lambda n=n: sum(
                    row["payload"]["outcome"] == "failed" for row in node.log("turn.finished")
                ) == n + 1,
                SECONDS, "the turn has failed",
            )  # fmt: skip
        assert rolled_back(node)["reason"] == "errors"
        assert status(node)["tree"] != trial["tree"]
        said = node.say("now stumble no more")
        assert said["answer"]["content"]["text"] not in service.APOLOGIES.values()


def test_a_crash_after_everybody_has_it_takes_it_back_too(worse):
    """At the second bad end of one turn the old architecture takes it, and it is answered."""
    home, position = worse
    with home.running() as node:
        old = status(node)["tree"]
        trial = applied(node, position, share=1000, window_s=1, turns=1)
        node.say("good day")
        until_stage(node, "node")
        said = node.say("please crash")
        assert said["answer"]["content"]["text"] not in service.APOLOGIES.values()
        took = trees_of(node)[said["message"]["position"]]
        assert took == [trial["tree"], trial["tree"], old]
        assert rolled_back(node)["reason"] == "crashes"
        assert steps(node) == ["staged", "canary", "adopted", "rolledback"]
        assert status(node)["tree"] == old
    assert (home.path / "trees" / "current").read_text() == f"{old}\n"


def test_a_turn_under_way_when_it_is_rolled_back_by_hand_is_answered(worse):
    home, position = worse
    with home.running() as node:
        old = status(node)["tree"]
        new = applied(node, position, share=1000, window_s=600)["tree"]
        said = node.request("POST", "/v1/say", {"text": "dawdle a while", "wait_s": 0}).json
        at = said["message"]["position"]
        until(lambda: trees_of(node).get(at) == [new], SECONDS, "the canary has begun it")
        home.run("patch", "rollback", "--why", "too slow for me").good()
        until(lambda: node.log("message.sent"), SECONDS, "it is answered")
        [sent] = node.log("message.sent")
        assert sent["payload"]["message"] == at
        assert sent["content"]["text"] not in service.APOLOGIES.values()
        if [row["payload"]["reason"] for row in node.log("turn.moved")] == ["rolled back"]:
            assert trees_of(node)[at] == [new, old]
        else:  # it was quick: its last word was there before it was told to go
            assert trees_of(node)[at] == [new]


def test_one_that_does_not_start_never_gets_a_turn(place_of):
    home = place_of("broken").configure(SETTINGS + QUICK)
    home.run("init").good()
    entry = "\nif __name__"
    position = granted(home, ("runtime/agent/main.py", entry, f"\n{BROKEN}{entry}"))
    with home.running() as node:
        assert apply(node, position, share=1000, window_s=600).status == 200
        said = node.say("are you there?")
        assert said["answer"]["content"]["text"] not in service.APOLOGIES.values()
        last = rolled_back(node)
        assert last["reason"] == "crash-loop"
        assert "3 times in a row" in last["why"]
