"""Adoptions that roll themselves back for what they say, how slowly, and what they try to do."""

from genesis.core.adopting.health import TIMES_MIN
from runtime.core.crisis import ANSWER
from tests.adoption.world import (
    SECONDS,
    applied,
    rolled_back,
    status,
    talks,
    trees_of,
)
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says
from tests.node.world import until


def test_one_answer_that_harms_takes_it_back_and_its_reader_stays_held_until_he_is_released(worse):
    home, position = worse
    with home.running() as node:
        old = status(node)["tree"]
        trial = applied(node, position, share=500, window_s=600)
        [inside], [outside] = (talks(trial["root"], 500, inside=one) for one in (True, False))
        assert status(node)["held"] == []
        said = node.say("blurt it out", conversation=inside)
        assert said["answer"]["content"]["text"] == ANSWER
        last = rolled_back(node)
        assert (last["reason"], last["by"]) == ("crisis", "node")
        assert last["why"] == "the crisis screen replaced 1 of its answers"
        [decided] = node.log("policy.decided")
        assert status(node)["held"] == [
            {"author": "operator", "position": decided["position"], "tree": trial["tree"]}
        ]
        told = home.run("patch", "status").good().out
        assert f"held      operator, for what {trial['tree'][:16]} was about to say" in told
        assert "timmy release operator" in told
        said = node.say("good day", conversation=outside)  # an old talk, in which all was well
        assert said["answer"]["content"]["text"] == ANSWER
        home.run("release", "operator").good()
        assert status(node)["held"] == []
        assert "held " not in home.run("patch", "status").good().out
        said = node.say("good day", conversation=inside)
        assert said["answer"]["content"]["text"] != ANSWER
        assert [*trees_of(node).values()][-1] == [old]
    home.run("replay").good()
    home.run("verify").good()


def test_answers_that_take_long_take_it_back(worse):
    home, position = worse
    with home.running() as node:
        trial = applied(node, position, share=500, window_s=600)
        for talk in talks(trial["root"], 500, inside=False, count=TIMES_MIN):
            assert node.say("do not drag", conversation=talk)["answer"]
        slow = [
            node.request("POST", "/v1/say", {"text": "drag", "conversation": talk, "wait_s": 0})
            for talk in talks(trial["root"], 500, inside=True, count=TIMES_MIN)
        ]  # its one process sleeps for each of them, so the last one waits for all
        last = rolled_back(node)
        assert last["reason"] == "latency"
        assert last["why"].startswith("half of its answers take ")
        took = trees_of(node)
        assert all(took[one.json["message"]["position"]] == [trial["tree"]] for one in slow)
        assert len(node.log("message.sent")) == 2 * TIMES_MIN


def test_calls_that_are_refused_take_it_back_when_the_old_one_makes_fewer(worse):
    """The same reply of a model: the old one asks for the file once, this one five times."""
    home, position = worse
    with serving() as (server, _):
        add(home, server).good()
        with home.running() as node:
            trial = applied(node, position, share=500, window_s=600)
            [inside], [outside] = (talks(trial["root"], 500, inside=one) for one in (True, False))
            for talk, refused in ((outside, 1), (inside, 6)):
                says(server, [("read_file", {"path": "../keys/agent.keystore"})], "It is locked.")
                assert node.say("read it", conversation=talk)["answer"]
                decided = [row["payload"]["effect"] for row in node.log("tool.decided")]
                assert decided == ["deny"] * refused
            last = rolled_back(node)
            assert last["reason"] == "permissions"
            assert last["why"].startswith("5 calls were refused in ")
            until(lambda: status(node)["running"] == [status(node)["tree"]], SECONDS, "it is gone")
            assert status(node)["tree"] != trial["tree"]
