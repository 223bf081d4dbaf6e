"""Proofs that a log signed two histories: heard, verified, kept, told once; floods are bounded."""

import asyncio
import io
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from attest.verify.bundle import verify_bundle
from ledger.core import types
from ledger.core.bundle import Reader
from mesh.core.errors import InvalidRequest, Refused
from mesh.core.nip01 import NostrSigner
from mesh.core.relay.policy import WritePolicy
from mesh.pool.port import MemoryPool
from mesh.relay.store import MemoryEventStore
from mesh.witnesses.equivocations import KIND, mint_equivocation
from mesh.witnesses.witness import Cosigner, WitnessFile
from node.fleet import hearing as module
from node.fleet.hearing import Hearing
from node.fleet.witnessing import TooManyProofs, Witnessing, introduce, witness_of
from node.home import Home
from tests.ledger.makers import open_log
from tests.mesh.peers import serving
from tests.node.world import SETTINGS, until
from tests.spec import agent
from tests.spec.make_equivocations import FALSE_ONES, ONE_SIZE, TRUE, TWO_SIZES

FINDER, OWN = NostrSigner(bytes([5] * 32)), NostrSigner(bytes([6] * 32))
WAIT = 60.0


class Others:
    """The rest of the fleet: what it is told."""

    fleet = None

    def __init__(self):
        self.told = []

    async def tell_all(self, place, data):
        self.told.append((place, data))


class Node:
    """The parts of a node that hear, in a folder, with a real log and a real witness.db."""

    def __init__(self, path, log, *, follows=(TRUE.id,)):
        self.home = Home(path=path / "home", state=path / "state")
        self.home.make()
        self.log, self.fleet, self.pool = log, Others(), MemoryPool()
        self.own = []
        witness, key = witness_of(log.ledger_id, bytes([6] * 32))
        file = WitnessFile(path / "witness.db", introduce)
        self.witnessing = Witnessing(
            log=log, file=file, admits=lambda _: False, on=lambda: False, signer=OWN, relay=None,
            cosigner=Cosigner(file=file, witness=witness, sign=key.sign, clock=lambda: 1),
            pool=self.pool, fleet=self.fleet, home=self.home, pause_s=0.0,
            also_follows=lambda ledger: ledger in follows, on_own=self.own.append,
        )  # fmt: skip
        self.hearing = Hearing(witnessing=self.witnessing, pool=self.pool, followed=lambda: follows)

    @asynccontextmanager
    async def running(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.hearing.run())
            try:
                yield self
            finally:
                task.cancel()
                self.witnessing.file.close()

    @property
    def records(self):
        return [one for one in self.log.events() if one.type == types.WITNESS_PROVED.name]

    @property
    def files(self):
        return sorted(self.home.diverged.glob("*"))

    async def published(self):
        found = [one for one in self.pool._events.values() if one.pubkey == OWN.pubkey]
        return [one for one in found if one.kind == KIND]


@pytest.fixture
def log():
    with open_log() as found:
        found.append_now(agent.genesis_draft())
        yield found


async def eventually(ready):
    async with asyncio.timeout(30):
        while not ready():
            await asyncio.sleep(0.01)


def event(proof, *, ledger=TRUE.id, signer=FINDER):
    return mint_equivocation(signer, proof, ledger=ledger.hex(), size=6, now=1_790_000_000)


@pytest.mark.parametrize("proof", [ONE_SIZE, TWO_SIZES], ids=("one size", "two sizes"))
async def test_a_proof_on_a_relay_is_heard_and_passed_on_once(log, tmp_path, proof):
    data = proof.encode()
    node = Node(tmp_path, log, follows=(TRUE.id, bytes(32)))
    await node.pool.publish(event(data))
    async with node.running():
        await eventually(lambda: node.files)
        again = replace(
            proof, notes=proof.notes[::-1], branches=(proof.branches or ())[::-1] or None
        )
        await node.pool.publish(event(again.encode()))  # the same, written otherwise
        await node.witnessing.hear(again.encode())
        assert [one["ledger"] for one in node.witnessing.diverged()] == [TRUE.id]
    [file] = node.files
    assert file.read_bytes() == data
    assert verify_bundle(io.BytesIO(data), None).verdict == "DIVERGED"
    [record] = node.records
    assert (record.payload["ledger"], record.payload["epoch"]) == (TRUE.id, 0)
    assert node.fleet.told == [("/witness/equivocation", data)]
    [told] = await node.published()
    assert told.pubkey == OWN.pubkey


async def test_what_was_cut_short_is_told_at_the_next_start(log, tmp_path):
    """The file for people is the last thing that is made: without it, everybody is told again."""
    node = Node(tmp_path, log)
    async with node.running():
        await node.witnessing.hear(ONE_SIZE.encode())
    [file] = node.files
    file.unlink()
    again = Node(tmp_path, log)
    async with again.running():
        await eventually(lambda: again.files)
    assert again.fleet.told
    assert len(again.records) == 1
    third = Node(tmp_path, log)
    async with third.running():
        assert third.witnessing.diverged()
    assert third.fleet.told == []


async def test_our_own_log_may_be_the_one(log, tmp_path):
    """Whoever has our key signs elsewhere: what follows from that is for the release to know."""
    named = SimpleNamespace(ledger_id=TRUE.id, append=log.append, events=log.events)
    node = Node(tmp_path, named, follows=())
    async with node.running():
        await node.witnessing.hear(ONE_SIZE.encode())
        assert node.own == [0]
        assert node.witnessing.diverged()[0]["own"] is True


async def test_a_flood_of_false_proofs_is_bounded_and_a_true_one_comes_through(log, tmp_path):
    node = Node(tmp_path, log)
    verified = []
    before = module.Witnessing._verify

    async def counted(self, data):
        verified.append(data)
        return await before(self, data)

    false = [bad if isinstance(bad, bytes) else bad.encode() for _, bad in FALSE_ONES.values()]
    false = [bad for bad in false if Reader(io.BytesIO(bad)).header.ledger_id == TRUE.id]
    liars = [NostrSigner(bytes([number] * 32)) for number in range(7, 60)]
    with capture_logs() as logs:
        await flood(node, counted, false, liars)
    lines = [line for line in logs if line["event"] == "a proof that relays have is none"]
    named = [line["peer"] for line in lines]
    assert len(named) == len(set(named)) == 32
    assert {line["log_level"] for line in lines} == {"warning"}
    assert set(named) <= {one.pubkey for one in liars}
    assert sum(line["event"] == "more of these are not logged" for line in logs) == 1
    assert len(verified) <= len(false) + 1  # each of them once, whoever brings it
    assert node.witnessing.false == len(verified) - 1


async def flood(node, counted, false, liars):
    before = module.Witnessing._verify
    async with node.running():
        node.witnessing.__class__._verify = counted
        try:
            for signer in liars:
                for data in false:
                    await node.pool.publish(event(data, signer=signer))
            await node.pool.publish(event(ONE_SIZE.encode()))
            await eventually(lambda: node.files)
        finally:
            node.witnessing.__class__._verify = before
        with pytest.raises(InvalidRequest, match="at most"):
            await node.witnessing.hear(bytes(3_000_000))
        assert len(node.files) == 1


async def test_no_more_than_a_few_wait_to_be_verified(log, tmp_path):
    node = Node(tmp_path, log)
    node.witnessing.pause_s = 60.0
    _, bad = FALSE_ONES["one head twice"]
    async with node.running(), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(refused(node, replace(bad, notes=(b"x" * at, b"y")).encode()))
            for at in range(12)
        ]
        await eventually(lambda: sum(task.done() for task in tasks) == 8)
        for task in tasks:
            task.cancel()
    assert [task.result() for task in tasks if not task.cancelled()] == [TooManyProofs] * 8


async def refused(node, data):
    try:
        await node.witnessing.hear_stranger(data)
    except Refused as error:
        return type(error)


async def test_a_log_that_nobody_here_follows_is_none_of_ours(log, tmp_path):
    node = Node(tmp_path, log, follows=())
    async with node.running():
        await node.pool.publish(event(ONE_SIZE.encode()))
        with pytest.raises(Refused, match="not witnessed here"):
            await node.witnessing.hear(ONE_SIZE.encode())
    assert (node.files, node.records, node.witnessing.false) == ([], [], 0)
    assert not (tmp_path / "witness.db").exists()


def test_two_nodes_with_nothing_but_a_relay_between_them(place):
    """Who finds the proof publishes it; who follows that log hears it, and tells its operator."""
    keeper, finder, hearer = (place(name).configure() for name in ("keeper", "finder", "hearer"))
    for home in (keeper, finder, hearer):
        home.run("init").good()
    npubs = [home.run("soul", "show", "--json").good().json["npub"] for home in (finder, hearer)]
    keeper.configure(f"{SETTINGS}\n[relay]\nwriters = {npubs!r}\n".replace("'", '"'))
    relay = keeper.start()
    for home in (finder, hearer):
        home.configure(
            f'{SETTINGS}\n[publish]\ninterval_s = 1\nrelays = ["ws://127.0.0.1:{relay.port}/"]\n'
            f'[witness]\nlogs = ["{TRUE.id.hex()}"]\n'
        )
    proof = TWO_SIZES.encode()
    with finder.running() as found, hearer.running() as hears:
        stranger = replace(TWO_SIZES, ledger_id=bytes(32)).encode()
        found.request("POST", "/witness/equivocation", stranger, token="").refused(422)
        assert found.request("POST", "/witness/equivocation", proof, token="").status == 200
        until(lambda: hears.status()["diverged"], WAIT, "the other hears of it")
        [one] = hears.status()["diverged"]
        assert (one["ledger"], one["own"]) == (TRUE.id.hex(), False)
        until(lambda: hearer.path.joinpath("diverged").exists(), WAIT, "the file is there")
        assert f"DIVERGED           ledger {TRUE.id.hex()}" in hearer.run("status").good().out
        doctor = {row["name"]: row for row in hearer.run("--json", "doctor").json}
        assert TRUE.id.hex() in doctor["diverged"]["text"]
        assert len(hears.log("witness.proved")) == 1
        checked = hearer.run("verify", one["file"])
        assert checked.code == 1
        assert "DIVERGED" in checked.out
        again = hears.request("POST", "/witness/equivocation", proof, token="")
        assert again.json["sha256"] == one["sha256"]
    assert hearer.logged.count("A LOG SIGNED TWO HISTORIES") == 1


async def test_a_proof_that_is_left_at_our_own_relay_is_heard(log, tmp_path):
    """One that lies there since before a start, and one that comes; other events are not looked at."""
    policy = WritePolicy(authors=None)
    store = MemoryEventStore()
    async with serving(store, policy=policy, clock=lambda: 1_790_000_000) as (relay, _):
        await relay.publish(event(ONE_SIZE.encode()))
        node = Node(tmp_path, log)
        node.hearing = replace(node.hearing, relay=relay)
        async with node.running():
            await eventually(lambda: len(node.files) == 1)
            assert len(node.records) == 1
    async with serving(MemoryEventStore(), policy=policy, clock=lambda: 1_790_000_000) as (
        relay,
        _,
    ):
        other = Node(tmp_path / "other", log)
        other.hearing = replace(other.hearing, relay=relay)
        async with other.running():
            await relay.publish(event(TWO_SIZES.encode(), ledger=bytes(32)))
            await relay.publish(event(TWO_SIZES.encode()))
            await eventually(lambda: len(other.files) == 1)
