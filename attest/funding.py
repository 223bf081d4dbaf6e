"""Which coins pay, and how much: the decisions around a draft that need a node's answers."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from attest.bitcoind import RPC_METHOD_NOT_FOUND, Bitcoind, View
from attest.core import limits
from attest.core.errors import FeeTooHigh, NotFunded, RpcError
from attest.core.proof import SealOpening
from attest.core.seal import Coin, Draft, Fee, anchor_draft, opening_draft
from attest.core.transaction import OutPoint, TxOut

Build: TypeAlias = Callable[[Sequence[Coin]], Draft]
"""Makes a draft that spends these coins; raises NotFunded when they are too few."""


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
        chosen = fee or Fee(sat_per_kvb=await current_feerate(view.node))

        def build(coins: Sequence[Coin]) -> Draft:
            return opening_draft(
                coins=coins,
                digest=digest,
                seal=TxOut(value_sat=opening.seal_sat, script=self.seal_script),
                recovery=opening.recovery,
                change_script=self.funding_script,
                fee=chosen,
            )

        return await self._afford(view, build, coins)

    async def anchor(
        self,
        view: View,
        *,
        seal: Coin,
        digest: bytes,
        coins: Sequence[Coin],
        fee: Fee | None = None,
    ) -> Draft:
        """An anchor whose fee `coins` pay, with more after them if they do not suffice.

        Without `fee` the node's feerate is paid. Raises NotFunded or FeeTooHigh.
        """
        chosen = fee or Fee(sat_per_kvb=await current_feerate(view.node))

        def build(coins: Sequence[Coin]) -> Draft:
            return anchor_draft(
                seal=seal,
                fee_coins=coins,
                digest=digest,
                change_script=self.funding_script,
                fee=chosen,
            )

        return await self._afford(view, build, coins)

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

    async def _afford(self, view: View, build: Build, fixed: Sequence[Coin]) -> Draft:
        try:
            return build(fixed)
        except NotFunded:
            more = await self.coins(view, without={coin.outpoint for coin in fixed})
        chosen = list(fixed)
        for coin in more[: limits.FEE_INPUTS_MAX - len(chosen)]:
            if await view.node.unspent(coin.outpoint) is None:
                continue  # confirmed, but a transaction in the mempool spends it
            chosen.append(coin)
            try:
                return build(chosen)
            except NotFunded:
                continue
        return build(chosen)
