"""What the relay's log says of hostile clients: each fault once for an address, whatever comes."""

import asyncio
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mesh.complaints import Complaints
from mesh.core import limits
from mesh.core.told import Told
from mesh.places import place_at
from mesh.relay.server import _log as relay_log
from tests.mesh.peers import BOB, NOW, as_object, authenticating, make, serving
from tests.mesh.wire import client

SAID = "a client of the relay is refused"


async def forges(wire):
    for content in "ab":
        good = as_object(make(content=content))
        await wire.send("EVENT", {**good, "sig": make(content="c").sig})
        assert (await wire.receive())[2] is False


async def changes_an_id(wire):
    for content in "ab":
        await wire.send("EVENT", {**as_object(make(content=content)), "id": make(content="c").id})
        assert (await wire.receive())[2] is False


async def dates_ahead(wire):
    for second in range(5):
        await wire.send("EVENT", as_object(make(at=NOW + 1000 + second)))
        assert (await wire.receive())[2] is False


async def malforms(wire):
    for word in ("red", "green"):
        await wire.send("EVENT", {**as_object(make()), word: word})
        assert (await wire.receive())[2] is False


async def proves_falsely(wire):
    for second in (0, 1):
        await wire.send("AUTH", as_object(authenticating(BOB, challenge="x", at=NOW + second)))
        assert (await wire.receive())[2] is False


async def speaks_nonsense(wire):
    for number in range(limits.STRIKES_MAX - 1):
        await wire.ws.send("secret words" * number)
        assert (await wire.receive())[0] == "NOTICE"


async def sends_too_much(wire):
    await wire.ws.send("x" * (limits.FRAME_BYTES_MAX + 1))
    assert await wire.closed() == 1009


async def sends_no_text(wire):
    await wire.ws.send(b"\xff\xfe", text=True)
    assert await wire.closed() == 1007


HOSTILE = {
    forges: "invalid: the signature is not the author's",
    changes_an_id: "invalid: ",
    dates_ahead: "invalid: created_at is 1000 s ahead of this relay, at most 900 allowed",
    malforms: "invalid: ",
    proves_falsely: "invalid: ",
    speaks_nonsense: "invalid: ",
    sends_too_much: "hung up: ",
    sends_no_text: "hung up: ",
}


@pytest.mark.parametrize("does", HOSTILE, ids=lambda one: one.__name__)
async def test_a_fault_is_logged_once_for_an_address_with_its_reason(does):
    with capture_logs() as logs:
        async with serving() as (_, url):
            for _ in range(2):
                async with client(url) as wire:
                    await does(wire)
    [line] = logs
    assert (line["event"], line["log_level"], line["peer"]) == (SAID, "warning", "127.0.0.1")
    assert line["why"].startswith(HOSTILE[does])
    assert "secret" not in str(line)


async def test_a_flood_ends_with_two_lines_and_the_next_one_with_none():
    with capture_logs() as logs:
        async with serving() as (_, url):
            for _ in range(2):
                async with client(url) as wire:
                    for _ in range(limits.STRIKES_MAX):
                        await wire.ws.send("nonsense")
                    assert await wire.closed() == 1008
    nonsense, end = [line["why"] for line in logs]
    assert nonsense.startswith("invalid: ")
    assert end == "hung up: too many invalid messages"


async def test_what_honest_clients_do_is_not_logged():
    """An event of a stranger, one that is known already, and a question without an end."""
    with capture_logs() as logs:
        async with serving() as (relay, url):
            async with client(url) as wire:
                for event in (make(BOB), make(), make()):
                    await wire.send("EVENT", as_object(event))
                    assert (await wire.receive())[0] == "OK"
                await wire.send("REQ", "s", {})
                await wire.until("EOSE")
            async with client(url) as wire, asyncio.TaskGroup() as group:
                group.create_task(relay.hang_up())
                assert await wire.closed() == 1001
    assert logs == []


async def test_a_full_relay_says_so_once():
    with capture_logs() as logs:
        async with serving(connections_max=1) as (_, url), client(url):
            for _ in range(3):
                with pytest.raises(InvalidStatus):
                    await connect(url, proxy=None)
    assert [line["why"] for line in logs] == ["1 connections are open, as many as may be"]


def test_a_flood_of_addresses_is_no_flood_of_lines():
    """As many lines as there is room for, and one that says that there are more."""
    complaints = Complaints(log=relay_log, what=SAID, told=Told(most=3, seconds=60.0), now=clock())
    with capture_logs() as logs:
        for name in "abcdefgh" * 3:
            complaints.of(name, "floods")
        assert [line.get("peer") for line in logs] == ["a", "b", "c", None]
        assert (logs[3]["event"], logs[3]["of"]) == ("more of these are not logged", SAID)
        complaints.now = clock(60.0)
        for name in "ahgfed":
            complaints.of(name, "floods")
        assert [line.get("peer") for line in logs[4:]] == ["a", "h", "g", None]
        complaints.now = clock(60.0 + limits.CLEAN_SECONDS)
        complaints.well("h")
        complaints.of("h", "floods")
        assert logs[-1]["peer"] == "h"


@pytest.mark.parametrize(
    ("address", "place"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"),
     ("2001:db8::7", "20010db800000000::/64"), ("2001:db8::1:8", "20010db800000000::/64")],
)  # fmt: skip
def test_a_stranger_is_named_by_the_network_that_is_his(address, place):
    assert place_at(SimpleNamespace(get_extra_info=lambda _: (address, 5))) == place
    assert place_at(None) == "", "who hung up meanwhile"


def clock(now=0.0):
    return lambda: now
