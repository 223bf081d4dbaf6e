"""A log that is proven to have two histories is copied, given and carried no more; what was, stays."""

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from ledger.core.equivocation import Equivocation
from mesh.core import limits, nip19
from node.config import load
from node.fleet.following import Following
from node.fleet.mirror_rows import standing
from node.fleet.mirroring import make_mirroring
from node.home import Home
from runtime.journal import Journal
from tests.ledger.makers import open_log
from tests.mesh.lives import Life
from tests.mesh.test_leaf_mirror import leaves
from tests.mesh.test_mirror import MEMBER, NODE, Server, rewritten, until, whole
from tests.node.test_hearing import Node
from tests.spec import agent

ENDED = "this log signed two histories"
DEPTHS = pytest.mark.parametrize("depth", ["mirror", "mirror_leaves"])


@pytest.fixture
def log():
    with open_log() as found:
        found.append_now(agent.genesis_draft())
        yield found


@pytest.fixture
def life():
    return Life().say(300)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(limits, "MIRROR_POLL_SECONDS", 0.02)


@asynccontextmanager
async def mirroring(path, log, server, depth, *known):
    """A node's mirrors, of one log, as they are kept; and its witness, which has heard `known`."""
    path.mkdir(exist_ok=True)
    (path / "node.toml").write_text(
        f'[mesh]\n{depth} = ["{server.life.id.hex()}"]\n[[mesh.peers]]\n'
        f'url = "{server.url}"\nnpub = "{nip19.npub(NODE.pubkey)}"\n'
    )
    node = Node(path, log, follows=(server.life.id,))
    opened = SimpleNamespace(
        config=load(path / "node.toml"), log=log, session=server.session,
        home=Home(path=path, state=path / "state"),
    )  # fmt: skip
    made = make_mirroring(opened, None, MEMBER, node.witnessing)
    [mirror] = made.kept().values()
    for proof in known:
        await node.witnessing.hear(proof.encode())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        yield made, mirror, node
        task.cancel()
    node.witnessing.file.close()


def serving(life):
    server = Server(life)
    server.offering.clock = lambda: int(time.time())
    return server


def proof_of(life):
    """Two heads of one size. Nobody who is copied from here ever shows the second one."""
    other = rewritten(life, more=9)
    notes = (life.head().encode(), other.head().encode())
    introduction = life.offer().introduction(0)
    return Equivocation(ledger_id=life.id, epoch=0, introduction=introduction, notes=notes)


@DEPTHS
async def test_a_proof_from_anywhere_ends_a_copy_and_what_was_copied_stays(
    log, tmp_path, life, depth
):
    server, proof = serving(life), proof_of(life)
    async with server.running():
        async with mirroring(tmp_path / "n", log, server, depth) as (made, mirror, node):
            await until(lambda: whole(mirror, life.size))
            assert made.find(life.id) is not None
            size, copy = life.size, life.copy()
            await node.witnessing.hear(proof.encode())
            await until(lambda: mirror.log is None)
            assert mirror.folder.ended["notes"] == [note.decode() for note in proof.notes]
            assert made.find(life.id) is None, "nobody is given it any more"
            following = Following(journal=Journal(log), log=log, mirrors=made.copies)
            assert await following._read(life.id) is None, "and no talk goes on from it"
            server.at(life.say(50))
        async with mirroring(tmp_path / "n", log, server, depth) as (made, mirror, _):
            await mirror.run()  # returns at once
            assert (made.find(life.id), mirror.log) == (None, None)
            assert standing(made.rows()[0]).endswith(f"ended at {size} events: {ENDED}")
            found = mirror.folder.open()
            if depth == "mirror":
                assert list(found.records()) == copy
            assert found.leaves(0, size) == leaves(life)[:size]
            assert found.size == size
            found.close()
            assert len(node.records) == 1, "told once"


@DEPTHS
async def test_a_frozen_log_is_not_begun_and_one_that_was_recovered_is(log, tmp_path, life, depth):
    server = serving(life)
    async with server.running():
        proof = proof_of(life)
        async with mirroring(tmp_path / "n", log, server, depth, proof) as (_, mirror, _):
            await until(lambda: mirror.folder.ended and mirror.log is None)
            found = mirror.folder.open()
            assert found.size == 0
            found.close()
        mirror.folder.path.rename(tmp_path / "away")
        again = life.recover(200).say(5)
        server.at(again)
        async with mirroring(tmp_path / "n", log, server, depth) as (made, mirror, node):
            await until(lambda: whole(mirror, again.size))
            assert node.witnessing.file.frozen_epoch(life.id) == 0
            assert made.find(life.id) is not None
