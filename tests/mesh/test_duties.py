"""Three members decide about planned runs, over every engine; then three processes over NATS."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from ledger.core.keys import Signer
from mesh.core.errors import Unanswered
from mesh.core.fleet.duty import (
    LACKS,
    LATE_S,
    SKEW_S_MAX,
    Ask,
    Begin,
    Grant,
    Mode,
    Plan,
    Refusal,
    Skip,
    order,
)
from mesh.core.fleet.duty_wire import Begun, read, sign
from mesh.core.fleet.manifest import Fleet, Manifest, Member, sign_manifest
from mesh.fleet.direct_bus import PLACE, DirectBus
from mesh.fleet.duties import (
    ASK_SECONDS,
    TELL_SECONDS,
    Duties,
    ask_subject,
    doers,
    turn_subject,
    voters,
)
from mesh.fleet.grants import GrantBook
from mesh.fleet.local_bus import LocalBus
from tests.mesh.natsd import NatsServer
from tests.mesh.test_bus import LONG, nats_bus, running, state, until

NOW = 1_000_000_000
SIGNERS = [Signer(bytes([number]) * 32) for number in (1, 2, 3)]
MEMBERS = tuple(signer.public for signer in SIGNERS)
STRANGER = Signer(bytes([9]) * 32)
FLEET = Manifest(
    number=0,
    previous=b"",
    operator=SIGNERS[0].public,
    members=tuple(
        Member(ledger=bytes([number]) * 32, nostr=key, name=f"n{number}", roles=("jobs", "voter"))
        for number, key in enumerate(MEMBERS)
    ),
    quorum=2,
)
MANIFEST = FLEET.digest
CHAIN = Fleet.begin(sign_manifest(FLEET, SIGNERS[0]))


def plan(number: int, mode=Mode.QUORUM, planned_s=NOW, **more) -> Plan:
    return Plan(
        run=number.to_bytes(16, "big"),
        planned_s=planned_s,
        mode=mode,
        members=doers(FLEET),
        voters=voters(CHAIN, planned_s)[0],
        manifest=MANIFEST,
        **more,
    )


class Clock:
    """A clock that stands until it is moved; what waits for it wakes then."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    async def timer(self, event, seconds):
        until_s = self.now + seconds
        while not event.is_set() and self.now < until_s:
            await asyncio.sleep(0.002)


@asynccontextmanager
async def direct_buses(*signers, manifest, clock):
    """A bus of each member, each behind a server of its own; the manifest gets their addresses."""
    runners, buses = [], []
    async with aiohttp.ClientSession() as session:
        for signer in signers:
            made = DirectBus(signer, session, manifest=lambda: known[0], clock=clock)
            app = web.Application()
            app.router.add_post(PLACE, made.handle)
            runners.append(web.AppRunner(app, shutdown_timeout=0.1))
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
            buses.append(made)
        urls = {
            signer.public: f"http://127.0.0.1:{runner.addresses[0][1]}"
            for signer, runner in zip(signers, runners, strict=True)
        }
        members = tuple(
            replace(one, urls=(urls[one.nostr],)) if one.nostr in urls else one
            for one in manifest.members
        )
        known = [replace(manifest, members=members)]
        try:
            async with running(*buses):
                await asyncio.sleep(0)
                yield buses
        finally:
            for runner in runners:
                await runner.cleanup()


class Trio:
    """Three members on one bus, or each on its own connection to one server."""

    def __init__(self, folder, buses, clock):
        self.folder, self.buses, self.clock = folder, buses, clock
        self.lacks = set()
        self.duties, self.books = {}, {}

    @asynccontextmanager
    async def up(self, *numbers):
        """Run these members in the block."""
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in numbers:
                path = self.folder / f"grants-{number}.db"
                book = GrantBook(path, me=MEMBERS[number], now_s=NOW - SKEW_S_MAX - 1)
                duties = Duties(
                    self.buses[number],
                    SIGNERS[number],
                    book,
                    manifest=lambda: FLEET,
                    clock=self.clock,
                    timer=self.clock.timer,
                    has=lambda _run, _planned_s, of=number: of not in self.lacks,
                )
                self.duties[number], self.books[number] = duties, book
                tasks.append(group.create_task(duties.run()))
            async with asyncio.timeout(LONG):
                for number in numbers:
                    await self.duties[number].listening.wait()
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
        for number in numbers:
            self.books.pop(number).close()
            del self.duties[number]

    async def all_decide(self, planned, *numbers):
        """Let them decide at once; who may begin tells the others. By member, what came out."""
        ends = {}

        async def decide(number):
            end = await self.duties[number].decide(planned)
            if isinstance(end, Begin):
                await self.duties[number].began(planned, end)
            ends[number] = end

        async with asyncio.timeout(LONG), asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(decide(number))
        return ends


def ranked(planned) -> list[int]:
    return [MEMBERS.index(member) for member in order(planned.run, MEMBERS)]


@pytest.fixture(params=["local", "direct", "nats"])
async def trio(request, tmp_path):
    clock = Clock()
    if request.param == "local":
        yield Trio(tmp_path, [LocalBus()] * 3, clock)
        return
    if request.param == "direct":
        async with direct_buses(*SIGNERS, manifest=FLEET, clock=clock) as buses:
            yield Trio(tmp_path, buses, clock)
        return
    server = NatsServer(tmp_path / "nats").start()
    buses = [nats_bus(server.url) for _ in range(3)]
    try:
        async with running(*buses):
            for bus in buses:
                await state(bus, "up")
            made = Trio(tmp_path, buses, clock)
            made.server = server
            yield made
    finally:
        server.kill()


@pytest.mark.parametrize("mode", [Mode.QUORUM, Mode.OWNER, Mode.PINNED])
async def test_of_three_one_does_it_the_first_in_order(trio, mode):
    async with trio.up(0, 1, 2):
        for number in range(4):
            planned = plan(number, mode)
            ends = await trio.all_decide(planned, 0, 1, 2)
            first = 0 if mode is Mode.PINNED else ranked(planned)[0]
            assert isinstance(ends.pop(first), Begin)
            why = "pinned to another" if mode is Mode.PINNED else "begun by another member"
            assert {(end.why, end.holder) for end in ends.values()} == {(why, MEMBERS[first])}


@pytest.mark.parametrize("mode", [Mode.QUORUM, Mode.OWNER])
async def test_when_the_first_is_off_the_next_does_it_a_grace_later(trio, mode):
    planned = plan(7, mode)
    off, second, third = ranked(planned)
    async with trio.up(second, third):
        async with asyncio.TaskGroup() as group:
            deciding = group.create_task(trio.all_decide(planned, second, third))
            await asyncio.sleep(0.2)
            assert not deciding.done()
            trio.clock.now += planned.grace_s
            ends = await deciding
        assert isinstance(ends[second], Begin)
        assert ends[third] == Skip(
            run=planned.run, why="begun by another member", holder=MEMBERS[second]
        )
    assert off not in ends


async def test_a_member_without_the_job_says_so_and_the_next_begins_within_seconds(trio):
    planned = plan(14)
    lacking, second, third = ranked(planned)
    trio.lacks = {lacking}
    async with trio.up(0, 1, 2), asyncio.TaskGroup() as group:
        deciding = group.create_task(trio.all_decide(planned, second, third))
        await until(lambda: len(trio.duties[second]._cases) == 1)
        trio.clock.now += LATE_S
        ends = await deciding
    assert isinstance(ends[second], Begin)
    assert ends[third].holder == MEMBERS[second]
    assert trio.clock.now < NOW + planned.grace_s


async def test_only_doers_are_told_what_a_member_has(trio):
    planned = plan(15)
    _, asked, _ = ranked(planned)
    async with trio.up(asked):
        for signer in (STRANGER, SIGNERS[asked - 1]):
            ask = Ask(
                run=planned.run, planned_s=NOW, until_s=NOW, member=signer.public, manifest=MANIFEST
            )
            question = trio.buses[asked - 1].request(
                turn_subject(MEMBERS[asked]), sign(ask, signer), seconds=1
            )
            if signer is STRANGER:
                with pytest.raises(Unanswered):
                    await question
            else:
                word = read(await question).word
                assert isinstance(word, Refusal), "it is no vote, whatever else it says"
                assert word.why != LACKS


async def test_a_minority_skips_and_says_how_many_voters_it_had(trio):
    planned = plan(8)
    first, *_ = ranked(planned)
    async with trio.up(first), asyncio.TaskGroup() as group:
        deciding = group.create_task(trio.all_decide(planned, first))
        await until(lambda: trio.books[first].granted)
        await asyncio.sleep(0.2)
        assert not deciding.done()
        trio.clock.now = planned.until_s + 1
        ends = await deciding
        assert ends[first] == Skip(run=planned.run, why="1 of 3 voters, 2 needed")


async def test_a_voter_that_was_restarted_keeps_its_word(trio):
    planned = plan(9)
    ask = Ask(
        run=planned.run,
        planned_s=NOW,
        until_s=planned.until_s,
        member=MEMBERS[0],
        manifest=MANIFEST,
    )
    rival = Ask(**{**{name: getattr(ask, name) for name in ("run", "planned_s", "until_s", "manifest")}, "member": MEMBERS[1]})  # fmt: skip
    for signer, question, kind in ((0, ask, Grant), (1, rival, Refusal), (0, ask, Grant)):
        async with trio.up(2):
            message = sign(question, SIGNERS[signer])
            reply = await trio.buses[signer].request(ask_subject(MEMBERS[2]), message, seconds=LONG)
            assert isinstance(read(reply).word, kind)


REFUSED = "a word about runs is refused"


async def test_what_is_not_signed_by_a_member_decides_nothing(trio):
    planned = plan(10, Mode.OWNER)
    first, _, _ = ranked(planned)
    begun = Begun(
        run=planned.run, planned_s=NOW, member=STRANGER.public, manifest=MANIFEST, fence=bytes(16)
    )
    with capture_logs() as logs:
        await decide_among_junk(trio, planned, begun)
    told = {(line["subject"], line["log_level"]) for line in logs if line["event"] == REFUSED}
    asked = ask_subject(MEMBERS[first])
    assert {subject for subject, _ in told} == {"duty.begun", asked}
    assert {level for _, level in told} == {"warning"}
    count = sum(line["event"] == REFUSED for line in logs)
    assert count == 3 + 1, "of each member, and of each of its subjects, once"


async def decide_among_junk(trio, planned, begun):
    first, second, _ = ranked(planned)
    bus = trio.buses[second]
    async with trio.up(0, 1, 2):
        for junk in (b"", b"\x82\x40\x40", bytes(1000), sign(begun, STRANGER)):
            for subject in ("duty.begun", ask_subject(MEMBERS[first])):
                await bus.publish(subject, junk)
        ask = Ask(
            run=planned.run, planned_s=NOW, until_s=NOW, member=STRANGER.public, manifest=MANIFEST
        )
        with pytest.raises(Unanswered):
            await bus.request(ask_subject(MEMBERS[first]), sign(ask, STRANGER), seconds=0.3)
        ends = await trio.all_decide(planned, 0, 1, 2)
        assert isinstance(ends[first], Begin)


async def test_answers_of_the_wrong_voter_are_no_votes(trio):
    """A member that also answers for a voter who is off, at its address, with grants of its own."""
    planned = plan(11)
    first, liar, off = ranked(planned)
    async with trio.up(first), trio.buses[off].subscribe(ask_subject(MEMBERS[off])) as asked:
        async with asyncio.TaskGroup() as group:
            deciding = group.create_task(trio.all_decide(planned, first))
            message = await anext(asked)
            grant = Grant(ask=read(message.data).word, voter=MEMBERS[liar])
            await message.reply(sign(grant, SIGNERS[liar]))
            await asyncio.sleep(0.2)
            assert not deciding.done()
            trio.clock.now = planned.until_s + 1
            ends = await deciding
        assert isinstance(ends[first], Skip)


async def test_who_comes_later_hears_of_what_was_begun(trio):
    planned = plan(12, Mode.OWNER)
    first, late, _ = ranked(planned)
    async with trio.up(first):
        assert isinstance((await trio.all_decide(planned, first))[first], Begin)
        other = Duties(
            trio.buses[late],
            SIGNERS[late],
            None,
            manifest=lambda: FLEET,
            clock=trio.clock,
            timer=trio.clock.timer,
        )
        trio.clock.now += planned.grace_s + 1
        async with asyncio.TaskGroup() as group:
            task = group.create_task(other.run())
            deciding = group.create_task(other.decide(planned))
            await asyncio.sleep(0.2)
            trio.clock.now += int(TELL_SECONDS)
            assert await deciding == Skip(
                run=planned.run, why="begun by another member", holder=MEMBERS[first]
            )
            task.cancel()


async def test_a_decision_that_is_given_up_leaves_nothing_behind(trio):
    planned = plan(13)
    first, *_ = ranked(planned)
    async with trio.up(first):
        duties = trio.duties[first]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(duties.decide(planned))
            await until(lambda: duties._cases)
            await asyncio.sleep(0.05)
            task.cancel()
        assert not duties._cases
    assert ASK_SECONDS < LONG


# ---- three processes over NATS -------------------------------------------------------------------


async def process(url: str, number: int, folder: str) -> None:
    """Decide about each run that a line of standard input names; print what came out."""
    from pathlib import Path

    def now():
        return int(time.time())

    bus = nats_bus(url)
    path = Path(folder) / f"grants-{number}.db"
    book = GrantBook(path, me=MEMBERS[number], now_s=now() - SKEW_S_MAX - 1000)
    duties = Duties(bus, SIGNERS[number], book, manifest=lambda: FLEET, clock=now)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bus.run())]
        await state(bus, "up")
        tasks.append(group.create_task(duties.run()))
        await duties.listening.wait()
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            planned = plan(**json.loads(line))
            end = await duties.decide(planned)
            if isinstance(end, Begin):
                print(json.dumps(["begin", number]), flush=True)
                await duties.began(planned, end)
            else:
                print(json.dumps(["skip", end.why]), flush=True)
        for task in tasks:
            task.cancel()


def test_three_processes_do_each_run_once_also_when_one_was_killed(tmp_path):
    server = NatsServer(tmp_path / "nats").start()
    children = []
    try:
        for number in range(3):
            code = f"import asyncio; from tests.mesh.test_duties import process; asyncio.run(process({server.url!r}, {number}, {str(tmp_path)!r}))"
            children.append(
                subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for child in children:
            assert child.stdout.readline() == "ready\n"

        def decide(alive, number, **more):
            line = json.dumps({"number": number, "planned_s": int(time.time()), **more})
            for child in alive:
                child.stdin.write(line + "\n")
                child.stdin.flush()
            return [json.loads(child.stdout.readline()) for child in alive]

        for number in range(6):
            ends = decide(children, number)
            assert sorted(kind for kind, _ in ends) == ["begin", "skip", "skip"], ends
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        for number in range(6, 8):
            ends = decide(children[1:], number, grace_s=1)
            assert [kind for kind, _ in ends].count("begin") <= 1, ends
    finally:
        for child in children:
            with suppress(OSError):
                child.stdin.close()
            child.kill()
            child.wait()
            child.stdout.close()
        server.kill()
