"""Consensus-critical: who of a fleet may answer a message where none may ever have two answers.

Two rules, for fleets that ask for them (`[mesh] answer = "majority"`):

term     a member begins to answer only while a majority of the voters, itself counted, is within
         its lease: heard of and reached (`mesh.core.fleet.routing`). So the smaller side of a
         partition begins nothing, asks no model, calls no tool, and keeps what it is told.
grant    before an answer is recorded a majority of the voters has granted the message to this
         member, once and for all: a run of mode quorum (`mesh.core.fleet.duty`), named after the
         message. Two majorities share a voter, so no message gets two answers, whatever is lost,
         late, cut off, restarted or wrong about the time.

The term alone would not do: a link may be cut after it was looked at. The grant alone would not
either: who has no majority would ask his model first. It is asked for last, when the words are
there, so that a home that dies while it thinks is followed, and only one that dies between its
grant and its record is waited for.

A run of 32 bytes is a message's, one of 16 a job's: a voter grants the first to members that may
answer, the second to those that do jobs. Every member computes one time for one message, that of
its gateway's record; so a voter forgets a grant only when nobody can ask for it any more.

A change of voters leaves a message with the voters of its time, for good: a newer list has those
taken in at its `since` or later (`mesh.core.fleet.duty`). So it has to be answered while a majority
of its voters is there and of the fleet still; its window, six days, is the longest that it waits.

Not covered: voters that lie; tools: two members that reach the voters and
not each other may both think about a message, and what their tools do is done twice; votes that
split over three members at once: then nobody answers, and the gateway says so at the window's end.
"""

from dataclasses import dataclass
from typing import Final

from ledger.core import hashing
from mesh.core.fleet.duty import ANSWER_WINDOW_S, Mode, Plan
from mesh.core.fleet.routing import TIMES, Leases, Times, holds

ANSWER: Final = "timmy-node 2026-11 answer of a fleet v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How many of a fleet's voters are within their lease, as one member sees it."""

    reached: int
    voters: int

    @property
    def needed(self) -> int:
        """Voters that are more than half."""
        return self.voters // 2 + 1

    @property
    def holds(self) -> bool:
        """Whether a majority is there. Without voters there is none."""
        return self.reached >= self.needed


def term_of(
    voters: tuple[bytes, ...],
    me: bytes,
    leases: Leases,
    now_s: int,
    times: Times = TIMES,
    *,
    gone: int = 0,
) -> Term:
    """Count the voters that are within their lease; a member does not need to hear of itself.

    `gone` voters are no members any more: they count, and are reached by nobody.
    """
    reached = sum(one == me or holds(leases, one, now_s, times) for one in voters)
    return Term(reached=reached, voters=len(voters) + gone)


def run_of(fleet: bytes, message: bytes) -> bytes:
    """Return what names a message to voters: 32 bytes."""
    return hashing.digest(ANSWER, fleet, message)


def plan_of(
    run: bytes,
    taken_s: int,
    *,
    me: bytes,
    voters: tuple[bytes, ...],
    manifest: bytes,
    gone: int = 0,
) -> Plan:
    """Return the run that is a message's answer. Who asks for it has its turn now.

    `voters` and `gone` are those of `taken_s`, as in Plan.
    """
    return Plan(
        run=run,
        planned_s=taken_s,
        mode=Mode.QUORUM,
        members=(me,),
        voters=voters,
        manifest=manifest,
        gone=gone,
        grace_s=0,
        window_s=ANSWER_WINDOW_S,
    )
