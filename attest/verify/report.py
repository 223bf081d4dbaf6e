"""What a verifier says: one verdict, and lines for integrity, completeness, freshness, identity.

Every report has all four lines, whatever the verdict: a question that failed says so, and one that
was not asked any more says that it was not reached, so that silence is never taken for a yes.

UNBROKEN-FINAL     everything holds, the head is 100 blocks deep in Bitcoin
UNBROKEN-PENDING   everything holds, signed, and not (or not deeply) in Bitcoin
RECOVERED          everything holds since the recovery key began a new epoch
TEST               everything holds on a test network, which proves nothing about time
INCOMPLETE         something that should be here is not: content dropped, a neighbour unproven
STALE              everything holds, and something newer is held beside it
REWRITTEN          two heads of one log do not continue each other
DIVERGED           two heads of one size and epoch have different roots
BROKEN             something here is false; the failing link is named
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from attest.core.anchor import LinkResult, Standing
from attest.core.delegation import DelegatedResult
from attest.verify.history import History
from ledger.core.equivocation import Equivocation
from ledger.core.event import Event
from ledger.core.genesis import Genesis
from ledger.core.lineage import Lineage

UNBROKEN_FINAL: Final = "UNBROKEN-FINAL"
UNBROKEN_PENDING: Final = "UNBROKEN-PENDING"
RECOVERED: Final = "RECOVERED"
TEST: Final = "TEST"
INCOMPLETE: Final = "INCOMPLETE"
STALE: Final = "STALE"
REWRITTEN: Final = "REWRITTEN"
DIVERGED: Final = "DIVERGED"
BROKEN: Final = "BROKEN"
GOOD: Final = frozenset({UNBROKEN_FINAL, UNBROKEN_PENDING, RECOVERED, TEST})

QUESTIONS: Final = ("integrity", "completeness", "freshness", "identity")
"""The four that every report answers, each on a line of its own."""
DOES_NOT_HOLD: Final = "does not hold"
NOT_REACHED: Final = "not reached: verification stopped at the failing link"

OTHER_HISTORY: Final = "that no other history was shown to somebody else"
OTHER_AGENT: Final = "that no other agent has this SOUL: compare the ledger id"
SAID_NOT_TRUE: Final = "that what was said is true"
HEAVIEST: Final = "that these blocks are on the heaviest chain"
LATER_HEAD: Final = "that no later head exists"
NO_TIME: Final = "when: nothing here is in Bitcoin"
"""What no file shows; the time is shown by an anchored proof alone."""

LEVELS: Final = {
    "pending": Standing.PENDING,
    "confirmed": Standing.CONFIRMED,
    "final": Standing.FINAL,
}


@dataclass(slots=True)
class Report:
    """What was found. `lines` are (name, text) in order; `event` is what a proof is about."""

    purpose: str = ""
    verdict: str = BROKEN
    lines: list[tuple[str, str]] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)
    ledger_id: bytes | None = None
    name: str | None = None
    event: Event | None = None
    size: int | None = None
    standing: Standing | None = None
    met: bool = True
    file_digest: bytes | None = None
    prefix: int = 0
    """How many events from 0 on a salvage proves without a gap."""
    hint: str | None = None
    """What can be done about it."""
    lineage: Lineage | None = None
    """Whose ledger it is, and which keys were in charge when."""
    redacted: frozenset[int] = frozenset()
    """Positions that the redactions of an export name."""
    carried: tuple[int, ...] = ()
    """Those of them whose content is in the file all the same."""
    links: tuple[LinkResult, ...] = ()
    """The transactions in Bitcoin that this goes by, those of an aggregator among them."""
    blocks: Mapping[int, bytes] = field(default_factory=dict)
    """The hashes of all blocks that their headers name, by height."""
    seals: DelegatedResult | None = None
    """The seal chain of an anchored proof, and the delegations in it."""
    history: History | None = None
    """What other files of the same log can be compared with."""
    parted: Equivocation | None = None
    """Two heads that exclude each other, if what is held shows that; without an introduction."""
    question: str = "integrity"
    """Which of QUESTIONS a failure met now would answer."""

    @property
    def genesis(self) -> Genesis | None:
        """Who the agent was born as."""
        return None if self.lineage is None else self.lineage.genesis

    @property
    def good(self) -> bool:
        """Whether the verdict is a good one, and as deep in Bitcoin as was required."""
        return self.verdict in GOOD and self.met

    def say(self, name: str, text: str) -> None:
        """Add a line."""
        self.lines.append((name, text))

    def fail(self, verdict: str, text: str) -> None:
        """Stop here: name the failing link, last, and leave none of the four questions out."""
        self.verdict, self.standing = verdict, None
        question = self.question
        if verdict == INCOMPLETE and question == "integrity":
            question = "completeness"
        self.lines = [line for line in self.lines if line[0] != question]
        self.say(question, DOES_NOT_HOLD)
        said = {name for name, _ in self.lines}
        for name in QUESTIONS:
            if name not in said:
                self.say(name, NOT_REACHED)
        self.say("failing link", text)

    def to_value(self) -> dict[str, Any]:
        """The report as one JSON-able map."""
        return {
            "verdict": self.verdict,
            "good": self.good,
            "purpose": self.purpose,
            "ledger": self.ledger_id,
            "name": self.name,
            "size": self.size,
            "position": self.event.position if self.event else None,
            "lines": [{"name": name, "text": text} for name, text in self.lines],
            "not_shown": self.not_shown,
            "hint": self.hint,
        }
