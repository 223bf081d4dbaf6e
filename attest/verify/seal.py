"""The seal's chain in Bitcoin, as an anchored proof carries it, against the ledger's heads."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from attest.core.aggregate import SlotProof
from attest.core.anchor import ChainResult, LinkResult, Standing, Step, kind_of
from attest.core.commitment import Kind
from attest.core.delegation import DelegatedResult, verify_delegated, verify_own
from attest.core.errors import MissingSlot
from attest.core.header import network_by_name
from attest.core.proof import AnchorProof, SealOpening
from attest.core.taproot import p2tr_script
from attest.verify.aggregate import delegations_of, say_delegations, slots_of
from attest.verify.common import (
    SEAL_ATTACHMENT,
    Failed,
    Parts,
    Place,
    by_place,
    check_pins,
    covers,
    moment,
)
from attest.verify.report import (
    BROKEN,
    HEAVIEST,
    INCOMPLETE,
    TEST,
    UNBROKEN_FINAL,
    UNBROKEN_PENDING,
    Report,
)
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.genesis import Genesis
from ledger.core.lineage import Cause, Lineage
from ledger.core.types import SEAL_OPENED

LEFT_BEHIND: Final = "what else was anchored on the seal before it was recovered"
"""A recovery spends an output of the opening: it leads past links that are not in the file."""


def verify_seal(
    report: Report,
    parts: Parts,
    lineage: Lineage,
    heads: list[SignedCheckpoint],
    kept: Mapping[int, int],
    pins: Mapping[int, bytes],
) -> None:
    """Check the attachment of an anchored proof and say how deep its event is. Raises Failed.

    `kept` is how many events each epoch kept of the one before, `pins` the hashes of blocks that
    the verifier knows to be on the heaviest chain, by height.
    """
    report.question = "freshness"
    opening, links, anchored = _open_seal(parts, lineage, heads)
    value = parts.attachments[SEAL_ATTACHMENT]
    slots = slots_of(value, len(links))
    own = verify_own(
        opening=opening,
        links=links,
        steps=[_step(lineage, *each) for each in zip(links, anchored, slots, strict=True)],
        soul_digest=lineage.genesis.soul.sha256,
        network=network_by_name(lineage.genesis.network),
    )
    _check_recovery(opening, lineage.genesis)
    delegations = delegations_of(value, parts, anchored, by_place(heads), kept)
    try:
        result = verify_delegated(own=own, ledger=lineage.ledger_id, delegations=delegations)
    except MissingSlot as error:
        raise Failed(INCOMPLETE, str(error)) from error
    report.seals, report.links, report.blocks = result, result.links, result.chain.blocks
    dated = _dated(result, anchored, heads)
    covering = [link for link, head in dated if covers(head, parts.subject, kept)]
    report.standing = standing = _standing(report, result.chain, covering)
    say_delegations(report, result)
    network = result.chain.network
    if network.is_test:
        report.verdict = TEST
        report.not_shown.append(f"anything about time: {network.name} blocks cost nothing")
    else:
        report.verdict = UNBROKEN_FINAL if standing is Standing.FINAL else UNBROKEN_PENDING
    if any(link.kind is Kind.RECOVERY for link in result.chain.links):
        report.not_shown.append(LEFT_BEHIND)
    if not check_pins(report, pins):
        report.not_shown.append(HEAVIEST)


def _dated(
    result: DelegatedResult, anchored: list[SignedCheckpoint], heads: list[SignedCheckpoint]
) -> list[tuple[LinkResult, SignedCheckpoint]]:
    """Each head that is in Bitcoin, with the own link or the aggregator's that shows it."""
    found = list(zip(result.chain.links, anchored, strict=True))
    by_digest = {head.anchor_digest(): head for head in heads}
    for period in result.periods:
        pairs = zip(period.links, period.digests, strict=True)
        found += [(link, by_digest[digest]) for link, digest in pairs if digest is not None]
    return found


def _step(
    lineage: Lineage, link: AnchorProof, head: SignedCheckpoint, slot: SlotProof | None
) -> Step:
    """What a link over `head` must do, by the keys in charge there. Raises Failed."""
    epoch, size = head.checkpoint.epoch, head.size
    tenure = lineage.tenure_at(epoch, size)
    kind = kind_of(link)
    if kind is Kind.HANDOFF:
        # The last head of the old key covers the record; the seal goes to the key after it.
        tenure = lineage.tenure_at(epoch, size + 1)
        if tenure.cause is not Cause.HANDOFF or tenure.start != size + 1:
            raise Failed(BROKEN, f"a handoff in Bitcoin, and none in the log at size {size}")
    if kind is Kind.RECOVERY and lineage.origin(tenure).cause is not Cause.RECOVERY:
        raise Failed(BROKEN, f"a recovery in Bitcoin, and none in the log for size {size}")
    if (kind is Kind.AGGREGATE) != (slot is not None):
        having = "without a slot" if slot is None else "with a slot"
        raise Failed(BROKEN, f"a link of kind {kind.name.lower()} {having}")
    return Step(digest=_committed(head, slot), seal_key=tenure.keys["seal"])


def _committed(head: SignedCheckpoint, slot: SlotProof | None) -> bytes:
    """What a link commits to: the head itself, or the root of a tree with the head in its slot."""
    if slot is None:
        return head.anchor_digest()
    ledger = head.checkpoint.ledger_id
    if slot.digest_of(ledger) != head.anchor_digest():
        raise Failed(BROKEN, f"the ledger's own slot is not of its head of size {head.size}")
    return slot.root(ledger)


def _check_recovery(opening: SealOpening, genesis: Genesis) -> None:
    """The one-shot recovery seal must belong to the key that genesis names."""
    expected = p2tr_script(genesis.recovery_output_key)
    if opening.recovery is not None and opening.recovery.script != expected:
        raise Failed(BROKEN, "the recovery seal does not pay the recovery key of genesis")


def _open_seal(
    parts: Parts, lineage: Lineage, heads: list[SignedCheckpoint]
) -> tuple[SealOpening, list[AnchorProof], list[SignedCheckpoint]]:
    value = parts.attachments[SEAL_ATTACHMENT]
    known = by_place(heads)
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), list) for name in ("links", "sizes")
    ):
        raise Failed(BROKEN, "the seal attachment is malformed")
    named = [e for e in parts.events.values() if e.type == SEAL_OPENED.name]
    if len(named) != 1:
        raise Failed(INCOMPLETE, f"{len(named)} events name the opening of the seal, expected 1")
    opening = SealOpening.from_value(named[0].payload.get("opening"))
    places = _places(value, lineage.epoch)
    if any(place not in known for place in places):
        raise Failed(INCOMPLETE, "the preimage of an anchor is not here")
    if named[0].position >= min((size for _, size in places), default=0):
        raise Failed(BROKEN, "the seal was opened before the ledger named its outpoint")
    links = [AnchorProof.from_value(link) for link in value["links"]]
    if len(links) != len(places):
        raise Failed(BROKEN, f"{len(links)} links for {len(places)} heads")
    return opening, links, [known[place] for place in places]


def _places(value: dict[str, Any], newest: int) -> list[Place]:
    """Epoch and size of each link's head. Raises Failed.

    `sizes` are of the newest epoch, or, one by one, of those in `epochs`.
    """
    sizes = value["sizes"]
    epochs = value.get("epochs", [newest] * len(sizes))
    if not isinstance(epochs, list) or len(epochs) != len(sizes):
        raise Failed(BROKEN, "the seal attachment names an epoch for some of its sizes only")
    if any(type(number) is not int for number in (*sizes, *epochs)):
        raise Failed(INCOMPLETE, "the preimage of an anchor is not here")
    return list(zip(epochs, sizes, strict=True))


def _standing(report: Report, chain: ChainResult, covering: list[LinkResult]) -> Standing:
    """Say how deep the first anchor over the event is; later heads cover it as well."""
    if not covering:
        report.say("freshness", "signed; no anchor here covers it")
        return Standing.PENDING
    link = min(covering, key=lambda link: link.height)
    report.say(
        "freshness",
        f"in {chain.network.name} block {link.height}, {link.confirmations} deep here: "
        f"existed no later than {moment(link)} UTC",
    )
    kinds = Counter(link.kind for link in chain.links)
    rare = [kind for kind in (Kind.HANDOFF, Kind.RECOVERY) if kinds[kind]]
    named = "".join(f", {kinds[kind]} {kind.name.lower()}" for kind in rare)
    report.say(
        "seal chain", f"{len(chain.links)} links on one seal{named}, unbroken since its opening"
    )
    return max(link.standing for link in covering)
