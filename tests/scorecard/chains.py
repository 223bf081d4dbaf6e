"""Attacks on a real chain: Bitcoin Core's consensus code mines, and refuses, what is anchored."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from attest.core.errors import RpcError, SealLost
from attest.core.proof import AnchorProof
from ledger.core.event import Draft
from tests.attest.test_anchorer import rival
from tests.attest.world import World, a_world, kernel_node
from tests.scorecard.homes import BROKEN, row
from tests.scorecard.rows import BITCOIN, SEAL_KEY
from tests.spec import agent
from tests.spec.agent import Ledger, fact, proof, words

SIZES = [3, 5, 6]


@dataclass(frozen=True, slots=True)
class Mined:
    """A chain on which the node anchored sizes 3 and 5, and then a thief with its keys size 6."""

    mine: Ledger
    his: Ledger
    links: list[AnchorProof]
    second_spend: str
    """What became of a block that spends the seal again which size 5 had spent."""
    first_spend: str
    """The error of the node when the thief had spent its seal before it did."""


async def mined(folder: Path) -> Mined:
    with kernel_node(folder) as backend:
        async with a_world(backend) as world:
            return await lived(world)


async def lived(world: World) -> Mined:
    world.seal, world.funding = agent.SEAL, agent.FUNDING
    await world.fund(100_000)
    anchorer = world.anchorer()
    opening = await anchorer.propose_opening(recovery_script=agent.RECOVERY_OUT.script)
    mine, his = opened(opening, "before the seal"), opened(opening, "never said")
    await anchorer.open(mine.head().anchor_digest())
    await anchorer.advance()
    await world.mine()
    await anchorer.advance()
    second = await rival(world, world.seal, "another history")
    mine.add(words("first anchored words"))
    mine.add(fact(1))
    await world.anchored(anchorer, mine.head().anchor_digest())
    with pytest.raises(RpcError) as refused:
        await world.mine_only(second)
    for draft in (words("first anchored words"), fact(1), words("and more")):
        his.add(draft)
    await world.anchored(anchorer, his.head().anchor_digest())
    links = await world.prove(anchorer, 3)
    await world.mine_only(await rival(world, world.seal, "a theft"))
    await anchorer.anchor(agent.secret("the head that comes too late"))
    with pytest.raises(SealLost) as lost:
        await anchorer.advance()
    return Mined(
        mine, his, links, f"block refused (code {refused.value.code})", type(lost.value).__name__
    )


def opened(opening, text: str) -> Ledger:
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(words(text))
    payload = {"opening": opening.to_value()}
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload=payload))
    return ledger


# ---- rows: what the chain or the node said, or a file to verify ----------------------------------


def seal_of(links, sizes):
    return ("seal", {"links": [link.to_value() for link in links], "sizes": sizes})


def chain_true_history(mined: Mined):
    """Not an attack: what the others are compared with."""
    seal = seal_of(mined.links[:2], [3, 5])
    return proof(mined.mine, 3, [3, 5], also=[2], attachments=[seal])


def chain_second_history(mined: Mined):
    return mined.second_spend


def chain_spend_first(mined: Mined):
    return mined.first_spend


def chain_anchor_a_rewritten_past(mined: Mined):
    """Everything in it is signed by the real keys and mined; the heads tell."""
    mine, his = mined.mine, mined.his
    records = proof(his, 1, [3, 5, 6], also=[2], attachments=[seal_of(mined.links, [3, 5, 6])])
    records = [r for r in records if r[0] not in {"checkpoint", "inclusion"}]
    paths = [agent.inclusion(his, at, 6) for at in (0, 1, 2)]
    heads = [["checkpoint", head.encode()] for head in (mine.head(3), mine.head(5), his.head(6))]
    return [*records, *paths, *heads]


def chain_hide_the_true_heads(mined: Mined):
    """His own heads in the place of those that Bitcoin has: another digest."""
    seal = seal_of(mined.links, [3, 5, 6])
    return proof(mined.his, 1, [3, 5, 6], also=[2], attachments=[seal])


def chain_leave_anchors_out(mined: Mined):
    """Only his own anchor: it does not spend the opening that the ledger named."""
    return proof(mined.his, 1, [6], also=[2], attachments=[seal_of(mined.links[2:], [6])])


def chain_reuse_an_anchor(mined: Mined):
    seal = seal_of(mined.links[:2], [3, 6])
    return proof(mined.his, 5, [3, 6], also=[2], attachments=[seal])


def on_chain(make, attack, verdict, says, question=""):
    return row(make, attack, BITCOIN, verdict, says, question=question, means=SEAL_KEY,
               to="a mined chain")  # fmt: skip


ROWS = [
    on_chain(chain_second_history, "anchor a second history on a spent seal: a double spend", "block refused (code -25)", ""),
    on_chain(chain_spend_first, "spend the seal before the node does", "SealLost", ""),
    on_chain(chain_anchor_a_rewritten_past, "rewrite what is anchored, anchor it on the same seal", "REWRITTEN", "does not continue", "integrity"),
    on_chain(chain_hide_the_true_heads, "the same, with other preimages of the true anchors", BROKEN, "commits to", "freshness"),
    on_chain(chain_leave_anchors_out, "the same, with the true anchors left out", BROKEN, "is of kind anchor, expected opening", "freshness"),
    on_chain(chain_reuse_an_anchor, "reuse an anchor for a later head", BROKEN, "commits to", "freshness"),
]  # fmt: skip
"""Every attack on a real chain."""
