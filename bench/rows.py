"""What is measured, against whom, how much of it, and what it is to reach.

A goal is a least ratio against a peer, as docs/BENCHMARKS.md explains it: above 1 ours is better,
whether a rate is to be high or a size low. A peer has the most favourable setting that is still
comparable, and the row says which.
"""

from dataclasses import dataclass, field
from typing import Final

OURS: Final = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One contestant of a row: how many events it gets, and what its figure stands for."""

    count: int
    setting: str
    goal: float | None = None
    work: str = ""
    """The name of its work, where it is not the row's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison. `batch` is events an acknowledgement; 0 where nothing is written."""

    name: str
    title: str
    unit: str
    sides: dict[str, Side] = field(default_factory=dict)
    batch: int = 0
    low_is_good: bool = False


_FULL: Final = "durable, unsigned"
_SIGNED: Final = "not durable, signed"

ROWS: Final[tuple[Row, ...]] = (
    Row(
        name="append-1",
        title="append, 1 event a commit",
        unit="events/s",
        batch=1,
        sides={
            OURS: Side(count=1500, setting=_FULL),
            "eventsourcing": Side(count=1500, setting=_FULL, goal=1.5),
            "pymerkle": Side(count=300, setting="durable, tree only"),
            "hypercore": Side(count=3000, setting=_SIGNED),
            "git": Side(count=60, setting="durable, a process a commit"),
        },
    ),
    Row(
        name="append-100",
        title="append, 100 events a commit",
        unit="events/s",
        batch=100,
        sides={
            OURS: Side(count=20_000, setting=_FULL),
            "eventsourcing": Side(count=20_000, setting=_FULL, goal=3.0),
            "pymerkle": Side(count=5000, setting="durable, tree only"),
            "hypercore": Side(count=20_000, setting=_SIGNED, goal=1.0),
            "git": Side(count=1000, setting="durable, one fast-import"),
        },
    ),
    Row(
        name="append-1000",
        title="append, 1,000 events a commit",
        unit="events/s",
        batch=1000,
        sides={
            OURS: Side(count=40_000, setting=_FULL),
            "eventsourcing": Side(count=40_000, setting=_FULL),
            "pymerkle": Side(count=40_000, setting="durable, tree only"),
            "hypercore": Side(count=40_000, setting=_SIGNED),
            "git": Side(count=20_000, setting="durable, one fast-import"),
        },
    ),
    Row(
        name="append-1000-signed",
        title="append, 1,000 a commit, checkpoint signed and guarded after each",
        unit="events/s",
        batch=1000,
        sides={
            OURS: Side(count=40_000, setting="durable, signed (BIP-340), guard durable"),
            "hypercore": Side(count=40_000, setting=_SIGNED + " (Ed25519)", goal=1.0),
        },
    ),
    Row(
        name="writers-100",
        title="append, 100 concurrent writers, 1 event each at a time",
        unit="events/s",
        batch=1,
        sides={
            OURS: Side(count=10_000, setting=_FULL + ", group commit"),
            "eventsourcing": Side(count=2000, setting=_FULL + ", 100 threads"),
            "hypercore": Side(count=10_000, setting=_SIGNED),
        },
    ),
    Row(
        name="replay",
        title="replay with full verification",
        unit="events/s",
        sides={
            OURS: Side(count=30_000, setting="every commitment, state folded, tree root compared"),
            "ours, each event strictly": Side(
                count=30_000, setting="every encoding compared, too; no root", work="replay-strict"
            ),
            "eventsourcing": Side(count=30_000, setting="folded, not verified", goal=4.0),
            "eventsourcing, log": Side(
                count=30_000, setting="decoded, neither folded nor verified", work="read"
            ),
            "hypercore": Side(
                count=30_000, setting="read, not verified; the faster of two ways", goal=4.0
            ),
            "git": Side(count=30_000, setting="fsck (verified), then log"),
        },
    ),
    Row(
        name="prove",
        title="inclusion proofs made, of 50,000 events",
        unit="proofs/s",
        sides={
            OURS: Side(count=50_000, setting="from SQLite, tiles cached"),
            "pymerkle": Side(count=50_000, setting="the faster of SQLite and memory"),
            "hypercore": Side(
                count=50_000, setting="hash to signed roots; the faster of two ways", goal=5.0
            ),
        },
    ),
    Row(
        name="verify",
        title="inclusion proofs verified, of 50,000 events",
        unit="proofs/s",
        sides={
            OURS: Side(count=50_000, setting="SHA-256 to the root"),
            "pymerkle": Side(count=50_000, setting="SHA-256 to the root", goal=1.0),
            "hypercore": Side(count=50_000, setting="BLAKE2b to the roots, signature left out"),
        },
    ),
    Row(
        name="search",
        title="search, the best 20 of 20,000 events",
        unit="queries/s",
        sides={
            OURS: Side(count=20_000, setting="1 or 2 words, as prefixes, ranked, with snippets"),
            "git": Side(count=20_000, setting="log --grep, 1 word, the newest 20"),
        },
    ),
    Row(
        name="bytes",
        title="bytes an event on disk, of 20,000 events with 200 bytes of content",
        unit="bytes",
        low_is_good=True,
        sides={
            OURS: Side(count=20_000, setting="with commitments, salts, tree, stream index"),
            "eventsourcing": Side(count=20_000, setting="JSON, not compressed"),
            "pymerkle": Side(count=20_000, setting="tree only"),
            "hypercore": Side(count=20_000, setting="blocks and tree"),
            "git": Side(count=20_000, setting="one pack, compressed"),
        },
    ),
)

QUICK_EVENTS: Final = 300
"""Enough for three batches of 100 and a full tile of 256 leaves."""
