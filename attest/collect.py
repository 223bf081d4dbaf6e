"""Collects the proof of a mined link from a node whose every answer is checked."""

from attest.bitcoind import View
from attest.core import limits
from attest.core.commitment import Kind
from attest.core.errors import InvalidAnswer
from attest.core.header import parse_header
from attest.core.merkle import build_path
from attest.core.proof import AnchorProof
from attest.records import LinkRecord, Mined


async def collect(view: View, link: LinkRecord, mined: Mined) -> AnchorProof:
    """Return the link's proof with up to 99 headers after its block.

    The caller has just seen `mined` on the best chain. Raises InvalidAnswer if what the node says
    of the block, its transactions and the headers does not fit together, or NodeError.
    """
    node = view.node
    txids = await node.block_txids(mined.block_hash)
    if mined.txid not in txids:
        raise InvalidAnswer("the node's block lost a transaction it had")
    path, root = build_path(txids, txids.index(mined.txid))
    end = min(view.tip.height, mined.height + limits.FINAL_BLOCKS - 1)
    hashes = await node.block_hashes(range(mined.height, end + 1))
    raw_headers = await node.headers(hashes)
    headers = [parse_header(raw) for raw in raw_headers]
    if [header.hash for header in headers] != hashes or hashes[0] != mined.block_hash:
        raise InvalidAnswer("the node's headers are not those of its blocks")
    if headers[0].merkle_root != root:
        raise InvalidAnswer("the node's transactions are not those of its block")
    spent = () if link.kind is Kind.OPENING else link.current.coins[1:]
    return AnchorProof(
        transaction=link.current.transaction.raw,
        spent=tuple(coin.output for coin in spent),
        path=path,
        height=mined.height,
        headers=tuple(raw_headers),
    )
