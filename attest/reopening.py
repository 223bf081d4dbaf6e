"""An opening whose coin is gone: when another may be proposed in its place.

T_0 spends the very coin that the ledger named, so a name stands for one transaction. Without its
coin it can be mined never:

    unsigned   nobody has it, and nobody will: another coin may be named at once
    signed     a block that is abandoned may give the coin back, and whoever has T_0 may send it.
               Another coin may be named once this one is gone under FINAL_BLOCKS blocks

The block under which the coin was first seen gone is written down. While that block stands, the
coin's end is in it or below it, however seldom somebody looks. Not covered: which transaction
spent the coin, which a node tells only with an index of all transactions; and a coin whose payment
was abandoned for so long and is sent again later: then T_0 may be mined after all, and opens a seal
that this home never uses.
"""

from dataclasses import dataclass

from attest.bitcoind import View
from attest.book import Book, Lost
from attest.core import limits
from attest.core.errors import SealAlreadyOpen
from attest.core.proof import SealOpening
from attest.core.transaction import OutPoint

_HINT = "then: timmy anchor open; until then the coin may come back, if a block is abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A coin that is on the chain no more: for how many blocks at least."""

    outpoint: OutPoint
    blocks: int

    def check_final(self) -> None:
        """Raise SealAlreadyOpen while its opening may still be mined."""
        if self.blocks < limits.FINAL_BLOCKS:
            raise SealAlreadyOpen(
                f"the coin that the opening names, {self.outpoint}, is gone for {self.blocks} "
                f"blocks; another may be named after {limits.FINAL_BLOCKS}",
                hint=_HINT,
            )


async def look(view: View, book: Book) -> Gone | None:
    """See whether a signed opening lost its coin, and write down since which block.

    None if there is none, if it is in a block, or if the coin is there. Call it after the chain was
    searched for the opening.
    """
    record, links = await book.opening(), await book.links()
    if record is None or len(links) != 1 or links[0].mined is not None:
        return None
    coin, known = record.opening.outpoint, await book.lost()
    if await view.node.unspent(coin, confirmed=True) is not None:
        if known is not None:
            await book.save_lost(None)
        return None
    tip = await view.node.tip()  # after the answer: what is gone now is gone under this block
    if known is None or known.outpoint != coin or not await _stands(view, known):
        known = Lost(outpoint=coin, height=tip.height, block_hash=tip.block_hash)
        await book.save_lost(known)
    return Gone(outpoint=coin, blocks=tip.height - known.height + 1)


async def _stands(view: View, known: Lost) -> bool:
    return await view.node.block_hash(known.height) == known.block_hash


async def makes_way(view: View, book: Book, named: SealOpening) -> bool:
    """Tell whether another opening is to be proposed for the one that the ledger names.

    Raises SealAlreadyOpen while its coin is gone and it may be mined all the same.
    """
    record = await book.opening()
    if record is None:
        return False
    if record.opening != named:
        return True  # one was proposed already, and a crash kept it from being named
    if not await book.links():
        return await view.node.unspent(named.outpoint) is None
    gone = await look(view, book)
    if gone is None:
        return False
    gone.check_final()
    return True


async def check_lost(view: View, book: Book) -> None:
    """Raise SealAlreadyOpen unless the opening that is signed can never be mined."""
    gone = await look(view, book)
    if gone is None:
        raise SealAlreadyOpen("the seal is open")
    gone.check_final()
