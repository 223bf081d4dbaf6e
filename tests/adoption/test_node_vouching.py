"""After an adoption settled: both keys vouch for it, and a rollback is handoff n + 1."""

from tests.adoption.world import apply, status, steps, until_stage
from tests.node.test_node_opaque import DREAM, FACT, write_from_the_future

PLAN = {"share": 1000, "window_s": 1, "turns": 1}


def kits(home, old, new):
    return "--kit", str(home.root / old), "--new-kit", str(home.root / new)


def vouched(node):
    found = status(node)["handoff"]
    return found["due"], found["number"], found["tree"]


def test_a_handoff_names_what_was_adopted_and_a_rollback_is_the_next_one(kind):
    home, position = kind
    with home.running() as node:
        old = status(node)["tree"]
        apply(node, position, **PLAN)
        node.say("good day")
        until_stage(node, "node")
        new = status(node)["tree"]
        assert vouched(node) == (False, 0, old)  # it is on trial, and nobody vouches for it yet
    home.run("handoff", *kits(home, "kit.txt", "none.txt")).refused("under way", "settle")
    write_from_the_future(home, DREAM, FACT)  # a tree knows nothing of these, and they stay
    with home.running() as node:
        node.say("good evening")
        until_stage(node, None)
        assert steps(node)[-1] == "settled"
        assert vouched(node) == (True, 0, old)
    done = home.run("--json", "handoff", *kits(home, "kit.txt", "one.txt"), "--reason", "adopted")
    assert done.good().json["number"] == 1
    with home.running() as node:
        assert vouched(node) == (False, 1, new)
        [handed] = node.log("soul.handed_off")
        assert handed["payload"]["architecture"] == new
        node.say("who are you now?")
        home.run("patch", "rollback", "--why", "as before, please").good()
        assert vouched(node) == (True, 1, new)
    assert (
        home.run("--json", "handoff", *kits(home, "one.txt", "two.txt")).good().json["number"] == 2
    )
    with home.running() as node:
        assert vouched(node) == (False, 2, old)
        assert len(node.log(DREAM.type)) == len(node.log(FACT.type)) == 1
        node.say("good night")
    assert "UNBROKEN" in home.run("verify").good().out
    assert home.run("replay").good()
