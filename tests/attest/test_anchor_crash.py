"""The anchorer dies at every step of its work, before and after each effect, and is started again."""

from dataclasses import replace

import pytest
from bitcoin.core import CBlock

from attest.core.commitment import commitment_of
from attest.core.errors import SealAlreadyOpen
from attest.core.transaction import parse_transaction
from attest.state import FileState, MemoryState
from tests.attest.world import World, digest


async def mined_digests(world: World, first_height: int) -> list[bytes]:
    """Every commitment that blocks from `first_height` on hold, straight from the raw blocks."""
    found = []
    tip = await world.node.tip()
    for height in range(first_height, tip.height + 1):
        block_hash = await world.node.block_hash(height)
        for txid in (await world.node.block_txids(block_hash))[1:]:
            raw = await transaction_of(world, block_hash, txid)
            if b"TMY" in raw:
                found.append(commitment_of(parse_transaction(raw)).digest)
    return found


async def transaction_of(world: World, block_hash: bytes, txid: bytes) -> bytes:
    raw = bytes.fromhex(await world.node.call("getblock", block_hash[::-1].hex(), 0))
    block = CBlock.deserialize(raw)
    return next(t.serialize() for t in block.vtx if t.GetTxid() == txid)


class Crash(BaseException):
    """Nothing in the code under test catches this: the process is gone."""


class Countdown:
    """Dies at one step: before it, or after it took effect and before anybody is told."""

    def __init__(self, step: int, *, after: bool) -> None:
        self.step, self.after, self.seen, self.names = step, after, 0, []

    def around(self, name, action):
        async def run(*arguments, **named):
            self.seen += 1
            dies = self.seen == self.step
            if dies and not self.after:
                raise Crash(name)
            result = await action(*arguments, **named)
            if dies:
                raise Crash(name)
            return result

        return run


class Mortal:
    """Passes everything to the real thing, through a countdown."""

    def __init__(self, real, countdown: Countdown) -> None:
        self._real, self._countdown = real, countdown

    def __getattr__(self, name):
        value = getattr(self._real, name)
        if name == "view":
            return self._view
        if name == "get":
            return value  # reading our own files changes nothing
        return self._countdown.around(name, value) if callable(value) else value

    async def _view(self):
        view = await self._countdown.around("view", self._real.view)()
        return replace(view, node=self)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_neither_loses_nor_doubles_an_anchor(world, after):
    state = MemoryState()
    anchorer, opening = await world.opened(state)
    start = (await world.node.tip()).height
    digests, step, finished = [], 0, False
    while not finished:
        step += 1
        digests.append(digest(("crash", after, step)))
        countdown = Countdown(step, after=after)
        mortal = world.anchorer(Mortal(state, countdown), node=Mortal(world.node, countdown))
        await anchorer.anchor(digests[-1])
        try:
            await mortal.advance()
            await world.mine()
            await mortal.advance()
            finished = True
        except Crash:
            pass
        anchorer = world.anchorer(state)
        await anchorer.advance()
        await world.mine()
        await anchorer.advance()
    assert step > 12, "the countdown ran through a whole round"
    assert await mined_digests(world, start + 1) == digests
    proofs = await world.prove(anchorer, len(digests) + 1)
    world.verify(opening, proofs, [digest("opening"), *digests])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_opens_one_seal(world, after):
    step, finished = 0, False
    while not finished:
        step += 1
        world = World(world.node)
        await world.fund(50_000)
        state, countdown = MemoryState(), Countdown(step, after=after)
        mortal = world.anchorer(Mortal(state, countdown), node=Mortal(world.node, countdown))
        proposals = []
        try:
            proposals.append(await mortal.propose_opening())
            await mortal.open(digest(step))
            await mortal.advance()
            finished = True
        except Crash:
            pass
        anchorer = world.anchorer(state)
        try:
            opening = await anchorer.propose_opening()
        except SealAlreadyOpen:
            opening = proposals[0]
        assert proposals in ([], [opening])
        await anchorer.open(digest(step))
        await anchorer.advance()
        await world.mine()
        status = await anchorer.advance()
        assert [link.confirmations for link in status.links] == [1]
        world.verify(opening, await world.prove(anchorer, 1), [digest(step)])
    assert step > 8


async def test_a_crash_between_persist_and_broadcast(world, tmp_path):
    with FileState(tmp_path) as state:
        anchorer, _ = await world.opened(state)
        await anchorer.anchor(digest(1))

        class Unplugged(Mortal):
            async def send(self, raw):
                raise Crash

        unplugged = Unplugged(world.node, Countdown(0, after=False))
        with pytest.raises(Crash):
            await world.anchorer(state, node=unplugged).advance()
        assert await world.node.call("getrawmempool") == []
    with FileState(tmp_path) as state:
        status = await world.anchorer(state).advance()
        assert [link.digest for link in status.links] == [digest("opening"), digest(1)]
        assert await world.node.in_mempool(status.links[1].txid)
        assert status.links[1].variants == 1
