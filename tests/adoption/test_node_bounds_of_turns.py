"""Turns that are under way, or moved, when other thresholds come into force: whose they have."""

from tests.adoption.world import (
    LOOP,
    PASSAGE,
    QUICK,
    SECONDS,
    applied,
    granted,
    new_home,
    stage,
    talks,
)
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says
from tests.node.world import SETTINGS, until

from .test_node_thresholds import ONE, WHOLE

SLEEPY = PASSAGE.replace(
    "    if not", """    if "owls" in words:
        yield "answer", {"text": "Who."}
        return
    if "dawdle" in words:
        import time

        time.sleep(15)
    if not""")  # fmt: skip
FEW = ("thresholds.toml", "steps_max = 300", "steps_max = 1")


def said(node, text, name="main"):
    """Say something, and wait no longer than until it is worked on."""
    begun = len(node.log("turn.started"))
    node.request("POST", "/v1/say", {"text": text, "conversation": name, "wait_s": 0})
    until(lambda: len(node.log("turn.started")) > begun, SECONDS, "it has begun")


def test_a_turn_that_is_under_way_keeps_its_own(tmp_path):
    home = new_home(tmp_path / "home", SETTINGS + QUICK)
    with serving() as (server, call):
        add(home, server).good()
        position = granted(home, ONE)
        says(server, [("list_files", {"path": "."})], WHOLE)
        with home.running() as node:
            call(server.pause.clear)
            said(node, "look at my work")
            until(lambda: node.log("model.requested"), SECONDS, "a model is asked")
            assert applied(node, position, window_s=600, turns=1)["stage"] == "node"
            call(server.pause.set)
            until(lambda: node.log("message.sent"), SECONDS, "it is answered")
            [answer] = node.log("message.sent")
            assert answer["content"]["text"] == WHOLE
            says(server, [("list_files", {"path": "."})], WHOLE)
            assert "at most 1" in node.say("look at my desk")["answer"]["content"]["text"]


def test_a_moved_turn_has_the_bounds_of_what_it_was_moved_to(tmp_path):
    home = new_home(tmp_path / "home", SETTINGS + QUICK)
    with serving() as (server, call):
        add(home, server).good()
        position = granted(home, (LOOP, PASSAGE, SLEEPY), FEW)
        with home.running() as node:
            trial = applied(node, position, share=500, window_s=1, turns=1)
            [inside] = talks(trial["root"], 500, inside=True)
            [outside] = talks(trial["root"], 500, inside=False)
            call(server.pause.clear)
            said(node, "good day", outside)  # keeps the process of before
            said(node, "what do owls say?", inside)
            until(lambda: stage(node) == "node", SECONDS, "everybody has it")
            said(node, "please dawdle", inside)
            home.run("patch", "rollback").good()
            until(lambda: len(node.log("turn.started")) == 4, SECONDS, "it has begun anew")
            call(server.pause.set)
            until(lambda: len(node.log("turn.finished")) == 3, SECONDS, "all are answered")
            ends = [row["payload"]["outcome"] for row in node.log("turn.finished")]
            assert len(node.log("turn.moved")) == 1
            assert ends == ["answered"] * 3
