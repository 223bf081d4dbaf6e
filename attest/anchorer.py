"""Opens a node's seal and keeps anchoring digests with it, through crashes and reorganisations.

Requests are durable and do nothing else: `open` and `anchor` store a digest. `advance`, called at
every block or every few minutes, does the work in a fixed order:

1. what was mined and no longer stands where it stood goes back to pending;
2. blocks since then are searched for every variant of every pending link;
3. the first pending link is signed again if its parent was mined in another variant than the one
   it spends, or if a coin that was to pay its fee is gone;
4. if nothing is pending and a digest is wanted, its transaction is signed and stored;
5. pending transactions, parents first, are offered to the node until a block has them.

Rules that make it safe:
- a transaction is on disk before the node sees it, so a crash at any point is repaired by 2 and 5;
- a digest already in a recorded link is never signed into a new one, so none is anchored twice;
- at most one spend of the seal is unconfirmed, and nothing is built on an unconfirmed output;
- every variant of a link spends the same seal, so at most one is ever mined;
- depth is computed from the hashes of blocks at their heights each time, never stored.

Without a node everything waits and nothing is lost. Not covered: watching the mempool for a
stranger's spend of our seal before it confirms (`SealLost` tells when ours is refused).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from attest.bitcoind import Bitcoind, Tip, View
from attest.book import Book
from attest.collect import collect
from attest.core import limits
from attest.core.commitment import Kind
from attest.core.errors import (
    AnchorPending,
    MainnetRefused,
    NoBackend,
    NothingPending,
    Refused,
    RpcError,
    SealAlreadyOpen,
    SealLost,
    SealNotOpen,
)
from attest.core.header import MAINNET, Network
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import Coin, Draft, Fee, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.transaction import HASH_BYTES, OutPoint, TxOut
from attest.funding import Purse, current_feerate
from attest.records import LinkRecord, Mined, OpeningRecord, Variant
from attest.state import StateStore
from attest.status import SealStatus, link_status


class Anchorer:
    """The only user of one seal's state. Its methods may be called concurrently.

    All that talk to the node raise NodeError; all raise StateError.
    """

    def __init__(
        self,
        *,
        network: Network,
        node: Bitcoind | None,
        state: StateStore,
        seal: SealSigner,
        funding: FundingSigner,
        mainnet_allowed: bool = False,
    ) -> None:
        """Raises MainnetRefused for mainnet unless `mainnet_allowed`."""
        if network is MAINNET and not mainnet_allowed:
            raise MainnetRefused(
                "anchoring on mainnet spends real money",
                hint="say so in node.toml if you mean it",
            )
        assert node is None or node.network is network
        self._network = network
        self._node = node
        self._book = Book(state)
        self._seal = seal
        self._funding = funding
        self._purse = Purse(funding_script=funding.script, seal_script=seal.script)
        self._lock = asyncio.Lock()
        self._scanned: Tip | None = None

    # ---- requests ------------------------------------------------------------------------------

    async def propose_opening(
        self, *, seal_sat: int = limits.SEAL_SAT, recovery_script: bytes | None = None
    ) -> SealOpening:
        """Choose the coin that T_0 will spend; the caller records the result in the ledger.

        Asked again it gives the same answer while that coin is unspent. `recovery_script` is the
        P2TR script of the recovery seal, which gets the same amount. Raises SealAlreadyOpen,
        NotFunded, FeeTooHigh or NoBackend.
        """
        async with self._lock:
            if await self._book.links():
                raise SealAlreadyOpen("the seal is open")
            view = await self._view()
            known = await self._book.opening()
            if known and await view.node.unspent(known.coins[0].outpoint) is not None:
                return known.opening
            if known and known.digest is not None:
                raise SealAlreadyOpen("the opening is requested already")
            recovery = None
            if recovery_script is not None:
                recovery = TxOut(value_sat=seal_sat, script=recovery_script)
            # What T_0 will cost does not depend on which coin it names or what it commits to.
            blank = SealOpening(
                network=self._network.name,
                outpoint=OutPoint(txid=bytes(HASH_BYTES), index=0),
                seal_sat=seal_sat,
                recovery=recovery,
            )
            draft = await self._purse.opening(
                view, opening=blank, digest=bytes(HASH_BYTES), coins=()
            )
            opening = replace(blank, outpoint=draft.coins[0].outpoint)
            await self._book.save_opening(OpeningRecord(opening=opening, coins=draft.coins))
            return opening

    async def open(self, digest: bytes) -> None:
        """Want the seal opened with this digest: SHA-256 of a preimage that covers the opening.

        Raises SealNotOpen before `propose_opening`, SealAlreadyOpen for another digest.
        """
        _check_digest(digest)
        async with self._lock:
            opening = await self._book.opening()
            if opening is None:
                raise SealNotOpen("no opening was proposed")
            if opening.digest == digest:
                return
            if await self._book.links():
                raise SealAlreadyOpen("the seal is open with another digest")
            await self._book.save_opening(replace(opening, digest=digest))

    async def anchor(self, digest: bytes) -> None:
        """Want this digest anchored next; it replaces one that still waits.

        A digest that some link already carries is anchored: nothing happens. Raises SealNotOpen.
        """
        _check_digest(digest)
        async with self._lock:
            opening = await self._book.opening()
            if opening is None or opening.digest is None:
                raise SealNotOpen("the seal is not open", hint="open it first")
            await self._book.want(digest)

    async def bump(self, *, digest: bytes | None = None, sat_per_kvb: int = 0) -> None:
        """Replace the pending transaction by one that pays more, with a fresher digest if given.

        The feerate is the largest of `sat_per_kvb`, the node's, and the least that a replacement
        must pay. Raises NothingPending, NotFunded, FeeTooHigh, Refused or NoBackend.
        """
        if digest is not None:
            _check_digest(digest)
        async with self._lock:
            view = await self._view()
            await self._reconcile(view)
            links = await self._book.links()
            if not links or links[-1].mined is not None:
                raise NothingPending("there is no pending transaction to replace")
            old = links[-1].variants[-1]
            vsize = old.transaction.vsize
            least = old.fee_sat * 1000 // vsize + limits.BUMP_SAT_PER_KVB
            fee = Fee(
                sat_per_kvb=max(sat_per_kvb, await current_feerate(view.node), least),
                sat_min=old.fee_sat + -(-vsize * limits.BUMP_SAT_PER_KVB // 1000),
            )
            if digest is not None:
                await self._book.want(digest)  # an older variant may still win
            coins = old.coins if len(links) == 1 else old.coins[1:]
            await self._sign_again(view, len(links) - 1, digest or old.digest, fee, coins)
            await self._broadcast(view.node)

    # ---- work ----------------------------------------------------------------------------------

    async def advance(self) -> SealStatus:
        """Do what can be done now and say where everything stands."""
        async with self._lock:
            if self._node is None:
                return await self._status(None, "no Bitcoin node is configured")
            view = await self._view()
            await self._reconcile(view)
            try:
                await self._rebase(view)
                waiting = await self._start_wanted(view)
            except Refused as error:
                return await self._status(view.tip, str(error))
            await self._broadcast(view.node)
            return await self._status(view.tip, waiting)

    async def prove(self, index: int) -> AnchorProof:
        """Collect the proof of one link, with the headers that follow it (100 in all at most).

        Raises AnchorPending while no block has it, SealNotOpen for a link that does not exist.
        """
        async with self._lock:
            view = await self._view()
            await self._reconcile(view)
            links = await self._book.links()
            if not 0 <= index < len(links):
                raise SealNotOpen(f"there is no link {index}, {len(links)} exist")
            mined = links[index].mined
            if mined is None:
                raise AnchorPending(f"link {index} is not in a block yet")
            return await collect(view, links[index], mined)

    # ---- the steps of advance ------------------------------------------------------------------

    async def _reconcile(self, view: View) -> None:
        """Steps 1 and 2. Below one link at final depth nothing is looked at again."""
        links = await self._book.links()
        young: list[tuple[int, Mined]] = []
        for index in reversed(range(len(links))):
            mined = links[index].mined
            if mined is not None:
                young.append((index, mined))
                if view.tip.height - mined.height + 1 >= limits.FINAL_BLOCKS:
                    break
        heights = [mined.height for _, mined in young if mined.height <= view.tip.height]
        standing = set(await view.node.block_hashes(heights))
        for index, mined in young:
            if mined.block_hash not in standing:
                await self._book.save(index, replace(links[index], mined=None))
        await self._scan(view)

    async def _scan(self, view: View) -> None:
        links = await self._book.links()
        pending = {
            variant.txid: index
            for index, link in enumerate(links)
            if link.mined is None
            for variant in link.variants
        }
        if pending:
            start = await self._scan_start(view.node, min(pending.values()))
            for height in range(start, view.tip.height + 1):
                block_hash = await view.node.block_hash(height)
                if block_hash is None:
                    return  # the chain became shorter meanwhile: next round
                for txid in await view.node.block_txids(block_hash):
                    if txid in pending:
                        index = pending[txid]
                        mined = Mined(txid=txid, height=height, block_hash=block_hash)
                        await self._book.save(index, replace(links[index], mined=mined))
        self._scanned = view.tip

    async def _scan_start(self, node: Bitcoind, oldest: int) -> int:
        """The first height at which a link from `oldest` on may be mined and was not seen."""
        scanned = self._scanned
        if scanned and await node.block_hash(scanned.height) == scanned.block_hash:
            return scanned.height + 1
        links = await self._book.links()
        link = links[oldest]
        if await node.block_hash(link.since_height) == link.since_hash:
            return link.since_height + 1
        # A reorganisation below the signing: a child is never mined before its parent.
        parent = links[oldest - 1].mined if oldest else None
        lowest = max(0, link.since_height - limits.FINAL_BLOCKS)
        return lowest if parent is None else parent.height

    async def _rebase(self, view: View) -> None:
        """Step 3. Raises Refused."""
        links = await self._book.links()
        index = next((i for i, link in enumerate(links) if link.mined is None), None)
        if index is None:
            return
        link = links[index]
        coins = link.variants[-1].coins
        seal = links[index - 1].seal if index else coins[0]
        if seal.outpoint == coins[0].outpoint and (
            await _waits(view.node, link) or len(coins[1:]) == len(await _alive(view, coins[1:]))
        ):
            return
        fresh = await self._change(view, links[index - 1]) if index else coins[:1]
        fee = Fee(sat_per_kvb=await current_feerate(view.node))
        await self._sign_again(view, index, link.variants[-1].digest, fee, fresh)

    async def _start_wanted(self, view: View) -> str | None:
        """Step 4. Return why something wanted must wait, or None. Raises Refused."""
        links = await self._book.links()
        if any(link.mined is None for link in links):
            return None if await self._book.wanted() is None else "a link is not in a block yet"
        if not links:
            record = await self._book.opening()
            if record is None or record.digest is None:
                return "the seal is not open"
            draft = await self._purse.opening(
                view, opening=record.opening, digest=record.digest, coins=record.coins
            )
            await self._store(view.tip, 0, Kind.OPENING, draft, record.digest)
            return None
        digest = await self._book.wanted()
        if digest is not None:
            change = await self._change(view, links[-1])
            draft = await self._purse.anchor(view, seal=links[-1].seal, digest=digest, coins=change)
            await self._store(view.tip, len(links), Kind.ANCHOR, draft, digest)
        return None

    async def _change(self, view: View, link: LinkRecord) -> list[Coin]:
        """What is left of a mined link's change: enough for the next fee, as a rule."""
        return await _alive(view, _change_of(link.current, self._funding.script))

    async def _sign_again(
        self, view: View, index: int, digest: bytes, fee: Fee, coins: Sequence[Coin]
    ) -> None:
        """Sign another variant of a link: an opening on `coins`, an anchor with them for its fee.

        More coins are added if these do not suffice.
        """
        links = await self._book.links()
        link = links[index]
        if len(link.variants) >= limits.VARIANTS_MAX:
            raise Refused(f"link {index} was replaced {limits.VARIANTS_MAX} times already")
        if index:
            draft = await self._purse.anchor(
                view, seal=links[index - 1].seal, digest=digest, coins=coins, fee=fee
            )
        else:
            record = await self._book.opening()
            assert record is not None
            draft = await self._purse.opening(
                view, opening=record.opening, digest=digest, coins=coins, fee=fee
            )
        await self._store(view.tip, index, link.kind, draft, digest)

    async def _broadcast(self, node: Bitcoind) -> None:
        """Step 5, parents first. Raises SealLost, or RpcError when the node takes no variant."""
        parent: bytes | None = None
        for link in await self._book.links():
            if link.mined is not None:
                parent = link.mined.txid
                continue
            fitting = [
                variant
                for variant in link.variants
                if parent is None or variant.coins[0].outpoint.txid == parent
            ]
            if not fitting:
                return  # signed again once its parent is in a block
            parent = await _offer(node, fitting)

    # ---- records -------------------------------------------------------------------------------

    async def _store(self, tip: Tip, index: int, kind: Kind, draft: Draft, digest: bytes) -> None:
        """Sign a draft and write it down, before anybody else sees it."""
        transaction = sign(draft, seal=self._seal, funding=self._funding)
        variant = Variant(
            transaction=transaction, digest=digest, coins=draft.coins, txid=transaction.txid
        )
        links = await self._book.links()
        older = links[index].variants if index < len(links) else ()
        record = LinkRecord(
            kind=kind,
            variants=(*older, variant),
            since_height=tip.height,
            since_hash=tip.block_hash,
        )
        await self._book.save(index, record)

    async def _status(self, tip: Tip | None, waiting: str | None) -> SealStatus:
        links = await self._book.links()
        wanted = await self._book.wanted()
        if not links:
            opening = await self._book.opening()
            wanted = opening.digest if opening else None
        return SealStatus(
            links=tuple(link_status(link, tip) for link in links), wanted=wanted, waiting=waiting
        )

    async def _view(self) -> View:
        if self._node is None:
            raise NoBackend("no Bitcoin node is configured")
        return await self._node.view()


async def _offer(node: Bitcoind, variants: Sequence[Variant]) -> bytes:
    """See that one of them, the newest if possible, is in the mempool; return its txid."""
    refusal: RpcError | None = None
    for variant in reversed(variants):
        if await node.in_mempool(variant.txid):
            return variant.txid
        try:
            await node.send(variant.transaction.raw)
        except RpcError as error:
            refusal = refusal or error
        else:
            return variant.txid
    assert refusal is not None
    spends = variants[-1].coins[0].outpoint
    if await node.unspent(spends) is None:
        raise SealLost(
            f"{spends} was spent by a transaction that is not ours",
            hint="if nobody else holds its key, treat the key as stolen",
        ) from refusal
    raise refusal


async def _waits(node: Bitcoind, link: LinkRecord) -> bool:
    """Tell whether some variant of the link is in the mempool."""
    for variant in reversed(link.variants):
        if await node.in_mempool(variant.txid):
            return True
    return False


async def _alive(view: View, coins: Sequence[Coin]) -> list[Coin]:
    """Those of the coins that nothing in a block or the mempool has spent."""
    return [coin for coin in coins if await view.node.unspent(coin.outpoint) is not None]


def _change_of(variant: Variant, script: bytes) -> list[Coin]:
    return [
        Coin(outpoint=OutPoint(txid=variant.txid, index=index), output=output)
        for index, output in enumerate(variant.transaction.outputs)
        if output.script == script
    ]


def _check_digest(digest: bytes) -> None:
    if len(digest) != HASH_BYTES:
        raise Refused(f"digest of {len(digest)} bytes, expected {HASH_BYTES}")
