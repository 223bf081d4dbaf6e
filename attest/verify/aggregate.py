"""What an aggregator's transactions show of a proof: a time; delegated to, the one history too.

`verify_time` reads the attachment "aggregate" (one link with this ledger's slot), `delegations_of`
the part of the seal attachment that a delegation put into other hands. docs/spec/aggregate.md.
"""

from collections.abc import Mapping
from typing import Any

from attest.core.aggregate import SlotProof
from attest.core.delegation import (
    Delegated,
    DelegatedResult,
    Delegation,
    Segment,
    SlottedLink,
    verify_aggregated,
)
from attest.core.errors import InvalidRecord
from attest.core.header import network_by_name
from attest.core.proof import take
from attest.verify.common import (
    AGGREGATE_ATTACHMENT,
    Failed,
    Parts,
    Place,
    by_place,
    check_pins,
    covers,
    moment,
)
from attest.verify.report import BROKEN, HEAVIEST, INCOMPLETE, TEST, Report
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.lineage import Lineage
from ledger.core.types import SEAL_DELEGATED

TIME_ONLY = "that there is one history: a slot among other ledgers' shows a time only"


def verify_time(
    report: Report,
    parts: Parts,
    lineage: Lineage,
    heads: list[SignedCheckpoint],
    kept: Mapping[int, int],
    pins: Mapping[int, bytes],
) -> None:
    """Check the slot of an aggregated proof and say no more than its time. Raises Failed.

    The last two arguments are those of `verify_seal`.
    """
    report.question = "freshness"
    value = parts.attachments[AGGREGATE_ATTACHMENT]
    fields = take(value, epoch=int, size=int, link=dict, slot=dict)
    head = by_place(heads).get((fields["epoch"], fields["size"]))
    if head is None or not covers(head, parts.subject, kept):
        raise Failed(INCOMPLETE, "the head behind the slot is not here, or not over the event")
    shown = SlottedLink.from_value({"link": fields["link"], "slot": fields["slot"]})
    assert shown.slot is not None  # `take` asked for a map
    network = network_by_name(lineage.genesis.network)
    result = verify_aggregated(
        link=shown.link,
        slot=shown.slot,
        ledger=lineage.ledger_id,
        digest=head.anchor_digest(),
        network=network,
    )
    link = result.link
    report.links, report.blocks = (link,), result.blocks
    report.say(
        "freshness",
        f"aggregated in {network.name} block {link.height}, {link.confirmations} deep here: "
        f"existed no later than {moment(link)} UTC",
    )
    report.not_shown.append(TIME_ONLY)
    if network.is_test:
        report.verdict = TEST
        report.not_shown.append(f"anything about time: {network.name} blocks cost nothing")
    if not check_pins(report, pins):
        report.not_shown.append(HEAVIEST)


def slots_of(value: dict[str, Any], links: int) -> list[SlotProof | None]:
    """The own slots of the links of kind 4 in a seal attachment. Raises Failed or InvalidProof."""
    slots = value.get("slots", [None] * links)
    if not isinstance(slots, list) or len(slots) != links:
        raise Failed(BROKEN, "the seal attachment has not one slot a link")
    return [None if slot is None else SlotProof.from_value(slot) for slot in slots]


def delegations_of(
    value: dict[str, Any],
    parts: Parts,
    own: list[SignedCheckpoint],
    heads: Mapping[Place, SignedCheckpoint],
    kept: Mapping[int, int],
) -> dict[int, Delegated]:
    """The delegations of a seal attachment, by own link. Raises Failed or InvalidProof.

    `own` are the heads of the own links, `heads` all that are here.
    """
    entries = value.get("delegations", [])
    if not isinstance(entries, list):
        raise Failed(BROKEN, "the seal attachment is malformed")
    found: dict[int, Delegated] = {}
    for entry in entries:
        fields = take(entry, link=int, event=int, segment=dict, heads=list)
        link = fields["link"]
        if link in found or not 0 <= link < len(own):
            raise InvalidRecord(f"a delegation by link {link} of {len(own)}")
        segment = Segment.from_value(fields["segment"])
        found[link] = Delegated(
            delegation=_named(parts, fields["event"], own[link], kept),
            segment=segment,
            digests=tuple(_digest(place, heads) for place in fields["heads"]),
        )
    return found


def _named(
    parts: Parts, position: int, head: SignedCheckpoint, kept: Mapping[int, int]
) -> Delegation:
    """The delegation that the event at `position` names, which `head` covers."""
    event = parts.events.get(position)
    if event is None or event.type != SEAL_DELEGATED.name:
        raise Failed(INCOMPLETE, f"the event {position} that names the aggregator is not here")
    if not covers(head, position, kept):
        raise Failed(BROKEN, "the seal was delegated before the ledger named the aggregator")
    return Delegation.from_value(event.payload.get("delegation"))


def _digest(place: Any, heads: Mapping[Place, SignedCheckpoint]) -> bytes | None:
    """The anchor digest of the head at [epoch, size]; None for the absence of a slot."""
    if place is None:
        return None
    if not isinstance(place, list) or [type(number) for number in place] != [int, int]:
        raise Failed(BROKEN, "the head in a slot is named by something else than epoch and size")
    head = heads.get((place[0], place[1]))
    if head is None:
        raise Failed(INCOMPLETE, "the head behind a slot is not here")
    return head.anchor_digest()


def say_delegations(report: Report, result: DelegatedResult) -> None:
    """Say to whom the seal was delegated, and what the links cannot exclude."""
    for period in result.periods:
        name = period.delegation.aggregator.hex()[:16]
        slots = sum(digest is not None for digest in period.digests)
        until = "" if period.returned is None else f", returned in block {period.returned.height}"
        report.say(
            "delegated",
            f"to aggregator {name} in block {period.begun.height}{until}: "
            f"{len(period.links)} links, none missing between them, {slots} with a slot",
        )
    report.not_shown += result.unshown.values()
