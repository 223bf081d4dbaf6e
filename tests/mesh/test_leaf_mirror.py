"""Mirrors of leaf hashes: their state machine in a simulation, and over real HTTP in real folders."""

import io
import random

import pytest

from attest.verify.bundle import verify_bundle
from ledger.core.codec import encode
from ledger.core.equivocation import Equivocation
from ledger.core.event import Event
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.leaves import LeafLog
from mesh.core import limits
from mesh.core.errors import InvalidPackage
from mesh.core.mirrors.copying import (
    AskHead,
    AskLeaves,
    Conflict,
    Doubt,
    Fault,
    Faulted,
    GivenUp,
    Pursue,
    StoreLeaves,
)
from mesh.core.mirrors.leaves import LeafReplica
from mesh.core.mirrors.packages import Place, open_leaves
from mesh.core.witnesses.introduction import open_introduction
from mesh.mirrors.leaf_folder import LeafFolder
from mesh.mirrors.mirror import Mirror
from mesh.mirrors.offer import LeafOffer, NotOffered
from tests.spec import agent

from .lives import Life, everything
from .test_mirror import (
    MEMBER,
    STRANGER,
    WATCHER,
    Server,
    _impatient,
    kept,
    life,
    rewritten,
    until,
    whole,
)

__all__ = ["_impatient", "life"]
ROUNDS_MAX = 4000


# ---- the state machine ---------------------------------------------------------------------------


class Peer:
    """A peer at some size of a life, which answers falsely, or not at all, in so many of a hundred."""

    def __init__(self, life, size=None, *, lies=0, dead=0):
        self.life, self.lies, self.dead = life, lies, dead
        self.at(size)

    def at(self, size):
        self.offer = self.life.offer(size)

    def answer(self, ask, rng):
        if rng.randrange(100) < self.dead:
            return None
        match ask:
            case AskHead():
                data = self.offer.introduction(ask.since)
            case AskLeaves():
                data = self.offer.leaves(ask.start, ask.size)
        if rng.randrange(100) >= self.lies:
            return data
        at = rng.randrange(len(data))
        return rng.choice(
            [
                data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
                data[:at],
                rng.randbytes(rng.randrange(60)),
                encode([bytes(32 * rng.randrange(70)), []]),
            ]
        )


class Copy:
    """What a mirror's driver does, with time and network in a seeded simulation."""

    def __init__(self, path, peers, seed=0):
        self.path, self.peers, self.rng = path, peers, random.Random(seed)
        self.id = next(iter(peers.values())).life.id
        self.log, self.note, self.now, self.shown = LeafLog(path), None, 0.0, ()
        self.held = None
        self.seen, self.asked = [], []
        self.restart()

    def restart(self):
        """As after kill -9."""
        self.log.close()
        self.log = LeafLog(self.path)
        self.log.shown = self.shown
        self.asked.clear()
        self.replica = LeafReplica(
            self.id, self.log, self.peers, lineage=self.log.lineage(), pursued=self.note,
            held=self.held, jitter=iter(self.rng.random, None),
        )  # fmt: skip

    def lose(self):
        """The file is damaged: what is stored is gone, the notes are not."""
        LeafLog.discard(self.path)
        self.restart()

    def step(self):
        self.asked += self.replica.requests(self.now)
        if not self.asked:
            self.now = max(self.now, self.replica.wake_at() or 0.0)
            return
        self.now += 0.01
        ask = self.asked.pop(self.rng.randrange(len(self.asked)))
        try:
            data = self.peers[ask.source].answer(ask, self.rng)
        except NotOffered:
            data = None
        if data is None:
            self.act(self.replica.failed(ask, Fault.UNREACHABLE, "no answer", self.now))
        else:
            self.act(self.replica.answered(ask, data, self.now))

    def act(self, actions):
        for action in actions:
            self.seen.append(action)
            match action:
                case Pursue():
                    self.note, self.shown = action.note, action.shown
                    self.log.shown = action.shown
                case StoreLeaves():
                    self.log.take(action.leaves)
        for action in self.replica.settled():
            self.seen.append(action)
            self.held = action.note

    def until(self, done):
        for _ in range(ROUNDS_MAX):
            if done(self):
                return self
            self.step()
        raise AssertionError([str(one)[:80] for one in self.seen[-3:]])

    def completed(self, size):
        return self.until(lambda self: self.replica.complete and self.replica.complete.size == size)

    def same_as(self, life):
        assert self.log.leaves(0, self.log.size) == leaves(life)
        assert self.log.tree.root() == life.ledger.tree.root()


def leaves(life):
    return [leaf_hash(record.envelope) for record in life.ledger.records]


@pytest.fixture
def copying(tmp_path):
    """Makes copies, and closes them."""
    made = []

    def make(peers, seed=0):
        made.append(Copy(tmp_path / f"leaves-{len(made)}", peers, seed))
        return made[-1]

    yield make
    for one in made:
        one.log.close()


@pytest.fixture
def short(monkeypatch):
    """Runs of 64 leaves, so that a small log has many."""
    monkeypatch.setattr(limits, "LEAVES_EVENTS", 64)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_peers_do_the_leaves_of_the_log_are_stored(short, copying, seed):
    """Liars, the dead, peers that are behind, restarts at any point, a log that grows meanwhile."""
    rng = random.Random(seed)
    life = everything()
    sizes = sorted(rng.sample(range(40, life.size), 3))
    peers = {
        "liar": Peer(life, sizes[0], lies=60), "mute": Peer(life, sizes[0], dead=70),
        "true": Peer(life, sizes[0]),
    }  # fmt: skip
    copy = copying(peers, seed)
    for size in (*sizes, life.size):
        for peer in peers.values():
            peer.at(size)
        for _ in range(rng.randrange(30)):
            copy.step()
        copy.restart()
    copy.completed(life.size).same_as(life)
    assert {one.source for one in copy.seen if isinstance(one, Faulted)} <= {"liar", "mute"}
    assert [event.position for event in copy.shown] == [0, 322]


def test_a_head_that_came_while_another_was_copied_goes_on_in_the_middle_of_a_run(short, copying):
    life = Life().say(300)
    peer = Peer(life, 101)
    copy = copying({"a": peer})
    copy.until(lambda copy: copy.replica.head)
    peer.at(230)
    copy.replica.hurry()
    copy.until(lambda copy: copy.replica.head.size == 230)
    copy.completed(230)
    assert copy.log.leaves(0, 230) == leaves(life)[:230]


def test_false_leaves_are_refused():
    life = Life().say(200)
    root, row = life.ledger.tree.root(), leaves(life)
    place = Place(start=130, stop=192, size=life.size, root=root, width=64)
    true = life.offer()
    limited = [row[128:130], row[130:192]]
    path = true.log.tree.inclusion(128, life.size)[6:]
    good = encode([b"".join(limited[1]), path])
    assert open_leaves(good, place, limited[0]) == limited[1]
    for bad in (
        b"", encode([]), encode([b"", []]), encode([b"".join(limited[1]), path[:-1]]),
        encode([b"".join(limited[1][::-1]), path]), encode([b"".join(limited[1])[:-1], path]),
        encode([b"".join(limited[1]), [1]]), encode([b"".join(limited[1]), [b"short"]]),
        encode([limited[1], path]), bytes(limits.LEAVES_BYTES_MAX + 1),
    ):  # fmt: skip
        with pytest.raises(InvalidPackage):
            open_leaves(bad, place, limited[0])


def test_a_second_root_of_one_size_and_a_smaller_head_of_another_history_end_it(copying):
    life = Life().say(100)
    for at, size in enumerate((life.size, life.size - 3)):
        other = Life().say(50)
        other.ledger.add(agent.words("another history"))
        other.say(size - other.size)
        peer = Peer(life)
        copy = copying({"a": peer}).completed(life.size)
        peer.offer = other.offer()
        copy.until(lambda copy: copy.replica.ended)
        assert isinstance(copy.replica.ended, Conflict)
        assert copy.replica.ended.same_size is (not at)


def test_a_handoff_is_followed_and_a_recovery_that_gives_up_leaves_ends_this_copy(copying):
    life = Life().say(40)
    peer = Peer(life)
    copy = copying({"a": peer}).completed(life.size)
    life.hand_off().say(5)
    peer.at(None)
    copy.completed(life.size)
    assert len(copy.log.lineage().tenures) == 2
    again = life.recover(30).say(4)
    peer.offer = again.offer()
    copy.until(lambda copy: copy.replica.ended)
    assert copy.replica.ended == GivenUp(epoch=1, kept=30)


def test_after_damage_it_still_holds_the_log_to_what_it_saw(copying, monkeypatch):
    """A source that shows less than was seen is waited for, and another history is not taken."""
    monkeypatch.setattr(limits, "MIRROR_RETREAT_SECONDS", 0.1)
    life = Life().say(100)
    peer = Peer(life, 60)
    copy = copying({"a": peer}).completed(60)
    life_offer = life.offer()
    peer.offer = Headed(log=life_offer.log, head=life_offer.head)
    copy.until(lambda copy: copy.replica.head.size == life.size)  # pursued, and nothing is given
    copy.lose()
    other = Life().say(20)
    other.ledger.add(agent.words("another history"))
    peer.offer = other.say(10).offer()  # less than was seen
    for _ in range(300):
        copy.step()
    assert (copy.log.size, copy.replica.ended) == (0, None)
    peer.offer = other.say(40).offer()  # more than was complete, less than is pursued
    copy.until(lambda copy: any(isinstance(one, Doubt) for one in copy.seen))
    assert (copy.log.size, copy.replica.ended) == (0, None)
    peer.at(None)
    copy.completed(life.size).same_as(life)


class Headed(LeafOffer):
    """Shows its head, and none of the leaves under it."""

    def leaves(self, start, size):
        raise NotOffered("not now")


def test_after_damage_a_recovery_is_followed(copying):
    life = Life().say(50)
    peer = Peer(life)
    copy = copying({"a": peer}).completed(life.size)
    copy.lose()
    again = life.recover(30).say(4)
    peer.offer = again.offer()
    copy.completed(again.size)
    assert copy.log.leaves(0, again.size) == leaves(again)


# ---- kept over HTTP, in a folder -----------------------------------------------------------------


def mirror_of(server, path, signer=WATCHER, **more):
    folder = LeafFolder(path, server.life.id)
    jitter = iter(random.Random(1).random, None)
    sources = {"a": server.source(signer)}
    return Mirror(folder=folder, sources=lambda: sources, jitter=jitter, **more)


def no_words(folder, life):
    """No file holds a byte of an event but of those that say whose log it is."""
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files
    for record in life.ledger.records:
        if Event.open(record).type.startswith(("genesis.", "soul.", "ledger.epoch")):
            continue
        parts = [record.envelope, record.payload, record.content]
        for path, data in files.items():
            for part in parts:
                assert part is None or part not in data, (record.position, path)
        assert f"words {record.position}".encode() not in b"".join(files.values())


async def test_a_watcher_keeps_the_leaves_and_nothing_else(life, tmp_path):
    server = Server(life)
    async with server.running():
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
            life.say(3).redact(20, 299).hand_off().say(260)
            server.at(life)
            await until(lambda: whole(mirror, life.size))
            status = mirror.status()
            assert (status["depth"], status["events"], status["behind"]) == ("leaves", life.size, 0)
        no_words(tmp_path / "m", life)
        assert (tmp_path / "m" / "leaves").stat().st_size == 32 * life.size
        assert mirror.folder.complete == life.head().encode()
        life.say(40)
        server.at(life)
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
            assert mirror.log.leaves(0, life.size) == leaves(life)


async def test_who_may_not_watch_keeps_nothing(life, tmp_path):
    server = Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m", STRANGER)) as mirror:
        await until(lambda: any(one["fault"] for one in mirror.status()["sources"]))
        assert mirror.status()["sources"][0]["fault"].startswith("refused: 403")
        assert mirror.log.size == 0


async def test_what_it_keeps_proves_to_others(life, tmp_path):
    """Served as the log's own node serves it: heads, hashes, proofs; another mirror grows on it."""
    life.hand_off().say(50)
    server, second = Server(life), Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m")) as mirror:
        await until(lambda: whole(mirror, life.size))
        second.offer = offer = mirror.offer()
        shown = open_introduction(offer.introduction(100), life.id)
        assert shown.head.encode() == life.head().encode()
        path = shown.paths[100, life.size]
        root = life.ledger.tree.root()
        verify_consistency(100, life.size, path, life.ledger.tree.root(100), root)
        [leaf] = mirror.log.leaves(7, 8)
        verify_inclusion(leaf, 7, life.size, mirror.log.tree.inclusion(7, life.size), root)
        async with second.running():
            for what in ("package?start=0&size=8", "bodies?start=0&stop=8"):
                status, told = await second.get(what, MEMBER)
                assert (status, b"leaf hashes only" in told) == (404, True)
            assert (await second.get("tile/0/000", WATCHER))[0] == 200
            async with kept(mirror_of(second, tmp_path / "m2")) as again:
                await until(lambda: whole(again, life.size))
        no_words(tmp_path / "m2", life)


@pytest.mark.parametrize("junk", [b"", b"\x80", b"\x81\x01", b"\xff" * 40])
async def test_who_signs_is_learnt_again_if_that_is_damaged(life, tmp_path, junk):
    server, path = Server(life), tmp_path / "m" / "shown"
    async with server.running():
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
        true = path.read_bytes()
        path.write_bytes(junk)
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
            assert "shown" in mirror.status()["damage"]
            shown = open_introduction(mirror.offer().introduction(0), life.id)
            assert shown.head.encode() == life.head().encode()
        assert path.read_bytes() == true


async def test_a_record_of_lineage_that_is_no_leaf_accuses_nobody(life, tmp_path):
    """Damage of what was shown must not look like a second lineage."""
    life.hand_off().say(3)
    other = Life().say(life.size - 5).hand_off(2)
    server, path = Server(life), tmp_path / "m" / "shown"
    async with server.running():
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
            born, _ = mirror.log.shown
            false = Event.open(other.ledger.records[other.size - 1])
            mirror.folder.keep_shown(mirror.log, (born, false))
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
            assert "holds no leaf" in mirror.status()["damage"]
            assert mirror.folder.ended is None
    assert path.exists()


async def test_a_damaged_file_is_found_and_fetched_again(life, tmp_path):
    server, path = Server(life), tmp_path / "m" / "leaves"
    async with server.running():
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
        data = bytearray(path.read_bytes())
        data[77] ^= 1
        path.write_bytes(data)
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
            assert "does not lead to the root" in mirror.status()["damage"]
            assert mirror.log.leaves(0, life.size) == leaves(life)
        assert path.with_name("leaves.damaged").read_bytes() == data


@pytest.mark.parametrize("lost", [False, True])
async def test_a_rewritten_log_is_proven_to_anybody(life, tmp_path, lost):
    """A longer head, by the two leaves in which they part. Without the hashes only if of one size."""
    other, told = rewritten(life, more=9 if lost else 30), []
    assert (other.size == life.size) is lost

    async def witness(action):
        told.append(action)

    server = Server(life)
    async with server.running():
        async with kept(mirror_of(server, tmp_path / "m")) as mirror:
            await until(lambda: whole(mirror, life.size))
        if lost:
            (tmp_path / "m" / "leaves").write_bytes(b"")
        server.at(other)
        async with kept(mirror_of(server, tmp_path / "m", witness=witness)) as mirror:
            await until(lambda: mirror.folder.ended)
    conflict = told[-1]
    proof = Equivocation(
        ledger_id=life.id, epoch=0, introduction=conflict.introduction,
        notes=(conflict.known, conflict.shown), branches=conflict.branches,
    ).encode()  # fmt: skip
    report = verify_bundle(io.BytesIO(proof), None)
    assert (report.purpose, report.verdict) == ("equivocation", "DIVERGED"), report.lines
    assert {type(one) for one in told} <= {Doubt, Conflict}
    no_words(tmp_path / "m", life)


async def test_a_recovered_log_is_copied_anew_and_the_old_leaves_are_set_aside(life, tmp_path):
    server = Server(life)
    async with server.running(), kept(mirror_of(server, tmp_path / "m")) as mirror:
        await until(lambda: whole(mirror, life.size))
        again = life.recover(100).say(5)
        server.at(again)
        await until(lambda: whole(mirror, again.size))
        assert mirror.log.leaves(0, again.size) == leaves(again)
    aside = tmp_path / "m" / "given-up-1" / "leaves"
    assert aside.read_bytes() == b"".join(leaves(life))
