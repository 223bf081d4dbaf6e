"""`timmy export --trajectories`: whole turns in ShareGPT's form, and nothing that was erased."""

import json

from runtime.core.trajectory import _call
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says


def test_arguments_that_no_file_can_hold_do_not_end_an_export():
    for arguments in ("[" * 5_000, '{"a": "\\ud800"}', "\ud800", "no JSON"):
        call = _call("shell", arguments)
        assert json.dumps(call, ensure_ascii=False).encode()
    assert _call("shell", '{"a": 1}') == {"name": "shell", "arguments": {"a": 1}}


def export(home, *more):
    path = home.root / "life.jsonl"
    done = home.run("--json", "export", "--trajectories", "--force", "-o", str(path), *more)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return done.good().json, rows


def test_turns_are_told_with_their_tools_and_erased_ones_not_at_all(lived):
    with serving() as (server, _):
        add(lived, server).good()
        text = lived.config.read_text() + '\n[permissions]\nallow = ["FileEdit(*.md)"]\n'
        lived.config.write_text(text)
        with lived.running() as node:
            says(server, [("write_file", {"path": "plan.md", "text": "plan\n"})], "It is written.")
            said = node.say("make a plan", conversation="work")
            says(server, "Two owls.")
            gone = node.say("how many owls are there", conversation="work")
            node.say("good night", conversation="home")
            held = node.say("I will end my life tonight", conversation="home", author="mallory")
            lived.run("redact", str(gone["answer"]["position"]), "--yes", "--reason", "x").good()

        told, rows = export(lived)
        [work] = [row for row in rows if row["conversation"] == "work"]
        human, call, result, answer = work["conversations"]
        assert human == {"from": "human", "value": "make a plan"}
        made = json.loads(call["value"].split("<tool_call>\n")[1].split("\n</tool_call>")[0])
        assert made == {"name": "write_file", "arguments": {"path": "plan.md", "text": "plan\n"}}
        assert (result["from"], result["value"][:16]) == ("tool", "<tool_response>\n")
        assert answer == {"from": "gpt", "value": "It is written."}
        [events] = work["events"]
        assert {said["message"]["position"], said["answer"]["position"]} <= set(events)
        assert work["models"] == ["o-1"]
        assert "Two owls" not in str([row for row in rows if row["conversation"] == "work"])
        taken = {position for row in rows for turn in row["events"] for position in turn}
        assert held["message"]["position"] not in taken
        assert told["turns"] == sum(len(row["events"]) for row in rows)
        assert told["left_out"] == 1
        assert (lived.root / "life.jsonl").stat().st_mode & 0o777 == 0o600

        _, only = export(lived, "--conversation", "home")
        assert [row["conversation"] for row in only] == ["home"]
    lived.run("export", "--conversation", "x", "-o", str(lived.root / "e")).refused(
        "--trajectories"
    )
