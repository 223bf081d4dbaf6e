"""Consensus-critical: what a witness answers to a head (c2sp.org/tlog-witness), as a pure function.

    request + what is known of the log  ->  verdict + what is known after

A witness knows one head of each log, the largest, and remembers roots of earlier ones. It says yes
to a head that continues the largest, and to nothing else. Whoever keeps the state must put the new
one on disk before the yes leaves, in one transaction with reading the old one: otherwise a slower
request could lead it back.

Two roots of one size are proof against the log. They freeze it: nothing of that epoch is cosigned
ever again, and the only way on is an epoch that the recovery key begins. A consistency proof that
fails is no proof: the sender, who need not be the log, may have spoilt it. A log that does not
bring one is *unresponsive*, which is for whoever waits for it to say, not for this module.

Not here: how the log's keys were learnt (`Lineage`), signing, storage, time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidEvent, InvalidNote, InvalidProof
from ledger.core.lineage import Lineage
from ledger.core.merkle import EMPTY_ROOT, verify_consistency
from ledger.core.note import parse_note
from mesh.core.errors import InvalidRequest
from mesh.core.witnesses.add_checkpoint import AddCheckpoint

HEADS_MAX: Final = 4096
"""Earlier heads kept of each log and epoch, the newest: an hour at one a second, a year of hours.
A second root of a size that was forgotten is still refused, only not proven."""


class Answer(Enum):
    """What is answered, with the status of HTTP that C2SP gives it."""

    COSIGNED = 200
    MALFORMED = 400
    UNSIGNED = 403
    UNKNOWN = 404
    STALE = 409
    INCONSISTENT = 422

    @property
    def status(self) -> int:
        """The status of HTTP."""
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A head that was cosigned: its size and root, and the note as the log signed it."""

    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a witness knows of one log and epoch. `at` looks an earlier head up by its size."""

    lineage: Lineage | None
    latest: Seen | None = None
    frozen: bool = False
    at: Callable[[int], Seen | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer, and what must be on disk before it leaves.

    `accepted` is the new largest head. `conflict` are two notes that prove that the log signed two
    histories: freeze it, whatever the answer is. `size` goes with STALE.
    """

    answer: Answer
    reason: str
    accepted: Seen | None = None
    conflict: tuple[bytes, bytes] | None = None
    size: int = 0


def judge(request: AddCheckpoint, known: Known) -> Verdict:
    """Answer one request. Never raises. `known` is of the origin that the note names."""
    head = _signed(request, known.lineage)
    if isinstance(head, Verdict):
        return head
    if request.old_size > head.size:
        return _no(Answer.MALFORMED, f"old size {request.old_size} is above size {head.size}")
    conflict = _conflict(head, known)
    if conflict is not None or known.frozen:
        answer = Answer.INCONSISTENT if conflict is not None else Answer.UNSIGNED
        reason = "this log signed two histories: nothing of this epoch is cosigned"
        return Verdict(answer=answer, reason=reason, conflict=conflict)
    return _continued(request, head, known.latest)


def _signed(request: AddCheckpoint, lineage: Lineage | None) -> SignedCheckpoint | Verdict:
    """The head, if the log's own key signed it and is in charge of that epoch and size."""
    try:
        named = named_in(request)
    except InvalidRequest as error:
        return _no(Answer.MALFORMED, str(error))
    if lineage is None or lineage.ledger_id != named.ledger_id:
        return _no(Answer.UNKNOWN, f"{named.origin} is not witnessed here")
    if named.epoch < lineage.epoch:
        return _no(Answer.UNSIGNED, f"epoch {named.epoch} ended: this log is in {lineage.epoch}")
    try:
        return open_checkpoint(request.note, _key(lineage, named))
    except (InvalidNote, InvalidEvent) as error:
        return _no(Answer.UNSIGNED, str(error))


def named_in(request: AddCheckpoint) -> Checkpoint:
    """What the note says, nothing of it verified. Raises InvalidRequest."""
    try:
        return Checkpoint.parse(parse_note(request.note).text)
    except InvalidNote as error:
        raise InvalidRequest(str(error)) from error


def _key(lineage: Lineage, named: Checkpoint) -> bytes:
    return lineage.tenure_at(named.epoch, named.size).keys["log"]


def _conflict(head: SignedCheckpoint, known: Known) -> tuple[bytes, bytes] | None:
    latest = known.latest
    same = latest if latest is not None and latest.size == head.size else known.at(head.size)
    if same is None or same.root == head.root:
        return None
    return same.note, head.anchor_preimage()


def _continued(request: AddCheckpoint, head: SignedCheckpoint, latest: Seen | None) -> Verdict:
    size = 0 if latest is None else latest.size
    if request.old_size != size:
        reason = f"the last head seen is of size {size}, not {request.old_size}"
        return Verdict(answer=Answer.STALE, reason=reason, size=size)
    if not head.size and head.root != EMPTY_ROOT:
        return _no(Answer.INCONSISTENT, "a head of size 0 with another root than the empty tree's")
    try:
        if latest is None or not latest.size:
            if request.path:
                return _no(Answer.INCONSISTENT, "a proof from size 0, from which nothing is proven")
        else:
            verify_consistency(latest.size, head.size, request.path, latest.root, head.root)
    except InvalidProof as error:
        return _no(Answer.INCONSISTENT, str(error))
    accepted = Seen(size=head.size, root=head.root, note=head.anchor_preimage())
    return Verdict(answer=Answer.COSIGNED, reason="", accepted=accepted)


def _no(answer: Answer, reason: str) -> Verdict:
    return Verdict(answer=answer, reason=reason)
