"""What is on record about one proposal: the events of its stream, all of them or none.

A verdict or an answer that is left out may be the one that says no, so a stream of which not all
can be read is refused, and nothing is approved by the part that was. What writes into a stream is
bounded, each kind by itself: comments, own verdicts, those of other homes, answers.

Not covered: what the verdicts and answers show (`genesis.core.granting`).
"""

from collections.abc import Container
from typing import Final

from ledger.core.errors import Refused
from ledger.core.event import Event
from ledger.log import Log

STREAM_EVENTS_MAX: Final = 10_000
"""Of one proposal that are read: far more than all that the bounds below and of comments allow."""
JUDGED_MAX: Final = 64
"""Own verdicts on one proposal: a busy machine that finds nothing out tries a few times more."""


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
