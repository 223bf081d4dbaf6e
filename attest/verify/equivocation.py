"""Two heads that exclude each other: DIVERGED, for whoever holds the file and nothing else.

docs/spec/witness.md, steps E. The file's own introduction says whose keys are in charge: a stranger
needs no ledger, no node and no word of whoever made the file. What is not a proof is BROKEN, so
that nobody is accused by a file that only claims to be one.
"""

import io
from collections.abc import Callable
from typing import BinaryIO

from attest.verify.common import Failed, open_head
from attest.verify.report import BROKEN, DIVERGED, GOOD, OTHER_AGENT, Report
from ledger.core.bundle import Reader
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.equivocation import Branch, Equivocation, read_equivocation
from ledger.core.errors import InvalidProof
from ledger.core.merkle import verify_inclusion

Verify = Callable[[BinaryIO], Report]
"""Bytes in, a report out: `attest.verify.bundle.verify_bundle` with the SOUL.md that was given."""


def verify_equivocation(report: Report, reader: Reader, verify: Verify) -> None:
    """Always raises: Failed, DIVERGED if the file proves it and BROKEN if not, or InvalidData."""
    proof = read_equivocation(reader)
    _introduce(report, proof, verify)
    report.question = "integrity"
    first, second = (_open(report, proof, note) for note in proof.notes)
    if proof.branches is None:
        _check_roots(first, second)
    else:
        _check_branches(first, second, proof.branches)


def _introduce(report: Report, proof: Equivocation, verify: Verify) -> None:
    """Learn who the log is from the bundle inside. Raises Failed."""
    report.question = "identity"
    header = Reader(io.BytesIO(proof.introduction)).header
    if header.purpose != "proof" or header.ledger_id != proof.ledger_id:  # nor one in one in one
        raise Failed(BROKEN, "the introduction is no proof from the same ledger")
    found = verify(io.BytesIO(proof.introduction))
    if found.verdict not in GOOD or found.lineage is None:
        raise Failed(BROKEN, f"the introduction is not good: {found.lines[-1][1]}")
    report.lineage, report.name = found.lineage, found.name
    [said] = (text for name, text in found.lines if name == "identity")
    report.say("identity", said)
    report.not_shown.append(OTHER_AGENT)


def _open(report: Report, proof: Equivocation, note: bytes) -> SignedCheckpoint:
    assert report.lineage is not None
    head = open_head(report.lineage, note)
    if head.checkpoint.epoch != proof.epoch:
        raise Failed(
            BROKEN, f"a head is of epoch {head.checkpoint.epoch}, this file of {proof.epoch}"
        )
    return head


def _check_roots(first: SignedCheckpoint, second: SignedCheckpoint) -> None:
    if first.size != second.size:
        raise Failed(BROKEN, "two heads of two sizes, and nothing that shows why both cannot be")
    if first.root == second.root:
        raise Failed(BROKEN, f"both heads have one root at size {first.size}")
    raise Failed(
        DIVERGED,
        f"two signed roots at size {first.size}: {first.root.hex()} and {second.root.hex()}",
    )


def _check_branches(
    first: SignedCheckpoint, second: SignedCheckpoint, branches: tuple[Branch, Branch]
) -> None:
    one, two = branches
    if (one.size, two.size) != (first.size, second.size) or one.size == two.size:
        raise Failed(BROKEN, "the paths are not to the two heads, which are of different sizes")
    if one.index != two.index or one.leaf == two.leaf:
        raise Failed(BROKEN, "the paths are not of one index with two different leaves")
    for head, branch in ((first, one), (second, two)):
        try:
            verify_inclusion(branch.leaf, branch.index, branch.size, branch.path, head.root)
        except InvalidProof as error:
            raise Failed(BROKEN, f"under the head of size {head.size}: {error}") from error
    raise Failed(
        DIVERGED,
        f"event {one.index} is one under the signed head of size {first.size} "
        f"and another under that of size {second.size}",
    )
