"""Consensus-critical: what an aggregator's transactions show of a ledger that they have a slot for.

Two statements, which must not be confused:

`verify_aggregated`  a digest stands in one ledger's slot under the root that one transaction of
                     kind 4 commits to. The head behind it existed no later than that block. It does
                     not show that no other history exists: anybody may aggregate anything.
`verify_own`, then   a ledger whose own seal is open gave its uniqueness to one aggregator: a link
`verify_delegated`   of kind 5 on its own seal commits to a head over the event that names the
                     aggregator's seal at that time, and from that outpoint on the aggregator's
                     links, each the spend of the one before, none left out, are this ledger's
                     anchors. Each of kind 4 has this ledger's slot or the proof that it has none.
                     A spend of its own seal, kind 1, ends it (or, where that key is lost or in
                     other hands, a recovery, kind 3).

Two histories would need two slots in one tree (attest.core.aggregate says why there is one), two
spends of the aggregator's seal, or a spend of the ledger's own seal that is not shown.

Not covered: that the last own link, while a ledger is delegated, is not spent already, and that the
aggregator made no link after the last one here (`DelegatedResult.unshown`; a node knows both), who
owns the aggregator's key (its ledger id is a name), an aggregator's handoff or recovery (which ends
what it can show: return and delegate anew), and the heads behind the digests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from attest.core import limits
from attest.core.aggregate import HASH_BYTES, SlotProof
from attest.core.anchor import (
    ChainResult,
    LinkResult,
    Step,
    _chain,
    _check_spend,
    _count_confirmations,
    _included,
    _Link,
    _result,
    _walked,
)
from attest.core.commitment import Kind
from attest.core.errors import (
    InvalidProof,
    InvalidRecord,
    MissingLink,
    MissingSlot,
    WrongKind,
    WrongNetwork,
    WrongSeal,
    WrongSlot,
    WrongWitness,
)
from attest.core.header import Network, network_by_name
from attest.core.proof import (
    AnchorProof,
    SealOpening,
    outpoint_from_value,
    outpoint_to_value,
    take,
)
from attest.core.seal import SEAL_INDEX
from attest.core.taproot import p2tr_script, seal_output_key
from attest.core.transaction import OutPoint, TxOut

_KINDS: Final = (Kind.ANCHOR, Kind.AGGREGATE, Kind.DELEGATION)
"""What moves a ledger's own seal on under the same key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Which seal a ledger's anchors are to be found on: the payload of `seal.delegated`.

    `aggregator` is that ledger's id, `outpoint` its seal, unspent when this was written, worth
    `seal_sat` and paying to `seal_key` under the SOUL whose SHA-256 is `soul_digest`.
    """

    aggregator: bytes
    seal_key: bytes
    soul_digest: bytes
    network: str
    outpoint: OutPoint
    seal_sat: int

    def __post_init__(self) -> None:
        network_by_name(self.network)
        for name in ("aggregator", "seal_key", "soul_digest"):
            value = getattr(self, name)
            if len(value) != HASH_BYTES:
                raise InvalidRecord(f"{name} of {len(value)} bytes, expected {HASH_BYTES}")
        if self.outpoint.index != SEAL_INDEX:
            raise InvalidRecord(f"a seal is vout[{SEAL_INDEX}], not vout[{self.outpoint.index}]")
        if not limits.DUST_SAT <= self.seal_sat <= limits.MONEY_SAT_MAX:
            raise InvalidRecord(f"seal of {self.seal_sat} sat, at least {limits.DUST_SAT} needed")
        _ = self.seal  # a key that is no point of the curve is refused now

    @property
    def seal(self) -> TxOut:
        """The output that every link of the aggregator must make again. Raises InvalidKey."""
        script = p2tr_script(seal_output_key(self.seal_key, self.soul_digest))
        return TxOut(value_sat=self.seal_sat, script=script)

    def to_value(self) -> dict[str, Any]:
        """A map of the ledger's CBOR profile."""
        return {
            "aggregator": self.aggregator,
            "seal_key": self.seal_key,
            "soul_sha256": self.soul_digest,
            "network": self.network,
            "outpoint": outpoint_to_value(self.outpoint),
            "seal_sat": self.seal_sat,
        }

    @classmethod
    def from_value(cls, value: Any) -> "Delegation":
        """Read the map back. Raises a subclass of InvalidProof."""
        fields = take(
            value,
            aggregator=bytes,
            seal_key=bytes,
            soul_sha256=bytes,
            network=str,
            outpoint=list,
            seal_sat=int,
        )
        return cls(
            aggregator=fields["aggregator"],
            seal_key=fields["seal_key"],
            soul_digest=fields["soul_sha256"],
            network=fields["network"],
            outpoint=outpoint_from_value(fields["outpoint"]),
            seal_sat=fields["seal_sat"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlottedLink:
    """A link of an aggregator and what stands in one ledger's place; no slot in one of kind 1."""

    link: AnchorProof
    slot: SlotProof | None

    def to_value(self) -> dict[str, Any]:
        """A map of link and slot."""
        slot = None if self.slot is None else self.slot.to_value()
        return {"link": self.link.to_value(), "slot": slot}

    @classmethod
    def from_value(cls, value: Any) -> "SlottedLink":
        """Read the map back. Raises a subclass of InvalidProof."""
        fields = take(value, link=dict, slot=(dict, type(None)))
        slot = None if fields["slot"] is None else SlotProof.from_value(fields["slot"])
        return cls(link=AnchorProof.from_value(fields["link"]), slot=slot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The aggregator's link that made the named seal (`origin`), and those after it, in order."""

    origin: AnchorProof
    links: tuple[SlottedLink, ...]

    def __post_init__(self) -> None:
        if len(self.links) > limits.SEGMENT_LINKS_MAX:
            raise InvalidRecord(
                f"{len(self.links)} links, at most {limits.SEGMENT_LINKS_MAX} of one delegation"
            )

    def to_value(self) -> dict[str, Any]:
        """A map of origin and links."""
        links = [link.to_value() for link in self.links]
        return {"origin": self.origin.to_value(), "links": links}

    @classmethod
    def from_value(cls, value: Any) -> "Segment":
        """Read the map back. Raises a subclass of InvalidProof."""
        fields = take(value, origin=dict, links=list)
        return cls(
            origin=AnchorProof.from_value(fields["origin"]),
            links=tuple(SlottedLink.from_value(link) for link in fields["links"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """One delegation with its evidence: `digests[i]` is what link i of the segment must hold for
    this ledger, the SHA-256 of a note, or None where it must show that there is no slot.
    """

    delegation: Delegation
    segment: Segment
    digests: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A verified delegation: the own link that began it, the aggregator's links, how it ended.

    `digests` as above; `seal` is the aggregator's, unspent as far as the links show. `returned` is
    the own link that ended it, None while it lasts.
    """

    delegation: Delegation
    begun: LinkResult
    links: tuple[LinkResult, ...]
    digests: tuple[bytes | None, ...]
    seal: OutPoint
    returned: LinkResult | None

    @property
    def closed(self) -> bool:
        """Whether the links here reach beyond the block in which it ended: none is missing."""
        if self.returned is None:
            return False
        return bool(self.links) and self.links[-1].height > self.returned.height


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegatedResult:
    """A verified chain of a ledger's own seal, and the delegations it made."""

    chain: ChainResult
    periods: tuple[Period, ...]

    @property
    def delegated(self) -> Period | None:
        """The delegation that lasts, as far as the links show."""
        last = self.periods[-1] if self.periods else None
        return last if last is not None and last.returned is None else None

    @property
    def links(self) -> tuple[LinkResult, ...]:
        """Every link, those of aggregators among them."""
        return (*self.chain.links, *(link for period in self.periods for link in period.links))

    @property
    def newest(self) -> tuple[OutPoint, ...]:
        """The seals that the next link spends one of: that of the chain, or its aggregator's."""
        period = self.delegated
        return (self.chain.seal,) if period is None else (self.chain.seal, period.seal)

    @property
    def unshown(self) -> dict[OutPoint, str]:
        """What the links cannot exclude, in words, by the output to ask a node about.

        It is excluded if that output is unspent.
        """
        words = {}
        for period in self.periods:
            name = period.delegation.aggregator.hex()[:16]
            if period.returned is None:
                words[self.chain.seal] = (
                    "that this ledger's own seal was not spent since it was delegated "
                    f"(ask a node whether {self.chain.seal} is unspent)"
                )
            if not period.closed:
                until = "" if period.returned is None else " before the delegation ended"
                words[period.seal] = (
                    f"that aggregator {name} made no further link{until} "
                    f"(ask a node about {period.seal})"
                )
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatedResult:
    """A verified slot: the link that commits to its root, and the blocks named, by height."""

    link: LinkResult
    blocks: Mapping[int, bytes]


def verify_aggregated(
    *, link: AnchorProof, slot: SlotProof, ledger: bytes, digest: bytes, network: Network
) -> AggregatedResult:
    """Verify that `digest` is in the slot of `ledger` under the root `link` commits to: time only.

    Raises a subclass of InvalidProof. Whose transaction it is does not matter, and is not checked.
    """
    found = _included(link, network)
    _check_unspent(link)
    _check_kind(found, Kind.AGGREGATE)
    _check_slot(found, slot, ledger, digest)
    counts, blocks = _count_confirmations([found], network)
    return AggregatedResult(link=_result(found, counts[found.height]), blocks=blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnChain:
    """A ledger's own seal chain, verified but for what the delegations in it show."""

    network: Network
    links: list[_Link]
    confirmations: dict[int, int]
    blocks: dict[int, bytes]


def verify_own(
    *,
    opening: SealOpening,
    links: Sequence[AnchorProof],
    steps: Sequence[Step],
    soul_digest: bytes,
    network: Network,
) -> OwnChain:
    """Verify a chain as `verify_chain` does, with links of kind 4 and 5 in it.

    For a link of kind 4 the digest is its root; what is in that tree is the caller's to show.
    Raises a subclass of InvalidProof.
    """
    own = _walked(opening, links, steps, soul_digest, network, _KINDS)
    counts, blocks = _count_confirmations(own, network)
    return OwnChain(network=network, links=own, confirmations=counts, blocks=blocks)


def verify_delegated(
    *, own: OwnChain, ledger: bytes, delegations: Mapping[int, Delegated]
) -> DelegatedResult:
    """Verify the delegations that a ledger made in its own chain.

    `delegations` has the number of each own link of kind 5. Raises MissingSlot for a delegation
    without evidence, or a link of an aggregator without a slot, MissingLink for evidence without a
    delegation, and other subclasses of InvalidProof.
    """
    begun = {number for number, link in enumerate(own.links) if link.kind is Kind.DELEGATION}
    if begun - delegations.keys():
        raise MissingSlot(f"the aggregator's links after own link {min(begun)} are not here")
    if begun != delegations.keys():
        raise MissingLink(f"{len(begun)} delegations in the chain, {len(delegations)} shown")
    checked: dict[int, list[_Link]] = {}
    for number, shown in sorted(delegations.items()):
        if shown.delegation.aggregator == ledger:
            raise InvalidRecord("a ledger cannot delegate to itself")
        checked[number] = _segment(shown, ledger, own.network)
    counts, blocks = _together(own, checked)
    chain = _chain(own.links, own.network, counts, blocks)
    periods = tuple(
        _period(chain, number, delegations[number], found, counts)
        for number, found in checked.items()
    )
    return DelegatedResult(chain=chain, periods=periods)


def _segment(shown: Delegated, ledger: bytes, network: Network) -> list[_Link]:
    """The aggregator's links from the one that made the named seal on, each spending the last."""
    delegation, segment = shown.delegation, shown.segment
    if network_by_name(delegation.network) is not network:
        raise WrongNetwork(f"delegated on {delegation.network}, expected {network.name}")
    if len(segment.links) != len(shown.digests):
        raise MissingLink(f"{len(segment.links)} links for {len(shown.digests)} digests")
    first = _included(segment.origin, network)
    _check_unspent(segment.origin)
    made = OutPoint(txid=first.txid, index=SEAL_INDEX)
    if made != delegation.outpoint:
        raise WrongSeal(f"the first link makes {made}, the delegation names {delegation.outpoint}")
    _check_next_seal(first, delegation.seal)
    checked = [first]
    for number, (entry, digest) in enumerate(zip(segment.links, shown.digests, strict=True)):
        try:
            checked.append(_continued(entry, digest, checked[-1], delegation.seal, ledger, network))
        except InvalidProof as error:
            error.link = number
            raise
    return checked


def _continued(
    entry: SlottedLink,
    digest: bytes | None,
    before: _Link,
    seal: TxOut,
    ledger: bytes,
    network: Network,
) -> _Link:
    link = _included(entry.link, network)
    _check_kind(link, Kind.AGGREGATE, Kind.ANCHOR)
    _check_next_seal(link, seal)
    _check_spend(link, entry.link.spent, before)
    if link.kind is Kind.ANCHOR:
        if entry.slot is not None or digest is not None:
            raise WrongSlot("a slot beside an anchor of the aggregator's own, which has none")
    elif entry.slot is None:
        raise MissingSlot(
            f"the aggregator's link in block {link.height} is without this ledger's slot "
            "and without the proof of its absence"
        )
    else:
        _check_slot(link, entry.slot, ledger, digest)
    return link


def _check_unspent(link: AnchorProof) -> None:
    """Whose spend is not verified shows no outputs spent: nothing here would hold them."""
    if link.spent:
        raise WrongWitness(f"{len(link.spent)} spent outputs, expected none: they are not asked")


def _check_kind(link: _Link, *kinds: Kind) -> None:
    if link.kind not in kinds:
        expected = " or ".join(kind.name.lower() for kind in kinds)
        raise WrongKind(f"the transaction is of kind {link.kind.name.lower()}, expected {expected}")


def _check_next_seal(link: _Link, seal: TxOut) -> None:
    if link.transaction.outputs[SEAL_INDEX : SEAL_INDEX + 1] != (seal,):
        raise WrongSeal(
            f"vout[{SEAL_INDEX}] does not pay {seal.value_sat} sat to {seal.script.hex()}"
        )


def _check_slot(link: _Link, slot: SlotProof, ledger: bytes, digest: bytes | None) -> None:
    root, committed = slot.root(ledger), link.commitment.digest
    if root != committed:
        raise WrongSlot(
            f"the slot leads to root {root.hex()}, the link commits to {committed.hex()}"
        )
    found = slot.digest_of(ledger)
    if found != digest:
        held, wanted = (value.hex() if value else "nothing" for value in (found, digest))
        raise WrongSlot(f"the slot holds {held}, expected {wanted}")


def _together(
    own: OwnChain, checked: Mapping[int, list[_Link]]
) -> tuple[dict[int, int], dict[int, bytes]]:
    """Confirmations and blocks of all headers at once. Raises OutOfOrder, ConflictingHeaders."""
    if not checked:
        return own.confirmations, own.blocks
    for found in checked.values():  # a link stands no lower than the one it spends
        _count_confirmations(found, own.network)
    everything = [*own.links, *(link for found in checked.values() for link in found)]
    everything.sort(key=lambda link: link.height)
    return _count_confirmations(everything, own.network)


def _period(
    chain: ChainResult,
    number: int,
    shown: Delegated,
    found: Sequence[_Link],
    counts: Mapping[int, int],
) -> Period:
    after = chain.links[number + 1 : number + 2]
    return Period(
        delegation=shown.delegation,
        begun=chain.links[number],
        links=tuple(_result(link, counts[link.height]) for link in found[1:]),
        digests=shown.digests,
        seal=OutPoint(txid=found[-1].txid, index=SEAL_INDEX),
        returned=after[0] if after else None,
    )
