"""What is measured, against whom, how much of it, and what it is to reach.

A goal is a least ratio against a peer, as docs/BENCHMARKS.md explains it: above 1 ours is better,
whether a rate is to be high or a size low. Where there is no peer, a goal is a bound of its own.
A peer has the most favourable setting that is still comparable, and the row says which.
"""

from dataclasses import dataclass, field, replace
from typing import Final

OURS: Final = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One contestant of a row: how many events or links it gets, what its figure stands for."""

    count: int
    setting: str
    goal: float | None = None
    most: float | None = None
    """A goal of ours alone, in the row's unit: the median is to be at or below it."""
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
    family: str = ""
    """Rows that belong together: `--only` takes its name."""
    driver: str = ""
    """The module that measures every side, where all are servers and one client asks them."""
    figure: str = ""
    """What of a measurement is meant, where one measurement serves several rows."""
    quick_work: str = ""
    """The work of a quick run, where the row's own takes a minute to set up, or another one's
    does as well."""
    quick_count: int | None = None


RELAYS: Final = "relays"
_CLIENT: Final = "bench.relays"
_CHECKED: Final = "verified, SQLite, OK before the sync (NORMAL)"
_KEPT: Final = "verified, SQLite, durable before OK (FULL)"
_IN_MEMORY: Final = "verified, in memory: nothing is kept"
_NIP_77: Final = "NIP-77, then what is missing"
_IN_FULL: Final = "both read in full, then what is missing"
_SDK_EVENTS: Final = 5000
"""nostr-sdk 0.45 hangs up on a connection that has brought some 6,100 events."""
_TURNS: Final = 200
_P99_TURNS: Final = 100
"""Of fewer, the slowest is what the 99th percentile is."""
_FULL: Final = "durable, unsigned"
_SIGNED: Final = "not durable, signed"


def _told(count: int, most: float | None = None) -> dict[str, Side]:
    """The sides of a row about events that a relay takes and tells its subscribers."""
    peers = (("nostr-relay", _CHECKED), ("@nostr-relay", _CHECKED), ("nostr-sdk", _IN_MEMORY))
    return {OURS: Side(count=count, setting=_KEPT, most=most)} | {
        name: Side(count=count, setting=setting) for name, setting in peers
    }


def _turn(messages: int, turns: int) -> Row:
    """Turns in a conversation of so many messages; the peers get `turns` of them."""
    return Row(
        name=f"turn-{messages}",
        title=f"a turn beside its model, in a conversation of {messages:,} messages",
        unit="ms",
        low_is_good=True,
        family="turning",
        quick_work="turn-10",
        quick_count=3,
        sides={
            OURS: Side(
                count=_TURNS,
                setting="every step durable; screened, recalled, a process of its own",
            ),
            "langgraph": Side(
                count=turns, setting="a graph of one node, checkpoints durable in SQLite"
            ),
            "agents": Side(
                count=turns, setting="openai-agents: its SQLite session read, two items added"
            ),
        },
    )


def _slow_turn(messages: int, turns: int) -> Row:
    """The slow end of the same turns, of the same run."""
    row = _turn(messages, turns)
    sides = {
        name: Side(count=side.count, setting=_slowest_of(side.count), work=row.name)
        for name, side in row.sides.items()
    }
    return replace(
        row, name=f"{row.name}-p99", title=f"{row.title}: p99", figure="p99", sides=sides
    )


def _slowest_of(turns: int) -> str:
    return f"of {turns} turns" if turns >= _P99_TURNS else f"max of {turns} turns"


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
        name="mirror",
        title="replication over loopback, of 100,000 events",
        unit="events/s",
        sides={
            OURS: Side(count=100_000, setting="every commitment and path verified, durable"),
            "hypercore": Side(count=100_000, setting="verified, not durable", goal=4.0),
        },
    ),
    Row(
        name="mirror-bytes",
        title="bytes that cross the line for an event of them, 200 of them words",
        unit="bytes",
        low_is_good=True,
        sides={
            OURS: Side(count=20_000, setting="envelope, payload, two salts, commitments, paths"),
            "hypercore": Side(count=20_000, setting="block and tree, encrypted"),
        },
    ),
    *(
        Row(
            name=name,
            title=f"relay: events taken, {how}",
            unit="events/s",
            batch=batch,
            quick_work="relay-ingest-8",
            family=RELAYS,
            driver=_CLIENT,
            sides={
                OURS: Side(count=ours, setting=_KEPT),
                "nostr-relay": Side(count=2000, setting=_CHECKED, goal=goal),
                "@nostr-relay": Side(count=1000, setting=_CHECKED),
                "nostr-sdk": Side(count=min(ours, _SDK_EVENTS), setting=_IN_MEMORY),
            },
        )
        for name, how, batch, ours, goal in (
            ("relay-ingest-single", "1 connection, 1 event at a time", 1, 3000, None),
            ("relay-ingest", "1 connection, 50 under way", 0, 10_000, 7.0),
            ("relay-ingest-8", "8 connections, 50 under way each", 0, 10_000, 7.0),
        )
    ),
    Row(
        name="relay-memory",
        title="relay: memory at most, while 2,000 events are taken over 8 connections",
        unit="MiB",
        low_is_good=True,
        family=RELAYS,
        driver=_CLIENT,
        sides={
            OURS: Side(count=2000, setting="one process"),
            "nostr-relay": Side(count=2000, setting="gunicorn and one worker"),
            "@nostr-relay": Side(count=2000, setting="one process of node"),
            "nostr-sdk": Side(count=2000, setting="one process of Python, events in memory"),
        },
    ),
    Row(
        name="relay-read",
        title="relay: 5,000 stored events read in pages of 500",
        unit="events/s",
        family=RELAYS,
        driver=_CLIENT,
        sides={
            OURS: Side(count=5000, setting="SQLite"),
            "nostr-relay": Side(count=5000, setting="SQLite"),
            "@nostr-relay": Side(count=5000, setting="SQLite"),
            "nostr-sdk": Side(count=5000, setting="memory"),
        },
    ),
    Row(
        name="relay-lookup",
        title="relay: a small question to 5,000 events, by id, author or tag, p50",
        unit="ms",
        low_is_good=True,
        family=RELAYS,
        driver=_CLIENT,
        sides={
            OURS: Side(count=5000, setting="SQLite, at most 10 events"),
            "nostr-relay": Side(count=5000, setting="SQLite, at most 10 events"),
            "@nostr-relay": Side(count=5000, setting="SQLite, at most 10 events"),
            "nostr-sdk": Side(count=5000, setting="memory, at most 10 events"),
        },
    ),
    Row(
        name="relay-fanout",
        title="relay: one publisher, 100 subscribers, 50 events under way",
        unit="deliveries/s",
        quick_count=10,
        family=RELAYS,
        driver=_CLIENT,
        sides=_told(200),
    ),
    Row(
        name="relay-fanout-p99",
        title="relay: from publisher to 100 subscribers, 20 events a second, p99",
        unit="ms",
        low_is_good=True,
        quick_work="relay-fanout-20",
        quick_count=3,
        family=RELAYS,
        driver=_CLIENT,
        sides=_told(60),
    ),
    Row(
        name="relay-fanout-20",
        title="relay: from publisher to 20 subscribers, 50 events a second, p50",
        unit="ms",
        low_is_good=True,
        quick_work="relay-fanout-20",
        quick_count=3,
        family=RELAYS,
        driver=_CLIENT,
        sides=_told(150, most=5.0),
    ),
    *(
        Row(
            name=name,
            title=f"relay: two of them that differ in 1 % of 20,000 events made equal, {what}",
            unit=unit,
            low_is_good=True,
            family=RELAYS,
            driver=_CLIENT,
            figure=figure,
            sides={
                OURS: Side(count=20_000, setting=_NIP_77, work="relay-repair"),
                "ours, in full": Side(count=20_000, setting=_IN_FULL, work="relay-repair-naive"),
                "nostr-sdk": Side(
                    count=20_000, setting=f"{_NIP_77}; in memory", work="relay-repair"
                ),
                "nostr-sdk, in full": Side(
                    count=20_000, setting=f"{_IN_FULL}; in memory", work="relay-repair-naive"
                ),
            },
        )
        for name, what, unit, figure in (
            ("relay-repair", "time", "s", "seconds"),
            ("relay-repair-bytes", "bytes between them", "bytes", "bytes"),
        )
    ),
    *(
        Row(
            name=name,
            title=f"relay: of them, those that found a difference {how} (NIP-77)",
            unit="bytes",
            low_is_good=True,
            family=RELAYS,
            driver=_CLIENT,
            figure="talk",
            sides={
                OURS: Side(count=20_000, setting="100 each way", work=work, most=most),
                "nostr-sdk": Side(count=20_000, setting="100 each way", work=work, goal=0.95),
            },
        )
        for name, how, work, most in (
            ("relay-repair-talk", "spread evenly", "relay-repair", None),
            ("relay-repair-stretch", "of two stretches", "relay-repair-stretch", 22_260),
        )
    ),
    Row(
        name="headers",
        title="Bitcoin headers verified, a year of them",
        unit="headers/s",
        sides={
            OURS: Side(count=1000, setting="linkage, work, targets, median of times, chainwork"),
        },
    ),
    Row(
        name="transitions",
        title="links of a seal chain verified, of 1,000",
        unit="links/s",
        sides={
            OURS: Side(count=1000, setting="parsed, spend, commitment, path, a header, signature"),
        },
    ),
    Row(
        name="year",
        title="1,000 links and the 52,560 headers of their year",
        unit="s",
        low_is_good=True,
        sides={OURS: Side(count=1000, setting="all of both", most=1.0)},
    ),
    Row(
        name="link-bytes",
        title="bytes that one anchor takes in a proof (Catena, 2016: 600 a statement, no headers)",
        unit="bytes",
        low_is_good=True,
        sides={
            OURS: Side(count=2, setting="a fee input, change, one of 4,096 in its block", most=600)
        },
    ),
    Row(
        name="leaf-bytes",
        title="bytes that one more event takes in a proof (witness-log: about 600 a leaf)",
        unit="bytes",
        low_is_good=True,
        sides={OURS: Side(count=20_000, setting="200 bytes of words, 15 hashes", most=600)},
    ),
    Row(
        name="verify-start",
        title="timmy-verify, from start to verdict on one proof",
        unit="ms",
        low_is_good=True,
        sides={OURS: Side(count=5, setting="a process each, the median of five", most=400)},
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
    *(
        row
        for messages, turns in ((10, 200), (1_000, 200), (100_000, 5))
        for row in (_turn(messages, turns), _slow_turn(messages, turns))
    ),
)

QUICK_EVENTS: Final = 300
"""Enough for three batches of 100 and a full tile of 256 leaves."""
