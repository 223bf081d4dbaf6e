"""Who, of those a reader trusts, signed that he saw this history and no other.

docs/spec/witness.md, "Cosignature". A file shows whose lines are under its heads; whom to trust is
the reader's to say, and a file that has fewer than he asks for is not taken for a good one. What
the log's own key signs anybody can be shown; what witnesses sign, each of them has compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from attest.verify.common import Failed
from attest.verify.report import BROKEN, GOOD, OTHER_HISTORY, Report
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.cosignature import Cosignature, Witness, cosignatures
from ledger.core.errors import InvalidNote

WITNESSES: Final = "witnesses"
"""The line of a report that answers."""
IN_LEAGUE: Final = "that the witnesses are not in league with the log"

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999, the last that Python can name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`needed` of `witnesses` must have cosigned a head over what the file is about."""

    witnesses: Sequence[Witness]
    needed: int


def require_witnesses(report: Report, policy: Policy) -> None:
    """Add to the report of a good file how many witnesses signed it. Never raises."""
    if report.verdict not in GOOD or report.history is None:
        return
    try:
        head, found = _best(report, policy)
    except Failed as error:
        report.question = "freshness"
        report.fail(error.verdict, str(error))
        return
    asked = len(policy.witnesses)
    if head is None:
        report.say(WITNESSES, f"none of {asked} cosigned a head over this")
    else:
        when = datetime.fromtimestamp(_seconds(found), tz=UTC).strftime("%Y-%m-%d %H:%M")
        names = ", ".join(one.witness.name for one in found)
        text = f"{len(found)} of {asked} cosigned the head of size {head.size}, last at {when}"
        report.say(WITNESSES, f"{text}: {names}")
    if len(found) < policy.needed:
        report.met = False
        report.say("required", f"{policy.needed} witnesses were required, here are {len(found)}")
    elif OTHER_HISTORY in report.not_shown:
        report.not_shown[report.not_shown.index(OTHER_HISTORY)] = IN_LEAGUE


def _seconds(found: Sequence[Cosignature]) -> int:
    """The last time, as far as a calendar goes."""
    return min(max(one.time_s for one in found), _LAST_SECOND)


def _best(report: Report, policy: Policy) -> tuple[SignedCheckpoint | None, list[Cosignature]]:
    """The head over the subject with the most cosignatures, the largest of those. Raises Failed."""
    assert report.history is not None
    start = 0 if report.event is None else report.event.position + 1
    best: tuple[SignedCheckpoint | None, list[Cosignature]] = None, []
    for head in report.history.heads:
        try:
            found = cosignatures(head.note, policy.witnesses)
        except InvalidNote as error:
            raise Failed(BROKEN, f"under the head of size {head.size}: {error}") from error
        if found and head.size >= start and len(found) >= len(best[1]):
            best = head, found
    return best
