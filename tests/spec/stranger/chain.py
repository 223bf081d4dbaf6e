"""The chain of anchors (anchor.md, "Verifying a chain")."""

import itertools
from dataclasses import dataclass
from typing import Any

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
    spends_seal,
)
from tests.spec.stranger.codec import demand, is_bytes, is_uint

DUST = 330
DEPTH_MAX = 15
HEADERS_MAX = 2016
LINKS_MAX = 100000
HEIGHT_MAX = 2**31 - 1
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


def parse_link(value: Any, network: str) -> Link:
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


def _check_commitment(outputs: list[Output], kind: int, digest: bytes) -> None:
    expected = b"\x6a\x24TMY" + bytes([kind]) + digest
    demand(outputs[0][1] == expected, "seal", "commitment")
    for _, script in outputs[1:]:
        demand(not (script[:1] == b"\x6a" and b"TMY" in script), "seal", "second commitment")


def _check_spend(link: Link, before: Link | None, opening: Opening, key: bytes) -> None:
    first, bad = link.transaction.inputs[0], "seal"
    if before is None:
        demand(not link.spent, bad, "spent outputs beside an opening")
        demand(first.outpoint == opening.outpoint, bad, "another coin")
        return
    seal = before.transaction.outputs[1]
    outpoint = before.transaction.txid + (1).to_bytes(4, "little")
    demand(first.outpoint == outpoint and first.script == b"", bad, "does not spend the seal")
    witness = link.transaction.witness[0]
    demand(len(witness) == 1 and len(witness[0]) == 64, bad, "witness")
    demand(len(link.spent) == len(link.transaction.inputs) - 1, bad, "spent outputs")
    demand(spends_seal(link.transaction, [seal, *link.spent], key), bad, "signature")


def _check_heights(links: list[Link], network: str) -> dict[int, bytes]:
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


def _standing(height: int, headers: dict[int, bytes]) -> str:
    count = 0
    while height + count in headers:
        count += 1
    return STANDINGS[(count >= 1) + (count >= 6) + (count >= 100)]


def best_standing(standings: list[str]) -> str:
    return max(standings, key=STANDINGS.index, default="pending")


def verify_chain(opening: Opening, links: list, digests: list[bytes], genesis: dict) -> list[str]:
    """The standing of each link."""
    bad, network = "seal", opening.network
    demand(network == genesis["network"], bad, "another network")
    demand(1 <= len(links) <= LINKS_MAX and len(links) == len(digests), bad, "number of links")
    if opening.recovery is not None:
        script = b"\x51\x20" + genesis["recovery_output_key"]
        demand(opening.recovery[1] == script, bad, "recovery of a stranger")
    key = seal_output_key(genesis["keys"]["seal"], genesis["soul"]["sha256"])
    parsed: list[Link] = []
    for i, value in enumerate(links):
        link = parse_link(value, network)
        outputs = link.transaction.outputs
        _check_commitment(outputs, min(i, 1), digests[i])
        seal = (opening.seal_sat, b"\x51\x20" + key)
        demand(len(outputs) > 1 and outputs[1] == seal, bad, "next seal")
        if i == 0 and opening.recovery is not None:
            demand(len(outputs) > 2 and outputs[2] == opening.recovery, bad, "recovery output")
        _check_spend(link, parsed[-1] if parsed else None, opening, key)
        parsed.append(link)
    headers = _check_heights(parsed, network)
    return [_standing(link.height, headers) for link in parsed]
