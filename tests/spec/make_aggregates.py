"""The cases of docs/spec/aggregate.md: slots in trees, and delegations (tests/attest/delegations.py)."""

import hashlib
from dataclasses import replace

from attest.core.aggregate import EMPTY, AggregateTree, Slot, SlotProof, branch_hash
from attest.core.commitment import Kind
from attest.core.transaction import OutPoint
from ledger.core.codec import encode
from tests.attest import delegations as made
from tests.attest.forge import forge_link


def case(name, failure, **fields):
    shown = {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}
    return {"name": name, "class": failure, **shown}


# ---- slots --------------------------------------------------------------------------------------


def sha(text):
    return hashlib.sha256(text.encode()).digest()


def near(number):
    """Ids that share their first 250 bits and more."""
    return (2**255 + number).to_bytes(32, "big")


def slot_case(name, failure, ledger, digest, proof, root):
    value = proof.to_value() if isinstance(proof, SlotProof) else proof
    data = value if isinstance(value, bytes) else encode(value)
    return case(name, failure, ledger=ledger, digest=digest, slot=data, root=root)


def slots():
    thousand = {sha(f"ledger {n}"): sha(f"head {n}") for n in range(1000)}
    close = {near(n): sha(f"near {n}") for n in (0, 1, 5, 60)}
    trees = {
        "one ledger": ({bytes(32): sha("a")}, bytes(32)),
        "another than the one ledger": ({bytes(32): sha("a")}, b"\xff" * 32),
        "no ledger": ({}, bytes(32)),
        "one of two": ({bytes(32): sha("a"), b"\xff" * 32: sha("b")}, b"\xff" * 32),
        "apart in the last bit": (close, near(1)),
        "absent, apart in the last bit": (close, near(4)),
        "absent, nothing there": (close, near(16)),
        "one of a thousand": (thousand, sha("ledger 7")),
        "absent among a thousand": (thousand, sha("ledger 1007")),
        "32 zero bytes as a digest": ({bytes(32): bytes(32), sha("x"): sha("b")}, bytes(32)),
    }
    good = []
    for name, (digests, ledger) in trees.items():
        tree = AggregateTree(digests)
        proof = tree.prove(ledger)
        good.append(slot_case(name, None, ledger, digests.get(ledger), proof, tree.root))
    return good + bad_slots(thousand)


def bad_slots(digests):
    tree, mine, absent = AggregateTree(digests), sha("ledger 7"), sha("ledger 1007")
    digest, root = digests[mine], tree.root
    proof = tree.prove(mine).to_value()
    gone = tree.prove(absent).to_value()
    siblings, zero, high = proof["siblings"], bytes(32), b"\x80" + bytes(31)
    first = Slot(ledger=zero, digest=sha("a"))
    second = Slot(ledger=zero, digest=sha("b"))
    doubled = branch_hash(first.hash, second.hash)
    lone = branch_hash(first.hash, EMPTY)
    cases = {
        "another digest is shown": (mine, digest, proof | {"end": [mine, sha("x")]}, root),
        "another digest is asked": (mine, sha("x"), proof, root),
        "present, absence is asked": (mine, None, proof, root),
        "absent, a digest is asked": (absent, digest, gone, root),
        "nothing instead of a slot": (mine, None, proof | {"end": None}, root),
        "another ledger's proof": (absent, digest, proof, root),
        "a slot that is not on the path": (mine, None, proof | {"end": [absent, digest]}, root),
        "another root": (mine, digest, proof, sha("x")),
        "siblings in another order": (mine, digest, proof | {"siblings": siblings[::-1]}, root),
        "a sibling too few": (mine, digest, proof | {"siblings": siblings[1:]}, root),
        "a sibling too many": (mine, digest, proof | {"siblings": [*siblings, sha("x")]}, root),
        "a key at two places: the second": (
            zero, sha("b"), {"end": [zero, sha("b")], "siblings": [first.hash]}, doubled),
        "a key at two places: by the other's path": (
            high, None, {"end": [zero, sha("b")], "siblings": [first.hash]}, doubled),
        "a lone slot below its place": (
            zero, sha("a"), {"end": [zero, sha("a")], "siblings": [EMPTY]}, lone),
        "a sibling of 31 bytes": (
            mine, digest, proof | {"siblings": [siblings[0][:-1], *siblings[1:]]}, root),
        "a sibling is null": (mine, digest, proof | {"siblings": [None, *siblings[1:]]}, root),
        "an id of 31 bytes": (mine, digest, proof | {"end": [mine[:-1], digest]}, root),
        "a digest of 33 bytes": (mine, digest, proof | {"end": [mine, digest + b"x"]}, root),
        "an end of one item": (mine, digest, proof | {"end": [mine]}, root),
        "257 siblings": (mine, digest, proof | {"siblings": [digest] * 257}, root),
        "nothing after 256 siblings": (
            mine, None, {"end": None, "siblings": [digest] * 256}, root),
        "a field too many": (mine, digest, proof | {"depth": 1}, root),
        "a field too few": (mine, digest, {"siblings": siblings}, root),
    }  # fmt: skip
    found = [slot_case(name, "slot", *values) for name, values in cases.items()]
    return [*found, slot_case("not canonical", "cbor", mine, digest, b"\xb8\x00", root)]


# ---- delegations ---------------------------------------------------------------------------------


def evidence(shown):
    """The arguments of `verify_own` and `verify_delegated` as one map."""
    return encode(
        {
            "opening": shown.opening.to_value(),
            "links": [link.to_value() for link in shown.links],
            "steps": [[step.digest, step.seal_key] for step in shown.steps],
            "recovery_output_key": made.OWN.recovery.script[2:],
            "soul_sha256": made.OWN.seal.soul_digest,
            "ledger": shown.ledger,
            "delegations": [
                {
                    "link": number,
                    "delegation": one.delegation.to_value(),
                    "segment": one.segment.to_value(),
                    "digests": list(one.digests),
                }
                for number, one in sorted(shown.delegations.items())
            ],
        }
    )


def delegated():
    good = {
        "delegated": made.good(),
        "before any link of the aggregator": made.good(until=90),
        "returned": made.good(returned=True, until=112),
        "returned, later links not shown": made.good(returned=True),
        "recovered instead of returned": made.succeeded(Kind.RECOVERY),
    }
    found = [case(name, None, evidence=evidence(shown)) for name, shown in good.items()]
    return found + [
        case(name, failure, evidence=evidence(shown))
        for name, (failure, shown) in bad_delegations().items()
    ]


def bad_delegations():
    shown = made.good()
    first, second, plain, last = shown.delegations[2].segment.links
    digests = shown.delegations[2].digests
    head, txid = made.head, bytes(32)

    def slotted(number, slot):
        links = [first, second, plain, last]
        links[number] = replace(links[number], slot=slot)
        return shown.with_links(*links, digests=digests)

    other = made.TREES[108].prove(made.OWN.ledger)
    return {
        "a link without slot and absence": ("missing", slotted(1, None)),
        "a link whose absence is not shown": ("missing", slotted(0, None)),
        "the slot of another round": ("slot", slotted(1, other)),
        "a slot beside a link of kind 1": ("slot", slotted(2, other)),
        "another head in the slot": (
            "slot", shown.with_period(digests=(None, head(6), None, head(6)))),
        "a slot said to be absent": ("slot", shown.with_period(digests=(None, None, None, head(6)))),
        "a link left out": (
            "seal", shown.with_links(first, second, last, digests=(None, head(5), head(6)))),
        "the first link left out": (
            "seal", shown.with_links(second, digests=(head(5),))),
        "links in another order": (
            "seal", shown.with_links(second, first, digests=(head(5), None))),
        "begun with another link": (
            "seal", shown.with_period(segment=replace(
                shown.delegations[2].segment, origin=replace(first.link, spent=())))),
        "another amount": ("seal", shown.with_delegation(seal_sat=9999)),
        "another SOUL of the aggregator": ("seal", shown.with_delegation(soul_digest=txid)),
        "another outpoint": (
            "seal", shown.with_delegation(outpoint=OutPoint(txid=txid, index=1))),
        "another network": ("seal", shown.with_delegation(network="signet")),
        "to itself": ("seal", shown.with_delegation(aggregator=made.OWN.ledger)),
        "no segment": ("missing", replace(shown, delegations={})),
        "a segment for an anchor": (
            "seal", replace(shown, delegations=dict.fromkeys((1, 2), shown.delegations[2]))),
        "delegated again without a return": ("seal", again(shown)),
        "handed over without a return": ("seal", made.succeeded(Kind.HANDOFF)),
        "blocks of another chain": ("seal", shown.with_links(
            first, replace(second, link=forge_link(
                made.world().transactions[105], height=105, spent=made.world().spent[105])),
            digests=(None, head(5)))),
    }  # fmt: skip


def again(shown):
    """A second link of kind 5 right after the first."""
    draft = made.OWN.next(made.world().transactions[104], Kind.DELEGATION, made.head(3), 9)
    link = forge_link(made.OWN.signed(draft), height=120, spent=draft.spent[1:])
    both = dict.fromkeys((2, 3), shown.delegations[2])
    return replace(
        shown,
        links=(*shown.links, link),
        digests=(*shown.digests, made.head(3)),
        delegations=both,
    )
