"""The chain of anchors (anchor.md, "Verifying a chain")."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.spec.stranger.bitcoin import (
    MONEY_MAX,
    PERIOD,
    Header,
    Output,
    Transaction,
    hash256,
    header_run,
    parse_transaction,
    seal_output_key,
    spends_by_key,
)
from tests.spec.stranger.codec import demand, is_bytes, is_uint
from tests.spec.stranger.lineage import Lineage, Tenure
from tests.spec.stranger.note import Head

DUST = 330
DEPTH_MAX = 15
HEADERS_MAX = 2016
LINKS_MAX = 100000
HEIGHT_MAX = 2**31 - 1
OPENING, ANCHOR, HANDOFF, RECOVERY, AGGREGATE, DELEGATION = range(6)
NETWORKS = ("mainnet", "signet", "regtest")
STANDINGS = ("pending", "seen", "confirmed", "final")
LINK_FIELDS = {"transaction", "spent", "index", "siblings", "height", "headers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    network: str
    outpoint: bytes
    seal_sat: int
    recovery: Output | None


def _is_output(value: object) -> bool:
    if type(value) is not list or len(value) != 2:
        return False
    return is_uint(value[0]) and value[0] <= MONEY_MAX and is_bytes(value[1])


def parse_opening(value: object) -> Opening:
    bad = "seal"
    fields = {"network", "outpoint", "seal_sat", "recovery"}
    demand(type(value) is dict and set(value) == fields, bad, "opening")
    network, outpoint, recovery = value["network"], value["outpoint"], value["recovery"]
    demand(type(network) is str and network in NETWORKS, bad, "network")
    demand(type(outpoint) is list and len(outpoint) == 2, bad, "outpoint")
    demand(is_bytes(outpoint[0], 32) and is_uint(outpoint[1]), bad, "outpoint")
    demand(outpoint[1] < 2**32, bad, "index of the outpoint")
    seal_sat = value["seal_sat"]
    demand(is_uint(seal_sat) and DUST <= seal_sat <= MONEY_MAX, bad, "seal_sat")
    if recovery is not None:
        demand(_is_output(recovery) and recovery[0] >= DUST, bad, "recovery")
        demand(len(recovery[1]) == 34, bad, "script of recovery")
    return Opening(
        network=network,
        outpoint=outpoint[0] + outpoint[1].to_bytes(4, "little"),
        seal_sat=seal_sat,
        recovery=None if recovery is None else (recovery[0], recovery[1]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    transaction: Transaction
    spent: list[Output]
    height: int
    headers: list[Header]


def check_record(value: Any) -> None:
    """Its form ("Records")."""
    bad = "seal"
    demand(type(value) is dict and set(value) == LINK_FIELDS, bad, "link")
    spent, siblings, index = value["spent"], value["siblings"], value["index"]
    height, headers = value["height"], value["headers"]
    demand(type(spent) is list and all(map(_is_output, spent)), bad, "spent")
    demand(type(siblings) is list and len(siblings) <= DEPTH_MAX, bad, "siblings")
    demand(all(is_bytes(one, 32) for one in siblings), bad, "sibling")
    demand(is_uint(index) and index < 1 << len(siblings), bad, "index")
    demand(is_bytes(headers) and len(headers) % 80 == 0, bad, "headers")
    count = len(headers) // 80
    demand(1 <= count <= HEADERS_MAX, bad, "number of headers")
    demand(is_uint(height) and height >= 1 and height + count <= HEIGHT_MAX, bad, "height")
    demand(is_bytes(value["transaction"]), bad, "transaction")


def parse_link(value: Any, network: str) -> Link:
    """Steps 2.1 and 2.2."""
    check_record(value)
    bad = "seal"
    spent, siblings, index = value["spent"], value["siblings"], value["index"]
    height, headers = value["height"], value["headers"]
    transaction = parse_transaction(value["transaction"])
    run = header_run(headers, height, network)
    node = transaction.txid
    for sibling in siblings:
        if index & 1:
            demand(sibling != node, bad, "node twice")
            node = hash256(sibling + node)
        else:
            node = hash256(node + sibling)
        index >>= 1
    demand(node == run[0].merkle_root, bad, "path to the block")
    outputs = [(one[0], one[1]) for one in spent]
    return Link(transaction=transaction, spent=outputs, height=height, headers=run)


def commitment(outputs: list[Output]) -> tuple[int, bytes]:
    """Kind and digest."""
    script = outputs[0][1]
    fits = len(script) == 38 and script[:5] == b"\x6a\x24TMY" and script[5] <= DELEGATION
    demand(fits, "seal", "commitment")
    for _, other in outputs[1:]:
        demand(not (other[:1] == b"\x6a" and b"TMY" in other), "seal", "second commitment")
    return script[5], script[6:]


def tenure_of(kind: int, head: Head, lineage: Lineage) -> Tenure:
    """The tenure whose seal the link leaves (bundle.md, S6)."""
    tenure = lineage.signer(head.epoch, head.size)
    if kind == HANDOFF:
        tenure = lineage.signer(head.epoch, head.size + 1)
        fits = tenure.began == "handoff" and tenure.start == head.size + 1
        demand(fits, "seal", "handoff of the seal where the log has none")
    if kind == RECOVERY:
        # Epochs that keep the keys keep the record of their tenure as well.
        began = next(one.began for one in lineage.tenures if one.record == tenure.record)
        demand(began == "recovery", "seal", "recovery of the seal and not of the log")
    return tenure


def _check_kind(kind: int, key: bytes, before: bytes | None, kinds: list[int]) -> None:
    if before is None:
        demand(kind == OPENING, "seal", "first link is no opening")
    elif key == before:
        allowed = (ANCHOR,) if kinds[-1] == DELEGATION else (ANCHOR, AGGREGATE, DELEGATION)
        demand(kind in allowed, "seal", "another kind, and the seal key of before")
    else:
        demand(kind in (HANDOFF, RECOVERY), "seal", "another seal key without a handoff")
        demand(kind != RECOVERY or RECOVERY not in kinds, "seal", "second recovery")
        demand(kind != HANDOFF or kinds[-1] != DELEGATION, "seal", "handoff before the return")


def _check_opening(link: Link, opening: Opening) -> None:
    demand(not link.spent, "seal", "spent outputs beside an opening")
    first = link.transaction.inputs[0]
    demand(first.outpoint == opening.outpoint, "seal", "another coin")


def check_spend(link: Link, before: Link, output: int = 1) -> list[Output]:
    """vin[0] spends that output of the link before; gives all outputs that are spent."""
    first, bad = link.transaction.inputs[0], "seal"
    outpoint = before.transaction.txid + output.to_bytes(4, "little")
    demand(first.outpoint == outpoint, bad, "does not spend the seal")
    demand(len(link.spent) == len(link.transaction.inputs) - 1, bad, "spent outputs")
    spent = [before.transaction.outputs[output], *link.spent]
    demand(spends_by_key(link.transaction, spent, 0), bad, "signature of the seal")
    return spent


def _check_place(link: Link, kind: int, parsed: list[Link], opening: Opening, key: bytes) -> None:
    bad = "seal"
    if not parsed:
        _check_opening(link, opening)
        return
    if kind == RECOVERY:
        demand(opening.recovery is not None, bad, "no recovery seal")
        check_spend(link, parsed[0], 2)
        return
    spent = check_spend(link, parsed[-1])
    if kind == HANDOFF:
        enrolled = len(spent) > 1 and spent[1][1] == b"\x51\x20" + key
        demand(enrolled, bad, "no output of the new seal key is spent")
        demand(spends_by_key(link.transaction, spent, 1), bad, "signature of the new seal key")


def check_heights(links: list[Link], network: str) -> dict[int, bytes]:
    """Step 3; gives the hash of each height that has a header."""
    said: dict[int, bytes] = {}
    headers: dict[int, bytes] = {}
    bits: dict[int, int] = {}
    bad = "seal"
    for before, link in itertools.pairwise(links):
        demand(link.height >= before.height, bad, "heights go back")
    for link in links:
        for height, header in enumerate(link.headers, link.height):
            demand(said.setdefault(height, header.hash) == header.hash, bad, "two blocks")
            below = said.setdefault(height - 1, header.previous)
            demand(below == header.previous, bad, "two blocks below")
            period = 0 if network == "regtest" else height // PERIOD
            demand(bits.setdefault(period, header.bits) == header.bits, bad, "two targets")
            headers[height] = header.hash
    return headers


def standing_of(height: int, headers: dict[int, bytes]) -> str:
    count = 0
    while height + count in headers:
        count += 1
    return STANDINGS[(count >= 1) + (count >= 6) + (count >= 100)]


def best_standing(standings: list[str]) -> str:
    return max(standings, key=STANDINGS.index, default="pending")


Step: TypeAlias = Callable[[int, int], tuple[bytes, bytes]]
"""Number and kind of a link to the digest it must commit to and the seal key it must leave."""


def verify_links(
    opening: Opening, links: list, step: Step, genesis: dict, kinds: list[int]
) -> list[Link]:
    """Steps 1 and 2; the kind of each link is added to `kinds`."""
    bad, network = "seal", opening.network
    demand(network == genesis["network"], bad, "another network")
    demand(1 <= len(links) <= LINKS_MAX, bad, "number of links")
    if opening.recovery is not None:
        script = b"\x51\x20" + genesis["recovery_output_key"]
        demand(opening.recovery[1] == script, bad, "recovery of a stranger")
    parsed: list[Link] = []
    before: bytes | None = None
    for number, value in enumerate(links):
        link = parse_link(value, network)
        outputs = link.transaction.outputs
        kind, digest = commitment(outputs)
        expected, seal_key = step(number, kind)
        demand(digest == expected, bad, "another digest")
        _check_kind(kind, seal_key, before, kinds)
        key = seal_output_key(seal_key, genesis["soul"]["sha256"])
        demand(len(outputs) > 1, bad, "no next seal")
        demand(outputs[1] == (opening.seal_sat, b"\x51\x20" + key), bad, "next seal")
        if not parsed and opening.recovery is not None:
            demand(len(outputs) > 2 and outputs[2] == opening.recovery, bad, "recovery output")
        _check_place(link, kind, parsed, opening, key)
        parsed.append(link)
        kinds.append(kind)
        before = seal_key
    return parsed
