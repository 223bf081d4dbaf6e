"""Where a seal chain stands, as values to show."""

from dataclasses import dataclass

from attest.bitcoind import Tip
from attest.core import limits
from attest.core.anchor import Standing, standing_of
from attest.core.commitment import Kind
from attest.records import LinkRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """Where one link stands: `height` and `block_hash` are None while it is pending."""

    kind: Kind
    digest: bytes
    txid: bytes
    fee_sat: int
    variants: int
    height: int | None
    block_hash: bytes | None
    confirmations: int

    @property
    def standing(self) -> Standing:
        """Pending, seen, confirmed or final."""
        return standing_of(self.confirmations)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealStatus:
    """All links, and what is not done yet: `wanted` waits, `waiting` says why in words."""

    links: tuple[LinkStatus, ...]
    wanted: bytes | None
    waiting: str | None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Money in satoshis, None where nobody can tell: what is there, what an anchor and a year cost.

    `fee_sat_max` is the most that any one transaction ever pays.
    """

    balance_sat: int | None = None
    sat_per_kvb: int | None = None
    anchor_sat: int | None = None
    year_sat: int | None = None
    fee_sat_max: int = limits.FEE_SAT_MAX


def link_status(link: LinkRecord, tip: Tip | None) -> LinkStatus:
    """One link as seen from `tip`; without one, nothing can be said about depth."""
    variant, mined = link.current, link.mined
    depth = 0 if mined is None or tip is None else max(0, tip.height - mined.height + 1)
    return LinkStatus(
        kind=link.kind,
        digest=variant.digest,
        txid=variant.txid,
        fee_sat=variant.fee_sat,
        variants=len(link.variants),
        height=None if mined is None else mined.height,
        block_hash=None if mined is None else mined.block_hash,
        confirmations=depth,
    )
