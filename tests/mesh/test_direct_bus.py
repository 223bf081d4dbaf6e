"""Live messages from member to member over HTTP: real servers and clients on loopback."""

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ledger.core.codec import encode
from mesh.core.errors import BusDown, BusError, InvalidFrame, NobodyThere, Refused, Unanswered
from mesh.core.fleet.frame import DATA_BYTES_MAX, FRAME_BYTES_MAX, TAG, Frame, open_frame
from mesh.core.fleet.presence import SKEW_SECONDS_MAX
from mesh.fleet import direct_bus
from mesh.fleet.bus import Turnstile
from mesh.fleet.direct_bus import PLACE, QUEUED_MAX, DirectBus
from tests.mesh.test_bus import LONG, next_of, until
from tests.mesh.test_duties import FLEET, MEMBERS, NOW, SIGNERS, STRANGER, Clock, direct_buses

ONE, TWO, THREE = MEMBERS
SOME = Frame(sender=ONE, receiver=TWO, time_s=NOW, asks=True, subject="a.b", data=b"words")


def opened(data, **more):
    return open_frame(data, **{"me": TWO, "members": set(MEMBERS), "now_s": NOW} | more)


# ---- the frame -----------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.booleans(), st.integers(-SKEW_SECONDS_MAX, SKEW_SECONDS_MAX))
def test_a_frame_reads_back_as_it_was_signed(data, asks, off_s):
    frame = replace(SOME, data=data, asks=asks, time_s=NOW + off_s)
    assert opened(frame.sign(SIGNERS[0])) == frame


@given(st.data())
def test_a_frame_with_one_byte_changed_is_refused(data):
    made = bytearray(SOME.sign(SIGNERS[0]))
    at = data.draw(st.integers(0, len(made) - 1))
    made[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidFrame):
        opened(bytes(made))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated|empty|expected|end"),
        (encode([b"", b""]), "truncated|empty|expected|end|form"),
        (encode([encode([1, 2]), bytes(64)]), "form"),
        (bytes(FRAME_BYTES_MAX + 1), "at most|bytes"),
        (replace(SOME, receiver=THREE).sign(SIGNERS[0]), "another node"),
        (replace(SOME, sender=STRANGER.public).sign(STRANGER), "no member"),
        (replace(SOME, time_s=NOW - SKEW_SECONDS_MAX - 1).sign(SIGNERS[0]), "3601 s off"),
        (encode([SOME._body(), SIGNERS[1].sign(TAG, SOME._body())]), "not signed by"),
        (encode([SOME._body(), b"short"]), "not signed by"),
        (encode([SOME._body().replace(b"a.b", b"a b"), bytes(64)]), "no subject"),
        (encode([b"\x87\x02" + SOME._body()[2:], bytes(64)]), "version 2"),
    ],
)
def test_whatever_is_no_frame_for_this_node_is_refused(data, words):
    with pytest.raises(InvalidFrame, match=words):
        opened(data)


def test_a_frame_that_could_not_be_read_is_not_made():
    with pytest.raises(InvalidFrame, match="this key is"):
        SOME.sign(SIGNERS[1])
    for wrong in ({"data": bytes(DATA_BYTES_MAX + 1)}, {"receiver": b"x"}, {"time_s": -1}):
        with pytest.raises(InvalidFrame):
            replace(SOME, **wrong)


# ---- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
async def trio():
    async with direct_buses(*SIGNERS, manifest=FLEET, clock=Clock()) as buses:
        yield buses


async def test_what_is_published_comes_to_every_member_in_order(trio):
    one, two, three = trio
    async with one.subscribe("a.*") as at_one, two.subscribe(">") as at_two, three.subscribe("b"):
        for number in range(20):
            await one.publish("a.x", b"%d" % number)
        for inbox in (at_one, at_two):
            got = [await next_of(inbox) for _ in range(20)]
            assert [int(message.data) for message in got] == list(range(20))


async def test_a_request_goes_to_the_member_that_it_names(trio):
    one, two, three = trio
    word = f"ask.{TWO.hex()}"

    async def answer(inbox, text):
        async for message in inbox:
            await message.reply(text + message.data)

    async with two.subscribe(word) as asked, three.subscribe(word) as liar:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(answer(asked, b"two: ")),
                group.create_task(answer(liar, b"no")),
            ]
            for bus in (one, two):
                assert await bus.request(word, b"hello", seconds=LONG) == b"two: hello"
            for task in tasks:
                task.cancel()
        with pytest.raises(Unanswered):
            await one.request(word, b"and now?", seconds=0.3)
    for subject in (word, f"ask.{THREE.hex()}", "ask.nobody"):
        with pytest.raises(NobodyThere):
            await one.request(subject, b"hello", seconds=LONG)


async def test_a_member_that_hangs_delays_nobody_and_one_that_is_gone_is_nobody(trio):
    """It takes connections and never answers: what is for the others comes all the same."""
    one, _, three = trio
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        fleet = one._manifest()
        members = tuple(
            replace(member, urls=(url,)) if member.nostr == TWO else member
            for member in fleet.members
        )
        one._manifest = lambda: replace(fleet, members=members)
        async with three.subscribe("news") as inbox:
            for number in range(QUEUED_MAX + 10):
                await one.publish("news", b"%d" % number)
                assert (await next_of(inbox)).data == b"%d" % number
        with pytest.raises(Unanswered):
            await one.request(f"ask.{TWO.hex()}", b"", seconds=0.2)
    with pytest.raises(NobodyThere, match="no address"):
        await one.request(f"ask.{TWO.hex()}", b"", seconds=LONG)


async def test_the_first_address_that_answers_is_taken(trio):
    one, two, _ = trio
    fleet = one._manifest()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = f"http://127.0.0.1:{gone.getsockname()[1]}"
    members = tuple(replace(member, urls=(nobody, *member.urls)) for member in fleet.members)
    one._manifest = lambda: replace(fleet, members=members)
    async with two.subscribe("news") as inbox:
        await one.publish("news", b"here")
        assert (await next_of(inbox)).data == b"here"


async def test_a_member_that_left_is_told_nothing_more(trio):
    one, two, _ = trio
    fleet = one._manifest()
    async with two.subscribe("news") as inbox:
        await one.publish("news", b"first")
        assert (await next_of(inbox)).data == b"first"
        left = tuple(member for member in fleet.members if member.nostr != TWO)
        one._manifest = lambda: replace(fleet, members=left, quorum=2)
        await one.publish("news", b"second")
        await until(lambda: set(one._queues) == {THREE})
        assert not inbox._waiting


@asynccontextmanager
async def answering(handler):
    """A member's address that somebody else answers at."""
    app = web.Application()
    app.router.add_route("*", "/{all:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    members = tuple(
        replace(member, urls=(url,)) if member.nostr == TWO else member for member in FLEET.members
    )
    try:
        async with aiohttp.ClientSession() as session:
            fleet = replace(FLEET, members=members)
            yield DirectBus(SIGNERS[0], session, manifest=lambda: fleet, clock=lambda: NOW)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("how", ["redirects", "floods", "fails"])
async def test_no_redirect_is_followed_and_no_flood_is_read(how):
    asked = []

    async def handle(request):
        asked.append(request.path)
        if how == "redirects":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        if how == "floods":
            return web.Response(body=bytes(DATA_BYTES_MAX + 1))
        return web.Response(status=500)

    async with answering(handle) as bus:
        with pytest.raises((Unanswered, NobodyThere)):
            await bus.request(f"ask.{TWO.hex()}", b"", seconds=LONG)
    assert asked == [PLACE]


async def test_a_stranger_is_refused_and_heard_by_nobody(trio):
    one, _, three = trio
    url = one._manifest().members[1].urls[0] + PLACE
    frames = [
        b"junk",
        bytes(FRAME_BYTES_MAX + 1),
        replace(SOME, sender=STRANGER.public).sign(STRANGER),
        replace(SOME, receiver=THREE).sign(SIGNERS[0]),
        replace(SOME, sender=TWO).sign(SIGNERS[1]),
    ]
    async with trio[1].subscribe(">") as inbox, aiohttp.ClientSession() as session:
        for frame in frames:
            async with session.post(url, data=frame) as answer:
                assert answer.status == 422
        assert not inbox._waiting
        async with session.post(url, data=replace(SOME, asks=False).sign(SIGNERS[0])) as answer:
            assert answer.status == 200
        assert (await next_of(inbox)).data == b"words"
    assert three._handled == 0


async def test_who_sends_what_is_no_frame_is_logged_once_and_a_member_nobody_hears_is_not(trio):
    one, _, _ = trio
    url = one._manifest().members[1].urls[0] + PLACE
    with capture_logs() as logs:
        for word in ("able.oven", "able.gpu"):
            with pytest.raises(NobodyThere):
                await one.request(f"{word}.{TWO.hex()}", b"", seconds=LONG)
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(url, data=b"believe me") as answer:
                    assert answer.status == 422
    [line] = [each for each in logs if each["log_level"] != "debug"]
    assert (line["event"], line["peer"]) == ("a word is refused", "127.0.0.1")


async def test_what_is_too_much_is_refused_here_and_there(trio, monkeypatch):
    one, two, _ = trio
    with pytest.raises(Refused):
        await one.publish("a", bytes(DATA_BYTES_MAX + 1))
    monkeypatch.setattr(direct_bus, "HANDLED_MAX", 1)
    word = f"ask.{TWO.hex()}"
    async with two.subscribe(word) as inbox, asyncio.TaskGroup() as group:
        first = group.create_task(one.request(word, b"", seconds=LONG))
        message = await next_of(inbox)
        with pytest.raises(Unanswered, match="503"):
            await one.request(word, b"", seconds=LONG)
        await message.reply(b"done")
        assert await first == b"done"


async def test_requests_to_others_are_bounded_like_those_of_the_other_engines(trio):
    """As many as may be wait for a member that says nothing; the next one is refused at once."""
    one, two, _ = trio
    subject = f"ask.{TWO.hex()}"
    one._turnstile = Turnstile(3)
    async with two.subscribe(subject) as inbox, asyncio.TaskGroup() as group:
        asked = [group.create_task(one.request(subject, b"", seconds=LONG)) for _ in range(3)]
        heard = [await next_of(inbox) for _ in range(3)]
        for word in (subject, f"ask.{ONE.hex()}"):
            with pytest.raises(BusError, match="3 requests are under way, at most 3"):
                await one.request(word, b"", seconds=LONG)
        for message in heard:
            await message.reply(b"done")
        assert [await task for task in asked] == [b"done"] * 3
    with pytest.raises(NobodyThere):
        await one.request(subject, b"", seconds=LONG)


async def test_a_bus_that_does_not_run_says_so():
    async with aiohttp.ClientSession() as session:
        bus = DirectBus(SIGNERS[0], session, manifest=lambda: FLEET, clock=lambda: NOW)
        with pytest.raises(BusDown):
            await bus.publish("a", b"")
