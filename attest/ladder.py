"""A recovery, signed once at several feerates: the kit's key is in memory for that moment only.

    rung 0, 1, 2   the feerate of now, three times and ten times it, each a replacement of the one
                   before. The cheapest is sent; `climb` lets the next one out. The transactions are
                   stored, the key is not.

Not covered: fees that rise above the highest rung, coins that are gone, an opening that was mined
anew in another transaction. Then the kit is needed once more.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from attest.bitcoind import View
from attest.core import limits
from attest.core.errors import FeeTooHigh, NotFunded, Refused, SealLost
from attest.core.seal import RECOVERY_INDEX, Coin, Fee
from attest.core.signer import RecoverySigner
from attest.core.transaction import OutPoint
from attest.funding import Purse, current_feerate
from attest.keyring import Keyring
from attest.opinion import check_opinion
from attest.records import LinkRecord, OpeningRecord, Variant

AGAIN: Final = "timmy anchor recover --kit FILE, on the stopped node"


async def recovery_seal(
    view: View, named: OpeningRecord | None, first: LinkRecord, signer: RecoverySigner
) -> Coin:
    """The recovery seal of the opening. Raises Refused if it is not there or of another kit."""
    if named is None or named.opening.recovery is None or first.mined is None:
        raise Refused("the opening has no recovery seal in a block")
    outpoint = OutPoint(txid=first.mined.txid, index=RECOVERY_INDEX)
    if named.opening.recovery.script != signer.script:
        raise Refused("the recovery seal is not of this kit", hint="give the agent's own kit")
    if await view.node.unspent(outpoint, confirmed=True) is None:
        raise SealLost(f"the recovery seal {outpoint} was spent: it serves once")
    return Coin(outpoint=outpoint, output=named.opening.recovery)


async def make_ladder(
    view: View,
    purse: Purse,
    keyring: Keyring,
    recovery: RecoverySigner,
    spends: Coin,
    digest: bytes,
    older: Sequence[Variant],
) -> list[Variant]:
    """Sign the rungs that the purse can pay and the cap allows, one at least.

    `older` are variants that were sent before: the first rung replaces them. Raises NotFunded or
    FeeTooHigh.
    """
    feerate = await current_feerate(view.node)
    before = older[-1] if older else None
    made: list[Variant] = []
    for rung in limits.RECOVERY_RUNGS:
        least_sat = 0 if before is None else _least_sat(before)
        coins = () if before is None else before.coins[1:]
        try:
            draft = await purse.recovery(
                view,
                recovery=spends,
                seal_sat=spends.output.value_sat,
                digest=digest,
                coins=coins if made else await _standing(view, coins),
                fee=Fee(sat_per_kvb=rung * feerate, sat_min=least_sat),
            )
        except (NotFunded, FeeTooHigh):
            if not made:
                raise
            break
        transaction = keyring.sign_recovery(draft, recovery)
        check_opinion(transaction)
        before = Variant(
            transaction=transaction, digest=digest, coins=draft.coins, txid=transaction.txid
        )
        made.append(before)
    return made


def climb(link: LinkRecord, ladder: LinkRecord | None, first: LinkRecord) -> LinkRecord:
    """The link with the next rung let out. Raises Refused if there is none that could be mined."""
    expected = OutPoint(txid=first.current.txid, index=RECOVERY_INDEX)
    if link.variants[-1].coins[0].outpoint != expected:
        raise Refused("the opening was mined anew: the recovery must be signed again", hint=AGAIN)
    rest = () if ladder is None else ladder.variants[len(link.variants) :]
    if not rest:
        raise Refused("every recovery that was signed has been sent", hint=AGAIN)
    return replace(link, variants=(*link.variants, rest[0]))


def _least_sat(before: Variant) -> int:
    """What a replacement must pay at least, a transaction with one more input than it had."""
    vsize = before.transaction.vsize + limits.INPUT_VBYTES
    return before.fee_sat + -(-vsize * limits.BUMP_SAT_PER_KVB // 1000)


async def _standing(view: View, coins: Sequence[Coin]) -> list[Coin]:
    """Those that are on the chain, whatever spends them in the mempool: it is to be replaced."""
    found = [await view.node.unspent(coin.outpoint, confirmed=True) for coin in coins]
    return [coin for coin, output in zip(coins, found, strict=True) if output is not None]
