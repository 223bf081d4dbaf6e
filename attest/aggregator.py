"""Puts heads of many ledgers into one transaction, and gives each the proof of its place.

    add      a head is checked and kept; durable before it is acknowledged. A ledger has one slot
             in a round, and its newest head gets it
    close    what waits becomes a round: a tree, whose root the anchorer is to commit to
    advance  a root that no link carries is asked for again: the anchorer remembers one wish
    proof    what stands at a ledger's place in a round: its slot, or its absence

Needs no authentication: a note's signature is what gives a slot to a ledger. The key is that of
event 0, which the first submission brings, or of the handoff or recovery that put a later one in
charge, and is pinned: fewer records than are known do not change it back, so an old key gets no
slot any more. Every later head must continue the one before, by proof. So an aggregator has, for
each ledger, one history, and says by name what does not fit it.

Not covered: floods of ledgers that were born for it (`ledgers_max` bounds them; the others go on),
ledgers that lost events and began a new epoch below the head that is kept here (they are refused
until the operator of the aggregator forgets them), and who is given which proof: all are public.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from attest.anchorer import Anchorer
from attest.core import limits
from attest.core.aggregate import SlotProof
from attest.core.commitment import Kind
from attest.core.errors import (
    AttestError,
    HeadNotNewer,
    NothingPending,
    Refused,
    SealNotOpen,
    TooManyLedgers,
    TooManySubmissions,
    UnknownLedger,
)
from attest.core.submission import LogKeyOf, Submission
from attest.rounds import Known, Round, Rounds
from attest.status import SealStatus
from ledger.core.errors import TimmyError

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A head that waits for the next round (or, resubmitted, had its slot already)."""

    ledger: bytes
    size: int
    digest: bytes
    waiting: bool


@dataclass(slots=True, kw_only=True)
class Aggregator:
    """The service over one database and one anchorer. Methods may be called concurrently."""

    rounds: Rounds
    anchorer: Anchorer
    log_key_of: LogKeyOf
    now_ms: Callable[[], int]
    ledgers_max: int = limits.LEDGERS_MAX
    submissions_per_hour: int = limits.SUBMISSIONS_PER_HOUR
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, data: bytes) -> Accepted:
        """Check one submission and keep it; durable when this returns.

        Raises InvalidSubmission, UnknownLedger, HeadNotNewer, HeadDoesNotContinue, TooManyLedgers,
        TooManySubmissions, or StoreError.
        """
        [found] = await self.add_all([data])
        if isinstance(found, TimmyError):
            raise found
        return found

    async def add_all(self, submissions: Sequence[bytes]) -> list[Accepted | TimmyError]:
        """Check many, keep what holds in one commit, and return for each what came of it."""
        async with self._lock:
            return await asyncio.to_thread(self._add_all, submissions)

    def _add_all(self, submissions: Sequence[bytes]) -> list[Accepted | TimmyError]:
        kept: dict[bytes, Known] = {}
        count = self.rounds.count()
        results: list[Accepted | TimmyError] = []
        for data in submissions:
            try:
                known, new = self._checked(data, kept, room=count < self.ledgers_max)
            except AttestError as error:
                results.append(error)
                continue
            count += new
            kept[known.head.ledger_id] = known
            results.append(
                Accepted(
                    ledger=known.head.ledger_id,
                    size=known.head.size,
                    digest=known.digest,
                    waiting=known.waiting,
                )
            )
        self.rounds.keep(kept.values())
        return results

    def _checked(
        self, data: bytes, kept: Mapping[bytes, Known], *, room: bool
    ) -> tuple[Known, bool]:
        """What is to be kept of a ledger, and whether it is a new one."""
        submission = Submission.decode(data)
        ledger = submission.named.ledger_id
        before = kept.get(ledger) or self.rounds.known(ledger)
        if before is None:
            if not room:
                raise TooManyLedgers(f"{self.ledgers_max} ledgers are known, no more are taken")
            return self._first(submission), True
        log_key, records = self._key_of(submission, before)
        head = submission.opened(log_key)
        submission.check_records(head)
        submission.check_continues(head, before.head)
        if head.checkpoint == before.head:  # not counted: anybody may repeat a signed head
            return before, False
        hour, asked = self._counted(before)
        known = Known(
            log_key=log_key,
            records=records,
            head=head.checkpoint,
            digest=head.anchor_digest(),
            waiting=True,
            hour=hour,
            count=asked,
        )
        return known, False

    def _key_of(self, submission: Submission, before: Known) -> tuple[bytes, int]:
        """The log key of a known ledger's head, and by how many records it is in charge."""
        found = submission.log_key(self.log_key_of)
        if found is None:
            return before.log_key, before.records
        if len(submission.records) < before.records:
            raise HeadNotNewer(
                f"the keys by {len(submission.records)} records, {before.records} are known here"
            )
        return found, len(submission.records)

    def _first(self, submission: Submission) -> Known:
        log_key = submission.log_key(self.log_key_of)
        if log_key is None:
            ledger = submission.named.ledger_id.hex()
            raise UnknownLedger(
                f"ledger {ledger} is not known here, and event 0 is not given",
                hint="submit from the beginning: timmy aggregate submit --since 0",
            )
        head = submission.opened(log_key)
        submission.check_records(head)
        return Known(
            log_key=log_key,
            records=len(submission.records),
            head=head.checkpoint,
            digest=head.anchor_digest(),
            waiting=True,
            hour=self.now_ms() // _HOUR_MS,
            count=1,
        )

    def _counted(self, before: Known) -> tuple[int, int]:
        """The present hour and how many submissions of this ledger are in it with this one."""
        hour = self.now_ms() // _HOUR_MS
        if hour != before.hour:
            return hour, 1
        if before.count >= self.submissions_per_hour:
            raise TooManySubmissions(
                f"{before.count} submissions in this hour, at most {self.submissions_per_hour}",
                hint="there is one slot a round: submit once for each",
            )
        return hour, before.count + 1

    async def close(self, own: Mapping[bytes, bytes]) -> Round:
        """Close a round over what waits and the aggregator's own slot, and ask for its link.

        Raises NothingPending if nothing waits, SealNotOpen, or Refused while the round before is
        in no block.
        """
        async with self._lock:
            if not await asyncio.to_thread(self.rounds.waiting):
                raise NothingPending(
                    "no head waits for a round", hint="take one first: timmy aggregate add"
                )
            newest = await asyncio.to_thread(self.rounds.newest)
            status = await self.anchorer.advance()
            if not status.links:
                raise SealNotOpen("the seal is not open", hint="open it first: timmy anchor open")
            if _delegated(status):
                raise Refused(
                    "this seal is delegated: its next link is the return",
                    hint="timmy aggregate return, then close the round",
                )
            if newest is not None and not _mined(status, newest.root):
                raise Refused(
                    f"round {newest.number} is not in a block yet",
                    hint="wait for a block: timmy anchor status",
                )
            closed = await asyncio.to_thread(self.rounds.close, own, self.now_ms())
            await self._ask(closed, status)
            return closed

    async def advance(self) -> SealStatus:
        """Ask again for a root that no link carries, and do what the anchorer can do now."""
        async with self._lock:
            status = await self.anchorer.advance()
            newest = await asyncio.to_thread(self.rounds.newest)
            if newest is not None and await self._ask(newest, status):
                status = await self.anchorer.advance()
            return status

    async def _ask(self, closed: Round, status: SealStatus) -> bool:
        """Want a link for a root, unless one carries it or another wish waits before it."""
        if any(link.digest == closed.root for link in status.links):
            return False
        if status.wanted is not None or _delegated(status):
            return False
        await self.anchorer.anchor(closed.root, kind=Kind.AGGREGATE)
        return True

    async def proof(self, ledger: bytes, closed: Round) -> SlotProof:
        """What stands at the place of `ledger` in a closed round."""
        async with self._lock:
            tree = await asyncio.to_thread(self.rounds.tree, closed)
            return tree.prove(ledger)


def _delegated(status: SealStatus) -> bool:
    return bool(status.links) and status.links[-1].kind is Kind.DELEGATION


def _mined(status: SealStatus, root: bytes) -> bool:
    return any(link.digest == root and link.height is not None for link in status.links)
