"""A new tool of the host, from the proposal to the turn in which the agent calls it.

The change is the honest one of the corpus. Only people take it, with keys that were never here; the
model asks for the tool before and after, and what it gets is on record both times.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from genesis.core.granting import HOUR_MS, WAIT_MS
from ledger.core.keys import Signer
from tests.genesis_constitution.world import TOOL
from tests.genesis_hostile.software import DAYS, HONEST, TOOLS
from tests.node.test_node_constitution import (
    ALICE,
    BOB,
    PEOPLE,
    draft,
    hand_in,
    installed,
    passes,
    run_in,
    software,
    surely,
    why,
)
from tests.node.test_node_models import add, serving
from tests.node.test_node_patches import kinds
from tests.node.test_node_tools import says, told
from tests.node.world import SETTINGS

NAME = "todo_clear"
[CHANGE] = [change for change in HONEST if change.name == "a tool"]
ITEMS = [{"text": "sweep"}, {"text": "bake", "state": "done"}]


@pytest.fixture
def home(born):
    if shutil.which("git") is None:
        pytest.skip("no git here")
    born.config.write_text(SETTINGS + PEOPLE)
    return born


def call_of(node, name):
    """What was decided about calls of a tool, and what came of those; nothing is, of an unknown one."""
    asked = [row for row in kinds(node, "tool.requested") if row["payload"]["name"] == name]
    decided = caused(node, "tool.decided", asked)
    return [*decided, *caused(node, "tool.returned", decided)]


def caused(node, kind, rows):
    """The events of a type that have one of these among their causes."""
    positions = {row["position"] for row in rows}
    return [
        row
        for row in kinds(node, kind)
        if positions & {cause["position"] for cause in row["causes"]}
    ]


def offered(server):
    return {tool["function"]["name"] for tool in server.requests[0]["tools"]}


def test_a_tool_is_proposed_judged_approved_adopted_and_called(home, tmp_path):
    with serving() as (server, _):
        add(home, server).good()
        with home.running() as node:
            says(server, [("todo_set", {"items": ITEMS})], [(NAME, {})], "I cannot.")
            assert node.answer("empty the list") == "I cannot."
            assert NAME not in offered(server)
            assert "there is no tool" in told(server)[-1]
            assert not call_of(node, NAME)
            folder = draft(home, CHANGE.files, title="A list that empties")
            made = home.run("--json", "patch", "propose", str(folder)).good().json
            at = str(made["position"])
            payload = made["payload"]
            assert (payload["class"], payload["touches"]) == ("constitutional", ["pinned"])
            found = surely(home, at).good().json
            assert (found["decision"], found["for_people"]) == ("inconclusive", True)
            of_host = {row["path"] for row in found["constitution"]["files"]}
            assert of_host == {TOOL, TOOLS, DAYS} == CHANGE.files.keys()
            home.run("patch", "apply", at).refused("nobody has approved it")
            hand_in(node, at, Signer(b"\x42" * 32)).refused(400, "approval.people in node.toml")
            for key in (ALICE, BOB):
                assert hand_in(node, at, key).status == 200
            home.run("patch", "apply", at).refused("waits 72 hours")
        passes(home, WAIT_MS // HOUR_MS + 1)
        with home.running() as node:
            assert why(node, at) is None
            ordered = home.run("--json", "patch", "apply", at).good().json["ordered"]
            folder = Path(ordered["folder"])
            order = (folder / "order.json").read_bytes()
            assert hashlib.sha256(order).hexdigest() == ordered["order"]
            assert sorted(json.loads(order)["approvers"]) == sorted(
                k.public.hex() for k in (ALICE, BOB)
            )
            # ordered is not installed: the agent has no such tool yet
            says(server, "Not yet.")
            assert node.answer("and now?") == "Not yet."
            assert NAME not in offered(server)
            before = software(node)["root"]
        new = installed(tmp_path / "new", folder / "change.patch")
        node = home.start(wrapper=("env", "-C", str(new)))
        try:
            [adopted] = kinds(node, "patch.adopted")
            assert adopted["payload"]["patch"] == int(at)
            assert adopted["payload"]["software"] == json.loads(order)["software"]["after"]
            assert software(node)["standing"] == "approved"
            assert software(node)["root"] != before
            says(server, [(NAME, {})], [("todo_get", {})], "It is empty.")
            assert node.answer("empty the list") == "It is empty."
            assert NAME in offered(server)
            cleared, got = told(server)[-2:]
            assert "[empty]" in cleared
            assert "[empty]" in got
            decided, returned = call_of(node, NAME)
            assert returned["position"] > adopted["position"]
            assert decided["payload"]["effect"] == "allow"
            assert (returned["payload"]["outcome"], returned["content"]["text"]) == (
                "done",
                "[empty]",
            )
            [listed, emptied] = kinds(node, "todo.set")
            assert (listed["payload"]["count"], emptied["payload"]["count"]) == (2, 0)
            assert decided["position"] < emptied["position"] < returned["position"]
            said = node.log("message.sent")[-1]
            assert said["content"]["text"] == "It is empty."
            walk = home.run("--json", "why", str(said["position"])).good().json
            assert {decided["position"], returned["position"]} <= {row["position"] for row in walk}
        finally:
            node.stop()
        run_in(new, home, "replay").good()
        run_in(new, home, "verify").good()
        home.run("verify").good()
