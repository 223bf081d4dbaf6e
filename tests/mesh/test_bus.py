"""What mesh/fleet/bus.py promises, asked of both engines, and of NATS what only a server can break."""

import asyncio
import json
import re
import signal
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from mesh.core.errors import (
    BusDown,
    BusError,
    BusFull,
    InvalidSubject,
    NobodyThere,
    Refused,
    Unanswered,
)
from mesh.core.pool.backoff import Backoff
from mesh.fleet.bus import DATA_BYTES_MAX, INBOX_MESSAGES_MAX, WAITING_MAX, Kept, Turnstile
from mesh.fleet.local_bus import LocalBus
from mesh.fleet.nats_bus import NatsBus
from mesh.fleet.nats_link import STALLED_BYTES_MAX, Server
from tests.mesh.natsd import ALICE, BOB, EVE, Authority, NatsServer

QUICK = Backoff(first_seconds=0.05, cap_seconds=0.3)
LONG = 60.0
"""A deadline that only a hang meets."""


def nats_bus(url, *, key=None, tls=None, **more) -> NatsBus:
    server = Server(url=url, key=key, tls=tls)
    return NatsBus(server, fleet="home", jitter=lambda: 0.5, backoff=QUICK, **more)


@asynccontextmanager
async def running(*buses):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bus.run()) for bus in buses]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.01)


async def state(bus, wanted) -> None:
    await until(lambda: bus.status.state == wanted)


async def next_of(messages):
    async with asyncio.timeout(LONG):
        return await anext(messages)


@pytest.fixture
def server(tmp_path):
    made = NatsServer(tmp_path / "nats")
    yield made.start()
    made.kill()


@pytest.fixture(params=["local", "nats"])
async def pair(request):
    """Make two ends of one bus, with the bounds of `kept`; each suite below runs on both engines."""
    async with asyncio.TaskGroup() as group:
        tasks = []

        async def make(**bounds):
            kept = Kept(**bounds)
            if request.param == "local":
                bus = LocalBus(kept=kept)
                return bus, bus
            server = request.getfixturevalue("server")
            buses = [nats_bus(server.url, kept=kept) for _ in range(2)]
            tasks.extend(group.create_task(bus.run()) for bus in buses)
            for bus in buses:
                await state(bus, "up")
            return buses

        yield make
        for task in tasks:
            task.cancel()


# ---- both engines: live --------------------------------------------------------------------------


async def test_live_messages_come_to_everybody_who_listens_in_order(pair):
    near, far = await pair()
    async with near.subscribe("a.*") as one, far.subscribe(">") as two, far.subscribe("b") as other:
        for number in range(50):
            await near.publish("a.x", b"%d" % number)
        await near.publish("b", b"end")
        for inbox in (one, two):
            got = [await next_of(inbox) for _ in range(50)]
            assert [int(message.data) for message in got] == list(range(50))
            assert {message.subject for message in got} == {"a.x"}
            assert got[0].answer is None
            await got[0].reply(b"to nobody")
        assert (await next_of(other)).data == b"end"


async def test_who_comes_later_hears_nothing_of_before(pair):
    near, far = await pair()
    await near.publish("news", b"early")
    async with far.subscribe("news") as inbox:
        await near.publish("news", b"late")
        assert (await next_of(inbox)).data == b"late"


async def test_of_a_group_one_gets_each_message(pair):
    near, far = await pair()
    async with (
        near.subscribe("work", group="g") as one,
        far.subscribe("work", group="g") as two,
        far.subscribe("work") as watcher,
    ):
        for number in range(200):
            await near.publish("work", b"%d" % number)
        for number in range(200):
            assert (await next_of(watcher)).data == b"%d" % number
        await near.publish("end", b"")
        got = []
        async with asyncio.timeout(LONG):
            while len(got) < 200:
                for inbox in (one, two):
                    while inbox._waiting:
                        got.append(int((await anext(inbox)).data))
                await asyncio.sleep(0)
        assert sorted(got) == list(range(200))


async def test_a_slow_reader_loses_its_newest_and_nobody_elses(pair):
    near, far = await pair()
    more = 50
    async with far.subscribe("fast") as slow, near.subscribe("done") as done:
        for number in range(INBOX_MESSAGES_MAX + more):
            await near.publish("fast", b"%d" % number)
        await near.publish("done", b"")
        await next_of(done)
        await until(lambda: len(slow._waiting) == INBOX_MESSAGES_MAX)
        await until(lambda: slow.missed == more)
        got = [int((await next_of(slow)).data) for _ in range(INBOX_MESSAGES_MAX)]
        assert got == list(range(INBOX_MESSAGES_MAX))
        assert far.status.missed == more


async def test_a_request_is_answered_by_the_first_and_ends_at_its_deadline(pair):
    near, far = await pair()
    with pytest.raises(NobodyThere):
        await near.request("question", b"?", seconds=LONG)
    async with far.subscribe("question") as inbox, asyncio.TaskGroup() as group:
        asked = group.create_task(near.request("question", b"?", seconds=LONG))
        question = await next_of(inbox)
        await question.reply(b"first")
        await question.reply(b"second")
        assert await asked == b"first"
        with pytest.raises(Unanswered):
            await near.request("question", b"!", seconds=0.05)
        late = await next_of(inbox)
        await late.reply(b"too late")


async def test_requests_under_way_are_bounded():
    stile = Turnstile(1)
    with stile, pytest.raises(BusError, match="1 requests are under way, at most 1"), stile:
        pass
    with stile:
        pass


async def test_what_is_no_subject_or_too_large_is_refused(pair):
    near, _ = await pair()
    for bad in ("", ".", "a.", "a b", "a\r\nPUB x 0", "a.*", ">", "$JS.API", "a" * 201, "ä"):
        with pytest.raises(InvalidSubject):
            await near.publish(bad, b"")
        with pytest.raises(InvalidSubject):
            await near.put(bad, b"", key="k", seconds=1)
        with pytest.raises(InvalidSubject):
            await near.request(bad, b"", seconds=1)
        with pytest.raises(InvalidSubject):
            async with near.take(bad):
                pass
    for bad in ("", ">.a", "a.**", "a>", "$SYS.>"):
        with pytest.raises(InvalidSubject):
            async with near.subscribe(bad):
                pass
    with pytest.raises(InvalidSubject):
        async with near.subscribe("a", group="g g"):
            pass
    with pytest.raises(Refused):
        await near.publish("a", bytes(DATA_BYTES_MAX + 1))
    with pytest.raises(Refused):
        await near.request("a", b"", seconds=0)
    async with near.subscribe("a") as inbox:
        await near.publish("a", bytes(DATA_BYTES_MAX))
        assert len((await next_of(inbox)).data) == DATA_BYTES_MAX


# ---- both engines: kept --------------------------------------------------------------------------


async def test_kept_data_waits_for_a_taker_and_comes_in_order(pair):
    near, far = await pair()
    for number in range(10):
        assert await near.put("work.one", b"%d" % number, key=str(number), seconds=LONG)
    await near.put("work.two", b"other", key="0", seconds=LONG)
    async with far.take("work.one") as taken:
        for number in range(10):
            delivery = await next_of(taken)
            assert (int(delivery.data), delivery.attempt) == (number, 1)
            await delivery.ack()
            await delivery.ack()
            await delivery.nak()
    async with near.take("work.two") as taken:
        assert (await next_of(taken)).data == b"other"


async def test_a_key_is_put_once(pair):
    near, far = await pair()
    assert await near.put("work", b"a", key="k", seconds=LONG)
    assert not await far.put("work", b"a", key="k", seconds=LONG)
    assert await near.put("other", b"a", key="k", seconds=LONG)
    async with far.take("work") as taken:
        await (await next_of(taken)).ack()
        assert not await near.put("work", b"a", key="k", seconds=LONG)
        assert await near.put("work", b"b", key="l", seconds=LONG)
        assert (await next_of(taken)).data == b"b"


async def test_what_is_not_acknowledged_is_given_again(pair):
    near, far = await pair(ack_seconds=0.3)
    await near.put("work", b"x", key="1", seconds=LONG)
    async with near.take("work") as one, far.take("work") as two:
        first = await next_of(one)
        assert first.attempt == 1  # and dies with it
        second = await next_of(two)
        assert (second.data, second.attempt) == (b"x", 2)
        await second.nak()
        third = await next_of(two)
        assert third.attempt >= 3
        await third.ack()
        await near.put("work", b"y", key="2", seconds=LONG)
        assert (await next_of(two)).data == b"y"


async def test_a_word_that_comes_late_still_counts(pair):
    near, far = await pair(ack_seconds=0.3)
    await near.put("work", b"x", key="1", seconds=LONG)
    async with near.take("work") as one, far.take("work") as two:
        first = await next_of(one)
        await next_of(two)
        await first.ack()
        await near.put("work", b"y", key="2", seconds=LONG)
        assert (await next_of(two)).data == b"y"


async def test_takers_of_a_subject_share_its_work(pair):
    near, far = await pair()
    done: list[int] = []

    async def take(bus) -> None:
        async with bus.take("work") as taken:
            async for delivery in taken:
                done.append(int(delivery.data))
                await delivery.ack()

    async with asyncio.TaskGroup() as group:
        takers = [group.create_task(take(bus)) for bus in (near, far)]
        for number in range(40):
            await near.put("work", b"%d" % number, key=str(number), seconds=LONG)
        await until(lambda: len(done) >= 40)
        for taker in takers:
            taker.cancel()
    assert sorted(done) == list(range(40))


async def test_what_is_full_refuses_and_keeps_what_it_has(pair):
    near, _ = await pair(messages_max=3)
    for number in range(3):
        await near.put("work", b"%d" % number, key=str(number), seconds=LONG)
    with pytest.raises(BusFull):
        await near.put("work", b"3", key="3", seconds=LONG)
    async with near.take("work") as taken:
        delivery = await next_of(taken)
        assert delivery.data == b"0"
        await delivery.ack()
        assert await near.put("work", b"3", key="3", seconds=LONG)


async def test_what_is_too_old_is_dropped(pair):
    near, _ = await pair(age_seconds=0.5, duplicate_seconds=0.5)
    await near.put("work", b"old", key="1", seconds=LONG)
    await asyncio.sleep(1.2)
    assert await near.put("work", b"new", key="1", seconds=LONG)
    async with near.take("work") as taken:
        assert (await next_of(taken)).data == b"new"


async def test_a_local_bus_remembers_no_subject_that_nobody_uses():
    bus = LocalBus()
    for number in range(100):
        await bus.put(f"work.{number}", b"", key="", seconds=1)
        async with bus.take(f"work.{number}") as taken:
            await (await next_of(taken)).ack()
    assert not bus._lanes
    assert bus.status.state == "up"


# ---- NATS: a server that goes, and comes back ----------------------------------------------------


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server):
    near, far = nats_bus(server.url), nats_bus(server.url)
    kept, done = [], []

    async def put() -> None:
        for number in range(60):
            await near.put("work", b"%d" % number, key=str(number), seconds=LONG)
            kept.append(number)

    async def take() -> None:
        async with far.take("work") as taken:
            async for delivery in taken:
                done.append(int(delivery.data))
                try:
                    await delivery.ack()
                except BusError:
                    continue

    async with running(near, far), asyncio.TaskGroup() as group:
        group.create_task(put())
        taker = group.create_task(take())
        for mark in (10, 30):
            await until(lambda mark=mark: len(kept) >= mark)
            server.kill()
            await state(near, "down")
            server.start()
        await until(lambda: len(set(done)) == 60)
        taker.cancel()
    assert kept == list(range(60))
    assert near.status.connections >= 3


async def test_subscriptions_outlive_the_server_and_each_fault_is_logged_once(server):
    near, far = nats_bus(server.url), nats_bus(server.url)
    with capture_logs() as logs:
        async with running(near, far), far.subscribe("news") as inbox:
            await state(near, "up")
            await state(far, "up")
            await near.publish("news", b"before")
            assert (await next_of(inbox)).data == b"before"
            server.kill()
            await state(near, "down")
            with pytest.raises(BusDown):
                await near.publish("news", b"lost")
            with pytest.raises(BusDown):
                await near.request("news", b"lost", seconds=1)
            with pytest.raises(BusDown):
                await near.put("work", b"lost", key="k", seconds=0.2)
            await asyncio.sleep(1.5)  # several attempts
            assert "refused" in near.status.fault
            server.start()
            await state(near, "up")
            await state(far, "up")
            assert near.status.fault == ""
            await near.publish("news", b"after")
            assert (await next_of(inbox)).data == b"after"
    told = [(line["fault"], line["log_level"]) for line in logs if "fault" in line]
    assert told.count(("connection refused", "warning")) == 2  # one of each bus
    assert sum(line["event"] == "the bus is up again" for line in logs) == 2


async def test_a_bus_whose_server_comes_later_waits_for_it(tmp_path):
    server = NatsServer(tmp_path / "nats")
    bus = nats_bus(server.url)
    assert bus.status.state == "down"
    try:
        async with running(bus), bus.subscribe("a") as inbox, bus.take("work") as taken:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(bus.put("work", b"x", key="1", seconds=LONG))
                await until(lambda: "refused" in bus.status.fault)
                server.start()
                assert await waiting
            assert (await next_of(taken)).data == b"x"
            await bus.publish("a", b"y")
            assert (await next_of(inbox)).data == b"y"
    finally:
        server.kill()


async def test_what_waits_for_a_server_is_bounded(tmp_path):
    bus = nats_bus("nats://127.0.0.1:1")
    async with running(bus), asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(bus.put("work", b"x", key=str(number), seconds=LONG))
            for number in range(WAITING_MAX)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(BusError, match="at most"):
            await bus.put("work", b"x", key="more", seconds=LONG)
        for task in waiting:
            task.cancel()


async def test_a_server_that_stands_still_takes_no_memory_of_ours(server, monkeypatch):
    monkeypatch.setattr("mesh.fleet.nats_link.SEND_SECONDS", 0.3)
    bus = nats_bus(server.url)
    async with running(bus), bus.subscribe("a") as inbox:
        await state(bus, "up")
        server.process.send_signal(signal.SIGSTOP)
        failed = 0
        async with asyncio.timeout(LONG):
            while failed < 40:
                try:
                    await bus.publish("b", bytes(DATA_BYTES_MAX))
                except BusError:
                    failed += 1
        assert bus._connected()._client.pending_data_size <= STALLED_BYTES_MAX + 2 * DATA_BYTES_MAX
        with pytest.raises(BusError):
            await bus.put("work", b"x", key="1", seconds=0.3)
        server.process.send_signal(signal.SIGCONT)

        async def heard() -> None:
            while not inbox._waiting:
                with suppress(BusError):
                    await bus.publish("a", b"again")
                await asyncio.sleep(0.05)

        async with asyncio.timeout(LONG):
            await heard()
        assert (await next_of(inbox)).data == b"again"


async def test_a_stream_that_was_deleted_is_made_again(server):
    bus = nats_bus(server.url)
    async with running(bus):
        await bus.put("work", b"x", key="1", seconds=LONG)
        with bus._connected().streams("deleting") as streams:
            await streams.delete_stream("timmy_home")
        assert await bus.put("work", b"y", key="2", seconds=LONG)
        async with bus.take("work") as taken:
            assert (await next_of(taken)).data == b"y"


async def test_other_bounds_than_of_an_earlier_start_are_taken_up(server):
    for most in (5, 2):
        bus = nats_bus(server.url, kept=Kept(messages_max=most))
        async with running(bus):
            await bus.put("work", b"x", key=str(most), seconds=LONG)
    bus = nats_bus(server.url, kept=Kept(messages_max=2))
    async with running(bus):
        with pytest.raises(BusFull):
            await bus.put("work", b"x", key="more", seconds=LONG)


async def test_without_jetstream_live_traffic_works_and_puts_say_what_is_missing(tmp_path):
    server = NatsServer(tmp_path / "nats", jetstream=False).start()
    bus = nats_bus(server.url)
    try:
        async with running(bus), bus.subscribe("a") as inbox:
            await state(bus, "up")
            await bus.publish("a", b"x")
            await next_of(inbox)
            with pytest.raises(BusDown, match="keeps nothing") as caught:
                await bus.put("work", b"x", key="1", seconds=0.5)
            assert "JetStream" in (caught.value.hint or "")
    finally:
        server.kill()


async def test_two_fleets_on_one_server_do_not_meet(server):
    ours = nats_bus(server.url)
    theirs = NatsBus(Server(url=server.url), fleet="other", jitter=lambda: 0.5, backoff=QUICK)
    async with running(ours, theirs), ours.subscribe(">") as inbox, ours.take("work") as taken:
        await state(ours, "up")
        await state(theirs, "up")
        await theirs.publish("a", b"theirs")
        await theirs.put("work", b"theirs", key="k", seconds=LONG)
        await ours.publish("a", b"ours")
        await ours.put("work", b"ours", key="k", seconds=LONG)
        assert (await next_of(inbox)).data == b"ours"
        assert (await next_of(taken)).data == b"ours"


# ---- NATS: keys, certificates, permissions -------------------------------------------------------


async def test_only_a_key_that_the_server_knows_is_let_in(tmp_path):
    server = NatsServer(tmp_path / "nats", users={ALICE.public: None, BOB.public: None}).start()
    alice, bob, eve = (nats_bus(server.url, key=key) for key in (ALICE, BOB, EVE))
    nobody = nats_bus(server.url)
    try:
        with capture_logs() as logs:
            async with running(alice, bob, eve, nobody), bob.subscribe("a") as inbox:
                await state(alice, "up")
                await state(bob, "up")
                await alice.publish("a", b"x")
                assert (await next_of(inbox)).data == b"x"
                for refused in (eve, nobody):
                    await until(lambda one=refused: "uthorization" in one.status.fault)
                    assert refused.status.state == "down"
        for key in (ALICE, BOB, EVE):
            assert key.seed not in str(logs) + repr(alice.status) + repr(alice._server)
    finally:
        server.kill()


async def test_a_server_that_asks_for_no_key_is_not_trusted_with_a_word(server):
    bus = nats_bus(server.url, key=ALICE)
    async with running(bus):
        await until(lambda: "asks for no NKey" in bus.status.fault)
        assert bus.status.state == "down"


async def test_tls_holds_by_our_authority_only(tmp_path):
    ours, wrong = Authority(tmp_path / "ours", "ours"), Authority(tmp_path / "wrong", "wrong")
    server = NatsServer(tmp_path / "nats", users={ALICE.public: None}, authority=ours).start()
    good = nats_bus(server.url, key=ALICE, tls=ours.context())
    bad = nats_bus(server.url, key=ALICE, tls=wrong.context())
    try:
        async with running(good, bad), good.subscribe("a") as inbox:
            await state(good, "up")
            await good.publish("a", b"x")
            assert (await next_of(inbox)).data == b"x"
            await good.put("work", b"y", key="1", seconds=LONG)
            await until(lambda: "certificate does not hold" in bad.status.fault)
            assert bad.status.state == "down"
    finally:
        server.kill()


async def test_nobody_between_us_and_the_server_can_talk_us_out_of_tls(tmp_path):
    """He greets us as a server without TLS, and would pass our signed nonce on."""
    said = bytearray()

    async def greet(reader, writer):
        writer.write(
            b'INFO {"server_id":"x","version":"2.9.10","nonce":"abc","auth_required":true,"max_payload":1048576}\r\n'
        )
        await writer.drain()
        said.extend(await reader.read(1000))
        writer.close()

    between = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = between.sockets[0].getsockname()[1]
    context = Authority(tmp_path, "ours").context()
    bus = nats_bus(f"tls://127.0.0.1:{port}", key=ALICE, tls=context)
    async with between, running(bus):
        await until(lambda: "speaks no TLS" in bus.status.fault)
        await asyncio.sleep(0.2)
    assert bytes(said) == b""


async def test_the_permissions_of_the_page_are_enough(tmp_path):
    """docs/spec/mesh.md shows a configuration; a member can do all that there is with it."""
    page = (Path(__file__).parents[2] / "docs/spec/mesh.md").read_text()
    block = page[page.index("    port: 4222\n") :].split("\n\n")[0]
    for name in ("publish", "subscribe"):
        assert f"{name}:" in block
    may = re.search(r"publish: +(\[.*?\])", block)[1].replace("timmy.", "home.")
    server = NatsServer(tmp_path / "nats", users={ALICE.public: json.loads(may)}).start()
    one, two = (nats_bus(server.url, key=ALICE) for _ in range(2))
    try:
        async with running(one, two), one.subscribe("q") as asked, one.take("work") as taken:
            await state(one, "up")
            await state(two, "up")
            async with asyncio.TaskGroup() as group:
                answered = group.create_task(two.request("q", b"?", seconds=LONG))
                await (await next_of(asked)).reply(b"!")
            assert answered.result() == b"!"
            await two.put("work", b"x", key="1", seconds=LONG)
            await (await next_of(taken)).ack()
            assert one.status.fault == two.status.fault == ""
    finally:
        server.kill()


async def test_what_other_clients_of_the_server_send_is_not_believed(server):
    """Subjects that are none of ours, too much data, and words into the middle of a take."""
    bus = nats_bus(server.url)
    stranger = Client()
    await stranger.connect(server.url)
    try:
        async with running(bus), bus.subscribe(">") as inbox, bus.take("work") as taken:
            await state(bus, "up")
            await bus.put("work", b"x", key="1", seconds=LONG)
            delivery = await next_of(taken)
            await delivery.ack()
            await stranger.publish("home.live.a=b", b"strange")
            await stranger.publish("home.live.big", bytes(DATA_BYTES_MAX + 1))
            await stranger.publish("home.live.good", b"y")
            assert (await next_of(inbox)).data == b"y"
            pulls = [sub._subject for sub in bus._connected()._client._subs.values()]
            for subject in pulls:
                if subject.startswith("_INBOX.") and not subject.endswith("*"):
                    await stranger.publish(subject, b"no work")
            await stranger.flush()
            await bus.put("work", b"z", key="2", seconds=LONG)
            assert (await next_of(taken)).data == b"z"
    finally:
        await stranger.close()


async def test_a_subscription_that_the_server_did_not_confirm_is_made_again(server, monkeypatch):
    bus = nats_bus(server.url)
    async with running(bus):
        await state(bus, "up")
        monkeypatch.setattr("mesh.fleet.nats_link.SEND_SECONDS", 0.2)
        server.process.send_signal(signal.SIGSTOP)
        async with bus.subscribe("a") as inbox:
            server.process.send_signal(signal.SIGCONT)
            monkeypatch.setattr("mesh.fleet.nats_link.SEND_SECONDS", 10.0)
            await until(lambda: bus.status.connections >= 2)
            await bus.publish("a", b"x")
            assert (await next_of(inbox)).data == b"x"


async def test_a_subject_that_the_server_does_not_allow_is_a_fault_on_view(tmp_path):
    may = ["home.live.mine", "_INBOX.>"]
    server = NatsServer(tmp_path / "nats", users={ALICE.public: may, BOB.public: None}).start()
    alice, bob = (nats_bus(server.url, key=key) for key in (ALICE, BOB))
    try:
        with capture_logs() as logs:
            async with running(alice, bob), bob.subscribe(">") as inbox:
                await state(alice, "up")
                await state(bob, "up")
                for _ in range(3):
                    await alice.publish("forbidden", b"x")
                await alice.publish("mine", b"y")
                assert (await next_of(inbox)).data == b"y"
                await until(lambda: "ermissions violation" in alice.status.fault)
                assert alice.status.state == "up"
                with pytest.raises((Unanswered, BusDown)):
                    await alice.put("work", b"x", key="1", seconds=0.5)
        assert sum("home.live.forbidden" in line.get("fault", "") for line in logs) == 1
    finally:
        server.kill()


# ---- NATS: a server that is none -----------------------------------------------------------------


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"INFO {\r\n",
        b"INFO []\r\n",
        b'INFO {"connect_urls": 5}\r\n',
        b"INFO " + b"x" * 100_000,
        b'INFO {"version":"x"}\r\n-ERR \'no\'\r\n',
        b'INFO {"version":"2.9.10"}\r\nPONG\r\nMSG a b c d e f g\r\n',
        b'INFO {"version":"2.9.10"}\r\nPONG\r\nMSG a 99 -1\r\n',
        b"",
    ],
)
async def test_a_server_that_talks_nonsense_is_left_and_tried_again(greeting):
    came = 0

    async def greet(reader, writer):
        nonlocal came
        came += 1
        writer.write(greeting)
        writer.close()

    strange = await asyncio.start_server(greet, "127.0.0.1", 0)
    bus = nats_bus(f"nats://127.0.0.1:{strange.sockets[0].getsockname()[1]}")
    async with strange, running(bus):
        await until(lambda: came >= 6)
    assert bus.status.state == "down"
    assert bus.status.fault


async def test_a_server_that_says_nothing_costs_no_more_than_its_time(monkeypatch):
    monkeypatch.setattr("mesh.fleet.nats_link.OPEN_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bus = nats_bus(f"nats://127.0.0.1:{silent.getsockname()[1]}")
        async with running(bus):
            await until(lambda: bus.status.fault not in ("", "not connected yet"))
            assert bus.status.state == "down"


async def test_cancelling_ends_a_bus_whatever_it_does(server):
    """nats-py drops a cancellation that meets it in a flush."""
    bus = nats_bus(server.url)

    async def flood() -> None:
        while True:
            await bus.publish("a", bytes(DATA_BYTES_MAX))

    async with asyncio.timeout(LONG), running(bus):
        await state(bus, "up")
        async with asyncio.TaskGroup() as group:
            floods = [group.create_task(flood()) for _ in range(8)]
            await asyncio.sleep(0.5)
            for task in floods:
                task.cancel()
