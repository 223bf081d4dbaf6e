"""Our transactions and a node's mempool: what waits in it, what it takes, what others have spent.

Not covered: outbidding a stranger who spends our seal with a stolen key.
"""

from collections.abc import Sequence

from attest.bitcoind import Bitcoind, View
from attest.core.commitment import Kind
from attest.core.errors import NotFunded, RpcError, SealLost
from attest.core.limits import FINAL_BLOCKS
from attest.core.seal import Coin
from attest.core.transaction import OutPoint
from attest.records import LinkRecord, Variant


async def offer(node: Bitcoind, kind: Kind, variants: Sequence[Variant]) -> bytes:
    """See that one of them, the newest if possible, is in the mempool; return its txid.

    Raises SealLost, NotFunded for an opening whose coin is gone, or RpcError.
    """
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
    if await node.unspent(spends) is not None:
        raise refusal
    if kind is Kind.OPENING:  # a coin that others paid: it may be spent, or never have been
        raise NotFunded(
            f"the coin that the opening names, {spends}, is not on the chain any more",
            hint="if its payment was in a block that was abandoned, have it sent again; if it was "
            f"spent elsewhere, name another after {FINAL_BLOCKS} blocks: timmy anchor open",
        ) from refusal
    raise _lost(spends) from refusal


async def waits(node: Bitcoind, link: LinkRecord) -> bool:
    """Tell whether some variant of the link is in the mempool."""
    for variant in reversed(link.variants):
        if await node.in_mempool(variant.txid):
            return True
    return False


async def too_cheap(node: Bitcoind, variant: Variant) -> bool:
    """Tell whether the mempool takes nothing any more at what this variant pays."""
    return variant.fee_sat * 1000 < await node.feerate_min() * variant.transaction.vsize


async def check_seal(node: Bitcoind, link: LinkRecord) -> None:
    """See that nobody has spent the seal of the newest link, which is mined. Raises SealLost."""
    mined, spends = link.mined, link.seal.outpoint
    if mined is None or await node.unspent(spends) is not None:
        return
    if await node.block_hash(mined.height) == mined.block_hash:  # else: it was put back just now
        raise _lost(spends)


def _lost(spends: OutPoint) -> SealLost:
    return SealLost(
        f"{spends} was spent by a transaction that is not ours",
        hint="if this home is no old copy, treat the key as stolen: stop the node, then "
        "timmy recover --kit FILE --new-keys --yes",
    )


async def alive(view: View, coins: Sequence[Coin]) -> list[Coin]:
    """Those of the coins that nothing in a block or the mempool has spent."""
    return [coin for coin in coins if await view.node.unspent(coin.outpoint) is not None]
