"""Servers that mean ill: bounded, refused with a reason, and never more than their own connection."""

import asyncio
import json

import pytest

from runtime import mcp_servers
from runtime.core import limits

from .world import call, kept, offerer, stdio_server, until


def hostile(mode: str, **more):
    return stdio_server("hostile.py", mode, of=offerer("evil", **more))


async def ready(servers) -> dict:
    await until(lambda: servers.rows()[0]["state"] == "ready")
    return servers.rows()[0]


@pytest.mark.parametrize(
    ("mode", "reason"), [("line", "more than"), ("garbage", "no message to its standard output")]
)
async def test_what_is_no_message_ends_the_connection(mode, reason):
    async with kept(hostile(mode), stdio_server()) as (box, servers):
        await until(lambda: servers.rows()[0]["starts"] > 1 and servers.rows()[0]["error"])
        await until(lambda: any(spec.name == "mcp__f__add" for spec in box.specs()))
        assert (await call(box, "mcp__f__add", a=1, b=1)).text.strip() == "2", "the other goes on"


async def test_one_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(mcp_servers, "START_SECONDS", 0.5)
    async with kept(hostile("dumb")) as (_, servers):
        await until(lambda: servers.rows()[0]["starts"] > 1)
        assert servers.rows()[0]["error"] == "no answer within 0.5 s"


async def test_what_it_asks_of_us_is_refused():
    async with kept(hostile("asks", seconds=1.0)) as (box, servers):
        row = await ready(servers)
        assert row["server"] == "evil 6.6.6[31m", "signs that cannot be seen are gone"
        answers = []
        while len(answers) < 4:
            answers = json.loads((await call(box, "mcp__evil__answers")).text)
        assert {one["id"] for one in answers} == {901, 902, 903, 904}
        assert all("error" in one and "result" not in one for one in answers), answers
        never = await call(box, "mcp__evil__never")
        assert never.is_error
        assert not (await call(box, "mcp__evil__fake")).is_error, "one that hangs holds up no other"


async def test_bad_tools_are_refused_each_with_a_reason_and_the_good_are_plain():
    async with kept(hostile("bad")) as (box, servers):
        row = await ready(servers)
        why = {one["tool"]: one["why"] for one in row["refused"]}
        assert "two tools" in why["good"], why
        assert "levels" in why["deep"], why
        assert "bytes" in why["large"], why
        spec = box.describe("mcp__evil__good")
        assert "\u202e" not in spec.description
        assert "\x1b" not in spec.description
        assert len(spec.description) < limits.MCP_DESCRIPTION_CHARS_MAX + 100
        assert all(name.replace("_", "").replace("-", "").isalnum() for name in row["tools"]), row[
            "tools"
        ]
        assert box.describe("mcp__evil__readonly").effect.value == "writes"


async def test_a_list_that_the_protocol_does_not_know_is_no_list():
    async with kept(hostile("malformed")) as (_, servers):
        await until(lambda: servers.rows()[0]["error"])
        assert "does not list its tools" in servers.rows()[0]["error"]


@pytest.mark.parametrize(
    ("mode", "count"), [("many", limits.MCP_TOOLS_MAX), ("pages", limits.MCP_PAGES_MAX)]
)
async def test_lists_end(mode, count):
    async with kept(hostile(mode)) as (box, servers):
        row = await ready(servers)
        assert len(box.specs()) == len(row["tools"]) == count


async def test_a_flood_of_notes_costs_one_list_a_second_and_stops_nobody():
    async with kept(hostile("flood")) as (box, servers):
        await ready(servers)
        async with asyncio.timeout(30):
            assert not (await call(box, "mcp__evil__answers")).is_error
