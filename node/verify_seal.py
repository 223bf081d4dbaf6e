"""The seal's chain in Bitcoin, as an anchored proof carries it, against the ledger's heads."""

from datetime import UTC, datetime

from attest.core.anchor import ChainResult, Standing, verify_chain
from attest.core.header import network_by_name
from attest.core.proof import AnchorProof, SealOpening
from attest.core.taproot import p2tr_script
from genesis.core.birth import Genesis
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.types import SEAL_OPENED
from node.report import (
    BROKEN,
    INCOMPLETE,
    TEST,
    UNBROKEN_FINAL,
    UNBROKEN_PENDING,
    Report,
)
from node.verify_common import SEAL_ATTACHMENT, Failed, Parts


def verify_seal(
    report: Report,
    parts: Parts,
    genesis: Genesis,
    heads: list[SignedCheckpoint],
    covering: int,
) -> None:
    """Check the attachment of an anchored proof and say how deep its event is. Raises Failed."""
    report.question = "freshness"
    opening, links, anchored = _open_seal(parts, heads)
    chain = verify_chain(
        opening=opening,
        links=links,
        digests=[head.anchor_digest() for head in anchored],
        seal_key=genesis.keys["seal"],
        soul_digest=genesis.soul.sha256,
        network=network_by_name(genesis.network),
    )
    _check_recovery(opening, genesis)
    standing = _standing(report, chain, anchored, covering)
    report.standing = standing
    if chain.network.is_test:
        report.verdict = TEST
        report.not_shown.append(f"anything about time: {chain.network.name} blocks cost nothing")
    else:
        report.verdict = UNBROKEN_FINAL if standing is Standing.FINAL else UNBROKEN_PENDING
    report.not_shown.append("that these blocks are on the heaviest chain")


def _check_recovery(opening: SealOpening, genesis: Genesis) -> None:
    """The one-shot recovery seal must belong to the key that genesis names."""
    expected = p2tr_script(genesis.recovery_output_key)
    if opening.recovery is not None and opening.recovery.script != expected:
        raise Failed(BROKEN, "the recovery seal does not pay the recovery key of genesis")


def _open_seal(
    parts: Parts, heads: list[SignedCheckpoint]
) -> tuple[SealOpening, list[AnchorProof], list[SignedCheckpoint]]:
    value = parts.attachments[SEAL_ATTACHMENT]
    by_size = {head.size: head for head in heads}
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), list) for name in ("links", "sizes")
    ):
        raise Failed(BROKEN, "the seal attachment is malformed")
    named = [e for e in parts.events.values() if e.type == SEAL_OPENED.name]
    if len(named) != 1:
        raise Failed(INCOMPLETE, f"{len(named)} events name the opening of the seal, expected 1")
    opening = SealOpening.from_value(named[0].payload.get("opening"))
    sizes = value["sizes"]
    if any(type(size) is not int or size not in by_size for size in sizes):
        raise Failed(INCOMPLETE, "the preimage of an anchor is not here")
    if named[0].position >= min(sizes, default=0):
        raise Failed(BROKEN, "the seal was opened before the ledger named its outpoint")
    links = [AnchorProof.from_value(link) for link in value["links"]]
    return opening, links, [by_size[size] for size in sizes]


def _standing(
    report: Report, chain: ChainResult, anchored: list[SignedCheckpoint], covering: int
) -> Standing:
    """Say how deep the first anchor over the event is; later heads cover it as well."""
    found = [
        link for link, head in zip(chain.links, anchored, strict=True) if head.size >= covering
    ]
    if not found:
        report.say("freshness", f"signed at size {covering}; no anchor here covers it")
        return Standing.PENDING
    link = found[0]
    moment = datetime.fromtimestamp(link.time_s + 7200, tz=UTC).strftime("%Y-%m-%d %H:%M")
    report.say(
        "freshness",
        f"in {chain.network.name} block {link.height}, {link.confirmations} deep here: "
        f"existed no later than {moment} UTC",
    )
    report.say("seal chain", f"{len(chain.links)} links on one seal, unbroken since its opening")
    return max(link.standing for link in found)
