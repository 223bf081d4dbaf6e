"""What was read of a file so far, and how reading it may end (bundle.md)."""

from dataclasses import dataclass, field

from tests.spec.stranger.event import Event
from tests.spec.stranger.lineage import Lineage
from tests.spec.stranger.note import Head


class Ended(Exception):
    """A failure whose step names another verdict than BROKEN."""

    def __init__(self, verdict: str, kind: str) -> None:
        super().__init__(verdict)
        self.verdict, self.kind = verdict, kind


@dataclass(frozen=True, slots=True)
class Result:
    verdict: str
    standing: str | None = None
    kind: str | None = None


@dataclass(slots=True, kw_only=True)
class Shown:
    """What a file, or a note, shows of its log's history ("What is held")."""

    ledger: bytes
    epoch: int
    heads: list[Head]
    lineage: Lineage | None = None
    leaves: dict[int, bytes] = field(default_factory=dict)
    whole: bool = False  # it has every leaf
    records: dict[int, int] = field(default_factory=dict)  # position of each epoch's record
    consistencies: dict[tuple[int, int], list] = field(default_factory=dict)

    @property
    def age(self) -> tuple[int, int]:
        return self.epoch, self.heads[-1].size


@dataclass(slots=True, kw_only=True)
class Reading:
    """What was read of a file so far."""

    ledger: bytes
    epoch: int
    soul: bytes | None
    shown: Shown | None = None  # once step H is passed
    events: dict[int, Event] = field(default_factory=dict)
    notes: list[bytes] = field(default_factory=list)
    lineage: Lineage = field(init=False)  # from step I on

    @property
    def genesis(self) -> dict:
        return self.events[0].payload

    def show(self, heads: list[Head]) -> None:
        """Step H, or V3, is passed."""
        mine = [head for head in heads if head.epoch == self.epoch]
        self.shown = Shown(ledger=self.ledger, epoch=self.epoch, heads=mine, lineage=self.lineage)

    def show_leaves(self, leaves: dict[int, bytes], *, whole: bool) -> Shown:
        """These leaves, and the records of the lineage, are proven."""
        shown = self.shown
        assert shown is not None
        shown.leaves, shown.whole = leaves, whole
        shown.records = {epoch: kept[0] for epoch, kept in self.lineage.kept.items()}
        return shown
