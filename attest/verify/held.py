"""An older head that the verifier holds, beside a file that claims to be newer.

No file shows by itself that nobody was told another history. Whoever kept a head, a proof or an
export can ask: does what I am shown now contain what I was shown then? docs/spec/bundle.md, steps
C. What is held counts for its signed heads and for the events that they prove, nothing else in it.
"""

from collections.abc import Callable
from io import BufferedReader
from typing import BinaryIO, Final

from attest.verify.common import Failed, open_head
from attest.verify.history import History
from attest.verify.report import (
    BROKEN,
    DIVERGED,
    GOOD,
    INCOMPLETE,
    NOT_REACHED,
    REWRITTEN,
    STALE,
    Report,
)
from ledger.core import limits
from ledger.core.bundle import MAGIC
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.equivocation import Equivocation
from ledger.core.errors import InvalidEvent, InvalidNote, InvalidProof
from ledger.core.lineage import Lineage
from ledger.core.merkle import EMPTY_ROOT, verify_consistency
from ledger.core.note import parse_note
from ledger.core.parting import Parted, Side, compare

HELD: Final = "held"
"""The line of a report that answers."""
_AN_EXPORT: Final = "ask for an export, or for a proof that leads on from it: timmy prove EVENT "

Verify = Callable[[BinaryIO], Report]
"""Bytes in, a report out: `attest.verify.bundle.verify_bundle` with nothing to compare."""


def put_beside(report: Report, held: BufferedReader, verify: Verify) -> None:
    """Add to the report of a good file whether its history and that of `held` are one.

    `held` is a checkpoint note, or any bundle, which `verify` reports on. Never raises for what is
    in it.
    """
    history = report.history
    if report.verdict not in GOOD or history is None:
        report.lines.insert(-1, (HELD, NOT_REACHED))  # the failing link stays last
        return
    report.question = "integrity"
    try:
        other, lineage = _open(report, held, verify)
        _check_equal(history, other)
        _check_records(report.lineage, lineage)
        _check_trees(report, history, other)
        _check_leaves(history, other)
        report.say(HELD, _compare(report, history, other))
    except Failed as error:
        report.fail(error.verdict, f"{HELD}: {error}")


def _open(report: Report, held: BufferedReader, verify: Verify) -> tuple[History, Lineage | None]:
    """Return what is held, of the same ledger as the report's file. Raises Failed.

    A note says nothing of its log's lineage.
    """
    lineage = None
    if held.peek(len(MAGIC)).startswith(MAGIC):
        found = verify(held)
        history, lineage = found.history, found.lineage
        if found.verdict not in {*GOOD, INCOMPLETE}:
            raise Failed(found.verdict, f"the file itself is not good: {found.lines[-1][1]}")
        if history is None:
            raise Failed(INCOMPLETE, "no signed head is in the file")
    else:
        history = _open_note(report, held.read(limits.NOTE_BYTES_MAX + 1))
    _check_ledger(report, history.ledger_id)
    return history, lineage


def _open_note(report: Report, data: bytes) -> History:
    assert report.lineage is not None
    try:
        named = Checkpoint.parse(parse_note(data).text)
        _check_ledger(report, named.ledger_id)
        head = _open_head(report.lineage, named, data)
    except (InvalidNote, InvalidEvent) as error:
        raise Failed(BROKEN, f"neither a bundle nor a checkpoint of this log: {error}") from error
    return History(ledger_id=named.ledger_id, epoch=named.epoch, heads=(head,))


def _open_head(lineage: Lineage, named: Checkpoint, data: bytes) -> SignedCheckpoint:
    """Open a held note, which may be of a later epoch: then by the last key that the file names."""
    if named.epoch > lineage.epoch:
        return open_checkpoint(data, lineage.newest.keys["log"])
    return open_head(lineage, data)


def _check_ledger(report: Report, found: bytes) -> None:
    if found != report.ledger_id:
        report.question = "identity"
        mine = (report.ledger_id or b"").hex()
        raise Failed(BROKEN, f"it is of ledger {found.hex()}, this file is of ledger {mine}")


def _check_equal(file: History, other: History) -> None:
    """Two heads of one epoch and size have one root: anything else is proof against the log."""
    if file.epoch != other.epoch:
        return
    roots = {head.size: head.root for head in file.heads}
    for head in other.heads:
        if roots.get(head.size, head.root) != head.root:
            raise Failed(DIVERGED, f"two signed roots at size {head.size}")


def _check_records(file: Lineage | None, other: Lineage | None) -> None:
    """One epoch is begun once, and one number is handed over to once in it."""
    if file is None or other is None:
        return
    events = {tenure.place: tenure.event for tenure in file.tenures}
    for tenure in other.tenures:
        if events.get(tenure.place, tenure.event) != tenure.event:
            epoch, number = tenure.place
            what = f"epoch {epoch}" if number < 0 else f"handoff {number} of epoch {epoch}"
            raise Failed(DIVERGED, f"two signed records of {what}")


def _check_trees(report: Report, file: History, other: History) -> None:
    """Two histories of one epoch, with every leaf: the smaller is the beginning of the larger.

    The first leaf that differs is proof against the log, and the report keeps both paths to it.
    """
    heads = file.heads[-1], other.heads[-1]
    if file.epoch != other.epoch or file.tree is None or other.tree is None:
        return
    if not all(head.size for head in heads):
        return
    first, second = (
        Side(size=head.size, root=head.root, here=one.tree.node)
        for head, one in zip(heads, (file, other), strict=True)
        if one.tree is not None
    )
    found = compare(first, second)
    if isinstance(found, Parted):
        report.parted = Equivocation(
            ledger_id=file.ledger_id,
            epoch=file.epoch,
            introduction=b"",
            notes=(heads[0].encode(), heads[1].encode()),
            branches=found.branches,
        )
        raise Failed(
            DIVERGED,
            f"event {found.branches[0].index} is one under the signed head of size {first.size} "
            f"and another under that of size {second.size}",
        )


def _check_leaves(file: History, other: History) -> None:
    """Where both prove an event of one position, it is the same event."""
    for position in sorted(file.leaves.keys() | other.leaves.keys()):
        mine, theirs = file.leaf(position), other.leaf(position)
        if None not in (mine, theirs) and mine != theirs:
            raise Failed(REWRITTEN, f"event {position} is another one there, signed as well")


def _compare(report: Report, file: History, other: History) -> str:
    """Say how the two histories lie to one another. Raises Failed unless `file` contains all."""
    if other.age <= file.age:
        for head in other.heads:
            _check_contained(report, file, head)
        if other.age == file.age:
            return f"this is the history that is held, of {other.size} events"
        return f"this history goes on from the {other.size} events that are held"
    shown = [_shows(report, other, head) for head in file.heads]
    told = (
        "it is the beginning of what is held"
        if all(shown)
        else "nothing shows whether it is the beginning of what is held"
    )
    report.question = "freshness"
    raise Failed(
        STALE,
        f"{other.size} events of epoch {other.epoch} are held, this file is of {file.size} events "
        f"of epoch {file.epoch}: {told}",
    )


def _shows(report: Report, held: History, head: SignedCheckpoint) -> bool:
    """Whether what is held shows that it goes on from `head`. Raises Failed if it does not."""
    try:
        _check_contained(report, held, head)
    except Failed as error:
        if error.verdict != INCOMPLETE:
            raise
        report.hint = None
        return False
    return True


def _check_contained(report: Report, newer: History, head: SignedCheckpoint) -> None:
    """Check that `newer` goes on from `head`. Raises Failed."""
    _check_kept(newer, head)
    if newer.tree is not None or not head.size:
        root = newer.tree.root(head.size) if newer.tree and head.size else EMPTY_ROOT
        if root != head.root:
            raise Failed(REWRITTEN, f"the head of size {head.size} is of another history")
        return
    if not _led_to(newer, head):
        report.hint = f"{_AN_EXPORT}--since {head.size}"
        raise Failed(
            INCOMPLETE,
            f"neither every event nor a consistency proof from size {head.size} on is here",
        )


def _check_kept(newer: History, head: SignedCheckpoint) -> None:
    """A recovery gives up what it does not keep; whoever holds that is told so."""
    epoch = head.checkpoint.epoch
    if epoch >= newer.epoch:
        return
    kept = newer.kept.get(epoch + 1)
    if kept is None:
        raise Failed(INCOMPLETE, f"the record that began epoch {epoch + 1} is not here")
    if head.size > kept:
        raise Failed(
            REWRITTEN,
            f"the head of size {head.size} is of epoch {epoch}; the recovery key began epoch "
            f"{epoch + 1} at event {kept} and gave up what came after",
        )


def _led_to(newer: History, head: SignedCheckpoint) -> bool:
    """Tell whether a head here is proven to go on from `head`. Raises Failed if one does not."""
    for mine in newer.heads:
        proof = newer.paths.get((head.size, mine.size))
        if mine.size != head.size and proof is None:
            continue
        path = () if proof is None or mine.size == head.size else proof.path
        try:
            verify_consistency(head.size, mine.size, path, head.root, mine.root)
        except InvalidProof as error:
            raise Failed(
                REWRITTEN, f"the head of size {mine.size} does not continue that of "
                f"{head.size}: {error}"
            ) from error  # fmt: skip
        return True
    return False
