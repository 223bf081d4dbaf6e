"""The client: real servers of the official SDK, over stdio and HTTP, kept and lost."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from runtime.core.chat import Reach
from runtime.core.errors import AgentError
from runtime.core.tool import Effect
from runtime.mcp_process import Program
from runtime.mcp_servers import Server
from runtime.sandbox import Engine, Mount
from tests.sandbox.engines import ENGINES

from .world import CONTEXT, SERVERS, call, http_server, kept, offerer, stdio_server, until


@contextmanager
def over(how: str, **more):
    of = offerer(**more)
    with nullcontext() if how == "stdio" else http_server() as found:
        yield stdio_server(of=of) if found is None else Server(offerer=of, url=found[0])


BOTH = pytest.mark.parametrize("how", ["stdio", "http"])


@BOTH
async def test_a_servers_tools_are_there_are_called_and_change_while_it_runs(how):
    with over(how) as server:
        async with kept(server) as (box, servers):
            await until(lambda: servers.rows()[0]["state"] == "ready")
            [row] = servers.rows()
            assert (row["server"], row["protocol"]) == ("friendly 7", "2026-07-28"), row
            names = [spec.name for spec in box.specs()]
            assert "mcp__f__add" in names
            assert "mcp__f__grown" not in names
            spec = box.describe("mcp__f__add")
            assert spec.effect is Effect.WRITES, (
                "a hint is not believed unless the operator says so"
            )
            assert spec.permission.tool == spec.name
            assert spec.reach is Reach.LOCAL
            assert spec.description.startswith(
                "A tool of the MCP server f. It says of it: Adds two"
            )
            assert set(spec.schema["properties"]) == {"a", "b"}

            assert (await call(box, "mcp__f__add", a=2, b=40)).text.strip() == "42"
            failed = await call(box, "mcp__f__boom")
            assert failed.is_error
            assert "the words of a bug" not in failed.text
            wrong = await call(box, "mcp__f__add", a="two")
            assert wrong.is_error
            [dotted] = [name for name in names if "dots" in name]
            assert (await call(box, dotted)).text == "dotted"
            shown = await call(box, "mcp__f__picture")
            assert "a red dot:" in shown.text
            assert "a picture was left out: image/png" in shown.text
            assert shown.left_out > 0

            await call(box, "mcp__f__grow")
            await until(lambda: "mcp__f__grown" in [spec.name for spec in box.specs()])
            assert (await call(box, "mcp__f__grown")).text == "grown"


@BOTH
async def test_a_call_that_takes_too_long_is_cancelled_and_the_server_goes_on(how):
    with over(how, seconds=1.0) as server:
        async with kept(server) as (box, servers):
            await until(lambda: servers.rows()[0]["state"] == "ready")
            late = await call(box, "mcp__f__slow", seconds=600)
            assert late.is_error
            assert (await call(box, "mcp__f__add", a=1, b=1)).text.strip() == "2"
            assert servers.rows()[0]["starts"] == 1


async def test_ten_calls_go_beside_each_other_where_hints_are_trusted():
    async with kept(stdio_server(of=offerer(trust_hints=True))) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        assert box.describe("mcp__f__add").effect is Effect.READS
        assert box.describe("mcp__f__boom").effect is Effect.WRITES
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(call(box, "mcp__f__add", a=n, b=1)) for n in range(30)]
        assert [int(one.result().text) for one in calls] == [n + 1 for n in range(30)]


async def test_only_the_tools_that_the_operator_names_are_taken():
    async with kept(stdio_server(of=offerer(tools=("add", "b*")))) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        assert [spec.name for spec in box.specs()] == ["mcp__f__add", "mcp__f__big", "mcp__f__boom"]


async def test_a_server_that_dies_in_a_call_loses_its_tools_and_comes_back():
    async with kept(stdio_server()) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        entry = box.entry("mcp__f__add")
        died = await call(box, "mcp__f__die")
        assert died.is_error
        assert "not known whether it was done" in died.text, died
        await until(lambda: box.specs() == ())
        absent = await box.call(entry, {"a": 1, "b": 1}, CONTEXT)
        assert absent.is_error
        assert "not there now" in absent.text
        await until(lambda: box.specs() != ())
        assert (await call(box, "mcp__f__add", a=1, b=1)).text.strip() == "2"
        assert servers.rows()[0]["starts"] == 2


async def test_a_server_that_is_killed_between_calls_is_noticed():
    async with kept(stdio_server()) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        pid = json.loads((await call(box, "mcp__f__surroundings")).text)["pid"]
        os.kill(pid, signal.SIGKILL)
        await until(lambda: servers.rows()[0]["starts"] == 2)
        await until(lambda: servers.rows()[0]["state"] == "ready")
        assert (await call(box, "mcp__f__add", a=1, b=1)).text.strip() == "2"


async def test_a_server_over_http_that_goes_away_is_noticed_by_the_look_at_its_list():
    with http_server() as (url, process):
        async with kept(Server(offerer=offerer(), url=url), check_seconds=0.1) as (box, servers):
            await until(lambda: servers.rows()[0]["state"] == "ready")
            process.kill()
            await until(lambda: box.specs() == ())
            assert servers.rows()[0]["error"]


async def test_a_result_is_cut_and_one_beyond_any_bound_ends_the_server_not_the_node():
    async with kept(stdio_server()) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        much = await call(box, "mcp__f__big", size=1_000_000)
        assert not much.is_error
        assert len(much.text) < 60_000
        assert much.left_out > 900_000
        too_much = await call(box, "mcp__f__big", size=9_000_000)
        assert too_much.is_error
        await until(lambda: servers.rows()[0]["starts"] == 2)


async def test_an_answer_over_http_beyond_any_bound_is_refused():
    with http_server() as (url, _):
        async with kept(Server(offerer=offerer(), url=url)) as (box, servers):
            await until(lambda: servers.rows()[0]["state"] == "ready")
            too_much = await call(box, "mcp__f__big", size=9_000_000)
            assert too_much.is_error
            assert (await call(box, "mcp__f__add", a=1, b=1)).text.strip() == "2"


async def test_a_server_that_cannot_be_started_or_reached_is_told_of_and_tried_again():
    nobody = Server(offerer=offerer("web"), url="http://127.0.0.1:9/mcp")
    missing = stdio_server("no-such-file.py", of=offerer("gone"))
    async with kept(nobody, missing, stdio_server()) as (box, servers):
        await until(lambda: [row["starts"] > 1 for row in servers.rows()][:2] == [True, True])
        await until(lambda: box.specs() != ())
        web, gone, good = servers.rows()
        assert all(row["error"] for row in (web, gone)), (web, gone)
        assert good["state"] == "ready"


async def test_what_it_finds_in_its_environment(monkeypatch):
    monkeypatch.setenv("TIMMY_PASSPHRASE", "a secret")
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    async with kept(stdio_server(env={"WANTED": "this"})) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        found = json.loads((await call(box, "mcp__f__surroundings")).text)["env"]
        assert found["WANTED"] == "this"
        assert set(found) <= {
            "PATH",
            "HOME",
            "LANG",
            "TZ",
            "WANTED",
            "PWD",
            "SHLVL",
            "_",
            "LC_CTYPE",
            "OLDPWD",
        }


def program_places() -> tuple[Mount, ...]:
    """Where this Python and the servers lie."""
    places = (Path(sys.prefix), Path(sys.prefix).resolve(), Path(sys.base_prefix), SERVERS)
    return tuple(Mount.of(place) for place in places)


def command_lines():
    """What every user of this machine can read of its processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_confined_server_has_what_it_was_given_and_nothing_else(
    tmp_path, monkeypatch, engine
):
    monkeypatch.setenv("TIMMY_PASSPHRASE", "a secret")
    mine, others = tmp_path / "mine", tmp_path / "others"
    for folder in (mine, others):
        folder.mkdir()
    (others / "secret").write_text("not yours")
    server = stdio_server(
        confined=True,
        env={"WANTED": "this"},
        shown=program_places(),
        writable=(Mount.of(mine),),
    )
    async with kept(server, engine=engine) as (box, servers):
        await until(lambda: servers.rows()[0]["state"] == "ready")
        found = json.loads((await call(box, "mcp__f__surroundings")).text)
        assert found["env"]["WANTED"] == "this"
        home = "/work" if engine is Engine.BUBBLEWRAP else "/dev/shm/timmy-room-"
        assert found["env"]["HOME"].startswith(home)
        assert "TIMMY_PASSPHRASE" not in found["env"]
        assert found["uid"] == (65534 if engine is Engine.BUBBLEWRAP else os.getuid())
        assert not {"proc", "sys", "var"} & set(found["root"])
        assert not (await call(box, "mcp__f__touch", path=str(mine / "x"))).is_error
        assert (mine / "x").read_text() == "touched"
        for place in (others / "secret", SERVERS / "x", tmp_path / "y"):
            # Beneath the server's own empty /tmp it may write what nobody else sees.
            await call(box, "mcp__f__touch", path=str(place))
        assert (others / "secret").read_text() == "not yours"
        assert not (SERVERS / "x").exists()
        assert not (tmp_path / "y").exists()
        assert not [line for line in command_lines() if b"WANTED" in line]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("swapped", ["folder", "parent", "named"])
@pytest.mark.parametrize("how", ["shown", "writable"])
async def test_a_folder_that_was_swapped_for_a_link_is_not_mounted(tmp_path, swapped, how, engine):
    folder, home = tmp_path / "a" / "proj", tmp_path / "home" / "proj"
    for path in (folder, home):
        path.mkdir(parents=True)
    (folder / "file").write_text("ours")
    (home / "file").write_text("a secret")
    (tmp_path / "name").symlink_to(folder)
    named = tmp_path / "name" if swapped == "named" else folder
    program = Program(argv=["/bin/cat", f"{named}/file"], **{how: (Mount.of(named),)})

    async def said() -> bytes:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            child = await program.start(theirs, engine)
            try:
                return await asyncio.get_running_loop().sock_recv(ours, 100)
            finally:
                await child.end()

    assert await said() == b"ours", "a name that is a link is a name inside as well"
    match swapped:
        case "folder":
            folder.rename(tmp_path / "old")
            folder.symlink_to(home)
        case "parent":
            folder.parent.rename(tmp_path / "old")
            (tmp_path / "a").symlink_to(tmp_path / "home")
        case "named":
            named.unlink()
            named.symlink_to(home)
    with pytest.raises(AgentError, match="when it was checked, and does no more"):
        await said()


async def test_where_nothing_can_be_confined_a_server_is_not_started():
    async with kept(stdio_server(confined=True), engine=Engine.NONE) as (_, servers):
        await until(lambda: servers.rows()[0]["error"])
        assert "cannot be confined" in servers.rows()[0]["error"]
