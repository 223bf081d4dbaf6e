"""Mirrors over real HTTP on loopback, in real folders; killed in a real process at each step."""

import asyncio
import io
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from attest.verify.bundle import verify_bundle
from ledger.core import merkle
from ledger.core.checkpoint import open_checkpoint
from ledger.core.equivocation import Equivocation
from ledger.core.event import Event
from ledger.core.merkle import leaf_hash
from mesh.core import limits
from mesh.core.mirrors.copying import Doubt
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import Recent, sign_request
from mesh.mirrors import mirror as mirror_module
from mesh.mirrors import offering, source
from mesh.mirrors.folder import MirrorFolder
from mesh.mirrors.mirror import Mirror
from mesh.mirrors.offer import NotOffered, Offer
from mesh.mirrors.offering import PREFIX, Audience, Offering, tile_path
from mesh.mirrors.source import Source, SourceFailed
from tests.spec import agent

from .lives import Life, everything

NODE, MEMBER, WATCHER, STRANGER = (NostrSigner(bytes([at] * 32)) for at in (1, 2, 3, 4))
NOW = 1_790_000_000


class Withholding(Offer):
    """What a node offers that keeps the hashes of its tree to itself."""

    def tile(self, level, index, width):
        raise NotOffered("no such thing")


class Server:
    """A node that offers a life, at the size it has."""

    def __init__(self, life, *, everyone=False, node=NODE):
        self.at(life)
        self.node = node
        self.manifest = None
        self.audience = Audience(
            members=frozenset({MEMBER.pubkey}), watchers=frozenset({WATCHER.pubkey}),
            everyone=everyone,
        )  # fmt: skip
        self.offering = Offering(
            node=node.pubkey, audience=lambda: self.audience, find=self.find,
            soul=lambda _: agent.SOUL, clock=lambda: NOW, manifest=lambda: self.manifest,
        )  # fmt: skip

    def at(self, life, head=None, *, tiles=True):
        self.life, self.offer = life, life.offer(head=head)
        if not tiles:
            self.offer = Withholding(log=self.offer.log, head=self.offer.head)

    def find(self, ledger_id):
        return self.offer if ledger_id == self.life.id else None

    @asynccontextmanager
    async def running(self):
        app = web.Application()
        app.add_routes(self.offering.routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            self.url, self.session = f"http://{host}:{port}", session
            try:
                yield self
            finally:
                await runner.cleanup()

    def source(self, signer=MEMBER):
        return Source(
            url=self.url, node=self.node.pubkey, signer=signer, session=self.session,
            clock=lambda: NOW,
        )  # fmt: skip

    async def get(self, path, signer=None, manifest=None):
        url = f"{self.url}{PREFIX}/{self.life.id.hex()}/{path}"
        headers = {}
        if signer is not None:
            headers["Authorization"] = sign_request(
                signer, url, "GET", node=self.node.pubkey, now=NOW, manifest=manifest
            )
        async with self.session.get(url, headers=headers) as response:
            return response.status, await response.read()


@pytest.fixture
def life():
    return Life().say(300).redact(7)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(limits, "MIRROR_POLL_SECONDS", 0.02)


def mirror_of(server, path, **more):
    folder = MirrorFolder(path, server.life.id)
    jitter = iter(random.Random(1).random, None)
    sources = {"a": server.source()}
    return Mirror(folder=folder, sources=lambda: sources, jitter=jitter, **more)


@asynccontextmanager
async def kept(mirror):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mirror.run())
        try:
            yield mirror
        finally:
            task.cancel()


async def until(ready):
    async with asyncio.timeout(30):
        while not ready():
            await asyncio.sleep(0.01)


def whole(mirror, size):
    return mirror.complete is not None and mirror.complete.size == size


def stored(folder):
    log = folder.open()
    try:
        return list(log.records())
    finally:
        log.close()


async def test_a_log_is_kept_and_what_comes_follows(life, tmp_path):
    server = Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m")) as mirror:
        await until(lambda: whole(mirror, life.size))
        await until(mirror.folder.soul.exists)
        assert mirror.folder.soul.read_bytes() == agent.SOUL
        life.say(3).redact(20, 299).hand_off().say(260)
        server.at(life)
        await until(lambda: whole(mirror, life.size))
        status = mirror.status()
        assert status["events"] == status["size"] == life.size
        assert (status["behind"], status["ended"], status["trouble"]) == (0, None, None)
        assert status["sources"][0]["fault"] is None
    assert stored(mirror.folder) == life.copy()
    assert mirror.folder.complete == life.head().encode()
    assert not [
        at for at in tmp_path.rglob("*") if at.is_file() and b"words 299" in at.read_bytes()
    ]


async def test_two_histories_end_it_for_good_and_the_witness_is_told(life, tmp_path):
    other = Life().say(life.size - 2)
    other.ledger.add(agent.words("another"))
    told = []

    async def witness(action):
        told.append(action)

    server = Server(life)
    async with server.running():
        async with kept(mirror_of(server, tmp_path / "m", witness=witness)) as mirror:
            await until(lambda: whole(mirror, life.size))
            server.at(other)
            await until(lambda: mirror.folder.ended)
        notes = [life.head().encode(), other.head().encode()]
        [conflict] = told
        assert (conflict.known, conflict.shown, conflict.same_size) == (*notes, True)
        proof = Equivocation(
            ledger_id=life.id, epoch=0, introduction=conflict.introduction, notes=tuple(notes)
        ).encode()
        report = verify_bundle(io.BytesIO(proof), None)
        assert (report.purpose, report.verdict) == ("equivocation", "DIVERGED"), report.lines
        assert mirror.folder.ended["notes"] == [note.decode() for note in notes]
        again = mirror_of(server, tmp_path / "m")
        await again.run()  # returns at once
        assert again.status()["ended"] == "this log signed two histories"
    assert stored(mirror.folder) == life.copy()


def rewritten(life, more=30):
    """A longer life of the same agent that parts from `life` ten events before its end."""
    other = Life()
    other.say(life.size - 10 - other.size)
    other.ledger.add(agent.words("another history"))
    return other.say(more)


async def test_a_longer_head_of_another_history_is_proven_by_two_leaves(life, tmp_path):
    """Its source shows the hashes under it: the first event that differs is proof to anybody."""
    other, told = rewritten(life), []

    async def witness(action):
        told.append(action)

    server = Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m", witness=witness)) as mirror:
        await until(lambda: whole(mirror, life.size))
        server.at(other)
        await until(lambda: mirror.folder.ended)
    conflict = told[-1]
    assert conflict.same_size is False
    assert {branch.index for branch in conflict.branches} == {life.size - 10}
    proof = Equivocation(
        ledger_id=life.id, epoch=0, introduction=conflict.introduction,
        notes=(conflict.known, conflict.shown), branches=conflict.branches,
    ).encode()  # fmt: skip
    report = verify_bundle(io.BytesIO(proof), None)
    assert (report.purpose, report.verdict) == ("equivocation", "DIVERGED"), report.lines
    assert stored(mirror.folder) == life.copy()


async def test_who_shows_no_consistency_and_no_hashes_is_unresponsive_and_accused_of_nothing(
    life, tmp_path
):
    other, told = rewritten(life), []

    async def witness(action):
        told.append(action)

    server = Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m", witness=witness)) as mirror:
        await until(lambda: whole(mirror, life.size))
        server.at(other, tiles=False)
        await until(lambda: "unresponsive" in (mirror.status()["sources"][0]["fault"] or ""))
        assert mirror.folder.ended is None
        assert {type(one) for one in told} == {Doubt}
        life.say(3)
        server.at(life)
        await until(lambda: whole(mirror, life.size))  # it was the source that failed, not the log


async def test_a_recovered_log_is_copied_anew_and_the_old_copy_is_set_aside(life, tmp_path):
    server = Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m")) as mirror:
        await until(lambda: whole(mirror, life.size))
        again = life.recover(100).say(5)
        server.at(again)
        await until(lambda: whole(mirror, again.size))
    assert stored(mirror.folder) == again.copy()
    assert stored(MirrorFolder(tmp_path / "m" / "given-up-1", life.id)) == life.copy()


async def test_what_is_redacted_is_erased_in_the_old_copy_too(life, tmp_path):
    """Words from before the recovery are in both; what was given up is another event, and stays."""
    server = Server(life)
    aside = MirrorFolder(tmp_path / "m" / "given-up-1", life.id)
    async with server.running(), kept(mirror_of(server, tmp_path / "m")) as mirror:
        await until(lambda: whole(mirror, life.size))
        again = life.recover(100).say(5).redact(50)
        server.at(again)
        await until(lambda: whole(mirror, again.size))
        assert [one.position for one in stored(aside) if not one.content] == [0, 7, 50, 301]
        again.redact(60, 103)
        server.at(again)
        await until(lambda: whole(mirror, again.size))
    assert stored(mirror.folder) == again.copy()
    assert [one.position for one in stored(aside) if not one.content] == [0, 7, 50, 60, 301]
    words = Event.open(life.ledger.records[60]).content["text"].encode()
    for path in (tmp_path / "m").rglob("*"):
        assert path.is_dir() or words not in path.read_bytes(), path


async def test_a_disk_that_takes_nothing_is_waited_for(life, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror_module, "_STORE_AGAIN_SECONDS", 0.01)
    server = Server(life)
    async with server.running():
        mirror = mirror_of(server, tmp_path / "file" / "m")
        (tmp_path / "file").write_text("in the way")
        async with kept(mirror):
            await until(lambda: mirror.trouble)
            (tmp_path / "file").unlink()
            await until(lambda: whole(mirror, life.size))
            assert mirror.trouble is None
    assert stored(mirror.folder) == life.copy()


async def test_a_slow_disk_holds_up_no_other_mirror_and_little_waits_for_it(
    life, tmp_path, monkeypatch
):
    """One write that does not end: others copy meanwhile, and no answer beyond a handful is held."""
    monkeypatch.setattr(limits, "BODIES_BYTES", 2_000)
    writes, goes_on, store = threading.Event(), threading.Event(), MirrorFolder.store

    def slowly(folder, log, action):
        if folder.path.name == "slow":
            writes.set()
            goes_on.wait(60)
        store(folder, log, action)

    monkeypatch.setattr(MirrorFolder, "store", slowly)
    server = Server(life)
    async with server.running():
        source, slow = Faulty(server.source()), mirror_of(server, tmp_path / "slow")
        slow.sources = lambda: {"a": source}
        async with kept(slow):
            try:
                await until(writes.is_set)
                async with kept(mirror_of(server, tmp_path / "fast")) as fast:
                    await until(lambda: whole(fast, life.size))
                [state] = slow._replica._sources.values()
                await until(lambda: len(state.asked) == 3)  # a head, and words of both packages
                held = source.asked
                for _ in range(1000):
                    slow.hurry()
                    await asyncio.sleep(0)
                assert 0 < held == source.asked < 50, "nothing more is asked for"
                assert slow.status()["events"] < life.size
            finally:
                goes_on.set()
            await until(lambda: whole(slow, life.size))
    assert stored(slow.folder) == life.copy()


class Faulty:
    """A source that does not answer while the test gives a reason."""

    def __init__(self, source):
        self.source, self.soul = source, source.soul
        self.why, self.asked = "", 0

    async def answer(self, ledger_id, ask):
        self.asked += 1
        if self.why:
            raise SourceFailed(f"{self.why} {self.asked}")
        return await self.source.answer(ledger_id, ask)


async def test_a_fault_is_logged_when_it_is_another_one_with_its_reason(life, tmp_path):
    """Not each few minutes, for ever; once the source was well for a while it is news again."""
    server = Server(life)
    async with server.running():
        source = Faulty(server.source())
        later = [0.0]
        mirror = mirror_of(server, tmp_path / "m", now=lambda: later[0] + 20 * time.monotonic())
        mirror.sources = lambda: {"a": source}

        async def fails(why, times):
            source.why, source.asked = why, 0
            await until(lambda: source.asked >= times)
            source.why = ""

        with capture_logs() as logs:
            async with kept(mirror):
                await fails("no route to host", 5)
                await until(lambda: whole(mirror, life.size))
                await fails("no route to host", 3)
                await fails("Connection refused", 3)
                later[0] += limits.CLEAN_SECONDS
                await until(lambda: mirror._states["a"].failed is None)
                await fails("no route to host", 3)
    lines = [one for one in logs if one["event"] == "a source of a mirror fails"]
    assert [one["why"] for one in lines] == [
        "no route to host 1", "Connection refused 1", "no route to host 1",
    ]  # fmt: skip
    assert {(one["source"], one["fault"]) for one in lines} == {("a", "unreachable")}


async def test_a_copy_is_given_to_nobody_from_when_it_ends(life, tmp_path):
    """Also while its source is asked for the hashes that would prove it, and says nothing."""
    server, asked = Server(life), []

    async def silent(*place):
        asked.append(place)
        await asyncio.Event().wait()

    async with server.running():
        source = Faulty(server.source())
        source.tile = silent
        mirror = mirror_of(server, tmp_path / "m")
        mirror.sources = lambda: {"a": source}
        async with kept(mirror):
            await until(lambda: whole(mirror, life.size))
            assert mirror.offer() is not None
            server.at(rewritten(life, more=5))
            await until(lambda: asked)
            assert mirror.folder.ended["why"] == "this log signed two histories"
            assert mirror.offer() is None


async def test_sources_may_change_while_it_copies(life, tmp_path):
    gone, here = Server(life), Server(life)
    async with gone.running(), here.running():
        mirror = mirror_of(gone, tmp_path / "m")
        async with kept(mirror):
            await until(lambda: whole(mirror, life.size))
            life.say(40)
            here.at(life)
            source = here.source()
            mirror.sources = lambda: {"b": source}
            await until(lambda: whole(mirror, life.size))
            assert [one["url"] for one in mirror.status()["sources"]] == ["b"]
            mirror.sources = dict
            await until(lambda: not mirror.status()["sources"])
    assert stored(mirror.folder) == life.copy()


async def test_another_soul_is_not_kept(life, tmp_path):
    server = Server(life)
    server.offering.soul = lambda _: b"# Another\n"
    async with server.running(), kept(mirror_of(server, tmp_path / "m")) as mirror:
        await until(lambda: whole(mirror, life.size))
    assert not mirror.folder.soul.exists()


STEPS = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from mesh.core import limits
from mesh.core.mirrors.copying import Pursue, Store
from mesh.core.mirrors.replica import Replica
from mesh.mirrors.folder import MirrorFolder
from tests.mesh.lives import everything
from tests.mesh.test_replica import answer

limits.BODIES_BYTES = 9_000
life = everything()
offer = life.offer()

def copy(folder, left):
    left = iter(range(left - 1, -1, -1))

    def step():
        if not next(left, 1):
            os.kill(os.getpid(), signal.SIGKILL)

    mirror = MirrorFolder(folder, life.id)
    step()
    log = mirror.open()
    step()
    replica = Replica(life.id, log, ["a"], lineage=log.lineage(), pursued=mirror.pursued)
    while not replica.complete:
        for ask in replica.requests(0.0):
            for action in replica.answered(ask, answer(offer, ask), 0.0):
                step()
                if isinstance(action, Pursue):
                    mirror.pursue(action.note)
                elif isinstance(action, Store):
                    log.take(action.events, action.erase)
                    step()
            for action in replica.settled():
                mirror.completed(action.note)
                step()
    log.close()

folder = Path(sys.argv[1])
for number, steps in enumerate(itertools.chain((1, 2, 3, 4, 5, 7), itertools.repeat(9))):
    child = os.fork()
    if not child:
        copy(folder, steps)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if folder.exists():
        shutil.copytree(folder, folder.with_name(f"{number:03}"))
    if ended != -signal.SIGKILL:
        sys.exit(ended)
"""


def test_killed_at_any_step_it_goes_on_from_what_is_there(tmp_path):
    life = everything()
    folder = MirrorFolder(tmp_path / "m", life.id)
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(folder.path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes = []
    for left in sorted(tmp_path.glob("[0-9]*")):
        found = stored(MirrorFolder(left, life.id))
        sizes.append(len(found))
        under = life.ledger.records[: len(found)]
        assert all(one in pair for one, *pair in zip(found, life.copy(), under, strict=False))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 3
    assert stored(folder) == life.copy()
    assert folder.complete == life.head().encode()


# ---- what is offered ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        "checkpoint",
        "head?since=0",
        "tile/0/000",
        "leaves?start=0&size=9",
        "package?start=0&size=9",
        "bodies?start=0&stop=9",
        "soul",
    ],
)
async def test_who_is_given_what(life, what):
    hashes = what.startswith(("checkpoint", "tile", "leaves"))
    watched = what.startswith("head")
    async with Server(life).running() as server:
        assert (await server.get(what, MEMBER))[0] == 200
        assert (await server.get(what, WATCHER))[0] == (200 if hashes or watched else 403)
        assert (await server.get(what, STRANGER))[0] == 403
        assert (await server.get(what))[0] == 401
    async with Server(life, everyone=True).running() as server:
        assert (await server.get(what, STRANGER))[0] == (200 if hashes else 403)
        assert (await server.get(what))[0] == (200 if hashes else 401)


async def test_a_member_whose_clock_is_an_hour_off_has_its_copy_and_a_stranger_nothing(
    life, tmp_path
):
    server = Server(life, everyone=True)
    for at, off in enumerate((-3500, 3500)):
        async with server.running():
            server.offering.recent = Recent()
            ahead = replace(server.source(), clock=lambda off=off: NOW + off)
            found = mirror_of(server, tmp_path / f"{at}")
            found.sources = lambda source=ahead: {"a": source}
            async with kept(found) as mirror:
                await until(lambda: whole(mirror, life.size))
            for signer, seconds in ((MEMBER, 3700), (STRANGER, 61)):
                off_more = replace(server.source(signer), clock=lambda s=seconds: NOW + s)
                with pytest.raises(SourceFailed, match="401"):
                    await off_more.tile(life.id, 0, 0, 256)


@pytest.mark.parametrize("what", ["package?start=0&size=8", "bodies?start=0&stop=8", "soul"])
async def test_nobody_is_given_words_under_another_manifest(life, what):
    """Whoever of two is behind does not know who was removed. Hashes tell nobody anything."""
    async with Server(life).running() as server:
        assert (await server.get(what, MEMBER, "ab" * 32))[0] == 200  # here is no fleet
        server.manifest = "cd" * 32
        assert (await server.get(what, MEMBER))[0] == 200  # a peer by node.toml, of no fleet,
        assert (await server.get(what, MEMBER, "ab" * 32))[0] == 200  # or of another
        server.audience = replace(server.audience, fleet={MEMBER.pubkey: bytes(32)})
        status, data = await server.get(what, MEMBER, "ab" * 32)
        assert (status, "cd" * 32 in data.decode()) == (409, True)
        assert (await server.get(what, STRANGER, "ab" * 32))[0] == 403  # nor is he told which
        assert (await server.get(what, MEMBER, "cd" * 32))[0] == 200
        assert (await server.get(what, MEMBER))[0] == 409  # a member names one
        assert (await server.get("head?since=0", MEMBER))[0] == 200
        server.audience = replace(server.audience, fleet={MEMBER.pubkey: life.id})
        for own in ("ab" * 32, None):  # a machine that lost its home asks for its own ledger
            assert (await server.get(what, MEMBER, own))[0] == 200


async def test_a_watcher_recomputes_the_root_from_tiles_alone(life):
    async with Server(life).running() as server:
        note = (await server.get("checkpoint", WATCHER))[1]
        head = open_checkpoint(note, agent.LOG.public)
        tiles = [await server.get(f"tile/{tile_path(0, 0)}", WATCHER)]
        tiles.append(await server.get(f"tile/{tile_path(0, 1, head.size - 256)}", WATCHER))
        row = await server.get(f"tile/{tile_path(1, 0, 1)}", WATCHER)
    hashes = b"".join(data for _, data in tiles)
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    assert leaves == [leaf_hash(record.envelope) for record in life.ledger.records]
    assert (
        merkle.range_root(lambda level, at: subtree(leaves, level, at), 0, head.size) == head.root
    )
    assert row == (200, subtree(leaves, 8, 0))


def subtree(leaves, level, at):
    return merkle.perfect_root(leaves[at << level : (at + 1) << level])


@pytest.mark.parametrize(
    "path",
    ["tile/0/001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/1/000", "tile/9/000", "tile/0/0", "tile/0/x000/001",
     "tile/0/999", "package?start=9&size=9", "package?start=0&size=999", "package?start=-1&size=2", "package?start=00",
     "bodies?start=0&stop=999", "bodies?start=5&stop=2", "leaves?start=9&size=9", "leaves?start=0&size=999", "other"],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(life, path):
    async with Server(life).running() as server:
        assert (await server.get(path, MEMBER))[0] == 404


async def test_another_ledger_is_not_found_and_no_path_leads_elsewhere(life):
    async with Server(life).running() as server:
        server.life = Life().say(2)
        server.find = lambda _: None
        server.offering.find = server.find
        assert (await server.get("head", MEMBER))[0] == 404


async def test_a_peer_has_a_few_requests_at_a_time(life, monkeypatch):
    held = asyncio.Event()

    async def slowly(*_):
        await held.wait()
        return web.Response()

    monkeypatch.setattr(offering, "_send", slowly)
    async with Server(life).running() as server, asyncio.TaskGroup() as group:
        limit = offering._REQUESTS_PER_PEER_MAX
        asked = [group.create_task(server.get("checkpoint", MEMBER)) for _ in range(limit)]
        await until(lambda: server.offering._busy.total() == limit)
        assert (await server.get("checkpoint", MEMBER))[0] == 429
        held.set()
        for one in asked:
            assert (await one)[0] == 200
        await until(lambda: not server.offering._busy)


async def test_slow_strangers_leave_members_half_of_the_room(life, monkeypatch):
    """Where hashes are for everyone a stranger has as many names as he likes."""
    held = asyncio.Event()

    async def slowly(*_):
        await held.wait()
        return web.Response()

    monkeypatch.setattr(offering, "_send", slowly)
    names = [NostrSigner(bytes([at] * 32)) for at in range(20, 40)]
    async with Server(life, everyone=True).running() as server, asyncio.TaskGroup() as group:
        asked = [group.create_task(server.get("checkpoint", one)) for one in names]
        most = offering._REQUESTS_MAX // 2
        await until(lambda: sum(one.done() for one in asked) == len(names) - most)
        assert server.offering._busy.total() == most
        theirs = [group.create_task(server.get("checkpoint", MEMBER)) for _ in range(most)]
        await until(lambda: server.offering._busy.total() == offering._REQUESTS_MAX)
        held.set()
        assert {(await one)[0] for one in theirs} == {200}
        assert sorted([(await one)[0] for one in asked]) == [200] * most + [429] * (20 - most)


async def test_a_reader_that_does_not_read_is_cut_off(life, monkeypatch):
    monkeypatch.setattr(limits, "SEND_STALL_SECONDS_MAX", 0.2)
    server = Server(life)
    server.offering.soul = lambda _: bytes(64 * 1024 * 1024)
    async with server.running():
        url = f"{server.url}{PREFIX}/{life.id.hex()}/soul"
        header = sign_request(MEMBER, url, "GET", node=NODE.pubkey, now=NOW)
        host, port = server.url.removeprefix("http://").split(":")
        _reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        path = url.removeprefix(server.url)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode())
        await writer.drain()
        await until(lambda: server.offering._busy)
        await until(lambda: not server.offering._busy)
        writer.close()


async def test_an_answer_that_is_too_long_is_not_read(life, monkeypatch):
    monkeypatch.setattr(source, "_SOUL_BYTES_MAX", 10)
    async with Server(life).running() as server:
        with pytest.raises(SourceFailed, match="more than 10 bytes"):
            await server.source().soul(life.id)
        with pytest.raises(SourceFailed, match="403") as refused:
            await server.source(STRANGER).soul(life.id)
        assert refused.value.refused
        server.url = "http://127.0.0.1:1"
        with pytest.raises(SourceFailed, match="Connect") as gone:
            await server.source().soul(life.id)
        assert not gone.value.refused
