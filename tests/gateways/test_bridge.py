"""Two nodes' bridges over one pool: heartbeats seen, artifacts reported and receipted, once."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ledger.core import types
from mesh.core import bridge
from mesh.core.errors import Refused
from mesh.core.nip01 import NostrSigner
from mesh.pool.port import MemoryPool
from node.nostr.bridge import Bridge
from node.nostr.letters import author_of
from node.open import now_ms
from tests.mesh.peers import ALICE, BOB
from tests.runtime.world import new_log

EVE = NostrSigner(bytes([3]) * 32)
DIGEST = "ab" * 20


class Side:
    """One node's ledger and bridge."""

    def __init__(self, signer, pool, peers, heartbeat_s=0):
        self.log = new_log()
        self.bridge = Bridge(
            self.log, signer, pool, peers=[one.pubkey for one in peers], heartbeat_s=heartbeat_s,
            words=lambda: "alive",
        )  # fmt: skip

    def of(self, kind):
        return [event for event in self.log.events() if event.type == kind.name]


@asynccontextmanager
async def two(pool=None, heartbeat_s=0):
    pool = pool or MemoryPool()
    sides = [Side(ALICE, pool, [BOB], heartbeat_s), Side(BOB, pool, [ALICE])]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(side.bridge.run()) for side in sides]
        try:
            async with asyncio.timeout(60):
                yield (*sides, pool)
        finally:
            for task in tasks:
                task.cancel()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def test_a_heartbeat_is_acknowledged_and_both_know():
    async with two(heartbeat_s=3600) as (alice, bob, pool):
        await until(lambda: alice.bridge.value()["acked_by"])
        value = alice.bridge.value()
        assert value["acked_by"] == {author_of(BOB.pubkey): value["beat"]}
        assert bob.bridge.value()["heard"] == {author_of(ALICE.pubkey): value["beat"]}
        assert alice.log.size == bob.log.size == 1
        assert len(pool._events) == 2


async def test_strangers_and_old_heartbeats_are_not_acknowledged():
    async with two() as (_, bob, pool):
        now = now_ms() // 1000
        await bob.bridge.hear(bridge.mint_beat(EVE, "me too", [BOB.pubkey], now=now))
        await bob.bridge.hear(bridge.mint_beat(ALICE, "long ago", [BOB.pubkey], now=now - 1000))
        await bob.bridge.hear(bridge.mint_beat(ALICE, "new", [BOB.pubkey], now=now))
        await bob.bridge.hear(bridge.mint_beat(ALICE, "late", [BOB.pubkey], now=now - 1))
        acks = [event for event in pool._events.values() if bridge.acknowledged(event)]
        assert len(acks) == 1


async def test_an_ack_of_what_was_never_said_counts_for_nothing():
    async with two() as (alice, _, _):
        beat = bridge.mint_beat(EVE, "x", [], now=now_ms() // 1000)
        await alice.bridge.hear(bridge.mint_ack(BOB, beat, now=now_ms() // 1000))
        assert alice.bridge.value()["acked_by"] == {}


async def test_an_artifact_is_recorded_reported_kept_and_receipted_once():
    async with two() as (alice, bob, pool):
        event = await alice.bridge.report("git-commit", DIGEST)
        await until(lambda: alice.of(types.ARTIFACT_RECEIPTED))
        again = await alice.bridge.report("git-commit", DIGEST)
        assert again.position == event.position
        await until(lambda: len([e for e in pool._events.values() if bridge.receipted(e)]) >= 1)
        for report in [one for one in pool._events.values() if bridge.artifact_of(one)]:
            await bob.bridge.hear(report)
        receipts = [one for one in pool._events.values() if bridge.receipted(one)]
        assert len({bridge.receipted(one) for one in receipts}) == len(receipts)
        for receipt in receipts:
            await alice.bridge.hear(receipt)
        [received] = bob.of(types.ARTIFACT_RECEIVED)
        assert received.payload == {
            "author": author_of(ALICE.pubkey), "kind": "git-commit", "digest": DIGEST,
            "recorded": event.id.hex(),
        }  # fmt: skip
        [receipted] = alice.of(types.ARTIFACT_RECEIPTED)
        assert receipted.payload == {"author": author_of(BOB.pubkey), "digest": DIGEST}
        assert [one.type for one in alice.bridge.artifacts(10)] == [
            "artifact.reported",
            "artifact.receipted",
        ]


async def test_receipts_for_what_was_not_reported_are_passed_over():
    async with two() as (alice, _, _):
        artifact = bridge.Artifact(kind="page", digest=DIGEST, recorded="cd" * 32)
        report = bridge.mint_artifact(ALICE, artifact, now=5)
        await alice.bridge.hear(bridge.mint_receipt(BOB, report, artifact, now=6))
        await alice.bridge.hear(bridge.mint_receipt(EVE, report, artifact, now=6))
        assert alice.log.size == 1


async def test_names_out_of_bounds_are_refused_before_anything_is_recorded():
    async with two() as (alice, _, pool):
        for kind, digest in (("Git Commit", DIGEST), ("page", "x")):
            with pytest.raises(Refused, match="an artifact's") as caught:
                await alice.bridge.report(kind, digest)
            assert "timmy artifacts" in caught.value.hint
        assert (alice.log.size, len(pool._events)) == (1, 0)


async def test_without_peers_or_interval_nothing_is_done():
    pool = MemoryPool()
    await Side(ALICE, pool, []).bridge.run()
    assert pool._events == {}
