"""What a start says where others have more of its own log: whom to fetch it from, or that none gives it."""

from dataclasses import replace

import pytest

from ledger.memory import MemoryStore
from ledger.mirror import MirrorLog
from mesh.mirrors.offer import LeafOffer
from node.fleet.tail import TailElsewhere, require_newest
from tests.mesh.lives import Life
from tests.mesh.test_mirror import MEMBER, WATCHER, Server


@pytest.fixture
def life():
    return Life().say(60)


@pytest.fixture
def log(life):
    """An old backup of it."""
    with MirrorLog(MemoryStore()) as found:
        found.take(list(zip(life.copy(20), life.opened, strict=False)), [])
        yield found


async def looks(log, **sources):
    """The error, if others have more."""
    asked = {f"http://{name}": one for name, one in sources.items()}
    try:
        await require_newest(log, log.lineage(), asked)
    except TailElsewhere as error:
        return error
    return None


async def test_who_gives_the_words_is_named_though_another_has_more(life, log):
    longer = Life().say(80)
    async with Server(life).running() as here, Server(longer).running() as watching:
        watched = watching.source(WATCHER)  # gives heads, and no words
        found = await looks(log, watching=watched, here=here.source(MEMBER))
    assert str(found).startswith("http://here has 61 events")
    assert found.hint.endswith("timmy recover --from-mirror http://here")


async def test_that_nobody_gives_the_words_is_said_with_a_way_out(life, log):
    async with Server(life).running() as server:
        leaves = server.source(MEMBER)
        found = await looks(log, watching=server.source(WATCHER))
        assert "nobody who was asked gives the words" in str(found)
        assert "recover --kit" in found.hint
        assert "--from-mirror" not in found.hint
        server.offer = LeafOffer(log=server.offer.log, head=server.offer.head)
        found = await looks(log, leaves=leaves)
        assert "nobody who was asked gives the words" in str(found)


async def test_who_has_no_more_or_does_not_answer_refuses_no_start(life, log):
    async with Server(life).running() as server:
        gone = replace(server.source(), url="http://127.0.0.1:1")
        server.at(life, head=life.head(20))
        assert await looks(log, gone=gone, same=server.source()) is None
