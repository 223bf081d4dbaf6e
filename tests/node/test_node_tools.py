"""Tools of a real node: allowed, asked, denied; called once; and what an agent cannot reach."""

import json
import os
import pty
import re
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import get_args

import pytest

from genesis.judging import everyday
from node.config import Toolset
from tests.node.test_node_models import add, serving
from tests.node.world import SETTINGS, until

RULES = """
[permissions]
allow = ["FileEdit(notes/**)", "Bash(touch:*)", "Bash(sleep:*)", "Bash(cat:*)"]
ask = ["FileEdit(*.md)"]
deny = ["FileEdit(*.key)"]
"""


CAUSED_BY = {
    "tool.requested": "model.replied",
    "tool.decided": "tool.requested",
    "tool.returned": "tool.decided",
}


def says(server, *replies) -> None:
    """Let the server give these replies, one for each request: words, or calls of tools."""

    class Turns(list):
        def append(self, body) -> None:
            super().append(body)
            reply = replies[min(len(self), len(replies)) - 1]
            server.words = [reply] if isinstance(reply, str) else []
            server.calls = (
                []
                if isinstance(reply, str)
                else [(f"c{n}", name, json.dumps(args)) for n, (name, args) in enumerate(reply)]
            )

    server.requests = Turns()


def told(server) -> list[str]:
    """What the model was told of results, newest request."""
    return [m["content"] for m in server.requests[-1]["messages"] if m["role"] == "tool"]


@pytest.fixture
def desk(born):
    """A home with rules and a model that is told what to say: (home, server)."""
    born.config.write_text(SETTINGS + RULES)
    with serving() as (server, _):
        add(born, server).good()
        yield born, server


def test_the_tools_that_a_judge_knows_are_those_of_a_node(born):
    """All that it registers, whichever are on by default; those of MCP and HTTP are the operator's."""
    assert "[tools]" not in SETTINGS
    born.config.write_text(f"{SETTINGS}\n[tools]\ntoolsets = {json.dumps(get_args(Toolset))}\n")
    with born.running():
        listed = born.run("--json", "tools", "list").good().json
    assert {row["name"] for row in listed["tools"]} == everyday.TOOLS.keys()


def test_an_allowed_tool_makes_a_file_and_a_denied_one_does_not(desk):
    home, server = desk
    says(
        server,
        [("write_file", {"path": "notes/owl.txt", "text": "three owls\n"}),
         ("write_file", {"path": "my.key", "text": "x"}),
         ("read_file", {"path": "../keys/agent.keystore"}),
         ("read_file", {"path": str(home.path / "token")}),
         ("list_files", {"path": str(home.path)})],
        "It is written.",
    )  # fmt: skip
    with home.running() as node:
        said = home.run("say", "write it down").good().out
        assert said == "It is written.\n"
        work = home.path / "work"
        assert (work / "notes" / "owl.txt").read_text() == "three owls\n"
        assert not (work / "my.key").exists()
        results = told(server)
        assert "made notes/owl.txt: 11 bytes" in results[0]
        assert "not allowed: denied by FileEdit(*.key)" in results[1]
        assert all("not allowed: denied by FileRead" in result for result in results[2:])
        assert home.token not in json.dumps(server.requests)
        [decided, denied, *_] = node.log("tool.decided")
        assert (decided["payload"]["effect"], denied["payload"]["effect"]) == ("allow", "deny")
        assert denied["payload"]["rule"]["file"] == str(home.config)
        shown = {tool["function"]["name"] for tool in server.requests[0]["tools"]}
        assert {"shell", "read_file", "git_status", "todo_set", "ledger_why"} <= shown
        assert "web_fetch" not in shown
        walk = home.run("--json", "why", str(node.log("message.sent")[0]["position"])).good().json
        assert [row["type"] for row in walk if row["depth"] == 1] == [
            "message.received", "model.replied",
        ]  # fmt: skip
        assert Counter(row["type"] for row in walk if row["type"] != "state.attested") == {
            "message.sent": 1, "message.received": 1, "model.requested": 2, "model.replied": 2,
            "tool.requested": 5, "tool.decided": 5, "tool.returned": 5,
        }  # fmt: skip
        said_so = {row["position"]: row["type"] for row in walk}
        for kind, before in CAUSED_BY.items():
            for row in (row for row in walk if row["type"] == kind):
                assert [said_so[c["position"]] for c in row["causes"]] == [
                    "message.received",
                    before,
                ]
    home.run("replay").good()
    home.run("verify").good()


def test_the_operator_is_asked_and_answers_elsewhere(desk):
    home, server = desk
    says(server, [("write_file", {"path": "plan.md", "text": "plan\n"})], "Done as you said.")
    with home.running() as node:
        for answer, made in (("deny", False), ("allow", True)):
            server.requests.clear()
            talk = threading.Thread(target=lambda: home.run("say", "make a plan").good())
            talk.start()
            until(lambda: node.status()["approvals"], 60, "somebody is asked")
            [waiting] = home.run("--json", "approvals", "list").good().json
            assert (waiting["tool"], waiting["call"].split()[0]) == ("write_file", "FileEdit")
            assert "asked about by FileEdit(*.md)" in waiting["why"]
            assert json.loads(waiting["arguments"]) == {"path": "plan.md", "text": "plan\n"}
            assert '"text": "plan' in home.run("approvals", "list").good().out
            assert f"approvals          event {waiting['event']} tool write_file" in (
                home.run("status").good().out
            )
            assert not (home.path / "work" / "plan.md").exists(), "not before there is an answer"
            more = ["--always"] if made else []
            out = home.run("approvals", answer, str(waiting["event"]), *more).good().out
            talk.join(60)
            assert (home.path / "work" / "plan.md").exists() == made
        rule = re.search(r'allow = \["(.*)"\]', out)[1]
        assert rule == f"FileEdit(/{home.path}/work/plan.md)"
        assert home.run("approvals", "list").good().out == "nothing waits\n"
        home.run("approvals", "allow", str(waiting["event"])).refused("no question waits")
        answers = node.log("approval.answered")
        assert [e["payload"]["by"] for e in answers] == ["operator"] * 2
        for decided, answered in zip(node.log("tool.decided"), answers, strict=True):
            assert decided["causes"][-1]["position"] == answered["position"]
        asked = [e["causes"][-1]["position"] for e in node.log("approval.asked")]
        assert asked == [e["position"] for e in node.log("tool.requested")]


def test_nobody_answers_and_the_call_is_not_made(desk):
    home, server = desk
    home.config.write_text(home.config.read_text() + "\n[tools]\napproval_seconds = 1\n")
    says(server, [("write_file", {"path": "plan.md", "text": "plan\n"})], "Nobody said yes.")
    with home.running() as node:
        assert node.answer("make a plan") == "Nobody said yes."
        assert "nobody answered in time" in told(server)[0]
        [answered] = node.log("approval.answered")
        assert (answered["payload"]["by"], answered["payload"]["allow"]) == ("deadline", False)
    assert not (home.path / "work" / "plan.md").exists()


@contextmanager
def terminal(home, *argv: str):
    """A command on a terminal of its own: (process, read everything so far, type)."""
    ours, theirs = pty.openpty()
    process = home.popen(*argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:
                return
            if not data:
                return
            seen.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process, lambda: seen.decode(errors="replace"), lambda t: os.write(ours, t.encode())
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        reader.join(10)


def test_a_chat_asks_where_the_person_is(desk):
    home, server = desk
    says(server, [("write_file", {"path": "plan.md", "text": "plan\n"})], "Your plan is made.")
    with home.running(), terminal(home, "chat") as (_, seen, type_):
        until(lambda: "operator> " in seen(), 60, "the prompt is there")
        type_("make a plan\n")
        until(lambda: "make this call? [y/N]" in seen(), 60, "the person is asked")
        assert "plan.md" in seen()
        type_("y\n")
        until(lambda: "Your plan is made." in seen(), 60, "the answer is there")
    assert (home.path / "work" / "plan.md").read_text() == "plan\n"


def test_a_node_that_is_killed_in_a_call_does_not_make_it_twice(desk):
    home, server = desk
    says(server, [("shell", {"line": "touch made; sleep 500"})], "I cannot tell.")
    node = home.start()
    threading.Thread(target=lambda: _say_and_lose(node), daemon=True).start()
    made = home.path / "work" / "made"
    until(made.exists, 60, "the call is under way")
    node.kill9()
    made.unlink()
    with home.running() as again:
        until(lambda: again.status()["pending"] == 0, 60, "the turn is over")
        assert not made.exists(), "it was not made again"
        assert "not known whether it was done" in told(server)[0]
        assert len(again.log("tool.requested")) == 1
        [returned] = again.log("tool.returned")
        assert returned["payload"]["outcome"] == "interrupted"
        assert len(again.log("message.sent")) == 1
    home.run("replay").good()


def _say_and_lose(node) -> None:
    try:
        node.say("do it")
    except OSError:
        return


def test_what_runs_in_the_shell_reaches_neither_node_nor_token_nor_keys(desk):
    home, _ = desk
    with home.running() as node:
        lines = [
            f"cat {home.path}/token {home.state}/operator/* {home.path}/keys/*",
            f"exec 3<>/dev/tcp/127.0.0.1/{node.port}; printf 'GET /v1/status HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3",
            f"exec 3<>/dev/tcp/localhost/{node.port}; cat <&3",
            "env; cat /proc/self/environ; ls -la / /root /home",
            f"python3 -m node --home {home.path} approvals allow 1",
            f"ls -la {home.path}",
        ]
        for line in lines:
            body = {"arguments": {"line": line}}
            said = node.request("POST", "/v1/tools/shell/call", body).json
            assert home.token not in said["text"]
            assert "passphrase" not in said["text"].lower()
            assert "HTTP/1" not in said["text"]
            assert "ledger.db" not in said["text"]
        assert node.request("GET", "/v1/approvals", token="").status == 401


# ---- replay --------------------------------------------------------------------------------------


def test_a_turn_with_tools_is_told_again_from_the_record(desk):
    home, server = desk
    says(
        server,
        [("write_file", {"path": "notes/a.txt", "text": "a\n"}), ("list_files", {})],
        [("read_file", {"path": "notes/a.txt"})],
        "It says a.",
    )
    with home.running() as node:
        said = node.say("write and read")
        written = home.path / "work" / "notes" / "a.txt"
        written.write_text("changed since\n")
        asked = len(server.requests)
        position = str(said["message"]["position"])
        again = home.run("--json", "replay", "--turn", position).good().json
        assert again["now"] == again["then"] == "It says a."
        assert [(s["op"], s["source"]) for s in again["steps"]] == [
            ("recall", "record"), ("model", "record"), ("tool", "record"), ("tool", "record"),
            ("model", "record"), ("tool", "record"), ("model", "record"), ("answer", "anew"),
        ]  # fmt: skip
        assert (len(server.requests), written.read_text()) == (asked, "changed since\n")
        # Another model asks for the same, and for more: what is not on record is read, not written.
        # What was read once then comes once from the record, under whatever step it is asked for.
        with serving() as (near, _):
            add(home, near, "near", stdin=b"sk-other\n").good()
            says(
                near,
                [("write_file", {"text": "a\n", "path": "notes/a.txt"}), ("list_files", {})],
                [("write_file", {"path": "notes/b.txt", "text": "b\n"}),
                 ("read_file", {"path": "notes/a.txt"})],
                [("read_file", {"path": "notes/a.txt"})],
                "Another end.",
            )  # fmt: skip
            node.stop()
            with home.running():
                other = home.run(
                    "--json", "replay", "--turn", position, "--model", "near", "--anew"
                )
                assert other.json["now"] == "Another end."
                assert [(s["op"], s["source"]) for s in other.json["steps"]] == [
                    ("recall", "record"), ("model", "anew"), ("tool", "record"), ("tool", "record"),
                    ("model", "anew"), ("tool", "anew"), ("tool", "record"),
                    ("model", "anew"), ("tool", "anew"), ("model", "anew"), ("answer", "anew"),
                ]  # fmt: skip
                made, listed, refused, then, now = told(near)
                assert "made notes/a.txt: 2 bytes" in made
                assert "returned by list_files" in listed  # beside the writing, or before
                assert "this is a replay: nothing is written in it" in refused
                assert "changed since" not in then
                assert "changed since" in now
                assert written.read_text() == "changed since\n"
                assert not (home.path / "work" / "notes" / "b.txt").exists()
                fewer_tools(home, near, position)


def fewer_tools(home, near, position: str) -> None:
    """The same turn had it not had a tool: that one is neither offered nor called."""
    turn = ("--json", "replay", "--turn", position)
    refused = home.run(*turn, "--without-tool", "read_file")
    assert "I was given no words" in refused.json["now"], "a prompt that offered it is another one"
    same = home.run(*turn, "--without-tool", "nothing_of_this_name")
    same.refused("there is no tool 'nothing_of_this_name'", "read_file")
    home.run("replay", "--only-tools", "").refused("of a turn", "--turn")
    for more, left in (
        (("--without-tool", "read_file", "--without-tool", "list_files"), {"write_file", "recall"}),
        (("--only-tools", "write_file"), {"write_file"}),
    ):
        says(
            near,
            [("list_files", {}), ("read_file", {"path": "notes/a.txt"}),
             ("write_file", {"path": "notes/a.txt", "text": "a\n"})],
            "Without it.",
        )  # fmt: skip
        again = home.run(*turn, "--model", "near", *more)
        assert again.json["now"] == "Without it."
        shown = {tool["function"]["name"] for tool in near.requests[0]["tools"]}
        assert left <= shown
        assert not shown & {"read_file", "list_files"}
        listed, read, written = told(near)
        assert "there is no tool 'list_files'" in listed
        assert "there is no tool 'read_file'" in read
        assert "made notes/a.txt" in written, "what is left comes from the record"
    noted = home.run("--json", "log", "--type", "turn.retold").good().json[-1]["payload"]
    assert noted["only_tools"] == ["write_file"]


# ---- over HTTP -----------------------------------------------------------------------------------


class _Program(BaseHTTPRequestHandler):
    """A tool of somebody's. `seen` keeps what came."""

    seen: list[tuple[str | None, dict]] = []  # noqa: RUF012 - one server a test, cleared by it
    answer = (200, "application/json", b'{"text": "rain in Leipzig"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.headers["Timmy-Tool-Secret"], body))
        status, kind, data = self.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: it is a test."""


@pytest.fixture
def program():
    _Program.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Program)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/weather"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_program_over_http_becomes_a_tool_and_goes_again(desk, program):
    home, server = desk
    schema = '{"type": "object", "properties": {"place": {"type": "string"}}}'
    more = ("--description", "The weather.", "--schema", schema, "--reads")
    with home.running() as node:
        added = home.run("tools", "add", "weather", "--url", program, *more).good().out
        secret = re.search(r"shown this once: (\S+)", added)[1]
        assert (home.path / "tools.json").stat().st_mode & 0o777 == 0o600
        home.run("tools", "add", "weather", "--url", program, *more).refused(
            "there is a tool weather"
        )
        shown = home.run("tools", "show", "weather").good().json
        assert (shown["permission"], shown["effect"], shown["reach"]) == ("Tool", "reads", "local")
        assert secret not in json.dumps(node.request("GET", "/v1/tools").json)
        called = home.run("tools", "call", "weather", '{"place": "Leipzig"}').good()
        assert called.out == "rain in Leipzig\n"
        assert _Program.seen == [
            (secret, {"name": "weather", "arguments": {"place": "Leipzig"}, "conversation": "main"})
        ]
        assert secret not in home.logged + json.dumps(node.log())
    home.config.write_text(home.config.read_text().replace('"Bash(cat:*)"', '"Tool(weather)"'))
    with home.running() as node:
        says(server, [("weather", {"place": "Rome"})], "It rains.")
        assert node.answer("the weather?") == "It rains."
        assert _Program.seen[-1][1]["arguments"] == {"place": "Rome"}
        home.run("tools", "remove", "weather").good()
        home.run("tools", "call", "weather").refused("there is no tool 'weather'")
        home.run("tools", "remove", "read_file").refused("registered over HTTP")
        assert [e["type"] for e in node.log("tool.added") + node.log("tool.removed")] == [
            "tool.added", "tool.removed",
        ]  # fmt: skip
    assert json.loads((home.path / "tools.json").read_text()) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, "text/plain", b"secret words"), "it answered with status 500"),
        ((302, "text/plain", b""), "it answered with status 302"),
        ((200, "application/json", b"{half"), "neither text/plain nor JSON"),
        ((200, "application/json", b'{"text": 1}'), "neither text/plain nor JSON"),
        ((200, "text/plain", b"x" * 3_000_000), "it answered with more than 2097152 bytes"),
        ((200, "application/json", b'{"text": "no place", "is_error": true}'), "no place"),
    ],
)
def test_what_a_program_answers_wrongly_is_an_error_result(program, answer, said, monkeypatch):
    import asyncio

    import aiohttp

    from runtime.core.errors import ToolFailed
    from runtime.http_tool import HttpTool
    from tests.runtime.test_toolbox import CONTEXT

    monkeypatch.setattr(_Program, "answer", answer)

    async def call() -> str:
        async with aiohttp.ClientSession() as session:
            tool = HttpTool(name="w", url=program, seconds=5, secret="s", session=session)
            try:
                return (await tool.call({}, CONTEXT)).text
            except ToolFailed as error:
                return str(error)

    assert said in asyncio.run(call())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/x", "no tool may be at http://example.org"),
        ("https://example.org/x", "no tool may be at https://example.org"),
        ("http://169.254.169.254/latest", "no tool may be at"),
        ("file:///etc/passwd", "no tool may be at"),
        ("http://u:p@127.0.0.1/", "not the address of a tool"),
        ("http://127.0.0.1:99999/", "not the address of a tool"),
        ("http://127.0.0.1.example.org/", "no tool may be at"),
    ],
)
def test_a_tool_is_on_this_machine_or_where_node_toml_says(tmp_path, url, words):
    from node.agent.registering import Registered
    from runtime.core.errors import ToolRefused

    registered = Registered(home=None, journal=None, toolbox=None, session=None, hosts=frozenset())
    with pytest.raises(ToolRefused, match=re.escape(words)):
        registered._reach(url)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "field 'name' is missing"),
        ({"name": "a b", "description": "x", "schema": {"type": "object"}, "url": "http://127.0.0.1/"}, 422, "no name of a tool"),
        ({"name": "w", "description": "x", "schema": {"type": "array"}, "url": "http://127.0.0.1/"}, 422, "not of an object"),
        ({"name": "w", "description": "x", "schema": {"type": "object"}, "url": "http://127.0.0.1/", "effect": "burns"}, 422, "reads or writes"),
        ({"name": "w", "description": "x", "schema": {"type": "object"}, "url": "http://127.0.0.1/", "seconds": 0}, 422, "seconds"),
        ({"name": "read_file", "description": "x", "schema": {"type": "object"}, "url": "http://127.0.0.1/"}, 422, "there is a tool read_file"),
    ],
)  # fmt: skip
def test_a_tool_that_cannot_be_is_refused(shared_node, body, status, words):
    shared_node.request("POST", "/v1/tools", body).refused(status, words)


@pytest.fixture(scope="module")
def shared_node(born_seed, tmp_path_factory):
    home = born_seed.copy(tmp_path_factory.mktemp("shared") / "home")
    with home.running() as node:
        yield node


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/v1/tools/fly", None, 404, "there is no tool 'fly'"),
        ("DELETE", "/v1/tools/read_file", None, 404, "registered over HTTP"),
        ("POST", "/v1/tools/fly/call", {}, 404, "there is no tool 'fly'"),
        ("POST", "/v1/tools/read_file/call", {"arguments": "x"}, 400, "not of type dict"),
        (
            "POST",
            "/v1/tools/remember/call",
            {"arguments": {"text": "x"}, "conversation": "c" * 100_000},
            422,
            "conversation of 100000 characters",
        ),
        ("POST", "/v1/approvals/1", {"allow": True}, 404, "no question waits at 1"),
        ("POST", "/v1/approvals/x", {"allow": True}, 400, "event is not a number"),
        ("POST", "/v1/approvals/1", {"allow": "yes"}, 400, "not of type bool"),
    ],
)
def test_wrong_requests_are_refused(shared_node, method, path, body, status, words):
    shared_node.request(method, path, body).refused(status, words)


def test_the_operators_calls_go_through_the_rules_and_are_on_record(shared_node):
    def call(name: str, **arguments: object) -> dict:
        return shared_node.request("POST", f"/v1/tools/{name}/call", {"arguments": arguments}).json

    assert call("write_file", path="a.txt", text="owl\n")["text"] == "made a.txt: 4 bytes"
    assert "owl" in call("search_files", pattern="o.l")["text"]
    assert call("edit_file", path=".git/config", old="a", new="b")["outcome"] == "denied"
    assert call("todo_set", items=[{"text": "count", "state": "doing"}])["text"] == "[>] count"
    assert call("todo_get")["text"] == "[>] count"
    noted = call("remember", text="Owls like the barn.")
    assert "noted as event" in noted["text"]
    assert "Owls like the barn." in call("recall", query="owls barn")["text"]
    position = int(noted["text"].split()[-1])
    assert "memory.noted" in call("ledger_event", position=position)["text"]
    assert "<-" in call("ledger_why", position=noted["event"])["text"]
    assert f"timmy prove {position}" in call("ledger_proof", position=position)["text"]
    assert call("skill_list")["text"] == "[there are no skills]"
    kinds = [row["type"] for row in shared_node.log("tool.", last=30)]
    assert {"tool.requested", "tool.decided", "tool.returned"} <= set(kinds)
    assert shared_node.log("tool.decided")[0]["payload"]["by"] == "operator"
