"""How well a question finds what bears on it: python -m bench.recalling.

A year of a household (`bench/recall/`) is appended to a ledger, and 227 labelled questions of seven
kinds are asked of it. Counted are, over all questions of a kind,

    recall@5    the share of the expected events among the first five (of at most five expected)
    MRR         one over the rank of the first expected event, 0 beyond the tenth
    silent      of questions without an answer: the share that found nothing at all

Every second question is held out: ways of searching are tuned on the others only. Deterministic:
it reads no clock. The peer is what most agents do: SQLite FTS5, bm25, any of the question's words.
"""

import datetime as dt
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from ledger.core import types
from ledger.core.event import Draft
from ledger.log import Log
from ledger.memory import MemoryStore
from ledger.views import Views
from runtime.hybrid import Clock, ask, hybrid

DATA: Final = Path(__file__).parent / "recall"
CORPORA: Final = ("home.txt", "work.txt", "chatter.txt")
DEPTH: Final = 5
RANKS: Final = 10
KINDS: Final = ("exact", "paraphrase", "name", "date", "typo", "multi")
NEGATIVE: Final = "negative"
_COMMON_WORDS: Final = """
a about after again all also am an and any are as at be because been before but by can could did
do does for from get had has have he her here him his how i if in into is it its just know like
me more my no not now of on one or other our out over she should so some such than that the
their them then there these they this to too up us was we were what when where which who why
will with would yes you your
"""
"""Words of English that are in most texts: beside others they change the order of nothing."""
_COMMON: Final = frozenset(_COMMON_WORDS.split())

Way = Callable[[str], list[int]]
"""A question gives positions, best first, at most RANKS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something said or noted."""

    key: str
    day: dt.date
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question, the keys of its answers (none for a negative), and whether it is held out."""

    kind: str
    keys: tuple[str, ...]
    text: str
    held_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of one kind of question and one way of searching."""

    count: int
    recall: float
    mrr: float
    silent: float


def _rows(name: str) -> Iterator[list[str]]:
    for line in (DATA / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("|")


def corpus() -> list[Line]:
    """All lines, in the order in which they were said."""
    lines = [
        Line(key=key, day=dt.date.fromisoformat(day), kind=kind, text=text)
        for name in CORPORA
        for key, day, kind, text in _rows(name)
    ]
    return sorted(lines, key=lambda line: line.day)


def queries() -> list[Query]:
    """All questions; of each kind the second, fourth, ... are held out."""
    seen: dict[str, int] = {}
    found = []
    for kind, keys, text in _rows("queries.txt"):
        number = seen[kind] = seen.get(kind, 0) + 1
        named = () if kind == NEGATIVE else tuple(keys.split(","))
        found.append(Query(kind=kind, keys=named, text=text, held_out=number % 2 == 0))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A ledger with the corpus in it. `at`: positions by key."""

    log: Log
    views: Views
    path: Path
    at: dict[str, int]


def world(folder: Path) -> World:
    """Append the corpus: noon of each day, one conversation."""
    now = [0]
    log = Log(MemoryStore(), clock=lambda: now[0], entropy=bytes)
    log.append_now(Draft(type=types.GENESIS.name, stream=bytes(16), payload={"network": "regtest"}))
    at: dict[str, int] = {}
    for number, line in enumerate(corpus()):
        noon = dt.datetime.combine(line.day, dt.time(12), dt.UTC)
        now[0] = int(noon.timestamp()) * 1000 + number
        at[line.key] = log.size
        log.append_now(_draft(line))
    path = folder / "views.db"
    views = Views(path, log)
    views.catch_up()
    return World(log=log, views=views, path=path, at=at)


def _draft(line: Line) -> Draft:
    if line.kind == "n":
        payload = {"kind": "given", "author": "mara", "gateway": "bench", "screen": "pass"}
        kind, stream = types.MEMORY_NOTED.name, types.MEMORY_STREAM
    else:
        payload = {"conversation": "main", "author": "mara", "gateway": "bench", "screen": "pass"}
        kind, stream = types.MESSAGE_RECEIVED.name, bytes(15) + b"\x09"
    return Draft(type=kind, stream=stream, payload=payload, content={"text": line.text})


def plain(world: World) -> Way:
    """The peer: SQLite's own FTS5 as its documentation has it, any of the words, bm25."""
    return _fts5(world, "unicode61")


def porter(world: World) -> Way:
    """The same with the stemmer that SQLite has for English."""
    return _fts5(world, "porter unicode61")


def _fts5(world: World, tokenizer: str) -> Way:
    base = sqlite3.connect(":memory:")
    base.execute(f"create virtual table words using fts5(text, tokenize = '{tokenizer}')")
    for event in world.log.events(1):
        assert event.content is not None
        row = (event.position, event.content["text"])
        base.execute("insert into words (rowid, text) values (?, ?)", row)

    def way(text: str) -> list[int]:
        terms = " OR ".join(f'"{word}"' for word in text.replace('"', " ").split())
        found = base.execute(
            "select rowid from words where words match ? order by rank, rowid desc limit ?",
            (terms, RANKS),
        )
        return [row[0] for row in found]

    return way


def prefixes(world: World) -> Way:
    """Any of the telling words as a prefix, bm25: what a node did before."""
    base = sqlite3.connect(f"{world.path.as_uri()}?mode=ro", uri=True)

    def way(text: str) -> list[int]:
        found = base.execute(
            "select rowid from words where words match ? order by rank, rowid desc limit ?",
            (_any_of(text), RANKS),
        )
        return [row[0] for row in found]

    return way


def _any_of(text: str) -> str:
    """Any word, as a quoted prefix; a letter or two begin too many words to be one."""
    terms = list(dict.fromkeys(text.replace('"', " ").lower().split()))
    telling = [term for term in terms if term.strip(".,;:!?'()[]") not in _COMMON] or terms
    return " OR ".join(f'"{term}"*' if len(term) > 2 else f'"{term}"' for term in telling)


def joined(world: World, *, likenesses: bool = True) -> Way:
    """What a node does: see runtime.hybrid."""
    clock = Clock(times=lambda position: world.log.read(position).ts_ms, size=world.log.size)

    def way(text: str) -> list[int]:
        asked = ask(text, before=world.log.size, clock=clock)
        return hybrid(world.path, asked, limit=RANKS, likenesses=likenesses)

    return way


def stems(world: World) -> Way:
    """The same without the table of likenesses, which the hand wrote that wrote the questions."""
    return joined(world, likenesses=False)


WAYS: Final[dict[str, Callable[[World], Way]]] = {
    "plain bm25": plain,
    "porter bm25": porter,
    "prefixes": prefixes,
    "hybrid": joined,
    "hybrid, no likenesses": stems,
}


def scored(way: Way, asked: list[Query], at: dict[str, int]) -> Score:
    """Ask everything and count."""
    recall = mrr = silent = 0.0
    for query in asked:
        found = way(query.text)
        wanted = {at[key] for key in query.keys}
        silent += not found
        if wanted:
            recall += len(wanted & set(found[:DEPTH])) / min(DEPTH, len(wanted))
            ranks = (n for n, position in enumerate(found, 1) if position in wanted)
            mrr += 1 / next(ranks, float("inf"))
    count = len(asked)
    return Score(count=count, recall=recall / count, mrr=mrr / count, silent=silent / count)


def tables(world: World) -> Iterator[str]:
    """What is printed: all questions, then the held-out ones alone."""
    asked = queries()
    ways = {name: make(world) for name, make in WAYS.items()}
    for title, some in (
        ("all questions", asked),
        ("held out", [query for query in asked if query.held_out]),
    ):
        yield from ("", f"| {title} | n | " + " | ".join(ways) + " |")
        yield "|---|---|" + "---|" * len(ways)
        for kind in (*KINDS, NEGATIVE, "all but negative"):
            of = [q for q in some if q.kind == kind or (kind not in (*KINDS, NEGATIVE) and q.keys)]
            cells = [_cell(kind, scored(way, of, world.at)) for way in ways.values()]
            yield f"| {kind} | {len(of)} | " + " | ".join(cells) + " |"


def _cell(kind: str, score: Score) -> str:
    if kind == NEGATIVE:
        return f"silent {score.silent:.0%}".replace("%", " %")
    return f"{score.recall:.3f} / {score.mrr:.3f}"


def main() -> int:
    """Print the tables: recall@5 / MRR."""
    with tempfile.TemporaryDirectory() as folder:
        made = world(Path(folder))
        Console().print("\n".join(tables(made)), soft_wrap=True, markup=False, highlight=False)
        made.views.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
