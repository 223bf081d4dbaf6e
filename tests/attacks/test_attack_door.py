"""Against the port of a node: whoever can reach it, and opens connections without end."""

import asyncio
import socket
from contextlib import ExitStack, suppress
from http.client import HTTPConnection

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mesh.places import place_of
from node.api import rates as rates_module
from node.api.door import Bounds, addresses_in, listen
from node.api.rates import ADDRESSES_MAX, BURST, MEMBER_TIMES, PER_SECOND, Rates
from tests.node.world import Home, until

FILES = 400
"""Open files that the node may have, whatever this machine allows."""


@pytest.fixture
def node(tmp_path):
    home = Home(tmp_path).configure()
    home.run("init").good()
    yield home.start(wrapper=("prlimit", f"--nofile={FILES}"))
    home.end()


def test_connections_that_say_nothing_do_not_end_a_node(node):
    """Each is an open file; the guard of a head, and the ledger's own, are files too."""
    before = node.home.guard.read_bytes()
    early = HTTPConnection("127.0.0.1", node.port, timeout=60)
    early.connect()
    with ExitStack() as stack:
        for _ in range(FILES + 50):
            one = stack.enter_context(socket.socket())
            one.settimeout(5)
            one.connect_ex(("127.0.0.1", node.port))
        headers = {"Authorization": f"Bearer {node.home.token}"}
        early.request("POST", "/v1/say", b'{"text": "The roof leaks."}', headers)
        assert early.getresponse().status == 200
        until(lambda: node.home.guard.read_bytes() != before, 60, "a head was released")
    early.close()
    status = node.status()
    assert status["events"] > 1
    assert (status["requests_refused"], status["false_proofs"]) == (0, 0)
    node.stop()
    log = node.home.path.joinpath("logs", "node.log").read_text()
    assert log.count("a connection finds no room") == 1


@given(st.lists(st.sampled_from(["127.0.0.1", "::1", "::ffff:127.0.0.9", "10.0.0.1", "10.0.0.2",
                                 "2001:db8::1", ""]), max_size=60))  # fmt: skip
def test_no_bound_is_passed_and_nobody_takes_the_place_of_this_machine(coming):
    bounds, inside = Bounds(ours=5, others=8, strangers=8, one=3, member=5), []
    for address in coming:
        if bounds.admits(address, inside, frozenset({"10.0.0.2"})):
            inside.append(address)
    ours = [one for one in inside if one in ("127.0.0.1", "::1", "::ffff:127.0.0.9")]
    others = [one for one in inside if one not in ours]
    assert len(ours) == min(
        5, sum(one in ("127.0.0.1", "::1", "::ffff:127.0.0.9") for one in coming)
    )
    assert len(others) <= 8
    assert all(others.count(one) <= (5 if one == "10.0.0.2" else 3) for one in others)


@pytest.mark.parametrize("files", [256, 1024, 16_384, 1_000_000])
def test_half_of_the_open_files_is_left_to_the_node(files):
    for relay in (1, 128, 10_000):
        bounds = Bounds.under(files, relay=relay)
        assert bounds.ours + bounds.others <= files // 2
        assert 0 < bounds.one < bounds.member < bounds.strangers < bounds.others
    assert Bounds.under(16_384, relay=128) == Bounds(
        ours=512, others=512, strangers=384, one=64, member=256
    )
    assert Bounds.under(16_384, relay=3000).strangers > 3000


NETWORKS = ["10.0.0.9", *(f"2001:db8:0:{n:x}" for n in range(9))]


@given(st.lists(st.tuples(st.sampled_from(NETWORKS), st.integers(1, 0xFFFF)), max_size=200))
def test_strangers_of_any_addresses_leave_room_for_members(coming):
    """Each IPv6 network is one stranger, however many of its addresses it comes from."""
    bounds, inside = Bounds.under(256, relay=128), []
    member = "2001:db8:0:1::beef:2"
    for network, number in coming:
        address = network if "." in network else f"{network}::{number:x}"
        if bounds.admits(address, inside, frozenset({member})):
            inside.append(address)
    for network in NETWORKS:
        assert sum(one.startswith(network) for one in inside) <= bounds.one
    assert len(inside) <= bounds.strangers
    room = 0
    while bounds.admits(member, inside, frozenset({member})):
        inside.append(member)
        room += 1
    assert room == min(bounds.member, bounds.others - (len(inside) - room))
    assert room >= bounds.others - bounds.strangers > 0


def test_a_network_of_addresses_does_not_keep_other_strangers_out():
    bounds, inside = Bounds.under(16_384, relay=128), []
    for number in range(1, 2000):
        address = f"2001:db8::{number:x}"
        if bounds.admits(address, inside):
            inside.append(address)
    assert len(inside) == bounds.one
    assert bounds.admits("2001:db8:0:1::1", inside)
    assert bounds.admits("10.0.0.1", inside)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("no:address", "no:other", False),
    ],
)
def test_what_counts_as_one_stranger(one, other, same):
    assert (place_of(one) == place_of(other)) is same


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_who_asks_too_fast_waits_and_a_member_may_ask_more_and_not_everything():
    clock = Clock()
    rates = Rates(clock=clock, members=lambda: frozenset({"10.0.0.2"}))
    assert sum(rates.takes("10.0.0.1") for _ in range(1000)) == BURST
    assert rates.takes("10.0.0.3"), "another address has its own"
    many = sum(rates.takes(f"2001:db8::{number:x}") for number in range(1000))
    assert many == BURST, "one IPv6 network is one stranger"
    assert sum(rates.takes("10.0.0.2") for _ in range(9000)) == BURST * MEMBER_TIMES
    clock.now += 1.0
    assert sum(rates.takes("10.0.0.1") for _ in range(1000)) == PER_SECOND
    assert sum(rates.takes("10.0.0.2") for _ in range(1000)) == PER_SECOND * MEMBER_TIMES
    clock.now += 3600.0
    assert sum(rates.takes("10.0.0.1") for _ in range(1000)) == BURST, "and no more, however long"
    assert rates.refused > 0


def test_who_asks_too_fast_is_logged_once():
    rates = Rates(clock=Clock(), members=lambda: frozenset({"10.0.0.2"}))
    with capture_logs() as logs:
        for number in range(BURST * 2):
            for address in ("10.0.0.1", f"2001:db8::{number:x}"):
                rates.takes(address)
        for _ in range(BURST * MEMBER_TIMES * 2):
            rates.takes("10.0.0.2")
    network = place_of("2001:db8::1")
    assert [(line["peer"], line["log_level"], line["why"]) for line in logs] == [
        ("10.0.0.1", "warning", f"more than {BURST} requests at once"),
        (network, "warning", f"more than {BURST} requests at once"),
        ("10.0.0.2", "warning", f"more than {BURST * MEMBER_TIMES} requests at once"),
    ]


async def test_who_is_hung_up_on_is_logged_once():
    """A real server with room for two; ten more come."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    bounds = Bounds(ours=2, others=2, strangers=2, one=2, member=2)
    with capture_logs() as logs, socket.create_server(("127.0.0.1", 0)) as listener:
        server = await listen(runner, listener, bounds, frozenset)
        streams = [await asyncio.open_connection(*listener.getsockname()) for _ in range(12)]
        async with asyncio.timeout(60):
            for reader, _ in streams[2:]:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
        for _, writer in streams:
            writer.close()
        server.close()
        await runner.cleanup()
    [line] = logs
    assert (line["event"], line["log_level"]) == ("a connection finds no room", "warning")
    assert (line["peer"], line["why"]) == ("127.0.0.1", "2 connections are open")


def test_what_is_remembered_of_addresses_is_bounded():
    rates = Rates(clock=Clock(), members=frozenset)
    for number in range(ADDRESSES_MAX + 100):
        rates.takes(f"2001:db8:0:{number:x}::1")
    assert len(rates._buckets) == ADDRESSES_MAX


async def test_over_http_it_is_told_to_wait_and_this_machine_is_not_counted(monkeypatch):
    """A real server and client; the address is taken for a stranger's."""
    answered = 0

    async def handler(_request):
        return web.json_response({})

    limit = Rates(clock=Clock(), members=frozenset)
    app = web.Application(middlewares=[limit.middleware])
    app.add_routes([web.get("/", handler)])
    async with TestClient(TestServer(app)) as client:
        for _ in range(BURST + 5):
            answered += (await client.get("/")).status == 200
        assert answered == BURST + 5
        monkeypatch.setattr(rates_module, "is_here", lambda _address: False)
        statuses = [(await client.get("/")).status for _ in range(BURST + 5)]
        assert statuses == [200] * BURST + [429] * 5
        last = await client.get("/")
        assert last.headers["Retry-After"] == "1"
        assert "too many requests" in (await last.json())["error"]


def test_addresses_are_taken_from_urls_and_names_are_not_looked_up():
    urls = ("http://10.0.0.2:8787", "http://[2001:db8::1]:1", "http://ann.example:8787", "http://")
    assert addresses_in(urls) == {"10.0.0.2", "2001:db8::1"}
