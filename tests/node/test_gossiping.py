"""What a node makes of heads that others tell it: real sources over HTTP, a real witness' memory."""

import io
import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from ledger.core.bundle import Reader
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.lineage import Lineage
from mesh.core.errors import InvalidGossip, InvalidSignedRequest, NotMember
from mesh.core.fleet.gossip import Gossip, Proof, Rumour
from mesh.core.fleet.gossip_wire import decode_messages, encode_messages, head_of
from mesh.core.limits import CLEAN_SECONDS
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import Recent, sign_request
from mesh.core.told import REASONS_MAX
from mesh.mirrors.offer import Offer
from node.fleet import gossiping as module
from node.fleet.gossiping import PATH, Gossiping
from node.fleet.introductions import drawn
from node.fleet.looking_back import LookingBack
from node.open import now_ms
from tests.ledger.makers import message, open_log
from tests.mesh.lives import Life
from tests.mesh.test_mirror import MEMBER, Server, rewritten
from tests.node.test_hearing import Node
from tests.ports import free_port
from tests.spec import agent
from tests.spec.make_equivocations import FALSE_ONES, TRUE

SHOWS_NONE = "a peer does not show a log's head"
OWN, PEER, OTHER = (NostrSigner(bytes([at] * 32)) for at in (6, 8, 10))


@pytest.fixture
def log():
    with open_log() as found:
        found.append_now(agent.genesis_draft())
        found.append_now(message("one"), message("two"))
        yield found


@pytest.fixture
def life():
    return Life().say(40)


class Release:
    """What of it gossip looks at."""

    def __init__(self):
        self.held = ""
        self.newest = SimpleNamespace(size=0)

    def hold(self, why):
        self.held = why


@asynccontextmanager
async def gossiping(log, path, *servers, follows=(), clock=(0.0,)):
    """A node whose peers are these servers."""
    node = Node(path, log, follows=follows)
    release = Release()
    looking = LookingBack(
        pool=node.pool, relays=(), pubkey=OWN.pubkey, head_kind=30078, log=log,
        lineage=Lineage.of(log.read(0)),
    )  # fmt: skip
    witnessed = SimpleNamespace(looking_back=looking, contradiction="", introduction=lambda: b"")

    async def contradicted(why, who):
        assert who == "peers"
        witnessed.contradiction = why
        release.hold(why)

    witnessed.contradicted = contradicted
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server.running())
        sources = {server.url: server.source(MEMBER) for server in servers}
        mirroring = SimpleNamespace(
            sources=lambda: sources, mirrors={}, signer=OWN,
            audience=lambda: SimpleNamespace(members=frozenset({PEER.pubkey})),
            recent=Recent(),
        )  # fmt: skip
        yield Gossiping(
            release=release, witnessing=node.witnessing, witnessed=witnessed, mirroring=mirroring,
            followed=lambda: set(follows), draw=random.Random(1), now=lambda: clock[0],
        )  # fmt: skip
        node.witnessing.file.close()


async def test_two_who_show_two_histories_are_put_beside_each_other(log, tmp_path, life):
    """No copy is here: the tiles of each are those of who showed the head."""
    one, other = Server(life), Server(rewritten(life), node=OTHER)
    async with gossiping(log, tmp_path, one, other, follows=(life.id,)) as node:
        for _ in range(3):
            await node.step()
        [found] = node.witnessing.diverged()
        assert found["ledger"] == life.id
        assert life.id in node.gossip.frozen
        assert node.value()["unresponsive"] == {}


async def test_who_hides_the_hashes_is_unresponsive_and_accused_of_nothing(log, tmp_path, life):
    one, other = Server(life), Server(life, node=OTHER)
    other.at(rewritten(life), tiles=False)
    async with gossiping(log, tmp_path, one, other, follows=(life.id,)) as node:
        for _ in range(7 * module._LOOK_ROUNDS):
            await node.step()
        assert node.witnessing.diverged() == []
        assert "404" in node.value()["unresponsive"][life.id.hex()]


async def test_a_log_that_grows_is_in_no_doubt(log, tmp_path, life):
    one, other = Server(life), Server(life, node=OTHER)
    async with gossiping(log, tmp_path, one, other, follows=(life.id,)) as node:
        await node.step()
        life.say(30).hand_off().say(5)
        one.at(life)
        node._round = 0
        for _ in range(3):
            await node.step()
        assert node.gossip.newest(life.id).size == life.size
        assert (node.doubts, node.unresponsive, node.witnessing.diverged()) == ({}, {}, [])


async def test_a_head_that_a_witness_could_not_place_is_looked_into(log, tmp_path, life):
    other = rewritten(life)
    one, two = Server(life), Server(life, node=OTHER)
    async with gossiping(log, tmp_path, one, two, follows=(life.id,)) as node:
        await node.step()
        two.at(other)
        node.witnessing.on_doubt(other.head().encode())
        await node.step()
        assert node.gossip.newest(life.id).size == other.size
        for _ in range(2 * module._LOOK_ROUNDS):
            await node.step()
        assert [one["ledger"] for one in node.witnessing.diverged()] == [life.id]


class Liar(Offer):
    """A node that shows something else in the place of a log's introduction."""

    def introduction(self, since):
        return b"believe me"


class Gossiper(Server):
    """A node that hears gossip, or fails."""

    def __init__(self, life, **more):
        super().__init__(life, **more)
        self.asked, self.told = 0, 0
        self.words = lambda: "it is late"
        self.gossips, routes = False, self.offering.routes
        self.offering = SimpleNamespace(routes=lambda: [*routes(), web.post(PATH, self.hear)])

    def find(self, ledger_id):
        self.asked += 1
        return super().find(ledger_id)

    async def hear(self, _request):
        self.told += 1
        if not self.gossips:
            return web.Response(status=500, text=self.words())
        return web.Response(body=encode_messages([]))


def said(logs, event):
    return [(one["peer"], one["why"]) for one in logs if one["event"] == event]


async def test_who_shows_no_head_is_logged_once_and_again_after_he_was_well(log, tmp_path, life):
    one, clock = Server(life), [0.0]
    honest, liar = one.offer, Liar(log=one.offer.log, head=one.offer.head)

    async def rounds(node, offer, seconds):
        one.offer = offer
        for _ in range(3):
            clock[0] += seconds / 3
            node._round = 0  # in which every log is asked
            await node.step()

    async with gossiping(log, tmp_path, one, follows=(life.id,), clock=clock) as node:
        with capture_logs() as logs:
            await rounds(node, liar, 60)
            [(peer, why)] = found = said(logs, SHOWS_NONE)
            assert peer == one.url
            assert why.startswith("introduction: ")
            assert life.id not in node.logs.shown
            await rounds(node, None, 60)  # it has no such log, and says so: no fault
            await rounds(node, honest, 60)
            assert life.id in node.logs.shown
            await rounds(node, liar, 60)
            assert said(logs, SHOWS_NONE) == found, "who comes and goes floods no log"
            await rounds(node, honest, 2 * CLEAN_SECONDS)
            await rounds(node, liar, 60)
            assert said(logs, SHOWS_NONE) == 2 * found
            dead = replace(one.source(MEMBER), url=f"http://127.0.0.1:{free_port()}")
            node.mirroring.sources()[dead.url] = dead
            await rounds(node, honest, 60)
            [*before, (peer, why)] = said(logs, SHOWS_NONE)
            assert (before, peer) == (2 * found, dead.url)
            assert "Connect" in why


async def test_who_does_not_gossip_is_logged_once_and_again_after_he_was_well(log, tmp_path, life):
    one, clock = Gossiper(life), [0.0]
    async with gossiping(log, tmp_path, one, follows=(life.id,), clock=clock) as node:
        [source] = node.mirroring.sources().values()
        with capture_logs() as logs:
            for _ in range(3):
                assert not await node._talk(source, [node.gossip.summary()])
            assert said(logs, "no gossip") == [(one.url, "500: it is late")]
            one.gossips = True
            for clock[0] in (1.0, CLEAN_SECONDS + 1.0):
                assert await node._talk(source, [node.gossip.summary()])
            one.gossips = False
            assert not await node._talk(source, [node.gossip.summary()])
            assert said(logs, "no gossip") == 2 * [(one.url, "500: it is late")]


async def test_who_says_something_else_each_time_floods_no_log(log, tmp_path, life):
    """And hushes up nobody: as many of his lines are written as one may have."""
    one = Gossiper(life)
    one.words = lambda: "late" * one.told
    async with gossiping(log, tmp_path, one, follows=(life.id,)) as node:
        [source] = node.mirroring.sources().values()
        with capture_logs() as logs:
            for _ in range(2 * REASONS_MAX):
                assert not await node._talk(source, [node.gossip.summary()])
        assert len(said(logs, "no gossip")) == REASONS_MAX


async def test_a_false_proof_of_a_peer_is_logged_once(log, tmp_path, life):
    false = [bad if isinstance(bad, bytes) else bad.encode() for _, bad in FALSE_ONES.values()]
    mine = [bad for bad in false if Reader(io.BytesIO(bad)).header.ledger_id == TRUE.id]
    foreign = [bad for bad in false if bad not in mine]
    one = Server(life)
    async with gossiping(log, tmp_path, one, follows=(TRUE.id,)) as node:
        with capture_logs() as logs:
            for files in (foreign, mine, mine):
                proofs = tuple(Proof(log=TRUE.id, data=(data,)) for data in files)
                assert await node._answers([Rumour(heads=(), proofs=proofs)], one.url) == []
        [(peer, why)] = said(logs, "a proof of a peer is none")
        assert (peer, why.startswith("no proof of equivocation: ")) == (one.url, True)
        assert len(mine) > 1
        assert node.witnessing.diverged() == []
        assert node.value()["no_room"] == 0


async def test_who_has_many_addresses_is_told_and_asked_no_more_than_who_has_one(
    log, tmp_path, life
):
    many = [Gossiper(life, node=PEER) for _ in range(6)]
    single = Gossiper(life, node=OTHER)
    for one in (*many, single):
        one.gossips = True
    async with gossiping(log, tmp_path, *many, single, follows=(life.id,)) as node:
        members = frozenset({PEER.pubkey, OTHER.pubkey})
        node.mirroring.audience = lambda: SimpleNamespace(members=members)
        for number in range(1, 13):
            news = replace(head_of(life.head().encode()), log=bytes([number] * 32))
            node.gossip.take(news)  # so that everybody drawn is told something
            node._round = 0  # in which every log is asked
            await node.step()
        assert sum(one.told for one in many) == single.told == 12
        assert sum(one.asked for one in many) == single.asked == 12
        assert len([one for one in many if one.told]) > 2, "now by this one, now by that"


def test_a_draw_is_of_nodes():
    """A hundred names of one node, and three of others, each as likely."""
    sources = [SimpleNamespace(node=one) for one in ["a"] * 100 + ["b", "c", "d"]]
    draw = random.Random(3)
    found = Counter(one.node for _ in range(1000) for one in drawn(sources, 2, draw))
    assert {each // 100 for each in found.values()} <= {4, 5}
    assert [one.node for one in drawn(sources[:50], 4, draw)] == ["a"]
    assert drawn([], 4, draw) == []


def asked(messages, *, signer=PEER, path=PATH, off=0):
    url = f"http://127.0.0.1{path}"
    header = sign_request(signer, url, "POST", node=OWN.pubkey, now=now_ms() // 1000 + off)
    return header, encode_messages(messages)


async def test_a_peer_is_heard_and_answered_and_a_stranger_is_not(log, tmp_path, life):
    one = Server(life)
    async with gossiping(log, tmp_path, one, follows=(life.id,)) as node:
        await node.step()
        empty = Gossip()
        told = decode_messages(await node.answer(*asked([empty.summary()])))
        assert [type(each).__name__ for each in told] == ["Have"]
        head = head_of(life.head().encode())
        forged = head_of(life.head(30, by=agent.STRANGER).encode())
        foreign = head_of(life.head(ledger_id=bytes(32)).encode())
        smaller = head_of(life.head(30).encode())
        said = await node.answer(*asked([Rumour(heads=(head, forged, foreign, smaller))]))
        assert decode_messages(said) == []
        assert [each.size for each in node.gossip.heads[life.id]] == [30, life.size]
        assert node.heard == 1
        with pytest.raises(NotMember):
            await node.answer(*asked([], signer=NostrSigner(bytes([9] * 32))))
        with pytest.raises(InvalidSignedRequest):
            await node.answer(*asked([], path="/fleet/presence"))
        with pytest.raises(InvalidSignedRequest):
            await node.answer("", b"\x80")
        with pytest.raises(InvalidSignedRequest, match="at most 60"):
            await node.answer(*asked([], signer=NostrSigner(bytes([9] * 32)), off=90))
        with pytest.raises(InvalidGossip):
            await node.answer(asked([])[0], b"\xff")
        await node.answer(*asked([], off=3000))
        with pytest.raises(InvalidSignedRequest, match="after this one"):
            await node.answer(*asked([]))


async def test_a_head_of_our_own_that_we_do_not_have_holds_the_release(log, tmp_path):
    async with gossiping(log, tmp_path) as node:
        named = {"ledger_id": log.ledger_id, "epoch": 0}
        own = sign_checkpoint(Checkpoint(size=3, root=log.tree.root(3), **named), agent.LOG)
        later = sign_checkpoint(Checkpoint(size=9, root=bytes(32), **named), agent.LOG)
        for head in (own, later):
            await node.answer(*asked([Rumour(heads=(head_of(head.encode()),))]))
        await node._settle({})
        assert "9 events, here are 3" in node.release.held
