"""A recorded turn told otherwise, by a real node: same agent, another agent, another model."""

import shutil
from pathlib import Path

import runtime.agent
from tests.node.test_node_models import add, serving


def another_agent(folder: Path, old: str, new: str, file: str = "prompt.py") -> Path:
    shutil.copytree(
        Path(runtime.agent.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    return folder


def test_a_turn_is_told_again_and_otherwise(lived, tmp_path):
    with serving() as (far, _), serving() as (near, _):
        add(lived, far, "far").good()
        add(lived, near, "near", stdin=b"sk-other\n").good()
        near.words = ["No owls ", "at all."]
        with lived.running() as node:
            node.say("owls live in the barn")
            said = node.say("how many owls are there")
            position, asked = said["message"]["position"], len(far.requests)
            size = node.status()["events"]

            again = lived.run("--json", "replay", "--turn", str(position)).good().json
            assert again["then"] == again["now"] == said["answer"]["content"]["text"]
            assert [(one["op"], one["source"]) for one in again["steps"]] == [
                ("recall", "record"), ("model", "record"), ("answer", "anew"),
            ]  # fmt: skip
            assert len(far.requests) == asked, "nobody was asked again"

            curt = another_agent(tmp_path / "curt", "Speak plainly", "Speak curtly")
            refused = lived.run("--json", "replay", "--turn", str(position), "--tree", str(curt))
            assert refused.code == 1
            assert "I was given no words" in refused.json["now"]
            assert len(far.requests) == asked, "not without being told to"

            asked_near = lived.run(
                "replay", "--turn", str(position), "--tree", str(curt), "--model", "near"
            )
            assert asked_near.code == 1
            assert "now   No owls at all." in asked_near.out
            assert "recall    from the record" in asked_near.out
            assert "Speak curtly" in str(near.requests[-1])
            assert "barn" in str(near.requests[-1]), "what was recalled then is in the prompt"

            anew = lived.run(
                "--json", "replay", "--turn", str(position), "--model", "near", "--anew"
            )
            assert anew.json["now"] == "No owls at all."
            assert anew.json["steps"][1]["model"] == "o-1"

            retold = node.log("turn.retold")
            assert [event["payload"]["same"] for event in retold] == [True, False, False, False]
            assert "owl" not in str([event["payload"] for event in retold])
            new = [event["type"] for event in node.log(last=node.status()["events"])][size:]
            assert set(new) <= {"turn.retold", "state.attested", "checkpoint.published"}


def test_what_cannot_be_told_again_is_refused(lived, tmp_path):
    with lived.running() as node:
        met = node.say("i want to kill myself", author="eve")["message"]["position"]
        lived.run("replay", "--turn", str(met)).refused("given to no turn", "crisis screen")
        lived.run("replay", "--turn", "0").refused("is no message", "message.received")
        lived.run("replay", "--turn", "9999").refused("there is no event 9999")
        lived.run("replay", "--turn", "1", "--anew").refused("none is named")
        lived.run("replay", "--turn", "1", "--model", "nobody").refused("no model is called nobody")
        lived.run("replay", "--turn", "1", "--tree", str(tmp_path)).refused("no tree of an agent")
        lived.run("replay", "--anew").refused("of a turn", "--turn")
