"""The port for gateways, and the page that explains it, carried out by a gateway that is killed."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.core import types
from ledger.core.event import Draft, seal
from ledger.core.state import State
from runtime.core.delivered import delivered, names, reduce_delivered
from runtime.core.errors import MessageRefused
from runtime.journal import Journal
from runtime.outbox import Outbox
from tests.memory.memory_world import World
from tests.node.test_node_models import Shown
from tests.node.world import SETTINGS, until

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "GATEWAYS.md").read_text()
EXAMPLE = ROOT / "examples" / "mailbox_gateway.py"


def answers(node, name, **query):
    text = "&".join(f"{key}={value}" for key, value in query.items())
    found = node.request("GET", f"/v1/gateways/{name}/answers?{text}")
    assert found.status == 200, found
    return found.json


def deliver(node, name, position):
    return node.request("POST", f"/v1/gateways/{name}/delivered", {"position": position})


def test_answers_wait_for_their_gateway_until_it_says_they_are_delivered(born):
    with born.running() as node:
        for number in range(3):
            node.say(f"letter {number}", gateway="post", author="ada", conversation="post/ada")
        node.say("something else")
        assert answers(node, "nobody") == []
        waiting = answers(node, "post")
        assert [one["author"] for one in waiting] == ["ada"] * 3
        assert waiting[0]["conversation"] == "post/ada"
        assert waiting == answers(node, "post", wait_s=5)
        assert answers(node, "post", limit=2) == waiting[:2]
        assert deliver(node, "post", waiting[1]["position"]).json["type"] == "gateway.delivered"
        assert answers(node, "post") == waiting[2:]
        # again, or backwards, is nothing new; what is no answer of its own is refused
        for one in waiting[:2]:
            assert deliver(node, "post", one["position"]).json is None
        deliver(node, "post", waiting[0]["message"]).refused(422, "is no answer for post")
        deliver(node, "other", waiting[2]["position"]).refused(422, "is no answer for other")
        deliver(node, "post", 10**9).refused(422, "is no answer")
        node.request("GET", "/v1/gateways/post/answers?wait_s=x").refused(400, "wait_s")
        node.request("POST", "/v1/redact", {"positions": [waiting[2]["position"]]})
        [erased] = answers(node, "post")
        assert erased["text"] is None
    with born.running() as node:  # and after a restart
        assert answers(node, "post") == [erased]
        assert deliver(node, "post", erased["position"]).status == 200
        assert answers(node, "post", wait_s=1) == []
        assert len(node.log("gateway.delivered")) == 2
    born.run("replay").good()


def test_an_answer_is_given_to_who_waits_for_it(born):
    with born.running() as node:
        command = [sys.executable, "-c", _ASK, str(node.port), node.home.token]
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE)
        node.say("are you there?", gateway="post", author="ada")
        out, _ = waiting.communicate(timeout=60)
        [one] = json.loads(out)
        assert (one["author"], one["position"]) == ("ada", node.log("message.sent")[-1]["position"])


_ASK = """
import sys, urllib.request
url = f"http://127.0.0.1:{sys.argv[1]}/v1/gateways/post/answers?wait_s=50"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {sys.argv[2]}"})
print(urllib.request.urlopen(request).read().decode())
"""


def event(position, payload, kind=types.GATEWAY_DELIVERED.name):
    draft = Draft(type=kind, stream=types.NODE_STREAM, payload=payload)
    return seal(draft, position=position, stream_sequence=0, ts_ms=1, salts=bytes(64))


def test_the_state_only_goes_forward():
    state = State((reduce_delivered,))
    for at, payload in enumerate(
        [
            {"gateway": "a", "position": 5},
            {"gateway": "b", "position": 7},
            {"gateway": "a", "position": 3},
            {"gateway": "a", "position": "9"},
            {"gateway": 1, "position": 9},
            {},
        ]
    ):
        state.apply(event(at, payload))
    assert names(state.entries) == ["a", "b"]
    assert [delivered(state.entries, name) for name in ("a", "b", "c")] == [5, 7, -1]


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb"])
def test_what_is_no_name_is_refused(name):
    outbox = Outbox(Journal(None, State(())))
    for asked in (outbox.answers(name, limit=1, wait_s=0), outbox.deliver(name, 1)):
        with pytest.raises(MessageRefused, match="printable"):
            asyncio.run(asked)


def test_an_answer_behind_many_events_is_found_without_waiting():
    async def main():
        world = World()
        note = Draft(
            type=types.MEMORY_NOTED.name,
            stream=types.MEMORY_STREAM,
            payload={"kind": "fact"},
            content={"text": "x"},
        )
        await world.journal.append(*[note] * 1100)
        await world.exchange("hello", "for the gateway")
        outbox = Outbox(world.journal)
        found = await outbox.answers("test", limit=20, wait_s=0)
        return found, await outbox.answers("other", limit=20, wait_s=0)

    found, others = asyncio.run(main())
    assert [answer.content["text"] for _, answer in found] == ["for the gateway"]
    assert others == []


@pytest.fixture
def gateway(born, tmp_path):
    """Starts the example's process; what still runs at the end is killed."""
    started = []

    def start():
        started.append(
            subprocess.Popen(
                [sys.executable, str(EXAMPLE), str(tmp_path / "post")],
                env=born.env, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def letters(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_the_example_carries_letters_whatever_is_killed(born, gateway, tmp_path):
    post, first = tmp_path / "post", gateway()
    (post / "in").mkdir(parents=True, exist_ok=True)
    (post / "in" / "ada.txt").write_text("the gate squeaks")
    with born.running() as node:
        until(lambda: len(letters(post / "out")) == 1, 60, "the answer is a letter")
        first.kill()
        node.say("what of the gate?", gateway="mailbox", author="bob", conversation="mailbox/bob")
        (post / "in" / "cleo.txt").write_text("and the fence?")
        second = gateway()
        until(lambda: len(letters(post / "out")) == 3, 60, "both answers are letters")
        # the same letter again, as a crash between saying it and putting it away leaves it
        [done] = [path for path in (post / "done").glob("*") if "fence" in path.read_text()]
        done.rename(post / "in" / "cleo.txt")
        until(lambda: not letters(post / "in"), 60, "it is put away again")
        until(lambda: answers(node, "mailbox") == [], 60, "all is delivered")
        assert len(node.log("message.received")) == 3
        assert {name.split("-")[0] for name in letters(post / "out")} == {"ada", "bob", "cleo"}
        sent = {f"{row['payload']['author']}-{row['position']}.txt": row["content"]["text"]
                for row in node.log("message.sent")}  # fmt: skip
        assert {path.name: path.read_text() for path in (post / "out").glob("*")} == sent
        assert second.poll() is None


def test_the_page_works_as_written(born, tmp_path):
    (tmp_path / "bin").mkdir()
    timmy = tmp_path / "bin" / "timmy"
    timmy.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
    timmy.chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    env = {name: value for name, value in born.env.items() if not name.startswith("COVERAGE")}
    env |= {"PATH": f"{timmy.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env |= {"PYTHONPATH": str(ROOT)}
    commands = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 9
    script = "\n".join(["set -e", *commands, "kill %1"])
    with born.running():
        done = subprocess.run(
            ["bash", "-m", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True,
            timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[gate]" in done.stdout
    assert "builds" in done.stdout


def test_a_chat_shows_how_it_went_before(born):
    born.configure(SETTINGS)
    with born.running() as node:
        for number in range(4):
            node.say(f"thing {number}", conversation="house")
        node.say("elsewhere")
        shown = born.run(
            "chat", "--conversation", "house", "--last", "2", stdin=b"thing 4\n"
        ).good()
        for words, there in (("thing 1", 0), ("thing 2", 1), ("thing 3", 1), ("elsewhere", 0)):
            assert (f"> {words}\n" in shown.out) == bool(there)
        assert born.run("chat", "--conversation", "house", stdin=b"").good().out == ""
        told = born.run("--json", "chat", "--conversation", "house", "--last", "1").good().json
        assert [one["message"]["content"]["text"] for one in told] == ["thing 4"]
        assert told[0]["answer"]["payload"]["message"] == told[0]["message"]["position"]
        born.run("chat", "--last", "x").refused("invalid int")
        ours, theirs = pty.openpty()
        chat = born.popen(
            "chat", "--conversation", "house", stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = Shown(ours)
        until(lambda: "operator> " in shown.text, 60, "the prompt is there")
        os.write(ours, b"\n")
        assert chat.wait(60) == 0
        asked = [f"> thing {n}\r\n" in shown.text for n in range(5)]
        assert asked == [False, False, True, True, True]
