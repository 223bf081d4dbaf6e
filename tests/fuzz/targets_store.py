"""Targets of what is read as bytes because SQLite refuses it or must not touch it: pages, and the log before them."""

import itertools
import struct
import tempfile
from pathlib import Path

from ledger.core.btree import PAGE_BYTES, is_index_leaf, is_table_leaf, rows
from ledger.wal import Wal, chained_sum, read_wal, words_of
from tests.ledger.test_btree import stored

from .engine import Target

PAGE = 512
"""The smallest page that a log may have."""

# ---- pages --------------------------------------------------------------------------------------


def run_pages(data):
    """Every page of a damaged file, as salvage reads it: a row or none, never an error."""
    pages = {
        at // PAGE_BYTES + 1: data[at : at + PAGE_BYTES].ljust(PAGE_BYTES, b"\0")
        for at in range(0, len(data), PAGE_BYTES)
    }
    found = 0
    for number, page in pages.items():
        if is_table_leaf(page, number) or is_index_leaf(page, number):
            for row in itertools.islice(rows(page, number, pages.get), 200):
                found += row is not None
    return "accepted" if found else "no rows"


def pages():
    """A table and its index, with rows that go on in other pages."""
    with tempfile.TemporaryDirectory() as folder:
        made = stored(
            Path(folder) / "a.db",
            ("create table t (id integer primary key, a, b)", None),
            ("create unique index u on t (b)", None),
            ("insert into t values (?, ?, ?)",
             [(at, bytes([at]) * (40 * at), bytes([at]) * 16) for at in range(60)]),
            ("insert into t values (?, ?, ?)", [(99, b"x" * 20_000, b"y" * 3000)]),
        )  # fmt: skip
    leaves = [page for number, page in made.items() if number > 1 and page[0] in (0x0D, 0x0A)]
    return [b"".join(made[number] for number in sorted(made)), *leaves[:2]]


# ---- the write-ahead log --------------------------------------------------------------------------


def run_wal(data):
    """Beside a database of two pages: whole, cut short or damaged, never an error."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "a.db"
        database.write_bytes(DATABASE)
        database.with_name("a.db-wal").write_bytes(data)
        found = read_wal(database)
    assert isinstance(found, Wal)
    assert found.damaged is None or found.damaged <= len(data) // PAGE + 1
    return "accepted" if found.frames and found.damaged is None else "not all of it"


DATABASE = bytes(16) + struct.pack(">H", PAGE) + bytes(2 * PAGE - 18)


def wal(*frames, big=True):
    """A log of (page, commit mark, filling) by the formula, in either byte order."""
    header = struct.pack(">6I", 0x377F0682 | big, 3_007_000, PAGE, 0, 0x11111111, 0x22222222)
    last = chained_sum(words_of(header, big=big), (0, 0))
    data = header + struct.pack(">2I", *last)
    for page, commit, filling in frames:
        image = bytes([filling]) * PAGE
        last = chained_sum(words_of(struct.pack(">2I", page, commit) + image, big=big), last)
        data += struct.pack(">6I", page, commit, 0x11111111, 0x22222222, *last) + image
    return data


def wals():
    frames = [(1, 0, 1), (2, 2, 2), (1, 2, 3), (2, 0, 4), (3, 3, 5)]
    return [wal(*frames), wal(*frames, big=False), wal((1, 1, 0)), wal(*frames)[:-PAGE], b""]


TARGETS = [
    Target(name="pages", run=run_pages, errors=(), specimens=pages, weight=10,
           bulk={"leaves": lambda n: (b"\x0d\0\0\x0f\xff" + b"\x20\x00" * 4000)[:PAGE_BYTES] * (n // PAGE_BYTES + 1)}),
    Target(name="wal", run=run_wal, errors=(), specimens=wals, weight=4),
]  # fmt: skip
