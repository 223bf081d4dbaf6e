"""A chain to play on and an agent's keys, for the tests that need a real node."""

import asyncio
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embit import bech32

from attest.anchorer import Anchorer
from attest.bitcoind import Bitcoind
from attest.core.anchor import ChainResult, Step, verify_chain
from attest.core.errors import NodeError
from attest.core.header import REGTEST
from attest.core.proof import AnchorProof, SealOpening
from attest.core.signer import FundingSigner, SealSigner
from attest.core.taproot import internal_key, p2tr_script, seal_output_key
from attest.core.transaction import Transaction, TxIn, TxOut, display
from attest.state import MemoryState, StateStore
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
SOUL = hashlib.sha256(b"SOUL.md of the tests\n").digest()
BITCOIND = os.environ.get("BITCOIND") or shutil.which("bitcoind")
BACKENDS = ["kernel", *(["bitcoind"] if BITCOIND else [])]
"""Where there is Bitcoin Core itself, on PATH or named in BITCOIND, every test runs on it too."""

_OP_TRUE = b"\x51"
FAUCET_SCRIPT = b"\x00\x20" + hashlib.sha256(_OP_TRUE).digest()
FAUCET_ADDRESS = bech32.encode("bcrt", 0, hashlib.sha256(_OP_TRUE).digest())
_secrets = itertools.count(1)


@dataclass(frozen=True)
class Backend:
    url: str
    cookie: Path


def secret() -> bytes:
    """A key nobody used before in this run, the same in every run."""
    return hashlib.sha256(b"test secret %d" % next(_secrets)).digest()


def digest(label: object) -> bytes:
    return hashlib.sha256(f"preimage {label}".encode()).digest()


@contextmanager
def kernel_node(folder: Path, *arguments: str) -> Iterator[Backend]:
    command = [sys.executable, "-m", "tests.regtest", "--port", "0", "--datadir", str(folder)]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        ready, port, cookie = process.stdout.readline().split()
        assert ready == "ready"
        try:
            yield Backend(f"http://127.0.0.1:{port}", Path(cookie))
        finally:
            process.terminate()
            process.wait(120)


@contextmanager
def bitcoind_node(folder: Path) -> Iterator[Backend]:
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-regtest", f"-datadir={folder}", f"-rpcport={port}", "-listen=0", "-connect=0"]
    options += ["-server", "-printtoconsole=0", "-dnsseed=0", "-disablewallet"]
    backend = Backend(f"http://127.0.0.1:{port}", folder / "regtest" / ".cookie")
    assert BITCOIND is not None
    with subprocess.Popen([BITCOIND, *options]) as process:
        try:
            asyncio.run(_until_ready(backend))
            yield backend
        finally:
            process.terminate()
            process.wait(120)


async def _until_ready(backend: Backend) -> None:
    deadline = time.monotonic() + 120
    async with Bitcoind(url=backend.url, credentials=backend.cookie, network=REGTEST) as node:
        while True:
            try:
                await node.tip()
            except NodeError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


class World:
    """One agent on a shared chain: its keys, its node, and the powers of a miner."""

    def __init__(self, node: Bitcoind) -> None:
        self.node = node
        self.paid: list[Transaction] = []
        self.seal = SealSigner(secret=secret(), soul_digest=SOUL)
        self.funding = FundingSigner(secret=secret())
        self.recovery_script = p2tr_script(seal_output_key(internal_key(secret()), SOUL))

    def anchorer(self, state: StateStore | None = None, **changes: Any) -> Anchorer:
        arguments: dict[str, Any] = {
            "network": REGTEST,
            "node": self.node,
            "state": MemoryState() if state is None else state,
            "seal": self.seal,
            "funding": self.funding,
        }
        return Anchorer(**(arguments | changes))

    async def opened(self, state: StateStore | None = None) -> tuple[Anchorer, SealOpening]:
        """An anchorer whose opening is in a block."""
        await self.fund(100_000)
        anchorer = self.anchorer(state)
        opening = await anchorer.propose_opening()
        await anchorer.open(digest("opening"))
        await anchorer.advance()
        await self.mine()
        await anchorer.advance()
        return anchorer, opening

    async def anchored(self, anchorer: Anchorer, value: bytes) -> None:
        await anchorer.anchor(value)
        await anchorer.advance()
        await self.mine()
        await anchorer.advance()

    async def mine(self, blocks: int = 1) -> list[str]:
        mined: list[str] = await self.node.call("generatetoaddress", blocks, FAUCET_ADDRESS)
        return mined

    async def mine_only(self, *transactions: Transaction) -> str:
        """A block with just these, whatever the mempool thinks."""
        raw = [transaction.raw.hex() for transaction in transactions]
        block = await self.node.call("generateblock", FAUCET_ADDRESS, raw)
        return str(block["hash"])

    async def fund(self, *amounts_sat: int) -> Transaction:
        """Confirmed coins for the funding address, out of a mined one anybody may spend."""
        tip = await self.node.tip()
        coins = await self.node.coins(FAUCET_SCRIPT, height=tip.height)
        coin = max(coins, key=lambda coin: coin.output.value_sat)
        change_sat = coin.output.value_sat - sum(amounts_sat) - 10_000
        outputs = [TxOut(value_sat=a, script=self.funding.script) for a in amounts_sat]
        outputs.append(TxOut(value_sat=change_sat, script=FAUCET_SCRIPT))
        spend = TxIn(outpoint=coin.outpoint, sequence=0xFFFFFFFD, witness=(_OP_TRUE,))
        transaction = Transaction(version=2, inputs=(spend,), outputs=tuple(outputs))
        await self.node.send(transaction.raw)
        self.paid.append(transaction)
        await self.mine()
        return transaction

    async def pay_again(self) -> None:
        """What the payer does after a deep reorganisation: Core forgets what is 10 blocks down."""
        for transaction in self.paid:
            await self.node.send(transaction.raw)

    async def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by `depth` + 1 empty ones."""
        tip = await self.node.tip()
        first = await self.node.block_hash(tip.height - depth + 1)
        assert first is not None
        await self.node.call("invalidateblock", display(first))
        while (await self.node.tip()).height <= tip.height:  # Core steps back; the shell does not
            await self.mine_only()

    async def prove(self, anchorer: Anchorer, links: int) -> list[AnchorProof]:
        return [await anchorer.prove(index) for index in range(links)]

    def verify(
        self, opening: SealOpening, proofs: list[AnchorProof], digests: list[bytes]
    ) -> ChainResult:
        return verify_chain(
            opening=opening,
            links=proofs,
            steps=[Step(digest=one, seal_key=self.seal.public) for one in digests],
            soul_digest=SOUL,
            network=REGTEST,
        )


@asynccontextmanager
async def a_world(backend: Backend) -> AsyncIterator[World]:
    async with Bitcoind(url=backend.url, credentials=backend.cookie, network=REGTEST) as node:
        world = World(node)
        if (await node.tip()).height < 110:
            await world.mine(110)
        yield world
