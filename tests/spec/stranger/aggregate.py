"""Slots, times and delegations (aggregate.md)."""

import itertools
from dataclasses import dataclass

from tests.spec.stranger.bitcoin import MONEY_MAX, seal_output_key
from tests.spec.stranger.chain import (
    AGGREGATE,
    ANCHOR,
    DELEGATION,
    DUST,
    Link,
    Step,
    check_heights,
    check_record,
    check_spend,
    commitment,
    parse_link,
    parse_opening,
    standing_of,
    verify_links,
)
from tests.spec.stranger.codec import demand, is_bytes, is_uint, tagged

DEPTH_MAX = 256
SEGMENT_MAX = 10000


class Missing(Exception):
    """Something that should be there is not: INCOMPLETE."""


def _bit(ledger: bytes, depth: int) -> int:
    return ledger[depth // 8] >> (7 - depth % 8) & 1


def check_form(slot: object) -> None:
    """What "Slot proof" says of a map, and step 1."""
    bad = "slot"
    demand(type(slot) is dict and set(slot) == {"end", "siblings"}, bad, "fields")
    end, siblings = slot["end"], slot["siblings"]
    demand(type(siblings) is list and all(is_bytes(s, 32) for s in siblings), bad, "siblings")
    count = len(siblings)
    demand(count <= DEPTH_MAX - (end is None), bad, "too many siblings")
    demand(not siblings or siblings[0] != bytes(32), bad, "empty lowest sibling")
    if end is not None:
        demand(type(end) is list and len(end) == 2, bad, "end")
        demand(all(is_bytes(part, 32) for part in end), bad, "end")


def slot_root(slot: object, ledger: bytes) -> bytes:
    """Steps 1 to 4: the root that a slot proof leads to."""
    check_form(slot)
    end, siblings, bad = slot["end"], slot["siblings"], "slot"
    count = len(siblings)
    node = bytes(32)
    if end is not None:
        same = all(_bit(end[0], d) == _bit(ledger, d) for d in range(count))
        demand(same, bad, "the end is not on the path")
        node = tagged("timmy/slot/v1", end[0] + end[1])
    for i, sibling in enumerate(siblings):
        pair = sibling + node if _bit(ledger, count - 1 - i) else node + sibling
        node = tagged("timmy/branch/v1", pair)
    return node


def digest_in(slot: dict, ledger: bytes) -> bytes | None:
    """Step 6."""
    end = slot["end"]
    return end[1] if end is not None and end[0] == ledger else None


def check_slot(slot: object, ledger: bytes, root: bytes, digest: bytes | None) -> None:
    demand(slot_root(slot, ledger) == root, "slot", "another root")
    demand(digest_in(slot, ledger) == digest, "slot", "another digest")


def check_time(value: object, ledger: bytes, digest: bytes, network: str) -> None:
    """What "Time" asks, given the attachment."""
    link = parse_link(value["link"], network)
    kind, root = commitment(link.transaction.outputs)
    demand(kind == AGGREGATE, "seal", "not an aggregate")
    demand(not link.spent, "seal", "spent outputs")
    check_slot(value["slot"], ledger, root, digest)


def parse_delegation(value: object) -> dict:
    bad = "seal"
    fields = {"aggregator", "seal_key", "soul_sha256", "network", "outpoint", "seal_sat"}
    demand(type(value) is dict and set(value) == fields, bad, "delegation")
    for name in ("aggregator", "seal_key", "soul_sha256"):
        demand(is_bytes(value[name], 32), bad, name)
    demand(value["network"] in ("mainnet", "signet", "regtest"), bad, "network")
    outpoint = value["outpoint"]
    demand(type(outpoint) is list and len(outpoint) == 2, bad, "outpoint")
    demand(is_bytes(outpoint[0], 32) and type(outpoint[1]) is int, bad, "outpoint")
    demand(outpoint[1] == 1, bad, "index of the outpoint")
    demand(is_uint(value["seal_sat"]) and DUST <= value["seal_sat"] <= MONEY_MAX, bad, "seal_sat")
    seal_output_key(value["seal_key"], value["soul_sha256"])
    return value


def check_records(segment: object) -> None:
    """The form of a segment."""
    bad = "seal"
    demand(type(segment) is dict and set(segment) == {"origin", "links"}, bad, "segment")
    shown = segment["links"]
    demand(type(shown) is list and len(shown) <= SEGMENT_MAX, bad, "links of the segment")
    check_record(segment["origin"])
    for entry in shown:
        demand(type(entry) is dict and set(entry) == {"link", "slot"}, bad, "slotted link")
        check_record(entry["link"])
        if entry["slot"] is not None:
            check_form(entry["slot"])


def check_segment(
    delegation: dict, segment: object, digests: list, ledger: bytes, network: str
) -> list[Link]:
    """Steps 2 to 7; the links, `origin` first."""
    bad = "seal"
    demand(delegation["network"] == network, bad, "another network")
    demand(delegation["aggregator"] != ledger, bad, "to itself")
    check_records(segment)
    shown = segment["links"]
    demand(len(shown) == len(digests), bad, "number of digests")
    key = seal_output_key(delegation["seal_key"], delegation["soul_sha256"])
    seal = (delegation["seal_sat"], b"\x51\x20" + key)
    links = [parse_link(segment["origin"], network)]
    demand(links[0].transaction.txid == delegation["outpoint"][0], bad, "another origin")
    commitment(links[0].transaction.outputs)
    demand(not links[0].spent, "seal", "spent outputs of the origin")
    _check_next(links[0], seal)
    for entry, digest in zip(shown, digests, strict=True):
        link = parse_link(entry["link"], network)
        kind, root = commitment(link.transaction.outputs)
        demand(kind in (ANCHOR, AGGREGATE), bad, "kind")
        _check_next(link, seal)
        check_spend(link, links[-1])
        if kind == ANCHOR:
            demand(entry["slot"] is None and digest is None, "slot", "a slot beside an anchor")
        elif entry["slot"] is None:
            raise Missing
        else:
            check_slot(entry["slot"], ledger, root, digest)
        links.append(link)
    return links


def _check_next(link: Link, seal: tuple[int, bytes]) -> None:
    outputs = link.transaction.outputs
    demand(len(outputs) > 1 and outputs[1] == seal, "seal", "next seal")


def check_together(own: list[Link], segments: list[list[Link]], network: str) -> dict[int, bytes]:
    """Step 8."""
    for links in segments:
        check_heights(links, network)
    everything = [*own, *itertools.chain(*segments)]
    return check_heights(sorted(everything, key=lambda link: link.height), network)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The own chain, verified."""

    links: list[Link]
    kinds: list[int]
    network: str


def verify_own(opening: object, links: list, step: Step, genesis: dict) -> Own:
    kinds: list[int] = []
    own = verify_links(parse_opening(opening), links, step, genesis, kinds)
    check_heights(own, genesis["network"])
    return Own(links=own, kinds=kinds, network=genesis["network"])


def verify_delegated(own: Own, ledger: bytes, delegations: list[dict]) -> list[str]:
    """The standing of each link, own links first, then those of each segment."""
    by_link = {one["link"]: one for one in delegations}
    begun = {number for number, kind in enumerate(own.kinds) if kind == DELEGATION}
    if begun - set(by_link):
        raise Missing
    demand(begun == set(by_link), "seal", "a delegation without its link")
    segments = []
    for number in sorted(begun):
        one = by_link[number]
        delegation = parse_delegation(one["delegation"])
        arguments = (one["segment"], one["digests"], ledger, own.network)
        segments.append(check_segment(delegation, *arguments))
    headers = check_together(own.links, segments, own.network)
    later = itertools.chain(*(segment[1:] for segment in segments))
    return [standing_of(link.height, headers) for link in (*own.links, *later)]
