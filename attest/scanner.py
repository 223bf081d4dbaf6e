"""Finds out which of our transactions stand in the chain: what was mined, what no longer is.

Depth is computed from the hashes of blocks at their heights each time, never stored. Each block is
searched once for every variant of every pending link, from the height at which the oldest was
signed, or lower if a reorganisation reached below that.
"""

from dataclasses import replace

from attest.bitcoind import Bitcoind, Tip, View
from attest.book import Book
from attest.chain import down_to_final
from attest.core import limits
from attest.records import Mined


class Scanner:
    """What an Anchorer knows of blocks. Called under the Anchorer's lock; raises NodeError."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._scanned: Tip | None = None

    async def reconcile(self, view: View) -> None:
        """Below one link that stands at final depth nothing is looked at again."""
        links = await self._book.links()
        rest = [(index, link.mined) for index, link in enumerate(links) if link.mined is not None]
        stands = False
        while rest and not stands:
            young = down_to_final(rest, view.tip)
            del rest[-len(young) :]
            heights = [mined.height for _, mined in young if mined.height <= view.tip.height]
            standing = set(await view.node.block_hashes(heights))
            for index, mined in young:
                stands = mined.block_hash in standing
                if not stands:
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
