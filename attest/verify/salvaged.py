"""What a bundle of purpose `salvage` shows a stranger: docs/spec/bundle.md, steps V.

Some events of a log, each whole; for each signed head the hashes of what is not here. An event that
they lead to is proven, another is only whole. Most salvaged ledgers are INCOMPLETE, which is true.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from attest.verify.history import Tiles
from attest.verify.report import INCOMPLETE, RECOVERED, UNBROKEN_PENDING, Report
from ledger.core import limits
from ledger.core.bundle import Attachment, Reader, SignedHead
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import InvalidBundle
from ledger.core.event import Event, Record
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.merkle import HASH_BYTES, leaf_hash
from ledger.core.salvage import HEADS_MAX, PURPOSE, SUBTREES, Subtree, gaps, proven_by, spans
from ledger.core.tiles import Tree
from ledger.core.types import REDACTED

Identify = Callable[[Event], Lineage]
OpenHeads = Callable[[Lineage, list[SignedHead]], list[SignedCheckpoint]]


@dataclass(slots=True)
class Salvaged:
    """A salvage as it was read: leaf hashes by position, and what proves them."""

    events: int = -1
    leaves: dict[int, bytes] = field(default_factory=dict)
    first: Event | None = None
    lineage: list[Event] = field(default_factory=list)
    heads: list[SignedHead] = field(default_factory=list)
    subtrees: dict[int, list[Subtree]] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    redacted: set[int] = field(default_factory=set)

    def take(self, item: object) -> None:
        """Take one record. Raises InvalidBundle, InvalidEvent."""
        match item:
            case Record():
                self._take_event(item)
            case SignedHead():
                self.heads.append(item)
                if len(self.heads) > HEADS_MAX:
                    raise InvalidBundle(f"more than {HEADS_MAX} heads")
            case Attachment(name=name) if name == PURPOSE:
                if self.events >= 0:
                    raise InvalidBundle("two records say how many events there were")
                self.events = _uint(item.value, "events")
            case Attachment(name=name) if name == SUBTREES:
                size = _uint(item.value, "size")
                self.subtrees.setdefault(size, []).extend(_subtrees(item.value))
            case Attachment():
                pass  # evidence for somebody else
            case _:
                raise InvalidBundle(f"a salvage holds no {type(item).__name__.lower()}")

    def _take_event(self, record: Record) -> None:
        if self.leaves and record.position <= next(reversed(self.leaves)):
            raise InvalidBundle(f"event {record.position} is not in ascending order")
        event = Event.open(record)
        if event.redacted:
            self.erased.add(event.position)
        if event.type == REDACTED.name:
            targets = event.payload.get("targets", [])
            if not isinstance(targets, list) or any(type(at) is not int for at in targets):
                raise InvalidBundle(f"event {event.position}: targets is not an array of positions")
            self.redacted.update(targets)
        _ = event.content
        if event.type in LINEAGE_TYPES:
            self.lineage.append(event)
        if record.position == 0:
            self.first = event
        self.leaves[record.position] = leaf_hash(record.envelope)

    def proven(self, heads: list[SignedCheckpoint]) -> set[int]:
        """Return the positions that these heads prove. Raises InvalidProof."""
        found: set[int] = set()
        for head in heads:
            if head.size > max(self.events, 0):
                raise InvalidBundle(f"a head signs {head.size} events, {self.events} are spoken of")
            hashes = self.subtrees.get(head.size, [])
            found.update(proven_by(head.size, head.root, hashes, self.leaves.get))
        return found


def _uint(value: Any, key: str) -> int:
    found = value.get(key) if isinstance(value, dict) else None
    if type(found) is not int or not 0 <= found <= limits.TREE_SIZE_MAX:
        raise InvalidBundle(f"attachment has no {key}, or a wrong one")
    return found


def _subtrees(value: dict[str, Any]) -> list[Subtree]:
    rows = value.get("hashes")
    if not isinstance(rows, list):
        raise InvalidBundle("subtrees without hashes")
    for row in rows:
        kinds = [type(item) for item in row] if isinstance(row, list) else []
        if kinds != [int, int, bytes] or min(row[:2]) < 0 or len(row[2]) != HASH_BYTES:
            raise InvalidBundle("a subtree is not [level, index, hash of 32 bytes]")
    return [(level, index, hash_) for level, index, hash_ in rows]


def verify_salvage(
    report: Report, reader: Reader, identify: Identify, open_heads: OpenHeads
) -> None:
    """Report on a salvage. Raises what is false in it."""
    found = Salvaged()
    for item in reader:
        found.take(item)
    events = max(found.events, 0)
    if found.leaves and events <= next(reversed(found.leaves)):
        raise InvalidBundle(f"event {next(reversed(found.leaves))} of {events} events")
    proven: set[int] = set()
    if found.first is not None:
        lineage = report.lineage = identify(found.first).with_all(found.lineage)
        if found.heads:
            proven = found.proven(open_heads(lineage, found.heads))
    else:
        report.say("identity", "event 0 is lost: nothing here says whose events these are")
    report.size = events
    first = next(iter(spans(sorted(proven))), (0, 0))
    report.prefix = first[1] if first[0] == 0 else 0
    _say(report, found, events, proven)
    why = _incomplete(found, events, proven)
    if why is not None:
        report.fail(INCOMPLETE, why)
        return
    report.say("completeness", f"all {events} events that the log is known to have had")
    assert report.history is not None
    assert report.lineage is not None
    report.history = replace(report.history, tree=_tree(found), kept=report.lineage.kept)
    report.verdict = RECOVERED if reader.header.epoch else UNBROKEN_PENDING


def _incomplete(found: Salvaged, events: int, proven: set[int]) -> str | None:
    """Say what keeps this from being the whole log, proven; None if nothing does."""
    lost = gaps(spans(found.leaves), events)
    if lost:
        return f"{ranges(lost)} lost"
    if found.first is None or len(proven) < events:
        return "no signed head here proves all of it"
    missing = sorted(found.erased - found.redacted)
    return f"content MISSING, and nothing here erased it: {missing[:10]}" if missing else None


def _tree(found: Salvaged) -> Tree:
    tiles = Tiles()
    tree = Tree(tiles)
    for leaf in found.leaves.values():
        tree.append(leaf)
        tiles.take(tree)
    return tree


def _say(report: Report, found: Salvaged, events: int, proven: set[int]) -> None:
    saved = spans(found.leaves)
    sure = spans(at for at in found.leaves if at in proven)
    rest = spans(at for at in found.leaves if at not in proven)
    report.say(
        "integrity",
        f"{len(found.leaves)} events match their commitments, {len(proven)} lead to a signed root",
    )
    signed = f"signed up to event {max(proven)}" if proven else "nothing here is signed"
    report.say("freshness", f"{signed}; nothing here shows that it is the newest")
    report.say("proven", f"{ranges(sure)}: in the log, by a signed head")
    report.say("unproven", f"{ranges(rest)}: whole, and nothing here shows that they were in it")
    report.say("lost", ranges(gaps(saved, events)))
    report.not_shown.append("whether there were later events")


RANGES_MAX = 20
"""Of a listing for people; `--json` of `timmy doctor --salvage` has all of them."""


def ranges(found: list[tuple[int, int]]) -> str:
    """Say half-open ranges of events as a person counts them."""
    count = sum(stop - start for start, stop in found)
    named = [str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in found[:RANGES_MAX]]
    more = f" and {len(found) - RANGES_MAX} more ranges" if len(found) > RANGES_MAX else ""
    return f"{count} events ({', '.join(named)}{more})" if count else "no event"
