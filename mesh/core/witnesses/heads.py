"""Consensus-critical: what a head that is shown means to somebody who knows an earlier one.

Every answer is about one log and two signed things: the head that is *known* (or what is stored,
without a note), and the one that is shown with who signs it. Two of the answers end a copy, so they
are given on proof alone: what is stored was proven, event by event, and keys and recoveries are
what the log's own records say. That a peer brings no path, or one that fails, proves nothing.
"""

from enum import Enum

from ledger.core.errors import InvalidProof
from ledger.core.lineage import Lineage
from ledger.core.merkle import verify_consistency
from mesh.core.errors import Inconsistent
from mesh.core.mirrors.copying import Head, Kept
from mesh.core.witnesses.introduction import Introduction


class Meaning(Enum):
    """What is to be done about a head."""

    NEWER = "newer"
    """It is larger. That it continues the known one is still to be shown: `require_continued`."""
    KNOWN = "known"
    """It is the known one, or a smaller one that contradicts nothing that is stored."""
    BEHIND = "behind"
    """Of an epoch that ended: its source knows nothing of the recovery yet."""
    SHORTENED = "shortened"
    """A recovery gave up a part of what is known, and nothing of what is stored."""
    GIVEN_UP = "given up"
    """A recovery gave up events that are stored."""
    OTHER = "other"
    """The log signed two histories."""


def head_of(shown: Introduction) -> Head:
    """The head of an introduction."""
    found = shown.head.checkpoint
    return Head(epoch=found.epoch, size=found.size, root=found.root, note=shown.head.encode())


def kept_of(shown: Introduction, epoch: int) -> tuple[int, bytes]:
    """How much of `epoch` the recoveries after it kept, and its root: the least of them."""
    return min(found for number, found in shown.kept.items() if number > epoch)


def meaning_of(shown: Introduction, known: Head, own: Kept, lineage: Lineage | None) -> Meaning:
    """Compare. `known` is of size 0 if nothing is; `lineage` is what it was verified by."""
    head = head_of(shown)
    if lineage is not None:
        if not _one_lineage(shown, lineage):
            return Meaning.OTHER
        if head.epoch < lineage.epoch:
            return Meaning.BEHIND
    if known.size and head.epoch > known.epoch:
        kept, root = kept_of(shown, known.epoch)
        if own.size > kept:
            return Meaning.GIVEN_UP if own.root(kept) == root else Meaning.OTHER
        if known.size > kept:
            return Meaning.SHORTENED
    if head.size > known.size:
        return Meaning.NEWER
    return Meaning.OTHER if _contradicts(head, known, own) else Meaning.KNOWN


def require_continued(shown: Introduction, known: Head) -> None:
    """Raise Inconsistent unless the larger head that is shown continues the known one."""
    head = head_of(shown)
    path = shown.paths.get((known.size, head.size))
    if path is None:
        raise Inconsistent(f"no path from size {known.size} to {head.size}", note=head.note)
    try:
        verify_consistency(known.size, head.size, path, known.root, head.root)
    except InvalidProof as error:
        raise Inconsistent(str(error), note=head.note) from error


def longer(one: Lineage | None, other: Lineage) -> Lineage:
    """The one of two lineages of a log that knows more: of a later epoch, or with more tenures."""
    if one is None or (other.epoch, len(other.tenures)) > (one.epoch, len(one.tenures)):
        return other
    return one


def _one_lineage(shown: Introduction, lineage: Lineage) -> bool:
    """Whether one begins with the other, and the longer one, too, has that key sign the head.

    What a later epoch gave up is no part of it any more: its handoffs do not count.
    """
    ours, theirs = lineage.tenures, shown.lineage.tenures
    if shown.lineage.epoch > lineage.epoch:
        kept, _ = kept_of(shown, lineage.epoch)
        ours = tuple(one for one in ours if one.position < kept)
    elif shown.lineage.epoch < lineage.epoch:
        return True  # told to be behind; what it knows may be what was given up
    shorter = min(len(ours), len(theirs))
    if ours[:shorter] != theirs[:shorter]:
        return False
    if len(theirs) >= len(ours):
        return True
    epoch, size = shown.lineage.epoch, shown.head.size
    key = lineage.tenure_at(epoch, size).keys["log"]
    return key == shown.lineage.tenure_at(epoch, size).keys["log"]


def _contradicts(head: Head, known: Head, own: Kept) -> bool:
    """Whether a head that is not larger than the known one is of another history."""
    if head.size == known.size:
        return head.root != known.root
    return head.size <= own.size and head.root != own.root(head.size)
