"""What is on record about one proposal: the events of its stream, all of them or none.

A verdict or an answer that is left out may be the one that says no, so a stream of which not all
can be read is refused, and nothing is approved by the part that was. What writes into a stream is
bounded, each kind by itself: comments, own verdicts, those of other homes, answers.

An answer that was dated ahead when it was put on record never counts: its signer was told that it
was refused, and may have changed his mind until its time comes.

Not covered: what the verdicts and answers decide (`genesis.core.granting`).
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

from genesis.core.approval import Answer, SignedAnswer, Word, read_answer
from genesis.core.errors import InvalidApproval
from genesis.core.granting import SKEW_MS, Proposed
from ledger.core import types
from ledger.core.errors import Refused
from ledger.core.event import Event
from ledger.log import Log

STREAM_EVENTS_MAX: Final = 10_000
"""Of one proposal that are read: far more than all that the bounds below and of comments allow."""
JUDGED_MAX: Final = 64
"""Own verdicts on one proposal: a busy machine that finds nothing out tries a few times more."""
WORDS: Final = {
    types.PATCH_APPROVED.name: Word.APPROVE,
    types.PATCH_DISAPPROVED.name: Word.DISAPPROVE,
}
"""Events that keep an answer, and what it says."""


def events_about(log: Log, proposal: Event, kinds: Container[str]) -> list[Event]:
    """Return the events of these types about a proposal, oldest first.

    Raises Refused if its stream is longer than what is read: what is not seen may be a no.
    """
    if log.positions(proposal.stream, STREAM_EVENTS_MAX):
        raise Refused(
            f"more than {STREAM_EVENTS_MAX} events are about proposal {proposal.position}: not all "
            "of them are read, so nothing follows from them",
            hint="propose it anew: timmy patch new",
        )
    return [
        event
        for event in log.stream(proposal.stream, last=STREAM_EVENTS_MAX)
        if event.type in kinds and event.payload.get("patch") == proposal.position
    ]


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and the time of the first event that keeps it, in Unix milliseconds."""

    answer: SignedAnswer
    at_ms: int

    @property
    def same(self) -> tuple[Answer, bytes]:
        """What it is, however often and in whatever form it comes."""
        return self.answer.answer, self.answer.key

    @property
    def in_time(self) -> bool:
        """Whether it may count: what was dated ahead when it came never does."""
        return self.answer.answer.at_ms <= self.at_ms + SKEW_MS


def answers_of(events: Iterable[Event], proposed: Proposed) -> list[Kept]:
    """Return each answer to a proposal once; of `events`, oldest first, others are passed over.

    What shows nothing is passed over, too, whoever wrote it.
    """
    found: dict[tuple[Answer, bytes], Kept] = {}
    for event in events:
        word = WORDS.get(event.type)
        if word is None:
            continue
        try:
            answer = read_answer(
                event.payload, word, ledger=proposed.ledger, patch=proposed.patch,
                patch_class=proposed.patch_class,
            )  # fmt: skip
        except InvalidApproval:
            continue
        kept = Kept(answer, event.ts_ms)
        found.setdefault(kept.same, kept)
    return [*found.values()]


def answers_in_time(events: Iterable[Event], proposed: Proposed) -> tuple[SignedAnswer, ...]:
    """Return those of them that may count."""
    return tuple(one.answer for one in answers_of(events, proposed) if one.in_time)
