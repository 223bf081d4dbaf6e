"""A copy of another log that cannot be read is no copy: no node ends of it, and nobody's words wait.

The bit is flipped in the file of a mirror that is open, so only who reads it next can find it.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import apsw
import pytest
from structlog.testing import capture_logs

from ledger.core.errors import StoreError
from ledger.core.merkle import leaf_hash
from ledger.leaves import LeafLog
from ledger.log import Log
from ledger.sqlite import SqliteStore
from mesh.core import limits
from mesh.mirrors import mirror as mirror_module
from mesh.mirrors.comparing import Unresponsive, View, put_beside
from node.fleet import gossiping as module
from node.fleet.offers import Offers
from node.open import now_ms
from node.supervisor import Node
from tests.ledger.makers import message, open_log
from tests.mesh.lives import Life
from tests.mesh.test_leaf_mirror import mirror_of as leaf_mirror_of
from tests.mesh.test_mirror import MEMBER, Server, kept, mirror_of, until, whole
from tests.node.test_following import Other, following, taken_up, world
from tests.node.test_gossiping import gossiping
from tests.spec import agent

__all__ = ["world"]


@pytest.fixture
def log():
    with open_log() as found:
        found.append_now(agent.genesis_draft())
        found.append_now(message("one"), message("two"))
        yield found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(limits, "MIRROR_POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.05)
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(mirror_module, "_STORE_AGAIN_SECONDS", 0.01)


def flip(path, where):
    """Flip one bit of these bytes in a file, which may be an open database; return what it is then.

    Its log is emptied first: an open reader has to read what it knows anew.
    """
    if path.suffix == ".db":
        database = apsw.Connection(str(path))
        database.execute("pragma wal_checkpoint(truncate)")
        database.close()
    at = path.read_bytes().index(where)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([where[0] ^ 1]))
    return bytes([where[0] ^ 1]) + where[1:]


def leaf(life, at):
    return life.offer().log.tree.node(0, at)


@asynccontextmanager
async def lasting(run):
    """A part of a node as the supervisor runs it; what ends it fails the test."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Node._lasting(SimpleNamespace(_stopping=False), run))
        yield task
        assert not task.done()
        task.cancel()


def told(logs):
    return [one["why"] for one in logs if one["event"] == "a mirror cannot be read"]


@pytest.mark.parametrize("depth", ["words", "leaves"])
async def test_gossip_goes_on_beside_a_damaged_copy_of_a_log_that_grows(log, tmp_path, depth):
    """Heads of the old size and of the new one are put beside each other, by tiles from elsewhere."""
    life = Life().say(299)
    server, make = Server(life), mirror_of if depth == "words" else leaf_mirror_of
    signer = {} if depth == "words" else {"signer": MEMBER}
    async with gossiping(log, tmp_path / "n", server, follows=(life.id,)) as node:
        mirror = make(server, tmp_path / "m", **signer)
        with capture_logs() as logs:
            async with kept(mirror):
                await until(lambda: whole(mirror, 300))
                node.mirroring.mirrors = {life.id: mirror}
                await node.step()
                assert node.gossip.newest(life.id).size == 300
                server.at(life.say(400))
                await until(lambda: whole(mirror, 700))
                path = tmp_path / "m" / ("ledger.db" if depth == "words" else "leaves")
                flip(path, leaf(life, 280))
                node._round = 0
                async with lasting(node.run):
                    await until(lambda: told(logs))
                    await until(lambda: not node.doubts)
                    assert node.gossip.newest(life.id).size == 700
                    server.at(life.say(100))
                    await until(lambda: node.gossip.newest(life.id).size == 800)
                assert path.name in mirror.damage
                if depth == "leaves":
                    await until(lambda: whole(mirror, 800))
                    assert path.with_name("leaves.damaged").exists()
                    assert mirror.log.root(300) == life.ledger.tree.root(300)
        assert len(told(logs)) == 1
        assert (node.unresponsive, node.witnessing.diverged()) == ({}, [])


async def test_words_that_a_copy_does_not_give_keep_nobody_waiting(world, tmp_path):
    """Known to be there when the bit flips: another copy's are taken up, and these once they can."""
    store = SqliteStore.create(tmp_path / "ledger.db")
    with Log(store, clock=now_ms, entropy=os.urandom) as log:
        log.append_now(agent.genesis_draft())
        bad, good = Other(log), Other()
        await bad.talks("the roof leaks", "since when?")
        found = following(world, bad, good)
        assert await found.take_up("another talk", "ann", knows=(bytes(32), 0), wait_s=0) == ()
        flipped = flip(tmp_path / "ledger.db", b"since when?")
        await good.talks("and the door", "it is noted")
        _, carried = await taken_up(world, found)
        assert carried == [("user", "and the door"), ("assistant", "it is noted")]
        [error] = bad.misread
        assert "ledger.db" in str(error)
        flip(tmp_path / "ledger.db", flipped)
        _, carried = await taken_up(world, found)
        assert carried[2:] == [("user", "the roof leaks"), ("assistant", "since when?")]
    assert (await taken_up(world, following(world, bad)))[0] == (), "closed, and gone"
    assert good.misread == []


async def test_a_copy_is_compared_with_a_head_as_far_as_it_can_be_read(tmp_path):
    life = Life().say(299)
    server, shown = Server(life), life.head().encode()
    async with server.running():
        life.say(400)
        server.at(life)
        with capture_logs() as logs:
            async with kept(mirror_of(server, tmp_path / "m")) as mirror:
                await until(lambda: whole(mirror, 700))
                introduction = life.offer().introduction(0)
                tiles = partial(server.source().tile, life.id)
                flip(tmp_path / "m" / "ledger.db", leaf(life, 280))
                for _ in range(2):
                    answer = await mirror.beside(introduction, shown, tiles)
                    assert isinstance(answer, Unresponsive)
                    assert "the copy here: " in answer.reason
                assert mirror.view(life.head()) is None
        assert len(told(logs)) == 1
        assert mirror.status()["damage"]


@pytest.mark.parametrize("depth", ["words", "leaves"])
async def test_a_copy_that_is_opened_anew_while_heads_are_compared_is_not_damaged(tmp_path, depth):
    """A manifest with other addresses begins the copying again; who reads meanwhile reads nothing."""
    life = Life().say(699)
    server, make = Server(life), mirror_of if depth == "words" else leaf_mirror_of
    signer = {} if depth == "words" else {"signer": MEMBER}
    async with server.running(), kept(make(server, tmp_path / "m", **signer)) as mirror:
        await until(lambda: whole(mirror, 700))
        before, asked = mirror.log, []

        async def tiles(level, index, width):
            asked.append(level)
            mirror.sources = lambda: {"elsewhere": server.source()}
            mirror.hurry()
            await until(lambda: mirror.log not in {None, before} and whole(mirror, 700))
            return await server.source().tile(life.id, level, index, width)

        with capture_logs() as logs:
            other = View(head=life.head(300), tiles=tiles)
            await put_beside(mirror.view(life.head()), other)
        assert asked
        assert (told(logs), mirror.damage) == ([], None)
        assert mirror.view(life.head()) is not None


async def test_what_others_ask_of_a_damaged_copy_is_told_once_and_fetched_again(tmp_path):
    life = Life().say(699)
    server, second = Server(life), Server(life)
    async with (
        server.running(),
        second.running(),
        kept(leaf_mirror_of(server, tmp_path / "m", signer=MEMBER)) as mirror,
    ):
        await until(lambda: whole(mirror, 700))
        second.find = second.offering.find = lambda _: mirror.offer()
        second.offering.on_misread = lambda _, error: mirror.misread(error)
        flip(tmp_path / "m" / "leaves", leaf(life, 280))
        with capture_logs() as logs:
            status, answer = await second.get("tile/0/001", MEMBER)
            assert (status, b"tile 1" in answer) == (503, True)
            await until(lambda: whole(mirror, 700) and "lead to the root" in mirror.damage)
        assert (await second.get("tile/0/001", MEMBER))[0] == 200
        assert len(told(logs)) == 1


def test_hashes_of_a_file_that_was_closed_meanwhile_are_an_error_of_the_store(tmp_path):
    life, log = Life().say(299), LeafLog(tmp_path / "leaves")
    log.take([leaf_hash(record.envelope) for record in life.ledger.records])
    log.close()
    with pytest.raises(StoreError, match="closed"):
        log.root(200)


async def test_adoptions_in_a_copy_that_cannot_be_read_are_not_known_and_it_is_told(tmp_path):
    """Of a member's ledger, beside an own one that is whole."""
    store = SqliteStore.create(tmp_path / "ledger.db")
    with Log(store, clock=now_ms, entropy=os.urandom) as log, open_log() as own:
        log.append_now(agent.genesis_draft())
        own.append_now(agent.genesis_draft())
        bad = Other(log)
        member = SimpleNamespace(ledger=b"m" * 32)
        fleet = SimpleNamespace(manifest=SimpleNamespace(members=(member,)))
        offers = Offers(
            log=own, approval=None, fleet=lambda: fleet,
            mirrors=lambda: {member.ledger: bad.mirror()},
        )  # fmt: skip
        assert offers.steps() == (0,)
        (tmp_path / "ledger.db").rename(tmp_path / "away")
        log.close()
        assert (offers.steps(), offers.trials()) == ((0,), {member.ledger: {}})
        assert "unable to open" in str(bad.misread[0])
