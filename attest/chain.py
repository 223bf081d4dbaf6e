"""A recorded seal chain looked at: what each link must spend, and which one comes next."""

from collections.abc import Collection, Sequence

from attest.bitcoind import Tip
from attest.core import limits
from attest.core.commitment import Kind
from attest.core.errors import Refused, SealNotOpen
from attest.core.seal import RECOVERY_INDEX, Coin
from attest.core.transaction import HASH_BYTES, OutPoint
from attest.records import LinkRecord, Mined, Variant


def down_to_final(mined: Sequence[tuple[int, Mined]], tip: Tip) -> list[tuple[int, Mined]]:
    """Links from the newest down to the first at final depth, that one included."""
    found = []
    for entry in reversed(mined):
        found.append(entry)
        if tip.height - entry[1].height + 1 >= limits.FINAL_BLOCKS:
            break
    return found


def change_of(variant: Variant, scripts: Collection[bytes]) -> list[Coin]:
    """Outputs of a transaction that pay one of these scripts, as coins."""
    return [
        Coin(outpoint=OutPoint(txid=variant.txid, index=index), output=output)
        for index, output in enumerate(variant.transaction.outputs)
        if output.script in scripts
    ]


def fee_index(links: Sequence[LinkRecord], index: int) -> int:
    """From which input on the coins of a link pay its fee; of an opening all of them do."""
    return {Kind.OPENING: 0, Kind.HANDOFF: 2}.get(links[index].kind, 1)


def spends(links: Sequence[LinkRecord], index: int) -> OutPoint:
    """What vin[0] of a link must spend."""
    link = links[index]
    if link.kind is Kind.OPENING:
        return link.variants[-1].coins[0].outpoint
    if link.kind is Kind.RECOVERY:
        return OutPoint(txid=links[0].current.txid, index=RECOVERY_INDEX)
    return links[index - 1].seal.outpoint


def recovers(links: Sequence[LinkRecord], index: int) -> bool:
    """Tell whether that link is there and a recovery."""
    return index < len(links) and links[index].kind is Kind.RECOVERY


def check_fresher(links: Sequence[LinkRecord]) -> None:
    """Raise Refused unless a fresher digest may replace that of the newest link."""
    if links[-1].kind is not Kind.ANCHOR:
        kind = links[-1].kind.name.lower()
        raise Refused(f"no fresher digest replaces that of a link of kind {kind}")


def seal_to_hand_over(links: Sequence[LinkRecord]) -> Coin:
    """The seal of the newest link. Raises Refused while it is delegated."""
    if links[-1].kind is Kind.DELEGATION:
        raise Refused("the seal is delegated: its key returns it before it is handed over")
    return links[-1].seal


def place_of_recovery(links: Sequence[LinkRecord]) -> int:
    """Which link a recovery becomes: the next, or that which is pending and gives way to it.

    Raises SealNotOpen or Refused.
    """
    if not links:
        raise SealNotOpen("the seal was never opened: there is nothing of it to recover")
    if any(link.kind is Kind.RECOVERY and link.mined is not None for link in links):
        raise Refused("the seal was recovered before: its recovery seal serves once")
    pending = [index for index, link in enumerate(links) if link.mined is None]
    if not pending:
        return len(links)
    if pending != [len(links) - 1] or not pending[0]:
        raise Refused(
            f"{len(pending)} links are not in a block", hint="wait until one at most is pending"
        )
    return pending[0]


def check_digest(digest: bytes) -> None:
    """Raise Refused unless it is 32 bytes."""
    if len(digest) != HASH_BYTES:
        raise Refused(f"digest of {len(digest)} bytes, expected {HASH_BYTES}")
