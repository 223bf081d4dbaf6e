"""Which coins pay, and how much: the decisions around a draft that need a node's answers."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from attest.bitcoind import RPC_METHOD_NOT_FOUND, Bitcoind, View
from attest.core import limits
from attest.core.commitment import Kind
from attest.core.errors import FeeTooHigh, NotFunded, RpcError
from attest.core.proof import SealOpening
from attest.core.seal import (
    Coin,
    Draft,
    Fee,
    anchor_draft,
    enrolment_draft,
    opening_draft,
    recovery_draft,
)
from attest.core.transaction import OutPoint, TxOut
from attest.status import Budget

Build: TypeAlias = Callable[[Sequence[Coin], Fee], Draft]
"""Makes a draft that spends these coins and pays this fee; NotFunded when they are too few."""


async def current_feerate(node: Bitcoind) -> int:
    """The feerate to pay now in sat/kvB. Raises FeeTooHigh when the node's is absurd."""
    estimate = await node.feerate(limits.FEE_TARGET_BLOCKS)
    feerate = limits.FEERATE_FALLBACK_SAT_PER_KVB if estimate is None else estimate
    feerate = max(feerate, await node.feerate_min())
    if feerate > limits.FEERATE_SAT_PER_KVB_MAX:
        raise FeeTooHigh(
            f"the node asks for {feerate} sat/kvB, "
            f"at most {limits.FEERATE_SAT_PER_KVB_MAX} are believed"
        )
    return feerate


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Makes drafts that the funding address pays for, and returns the change to it."""

    funding_script: bytes
    seal_script: bytes

    async def opening(
        self,
        view: View,
        *,
        opening: SealOpening,
        digest: bytes,
        coins: Sequence[Coin],
        fee: Fee | None = None,
    ) -> Draft:
        """T_0 on `coins`, with more of the funding address's after them if they do not suffice.

        Without `fee` the node's feerate is paid. Raises NotFunded or FeeTooHigh.
        """

        def build(coins: Sequence[Coin], fee: Fee) -> Draft:
            return opening_draft(
                coins=coins,
                digest=digest,
                seal=TxOut(value_sat=opening.seal_sat, script=self.seal_script),
                recovery=opening.recovery,
                change_script=self.funding_script,
                fee=fee,
            )

        return await self.afford(view, build, coins, fee)

    async def anchor(
        self,
        view: View,
        *,
        seal: Coin,
        digest: bytes,
        coins: Sequence[Coin],
        kind: Kind = Kind.ANCHOR,
        fee: Fee | None = None,
    ) -> Draft:
        """A link whose fee `coins` pay, with more after them if they do not suffice.

        Without `fee` the node's feerate is paid. Raises NotFunded or FeeTooHigh.
        """

        def build(coins: Sequence[Coin], fee: Fee) -> Draft:
            return anchor_draft(
                seal=seal,
                fee_coins=coins,
                digest=digest,
                change_script=self.funding_script,
                fee=fee,
                kind=kind,
            )

        return await self.afford(view, build, coins, fee)

    async def enrolment(self, view: View, *, seal_script: bytes) -> Draft:
        """A payment to a new seal key at the node's feerate. Raises NotFunded or FeeTooHigh."""

        def build(coins: Sequence[Coin], fee: Fee) -> Draft:
            return enrolment_draft(
                coins=coins, seal_script=seal_script, change_script=self.funding_script, fee=fee
            )

        return await self.afford(view, build, (), None)

    async def recovery(
        self,
        view: View,
        *,
        recovery: Coin,
        seal_sat: int,
        digest: bytes,
        coins: Sequence[Coin],
        fee: Fee,
    ) -> Draft:
        """A recovery to this purse's seal, `coins` first. Raises NotFunded or FeeTooHigh."""

        def build(coins: Sequence[Coin], fee: Fee) -> Draft:
            return recovery_draft(
                recovery=recovery,
                seal=TxOut(value_sat=seal_sat, script=self.seal_script),
                fee_coins=coins,
                digest=digest,
                change_script=self.funding_script,
                fee=fee,
            )

        return await self.afford(view, build, coins, fee)

    async def coins(self, view: View, *, without: Collection[OutPoint] = ()) -> list[Coin]:
        """Confirmed coins of the funding address, largest first.

        Raises NotFunded if the node cannot list them.
        """
        try:
            coins = await view.node.coins(self.funding_script, height=view.tip.height)
        except RpcError as error:
            if error.code != RPC_METHOD_NOT_FOUND:
                raise
            raise NotFunded(
                "the node has no scantxoutset, so coins cannot be found",
                hint="use Bitcoin Core 25 or later",
            ) from error
        coins = [coin for coin in coins if coin.outpoint not in without]
        return sorted(coins, key=lambda coin: (-coin.output.value_sat, coin.outpoint))

    async def budget(self, view: View) -> Budget:
        """What is at the funding address, what anchors cost. Raises NotFunded or FeeTooHigh."""
        feerate = await current_feerate(view.node)
        each_sat = -(-limits.ANCHOR_VBYTES * feerate // 1000)
        return Budget(
            balance_sat=sum(coin.output.value_sat for coin in await self.coins(view)),
            sat_per_kvb=feerate,
            anchor_sat=each_sat,
            year_sat=365 * each_sat,
        )

    async def afford(
        self,
        view: View,
        build: Build,
        fixed: Sequence[Coin],
        fee: Fee | None,
        *,
        room: int = limits.FEE_INPUTS_MAX,
    ) -> Draft:
        """The draft on `fixed`, or with as many coins after them as it needs, largest first.

        At most `room` in all. Raises NotFunded or FeeTooHigh.
        """
        paid = fee or Fee(sat_per_kvb=await current_feerate(view.node))
        try:
            return build(fixed, paid)
        except NotFunded:
            more = await self.coins(view, without={coin.outpoint for coin in fixed})
        chosen = list(fixed)
        for coin in more[: room - len(chosen)]:
            if await view.node.unspent(coin.outpoint) is None:
                continue  # confirmed, but a transaction in the mempool spends it
            chosen.append(coin)
            try:
                return build(chosen, paid)
            except NotFunded:
                continue
        return build(chosen, paid)
