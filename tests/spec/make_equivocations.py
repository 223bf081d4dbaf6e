"""Proofs of equivocation among the vectors: docs/spec/witness.md, steps Q."""

from dataclasses import replace

from ledger.core.equivocation import Branch, Equivocation
from ledger.core.merkle import leaf_hash
from tests.spec import agent, make_bundles
from tests.spec.make_bundles import BROKEN, DIVERGED


def lived(*numbers):
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    for number in numbers:
        ledger.add(agent.fact(number))
    return ledger


TRUE, OTHER = lived(1, 2, 3, 4), lived(1, 2, 9, 4, 5)
INTRODUCTION = agent.bundle(agent.proof(TRUE, 0, [3]))


def branch(ledger, index, size):
    path = tuple(ledger.tree.inclusion(index, size))
    leaf = leaf_hash(ledger.records[index].envelope)
    return Branch(index=index, size=size, leaf=leaf, path=path)


def proof(first, second, branches=None, **changes):
    facts = {
        "ledger_id": TRUE.id,
        "epoch": 0,
        "introduction": INTRODUCTION,
        "notes": (first.encode(), second.encode()),
        "branches": branches,
    }
    return Equivocation(**(facts | changes))


ONE_SIZE = proof(TRUE.head(5), OTHER.head(5))
TWO_SIZES = proof(TRUE.head(5), OTHER.head(6), (branch(TRUE, 3, 5), branch(OTHER, 3, 6)))


def turned(found):
    return replace(found, notes=found.notes[::-1], branches=found.branches and found.branches[::-1])


def spoilt(path):
    """Two sizes, the second path changed."""
    second = replace(TWO_SIZES.branches[1], path=path)
    return replace(TWO_SIZES, branches=(TWO_SIZES.branches[0], second))


def more(*records):
    """One size, with more records before the closing one."""
    return agent.bundle([*agent.open_frames(ONE_SIZE.encode()), *records])


TRUE_ONES = {
    "two roots of one size": ONE_SIZE,
    "two roots of one size, the other way round": turned(ONE_SIZE),
    "two sizes, one index with two leaves": TWO_SIZES,
    "two sizes, the other way round": turned(TWO_SIZES),
}

PATH = TWO_SIZES.branches[1].path
FALSE_ONES = {
    "one head twice": ("equivocation", proof(TRUE.head(5), TRUE.head(5))),
    "two sizes, and no paths": ("equivocation", proof(TRUE.head(5), OTHER.head(6))),
    "two sizes of one history": ("equivocation", proof(TRUE.head(4), TRUE.head(5))),
    "two sizes of one history, one leaf": (
        "equivocation", proof(TRUE.head(4), TRUE.head(5), (branch(TRUE, 3, 4), branch(TRUE, 3, 5))),
    ),
    "two sizes of one history, a leaf of another": (
        "inclusion",
        proof(TRUE.head(4), TRUE.head(5), (branch(TRUE, 3, 4), branch(OTHER, 3, 5))),
    ),
    "one size, with paths": (
        "equivocation", replace(ONE_SIZE, branches=(branch(TRUE, 3, 5), branch(OTHER, 3, 5))),
    ),
    "paths to other sizes than the notes'": ("equivocation", replace(TWO_SIZES, notes=TWO_SIZES.notes[::-1])),
    "two indices": (
        "equivocation", replace(TWO_SIZES, branches=(branch(TRUE, 3, 5), branch(OTHER, 2, 6))),
    ),
    "an index before they part": (
        "equivocation", replace(TWO_SIZES, branches=(branch(TRUE, 2, 5), branch(OTHER, 2, 6))),
    ),
    "a path one hash too short": ("inclusion", spoilt(PATH[:-1])),
    "a path one hash too long": ("inclusion", spoilt((*PATH, bytes(32)))),
    "a path with a hash changed": ("inclusion", spoilt((bytes(32), *PATH[1:]))),
    "a note by another key": ("checkpoint", proof(TRUE.head(5), OTHER.head(5, by=agent.STRANGER))),
    "a note of another ledger": ("checkpoint", proof(TRUE.head(5), OTHER.head(5, ledger_id=bytes(32)))),
    "a note of another epoch": ("checkpoint", proof(TRUE.head(5), OTHER.head(5, epoch=1))),
    "a header of another epoch": ("checkpoint", proof(TRUE.head(5), OTHER.head(5), epoch=1)),
    "a header of another ledger": ("identity", proof(TRUE.head(5), OTHER.head(5), ledger_id=bytes(32))),
    "a proof of equivocation as the introduction": ("identity", replace(ONE_SIZE, introduction=ONE_SIZE.encode())),
    "an export as the introduction": ("identity", replace(ONE_SIZE, introduction=agent.bundle(agent.export(TRUE)))),
    "an introduction that was cut": ("identity", replace(ONE_SIZE, introduction=INTRODUCTION[:-1])),
    "no introduction in it": ("bundle", replace(ONE_SIZE, introduction=b"")),
    "a third note": ("bundle", more(["checkpoint", TRUE.head(4).encode()])),
    "an event in it": ("bundle", more(agent.event_record(TRUE.records[0]))),
    "an attachment of another name": ("bundle", more(["attachment", "more", {}])),
    "nine records": ("bundle", more(*[["checkpoint", TRUE.head(4).encode()]] * 9)),
}  # fmt: skip
"""Name to failure class and file."""


def cases():
    return [
        *(_case(name, ("diverged", DIVERGED), found) for name, found in TRUE_ONES.items()),
        *(_case(name, (kind, BROKEN), found) for name, (kind, found) in FALSE_ONES.items()),
        _case("another SOUL.md", ("identity", BROKEN), ONE_SIZE, soul="other"),
    ]


def _case(name, outcome, found, *, soul=None):
    data = found if isinstance(found, bytes) else found.encode()
    return make_bundles.case(name, *outcome, data, soul=soul)
