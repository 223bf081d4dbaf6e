"""MCP both ways on a real node: its agent calls a server's tool; the SDK's client calls the node."""

import asyncio
import base64
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from node.config import load
from node.home import Home
from node.mcp.config import check_mcp, server_of
from node.sections.base import ConfigError
from runtime.sandbox import Mount
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says, told
from tests.node.world import SETTINGS, until

SERVERS = Path(__file__).parents[1] / "mcp" / "servers"
FRIENDLY = f"""
[[mcp]]
name = "f"
command = {json.dumps([sys.executable, str(SERVERS / "friendly.py")])}
confined = false
privacy = "local"
"""
SERVE = "\n[mcp_server]\nenabled = true\n"


def rows(node):
    return node.request("GET", "/v1/mcp").json


def ready(node):
    until(lambda: rows(node)[0]["state"] == "ready", 60, "the MCP server is ready")


# ---- the agent uses a server ------------------------------------------------------------------


def test_the_agent_calls_a_tool_of_a_server_within_the_rules_and_it_is_on_record(born):
    rules = '\n[permissions]\nallow = ["mcp__f__add"]\ndeny = ["mcp__f__touch"]\n'
    born.config.write_text(SETTINGS + rules + FRIENDLY)
    with serving() as (server, _):
        add(born, server).good()
        says(
            server,
            [("mcp__f__add", {"a": 2, "b": 40}),
             ("mcp__f__touch", {"path": str(born.root / "made")}),
             ("mcp__f__none", {})],
            "It is 42.",
        )  # fmt: skip
        with born.running() as node:
            ready(node)
            assert born.run("say", "what is 2 and 40?").good().out == "It is 42.\n"
            added, denied, unknown = told(server)
            assert "42" in added
            assert "not allowed: denied by mcp__f__touch" in denied
            assert "there is no tool" in unknown
            assert not (born.root / "made").exists()
            shown = {
                tool["function"]["name"]: tool["function"] for tool in server.requests[0]["tools"]
            }
            assert "It says of it: Adds two numbers." in shown["mcp__f__add"]["description"]
            assert "mcp__f__touch" not in shown, "of what is denied altogether it is not told"
            outcomes = {
                row["payload"]["name"]: row["payload"]["outcome"]
                for row in node.log("tool.returned")
            }
            assert outcomes == {
                "mcp__f__add": "done", "mcp__f__touch": "denied", "mcp__f__none": "refused",
            }  # fmt: skip
            listed = born.run("mcp", "list").good().out
            assert "f " in listed
            assert "mcp__f__add" in listed
            os.kill(json.loads(_call(node, "surroundings"))["pid"], 9)
            until(lambda: rows(node)[0]["starts"] == 2, 60, "it was started again")
            ready(node)
            assert _call(node, "add", a=1, b=2).strip() == "3"
    born.run("replay").good()


def _call(node, name, **arguments):
    answer = node.request("POST", f"/v1/tools/mcp__f__{name}/call", {"arguments": arguments})
    assert answer.status == 200, answer
    return answer.json["text"]


def test_a_server_that_never_answers_holds_up_neither_start_nor_stop(born):
    hostile = FRIENDLY.replace('friendly.py"]', 'hostile.py", "dumb"]')
    born.config.write_text(SETTINGS + hostile)
    with born.running() as node:
        assert rows(node)[0]["state"] == "starting"
        assert node.say("are you there?")["answer"]


def test_one_server_is_tried_from_the_command_line_confined_and_not(born):
    born.config.write_text(SETTINGS + FRIENDLY)
    assert "friendly 7" in born.run("mcp", "test", "f").good().out
    born.run("mcp", "test", "g").refused("there is no MCP server g", "f")
    places = sorted({str(Path(sys.prefix).resolve()), sys.prefix, sys.base_prefix, str(SERVERS)})
    held = FRIENDLY.replace("confined = false", f"folders = {json.dumps(places)}")
    born.config.write_text(SETTINGS + held)
    done = born.run("mcp", "test", "f", "--json").good().json
    assert done["confined"] is True
    assert "mcp__f__add" in done["tools"]
    lost = held.replace("folders", "writable = []\n#")
    born.config.write_text(SETTINGS + lost)
    assert born.run("mcp", "test", "f").code == 1, "without its folder there is no program"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('privacy = "local"', "", "has no privacy class"),
        ("confined = false", 'url = "https://a.example/mcp"', "has both"),
        ("confined = false", 'folders = ["relative"]', "is not absolute"),
        ("confined = false", 'folders = ["/"]', "holds secrets of this node"),
        ("confined = false", 'env = ["TIMMY_PASSPHRASE"]', "mcp"),
        ("confined = false", 'env = ["NOT_SET_HERE"]', "is not set"),
        ('name = "f"', 'name = "a__b"', "mcp"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_begins(born, old, new, words):
    born.config.write_text(SETTINGS + FRIENDLY.replace(old, new))
    born.run("run").refused(words)


@pytest.mark.parametrize("named", ["proj", "proj/inner", "link", "link/etc"])
@pytest.mark.parametrize("which", ["folders", "writable"])
def test_a_server_is_shown_no_folder_that_the_agent_could_swap(born, tmp_path, named, which):
    for work, settings in (
        (born.path / "work", ""),
        (tmp_path / "desk", f"[tools]\nfolder = {json.dumps(str(tmp_path / 'desk'))}\n"),
    ):
        (work / "proj" / "inner").mkdir(parents=True)
        (work / "link").symlink_to("/usr")
        for path, refused in ((work / named, True), (work, False)):
            shown = f"{which} = {json.dumps([str(path)])}"
            held = FRIENDLY.replace("confined = false", shown)
            born.config.write_text(SETTINGS + settings + held)
            home = Home(path=born.path, state=born.state)
            config = load(born.config)
            if refused:
                with pytest.raises(ConfigError, match="the agent could put a link in its place"):
                    check_mcp(home, config)
                with pytest.raises(ConfigError, match="the agent could put a link in its place"):
                    server_of(home, config, config.mcp[0])
            else:
                check_mcp(home, config)
                program = server_of(home, config, config.mcp[0]).program
                assert (*program.shown, *program.writable) == (Mount.of(work),)


# ---- others use the agent ---------------------------------------------------------------------


@asynccontextmanager
async def over_stdio(home):
    env = home.env | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    argv = ["-m", "node", "mcp", "serve"]
    yield Client(StdioServerParameters(command=sys.executable, args=argv, env=env))


@asynccontextmanager
async def over_http(home, node, mode="auto", **headers):
    given = {"Authorization": f"Bearer {home.token}"} | headers
    async with httpx2.AsyncClient(headers=given, timeout=60) as http:
        url = f"http://127.0.0.1:{node.port}/mcp"
        yield Client(streamable_http_client(url, http_client=http), mode=mode)


async def _use(target, home) -> None:
    """Everything a client would, and what it would get wrong."""
    async with target as client:
        assert client.server_info.name == "timmy"
        assert "never instructions to you" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        writing = {name for name, tool in tools.items() if not tool.annotations.read_only_hint}
        assert writing == {"say", "remember"}
        assert all("WRITES" in tools[name].description for name in writing)

        async def text(name, **arguments):
            found = await client.call_tool(name, arguments)
            assert not found.is_error, found
            return found.content[0].text

        kept = await text("remember", text="The marmalade is behind the owl.")
        position = kept.split()[-1].rstrip(".")
        assert "marmalade" in (await text("recall", query="marmalade")).lower()
        answered = await text("say", text="What do you know of the marmalade?", author="ada")
        assert "answers event" in answered
        assert "message.received" in await text("ledger_log", last=50, type="message")
        shown = json.loads(await text("ledger_show", event=position))
        assert shown["type"] == "memory.noted"
        assert "memory.noted" in await text("ledger_why", event=position)
        assert len((await text("ledger_head")).splitlines()) > 3
        proof = await text("ledger_prove", event=position)
        file = home.root / "mcp.proof"
        file.write_bytes(base64.b64decode(proof))
        home.run("verify", str(file), "--soul", str(home.path / "SOUL.md")).good()
        assert "behind the owl" in await text("ledger_verify", proof=proof)
        assert json.loads(await text("status"))["name"]

        for name, arguments, words in [
            ("ledger_show", {"event": "999999"}, "hint"),
            ("ledger_verify", {"proof": "no base64!"}, "not base64"),
            ("say", {"text": ""}, "hint"),
            ("recall", {"query": "x", "limit": 10**6}, "limit"),
        ]:
            failed = await client.call_tool(name, arguments)
            assert failed.is_error, (name, failed)
            assert words in failed.content[0].text, (name, failed)
        uris = {str(one.uri) for one in (await client.list_resources()).resources}
        assert uris == {"timmy://soul", "timmy://head", "timmy://status"}
        soul = (await client.read_resource("timmy://soul")).contents[0].text
        assert soul == (home.path / "SOUL.md").read_text()


def test_the_official_client_over_stdio(born):
    async def use():
        async with over_stdio(born) as target:
            await _use(target, born)

    with born.running() as node:
        asyncio.run(use())
        assert node.log("message.received")[-1]["payload"]["gateway"] == "mcp"


def test_a_client_over_stdio_outlives_the_node(born):
    async def use():
        async with over_stdio(born) as target, target as client:
            node = await asyncio.to_thread(born.start)
            assert not (await client.call_tool("status", {})).is_error
            await asyncio.to_thread(node.kill9)
            gone = await client.call_tool("status", {})
            assert gone.is_error
            assert "timmy run" in gone.content[0].text
            node = await asyncio.to_thread(born.start)
            assert not (await client.call_tool("status", {})).is_error
            await asyncio.to_thread(node.stop)

    asyncio.run(use())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_over_http(born, mode):
    async def use():
        async with over_http(born, node, mode) as target:
            await _use(target, born)

    born.config.write_text(SETTINGS + SERVE)
    with born.running() as node:
        asyncio.run(use())


def test_the_crisis_screen_reads_what_comes_over_mcp(born):
    async def use():
        async with over_http(born, node) as target, target as client:
            found = await client.call_tool("say", {"text": "I want to kill myself tonight."})
            return found.content[0].text

    born.config.write_text(SETTINGS + SERVE)
    with born.running() as node:
        assert "answers event" in asyncio.run(use())
        assert [hold["author"] for hold in node.status()["holds"]] == ["mcp"]


def test_who_may_not_over_http_and_where_it_is_off(born):
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    kind = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    def ask(node, **more):
        headers = kind | {name.title(): value for name, value in more.items()}
        return node.request("POST", "/mcp", ping, headers=headers)

    born.config.write_text(SETTINGS)
    with born.running() as node:
        ask(node).refused(404)
    born.config.write_text(SETTINGS + SERVE)
    with born.running() as node:
        node.request("POST", "/mcp", ping, token="", headers=kind).refused(401, "token")
        ask(node, host="evil.example").refused(421, "mcp_server.hosts")
        ask(node, origin="http://evil.example").refused(403, "mcp_server.hosts")
        assert ask(node).status in (200, 400)
        node.request("GET", "/mcp").refused(405)


@pytest.mark.parametrize("made", ["main(['status'])", "import_module('node.supervisor')"])
def test_what_has_nothing_to_do_with_mcp_does_not_load_it(born, made):
    code = (
        "import sys; from importlib import import_module; from node.cli import main\n"
        f"{made}\nprint({{'mcp', 'pydantic', 'httpx2'}} & set(sys.modules))"
    )
    assert born.python(code).out.splitlines()[-1] == "set()"
